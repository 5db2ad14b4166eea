//! The ground under wires, by a small one: the first line is a name, every other is said in `global`.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BufMut;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::codec::LinesCodec;

use super::*;
use crate::codec::Encode;
use crate::gateway::Gateway;
use crate::gateway::pump::{Out, Socket};
use crate::hub::{Encoding, Hub, Lifetime, Seat};
use crate::message::{Closing, Command, Event};
use crate::name::{Nickname, RoomName};

#[derive(Debug)]
struct LineGateway(Port);

#[async_trait]
impl Gateway for LineGateway {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    async fn serve(self: Box<Self>, context: Context) {
        let session = |arrival| converse(arrival, context.clone());
        self.0.serve("lines", &context, session).await;
    }
}

async fn converse(Arrival { stream, from }: Arrival, context: Context) {
    let limits = context.hub.limits().clone();
    let own = Socket::outbox(stream, &LINES, &limits, None);
    let (outbox, mut out) = (own.clone() as Arc<_>, Out::Own(own.clone()));
    let mut intake = Intake::new(LinesCodec::new_with_max_length(MOST));
    let stream = own.sink().stream();
    let signing_in = context.stop.run_until_cancelled(async {
        let name = Nickname::new(&intake.next(stream).await.ok()??).ok()?;
        let token = context.hub.sign_up(&name).await.ok()?;
        context.hub.open(&token, own.clone(), Lifetime::Session, Some(from.ip())).await.ok()
    });
    let guest = context.unsigned().enter(from.ip());
    let Some(Some(Some(mut seat))) = guest.sign_in(signing_in).await else { return };
    if seat.run(Command::Enter(RoomName::global())).await.is_ok() {
        let mut carry = pin!(out.carry(&outbox));
        let mut pace = Pace::new(&limits);
        loop {
            let line = async {
                pace.ready().await;
                intake.next(stream).await
            };
            match next(carry.as_mut(), &context.stop, line).await {
                Next::Came(Ok(Some(line))) => {
                    pace.take();
                    say(&mut seat, line).await;
                }
                Next::Came(_) => {
                    outbox.close_with(bytes::Bytes::new());
                    break;
                }
                Next::Stopping => seat.end(Closing::Stopping, None).await,
                Next::Over => break,
            }
        }
    }
    drop(seat);
    out.finish(&outbox).await;
}

async fn say(seat: &mut Seat, line: String) {
    if let Err(why) = seat.run(Command::Say { room: None, body: line.into(), id: None }).await {
        seat.refuse(why, None);
    }
}

struct Lines;

impl Encode for Lines {
    fn encode(&self, event: &Event, out: &mut BytesMut) -> bool {
        match event {
            Event::Message(post) => {
                let line = format!("{}: {}\n", post.record.from, post.record.body);
                out.put_slice(line.as_bytes());
            }
            Event::Closing(why) => out.put_slice(format!("{why:?}\n").as_bytes()),
            _ => return false,
        }
        true
    }
}

static LINES: Encoding = Encoding::new("lines", &Lines);

/// The wire on a port of its own, as long as this is held.
struct Wire {
    at: SocketAddr,
    context: Context,
    serving: JoinHandle<()>,
}

impl Wire {
    async fn start(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let context = Context::new(Hub::with_limits(&limits), CancellationToken::new());
        let gateway = Box::new(LineGateway(Port::bind(&"127.0.0.1".parse().unwrap(), 0).await.unwrap()));
        let (at, given) = (gateway.local_addr(), context.clone());
        Self { at, context, serving: tokio::spawn(gateway.serve(given)) }
    }

    async fn connect(&self) -> Client {
        Client(BufReader::new(TcpStream::connect(self.at).await.unwrap()))
    }

    /// Somebody who is in the room.
    async fn join(&self, name: &str) -> Client {
        let mut client = self.connect().await;
        client.write(&format!("{name}\n{name} is here\n")).await;
        assert_eq!(client.line().await, format!("{name}: {name} is here"));
        client
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(LONG, self.0.read_line(&mut line)).await.expect("a line").unwrap();
        line.trim_end().to_owned()
    }

    /// Whether the server closes the connection.
    async fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        timeout(LONG, self.0.read_to_end(&mut rest)).await.is_ok()
    }
}

/// Keeps paused time from running by itself while a socket is waited for.
fn hold_the_clock() {
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
}

#[tokio::test]
async fn what_one_says_all_hear_however_the_bytes_come() {
    let wire = Wire::start(|_| {}).await;
    let mut ann = wire.join("ann").await;
    let mut bob = wire.join("bob").await;
    assert_eq!(ann.line().await, "bob: bob is here");
    for byte in "slow\r\n".chars() {
        ann.write(&byte.to_string()).await;
    }
    ann.write("one\ntwo\nth").await;
    ann.write("ree\n").await;
    for line in ["slow", "one", "two", "three"] {
        assert_eq!(ann.line().await, format!("ann: {line}"));
        assert_eq!(bob.line().await, format!("ann: {line}"));
    }
}

#[tokio::test]
async fn what_was_said_right_before_a_close_counts() {
    let wire = Wire::start(|_| {}).await;
    let mut ann = wire.join("ann").await;
    let mut bob = wire.connect().await;
    bob.write("bob\ngood bye").await;
    drop(bob);
    assert_eq!(ann.line().await, "bob: good bye");
    // Also by a reset.
    let mut carl = wire.connect().await;
    carl.write("carl\nwell\n").await;
    assert_eq!(ann.line().await, "carl: well");
    carl.write("gone\n").await;
    socket2::SockRef::from(carl.0.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(carl);
    assert_eq!(ann.line().await, "carl: gone");
}

#[tokio::test]
async fn over_the_rate_nothing_is_read_and_nothing_lost() {
    let wire = Wire::start(|limits| (limits.commands_per_second, limits.commands_burst) = (100, 5)).await;
    let mut ann = wire.join("ann").await;
    let begun = Instant::now();
    let lines: String = (0..30).map(|n| format!("{n}\n")).collect();
    ann.write(&lines).await;
    for n in 0..30 {
        assert_eq!(ann.line().await, format!("ann: {n}"));
    }
    // 26 of them waited for 10 ms each.
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_line_without_an_end_ends_its_connection_alone() {
    let wire = Wire::start(|_| {}).await;
    let mut ann = wire.join("ann").await;
    let mut bob = wire.join("bob").await;
    assert_eq!(ann.line().await, "bob: bob is here");
    let (piece, mut written) = (vec![b'x'; 1 << 16], 0);
    while written < 64 << 20 && bob.0.write_all(&piece).await.is_ok() {
        written += piece.len();
    }
    assert!(written < 64 << 20, "all of it was read");
    ann.write("still here\n").await;
    assert_eq!(ann.line().await, "ann: still here");
}

#[tokio::test(start_paused = true)]
async fn whoever_sits_at_the_prompt_for_two_minutes_is_served_and_for_ten_is_not() {
    hold_the_clock();
    let wire = Wire::start(|_| {}).await;
    let (mut ann, mut bob) = (wire.connect().await, wire.connect().await);
    while wire.context.unsigned().counted().open < 2 {
        tokio::task::yield_now().await;
    }
    tokio::time::advance(Duration::from_secs(120)).await;
    ann.write("ann\nhello\n").await;
    assert_eq!(ann.line().await, "ann: hello");
    tokio::time::advance(Duration::from_secs(480)).await;
    assert!(bob.ends().await);
    // Whoever has signed in may be silent for ever.
    tokio::time::advance(Duration::from_secs(86_400)).await;
    ann.write("still here\n").await;
    assert_eq!(ann.line().await, "ann: still here");
}

#[tokio::test]
async fn too_many_that_do_not_sign_in_cut_the_oldest_and_nobody_who_did() {
    let wire = Wire::start(|limits| (limits.unsigned_per_address, limits.loopback_exempt) = (3, false)).await;
    let mut ann = wire.join("ann").await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        let before = wire.context.unsigned().lately();
        silent.push(wire.connect().await);
        while wire.context.unsigned().lately() == before {
            tokio::task::yield_now().await;
        }
    }
    for oldest in &mut silent[..2] {
        assert!(oldest.ends().await);
    }
    for (n, other) in silent[2..].iter_mut().enumerate() {
        other.write(&format!("bob{n}\nhello\n")).await;
        assert_eq!(other.line().await, format!("bob{n}: hello"));
        assert_eq!(ann.line().await, format!("bob{n}: hello"));
    }
    assert_eq!(wire.context.unsigned().counted().crowded_out, 2);
}

#[tokio::test]
async fn connections_over_the_limit_of_their_address_are_closed() {
    let wire = Wire::start(|limits| (limits.connections_per_address, limits.loopback_exempt) = (2, false)).await;
    let (mut ann, _bob) = (wire.join("ann").await, wire.join("bob").await);
    assert!(wire.connect().await.ends().await);
    assert_eq!(ann.line().await, "bob: bob is here");
    let counted = wire.context.connections("lines").counted();
    assert_eq!((counted.open, counted.accepted, counted.refused), (2, 2, 1));
}

#[tokio::test]
async fn a_stop_tells_sessions_lets_them_read_and_leaves_nothing() {
    let wire = Wire::start(|_| {}).await;
    let mut ann = wire.join("ann").await;
    let mut silent = wire.connect().await;
    while wire.context.unsigned().counted().open < 1 {
        tokio::task::yield_now().await;
    }
    wire.context.stop.cancel();
    assert_eq!(ann.line().await, "Stopping");
    assert!(ann.ends().await && silent.ends().await);
    timeout(LONG, wire.serving).await.unwrap().unwrap();
    assert!(TcpStream::connect(wire.at).await.is_err());
    assert_eq!(wire.context.hub.gauges().sessions, 0);
    assert_eq!(wire.context.connections("lines").counted().open, 0);
}

#[tokio::test]
async fn whoever_drops_the_gateway_cuts_its_connections() {
    let wire = Wire::start(|_| {}).await;
    let mut ann = wire.join("ann").await;
    wire.serving.abort();
    assert!(ann.ends().await);
    assert!(wire.serving.await.unwrap_err().is_cancelled());
}

/// Bytes of a line.
const MOST: usize = 64 * 1024;
/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);
