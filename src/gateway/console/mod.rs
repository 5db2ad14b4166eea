//! Console chat: JSON objects over TCP, with nothing between them, for the clients that this protocol has in the field.
//!
//! [`Console`] is a [`Gateway`]. Whoever prints what happens there, as servers of this protocol do, takes
//! [`Console::events`].

mod events;
mod paced;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tracing::debug;

pub use self::events::{ConsoleEvent, ConsoleEvents};

use self::events::Teller;
use self::paced::{Client, Paced};
use super::tcp::{Arrival, Intake, Next, Pace, Port, next};
use super::{Context, Gateway};
use crate::address::Host;
use crate::codec::CodecError;
use crate::codec::console::{self as codec, Hello, MAX_SAID, Objects, Said};
use crate::hub::{Ask, Batch, Bots, Cut, Hub, Lifetime, Outbox, Seat, SignInError, Way};
use crate::limits::Limits;
use crate::message::{Closing, Command};
use crate::name::RoomName;
use crate::secret::Secret;
use crate::tape::{self, Frame, Framing, Piece, Tape};

/// The console protocol on a socket.
#[derive(Debug)]
pub struct Console {
    port: Port,
    room: RoomName,
    bots: Bots,
    teller: Teller,
}

impl Console {
    /// Where clients of this protocol look for a server.
    pub const PORT: u16 = 9009;

    /// Opens the socket; port 0 lets the system choose. Everybody who comes is in `global` and has no bots to ask, unless
    /// it is told otherwise.
    ///
    /// # Errors
    /// What the system says when nothing can listen there.
    pub async fn bind(host: &Host, port: u16) -> io::Result<Self> {
        let port = Port::bind(host, port).await?;
        Ok(Self { port, room: RoomName::global(), bots: Bots::none(), teller: Teller::silent() })
    }

    /// Another room for everybody who comes. It is made if there is none.
    #[must_use]
    pub fn room(mut self, room: RoomName) -> Self {
        self.room = room;
        self
    }

    /// Bots, to be asked by `cmd!...`.
    #[must_use]
    pub fn bots(mut self, bots: Bots) -> Self {
        self.bots = bots;
        self
    }

    /// What happens here, from now on; with `texts` also what is said. Only who asked last is told. `limits` are the
    /// hub's: [`Limits::events`] of them wait.
    #[must_use]
    pub fn events(&mut self, limits: &Limits, texts: bool) -> ConsoleEvents {
        let (teller, events) = Teller::channel(limits.events, texts);
        self.teller = teller;
        events
    }
}

#[async_trait]
impl Gateway for Console {
    fn name(&self) -> &'static str {
        WIRE
    }

    fn local_addr(&self) -> SocketAddr {
        self.port.local_addr()
    }

    async fn serve(self: Box<Self>, context: Context) {
        let Self { port, room, bots, teller } = *self;
        context.hub.ensure_room(&room);
        teller.tell(ConsoleEvent::Listening(port.local_addr()));
        let settings = Arc::new(Settings { room, bots, teller });
        port.serve(WIRE, &context, |arrival| connection(arrival, context.clone(), settings.clone())).await;
    }
}

/// What all connections have in common.
#[derive(Debug)]
struct Settings {
    room: RoomName,
    bots: Bots,
    teller: Teller,
}

/// One client, from the first object to the end.
async fn connection(arrival: Arrival, context: Context, settings: Arc<Settings>) {
    let Arrival { stream, from } = arrival;
    let hub = &context.hub;
    let outbox = Client::outbox(stream, hub.limits(), context.tape(WIRE, Framing::Objects));
    let mut intake = Intake::new(Objects::new(MAX_SAID));
    let sign_in = Box::pin(context.stop.run_until_cancelled(async {
        let came = intake.next(outbox.sink().stream()).await;
        let hello = came.as_ref().ok().and_then(Option::as_ref).map(|object| codec::hello(object).ok());
        if let Some(tape) = outbox.sink().tape() {
            note_hello(&**tape, hello.as_ref(), came.as_ref().ok().and_then(Option::as_ref));
        }
        let token = sign_in(hub, hello??, from.ip()).await?;
        hub.open(&token, outbox.clone(), Lifetime::Session, Some(from.ip())).await.ok()
    }));
    let seat = context.unsigned().enter(from.ip()).sign_in(sign_in).await.flatten().flatten();
    let Some(mut seat) = seat else {
        debug!("nobody signed in");
        outbox.close_with(Bytes::new());
        return Paced::new("").finish(&outbox).await;
    };
    let name = seat.name().map_or_else(String::new, |name| name.to_string());
    let mut paced = Paced::new(&name);
    match seat.run(Command::Enter(settings.room.clone())).await {
        Err(why) => tell(&outbox, &name, &why.to_string()),
        Ok(()) => {
            settings.teller.tell(ConsoleEvent::Accepted { from, name: name.clone() });
            let mut session = Session { seat, hub, settings: &settings, outbox: &outbox };
            session.converse(&mut intake, &mut paced, &context).await;
            // The others hear of it now, not when the last byte is out.
            seat = session.seat;
            settings.teller.tell(ConsoleEvent::Closed { name });
        }
    }
    drop(seat);
    outbox.close_with(Bytes::new());
    paced.finish(&outbox).await;
}

/// Somebody's token: an account's by its secret, otherwise a guest's, whatever others are called.
async fn sign_in(hub: &Hub, hello: Hello, from: IpAddr) -> Option<Secret> {
    hub.tries().sign_in(Some(from)).ok()?;
    match hello {
        Hello { name, secret: Some(secret) } => {
            let attempt = hub.tries().secret(&name, Some(from)).ok()?;
            let issued = hub.sign_in(&name, &secret).await;
            if !matches!(issued, Err(SignInError::WrongPassword)) {
                attempt.forgive(issued.is_ok());
            }
            issued.ok()
        }
        Hello { name, secret: None } => hub.sign_up_numbered(&name).await.ok().map(|(_, token)| token),
    }
}

/// One client who signed in.
struct Session<'a> {
    seat: Seat,
    hub: &'a Hub,
    settings: &'a Settings,
    outbox: &'a Arc<Outbox<Client>>,
}

/// What is to be done behind an object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    ReadOn,
    Leave,
}

impl Session<'_> {
    /// Does what the client asks for, while what it hears goes out, until one of them has enough.
    async fn converse(&mut self, intake: &mut Intake<Objects>, paced: &mut Paced, context: &Context) {
        let outbox = self.outbox;
        let mut carry = pin!(paced.carry(outbox));
        let mut pace = Pace::new(self.hub.limits());
        loop {
            let object = async {
                pace.ready().await;
                let came = intake.next(outbox.sink().stream()).await;
                if let Some(tape) = outbox.sink().tape() {
                    note(&**tape, came.as_ref().ok().and_then(Option::as_ref));
                }
                came
            };
            match next(carry.as_mut(), &context.stop, object).await {
                Next::Came(Ok(Some(object))) => {
                    pace.take();
                    if self.hear(&object).await == Then::Leave {
                        return;
                    }
                }
                Next::Came(Ok(None)) | Next::Over => return,
                Next::Came(Err(error)) => return self.broken(&error),
                Next::Stopping => self.seat.end(Closing::Stopping, None).await,
            }
        }
    }

    async fn hear(&mut self, object: &[u8]) -> Then {
        let said = match codec::said(object, self.hub.limits().message) {
            Ok(said) => said,
            Err(error @ CodecError::TooLong { .. }) => {
                self.tell(&error.to_string());
                return Then::ReadOn;
            }
            Err(error) => {
                self.broken(&error);
                return Then::Leave;
            }
        };
        match &said {
            Said::Message(text) => self.say(text).await,
            Said::Command(typed) => {
                let event = ConsoleEvent::Requested { name: self.name(), command: shown(typed) };
                self.settings.teller.tell(event);
                if said.leaves() {
                    return Then::Leave;
                }
                let answer = self.ask(&said).await;
                self.tell(&answer.unwrap_or_else(|| format!("The command: '{typed}' is not supported by the server")));
            }
        }
        Then::ReadOn
    }

    async fn say(&mut self, text: &Arc<str>) {
        if text.is_empty() {
            return;
        }
        self.settings.teller.tell_text(&self.name(), text);
        if let Err(why) = self.seat.run(Command::Say { room: None, body: text.clone(), id: None }).await {
            self.seat.count_refused(&why);
            self.tell(&why.to_string());
        }
    }

    async fn ask(&self, said: &Said) -> Option<String> {
        let (word, argument) = said.command()?;
        let room = &self.settings.room;
        let participants = self.hub.users_in(room).await;
        let ask = Ask { from: &self.name(), room, argument: argument.trim(), way: Way::Console, participants };
        self.settings.bots.ask(word, &ask).await
    }

    /// Answers the client alone.
    fn tell(&self, text: &str) {
        tell(self.outbox, &self.name(), text);
    }

    fn broken(&self, error: &dyn std::error::Error) {
        debug!(%error, "what came is nothing that can be answered");
        self.seat.count_cut(Cut::Protocol);
    }

    fn name(&self) -> String {
        self.seat.name().map_or_else(String::new, |name| name.to_string())
    }
}

/// A command as it is shown to whoever runs the server, who need not read all that a stranger writes.
fn shown(typed: &str) -> String {
    match typed.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}...", &typed[..end]),
        None => typed.to_owned(),
    }
}

/// Notes the first object: what was understood of it.
fn note_hello(tape: &dyn Tape, hello: Option<&Option<Hello>>, object: Option<&Bytes>) {
    let Some(object) = object else { return tape.ended() };
    let Some(Some(Hello { name, secret })) = hello else {
        return tape.note(tape::Way::In, Frame::Text, &[Piece::Unread(object.len())]);
    };
    // A nickname may hold quotes.
    let head = format!("{{\"username\":{}", serde_json::Value::from(name.as_str()));
    let mut pieces = vec![Piece::Plain(head.as_bytes())];
    match secret {
        Some(secret) => {
            pieces.extend([Piece::Plain(b",\"secret\":\""), Piece::Secret(secret.reveal()), Piece::Plain(b"\"}")])
        }
        None => pieces.push(Piece::Plain(b"}")),
    }
    tape.note(tape::Way::In, Frame::Text, &pieces);
}

/// Notes any other object, or that none comes any more.
fn note(tape: &dyn Tape, object: Option<&Bytes>) {
    match object {
        Some(object) => tape.note(tape::Way::In, Frame::Text, &[Piece::Plain(object)]),
        None => tape.ended(),
    }
}

fn tell(outbox: &Outbox<Client>, name: &str, text: &str) {
    let mut bytes = BytesMut::new();
    codec::system_message(&mut bytes, name, text);
    outbox.offer(&Batch::raw(bytes.freeze()));
}

const WIRE: &str = "console";
/// Characters of a command that are shown.
const MOST_SHOWN: usize = 100;
