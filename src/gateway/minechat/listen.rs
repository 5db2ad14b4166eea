//! The listen port: a line for each message of the room, for whoever connects.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tracing::warn;

use crate::address::Host;
use crate::codec::minechat::{HEARTBEAT, Listen};
use crate::gateway::pump::{Out, Socket};
use crate::gateway::tcp::{Arrival, Next, Port, next};
use crate::gateway::{Context, Gateway};
use crate::hub::{Batch, Encoding, Hub, Offered, Outbox, Sink};
use crate::name::RoomName;
use crate::tape::Framing;

/// The port on which minechat is heard, with its socket open.
#[derive(Debug)]
pub struct MinechatListen {
    port: Port,
    room: RoomName,
    heartbeat: Option<Duration>,
}

impl MinechatListen {
    /// Where minechat is heard when nothing else is said.
    pub const PORT: u16 = 5000;

    /// Opens the socket, for what is said in `global`; port 0 lets the system choose. Nothing is said there before
    /// [`Gateway::serve`].
    ///
    /// # Errors
    /// What the system says when nothing can listen there.
    pub async fn bind(host: &Host, port: u16) -> io::Result<Self> {
        Ok(Self { port: Port::bind(host, port).await?, room: RoomName::global(), heartbeat: None })
    }

    /// Another room. It is made if there is none, and stays.
    #[must_use]
    pub fn room(mut self, room: RoomName) -> Self {
        self.room = room;
        self
    }

    /// Says a line of the server's own when nothing was said for so long. Clients may take silence for a dead connection.
    #[must_use]
    pub fn heartbeat(mut self, silence: Duration) -> Self {
        self.heartbeat = Some(silence);
        self
    }
}

#[async_trait]
impl Gateway for MinechatListen {
    fn name(&self) -> &'static str {
        WIRE
    }

    fn local_addr(&self) -> SocketAddr {
        self.port.local_addr()
    }

    async fn serve(self: Box<Self>, context: Context) {
        let (wire, Self { port, room, heartbeat }) = (self.name(), *self);
        context.hub.ensure_room(&room);
        let (beats, beat) = watch::channel(());
        let session = |arrival| listen(arrival, context.clone(), room.clone(), beat.clone());
        let beating = async {
            match heartbeat {
                Some(silence) => tell_silence(&context.hub, &room, silence, &beats).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = port.serve(wire, &context, session) => {}
            () = beating => {}
        }
    }
}

async fn listen(Arrival { stream, .. }: Arrival, context: Context, room: RoomName, mut beat: watch::Receiver<()>) {
    let tape = context.tape(WIRE, Framing::Lines);
    let own = Socket::outbox(stream, &LISTEN, context.hub.limits(), tape);
    let (outbox, mut out): (Arc<Outbox>, _) = (own.clone(), Out::Own(own.clone()));
    let Ok(listener) = context.hub.listen(&room, outbox.clone()) else { return };
    beat.mark_unchanged();
    {
        let mut carry = pin!(out.carry(&outbox));
        let mut ignored = pin!(ignore(own.sink().stream()));
        loop {
            let came = async {
                tokio::select! {
                    () = ignored.as_mut() => None,
                    beat = beat.changed() => Some(beat),
                }
            };
            match next(carry.as_mut(), &context.stop, came).await {
                Next::Came(Some(Ok(()))) => {
                    outbox.offer(&Batch::raw(Bytes::from_static(HEARTBEAT.as_bytes())));
                }
                Next::Came(_) => {
                    if let Some(tape) = own.sink().tape() {
                        tape.ended();
                    }
                    break;
                }
                Next::Stopping | Next::Over => break,
            }
        }
    }
    outbox.close_with(Bytes::new());
    drop(listener);
    out.finish(&outbox).await;
}

/// Reads what nobody wants to know, until its end, or until it is too much.
///
/// # Cancel safety
/// Not to be dropped and called again: it counts from the start.
async fn ignore(stream: &TcpStream) {
    let mut ignored = 0;
    while ignored <= MOST_IGNORED && stream.readable().await.is_ok() {
        match skip(stream) {
            Ok(0) => return,
            Ok(more) => ignored += more,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Not in the future, whose memory each listener holds all the time.
fn skip(stream: &TcpStream) -> io::Result<usize> {
    stream.try_read(&mut [0; 4096])
}

/// Lets every session know when nothing was said in the room for `silence`.
async fn tell_silence(hub: &Hub, room: &RoomName, silence: Duration, beats: &watch::Sender<()>) {
    let heard = Arc::new(Notify::new());
    let ear = Arc::new(Outbox::new(Ear(heard.clone()), hub.limits()));
    let _listener = match hub.listen(room, ear) {
        Ok(listener) => listener,
        Err(error) => {
            warn!(%error, "silence in the room is not heard");
            return pending().await;
        }
    };
    loop {
        if tokio::time::timeout(silence, heard.notified()).await.is_err() {
            beats.send_replace(());
        }
    }
}

/// Hears only that something is said.
struct Ear(Arc<Notify>);

impl Sink for Ear {
    fn encoding(&self) -> Encoding {
        LISTEN
    }

    fn offer(&self, _: &Batch) -> Offered {
        self.0.notify_one();
        Offered::All
    }
}

const WIRE: &str = "minechat-listen";
static LISTEN: Encoding = Encoding::new("minechat", &Listen);
/// Bytes that a listener may send. Nobody has anything to say there.
const MOST_IGNORED: usize = 64 * 1024;
