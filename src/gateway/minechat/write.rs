//! The write port: a hash or a nickname first, then messages.

use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tracing::debug;
use uuid::Uuid;

use super::account::{self, Newcomers, Promise, Promised, Signed};
use super::answers::Answers;
use crate::address::Host;
use crate::codec::minechat::{self, Dialog, Lines, Typed};
use crate::gateway::tcp::{Arrival, Intake, Next, Pace, Port, next};
use crate::gateway::{Context, Gateway};
use crate::hub::{Batch, Cut, End, Hub, Lifetime, Outbox, Seat};
use crate::limits::Limits;
use crate::message::{Closing, Command, MessageId, Refusal};
use crate::name::RoomName;
use crate::net::http::linger;
use crate::secret::Secret;
use crate::tape::{Framing, Tape};

/// The port on which minechat is spoken, with its socket open.
///
/// ```
/// use talk::gateway::{Context, Gateway, MinechatListen, MinechatWrite};
/// use talk::hub::Hub;
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = "127.0.0.1".parse()?;
/// let listen = Box::new(MinechatListen::bind(&host, 0).await?);
/// let write = Box::new(MinechatWrite::bind(&host, 0).await?);
/// println!("minechat is heard at {} and spoken at {}", listen.local_addr(), write.local_addr());
/// let context = Context::new(Hub::new(), CancellationToken::new());
/// let serving = [tokio::spawn(listen.serve(context.clone())), tokio::spawn(write.serve(context.clone()))];
/// context.stop.cancel();
/// for served in serving {
///     served.await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MinechatWrite {
    port: Port,
    room: RoomName,
}

impl MinechatWrite {
    /// Where minechat is spoken when nothing else is said.
    pub const PORT: u16 = 5050;

    /// Opens the socket, for what is to be said in `global`; port 0 lets the system choose. Nothing is answered before
    /// [`Gateway::serve`].
    ///
    /// # Errors
    /// What the system says when nothing can listen there.
    pub async fn bind(host: &Host, port: u16) -> io::Result<Self> {
        Ok(Self { port: Port::bind(host, port).await?, room: RoomName::global() })
    }

    /// Another room. It is made if there is none, and stays.
    #[must_use]
    pub fn room(mut self, room: RoomName) -> Self {
        self.room = room;
        self
    }
}

#[async_trait]
impl Gateway for MinechatWrite {
    fn name(&self) -> &'static str {
        WIRE
    }

    fn local_addr(&self) -> SocketAddr {
        self.port.local_addr()
    }

    async fn serve(self: Box<Self>, context: Context) {
        let (wire, Self { port, room }) = (self.name(), *self);
        context.hub.ensure_room(&room);
        let accounts = Accounts::default();
        let session = |arrival| write(arrival, context.clone(), room.clone(), accounts.clone());
        port.serve(wire, &context, session).await;
    }
}

async fn write(Arrival { stream, from }: Arrival, context: Context, room: RoomName, accounts: Accounts) {
    let limits = context.hub.limits().clone();
    let answers = Arc::new(Outbox::new(Answers::new(stream, context.tape(WIRE, Framing::Lines)), &limits));
    let outbox: Arc<Outbox> = answers.clone();
    let mut typing = Typing::new(answers.sink(), &limits);
    let mut over = pin!(over(&outbox));
    let tape = answers.sink().tape();
    let desk = Desk { hub: context.hub.clone(), outbox: outbox.clone(), from: from.ip(), accounts, tape };
    desk.say(minechat::HELLO);
    let signed_in = async {
        let guest = context.unsigned().enter(from.ip());
        guest.sign_in(desk.sign_in(&mut typing)).await.flatten()
    };
    if let Next::Came(Some(who)) = next(over.as_mut(), &context.stop, signed_in).await {
        let mut speaker = Speaker::new(&desk, room, who);
        let why = loop {
            let came = async {
                tokio::select! {
                    biased;
                    typed = typing.next() => Came::Typed(typed),
                    () = until(speaker.stays) => Came::Stayed,
                }
            };
            match next(over.as_mut(), &context.stop, came).await {
                Next::Came(Came::Typed(Some(typed))) => speaker.take(typed, &limits).await,
                Next::Came(Came::Stayed) => speaker.stay().await,
                Next::Came(Came::Typed(None)) | Next::Over => break Closing::Exit,
                Next::Stopping => break Closing::Stopping,
            }
        };
        speaker.leave(why, typing.failed).await;
    }
    outbox.close_with(Bytes::new());
    linger(answers.sink().stream()).await;
}

/// What a session that has signed in waits for.
enum Came {
    Typed(Option<Typed>),
    Stayed,
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// Waits until the hub has said goodbye. Many clients close as soon as they have said what they had to say: that nothing
/// goes out any more is no reason not to read it.
async fn over(outbox: &Outbox) {
    outbox.ended().await;
    if outbox.end() == Some(End::Gone) {
        pending().await
    }
}

/// What comes in, at the rate that it may.
struct Typing<'a> {
    stream: &'a TcpStream,
    tape: Option<&'a Arc<dyn Tape>>,
    intake: Intake<Lines>,
    dialog: Dialog,
    lines: Pace,
    commands: Pace,
    /// A line was too long.
    failed: bool,
}

impl<'a> Typing<'a> {
    fn new(answers: &'a Answers, limits: &Limits) -> Self {
        let (stream, tape) = (answers.stream(), answers.tape());
        let (intake, dialog) = (Intake::new(Lines::default()), Dialog::new(limits.message));
        let (lines, commands) = (Pace::new(limits).times(LINES), Pace::new(limits));
        Self { stream, tape, intake, dialog, lines, commands, failed: false }
    }

    /// The next thing that is typed; `None` at the end.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    async fn next(&mut self) -> Option<Typed> {
        loop {
            self.commands.ready().await;
            self.lines.ready().await;
            let came = self.intake.next(self.stream).await;
            if let (Some(tape), Err(_) | Ok(None)) = (self.tape, &came) {
                tape.ended();
            }
            let line = match came {
                Ok(line) => line?,
                Err(error) => {
                    debug!(%error, "cut");
                    self.failed = true;
                    return None;
                }
            };
            self.lines.take();
            let noted = self.tape.map(|tape| (tape, line.clone()));
            let typed = self.dialog.read(line);
            if let Some((tape, line)) = noted {
                account::note(&**tape, &line, typed.as_ref());
            }
            if let Some(typed) = typed {
                self.commands.take();
                return Some(typed);
            }
        }
    }
}

/// What all connections know of accounts. Cloning shares it.
#[derive(Clone, Debug, Default)]
struct Accounts {
    promised: Promised,
    newcomers: Newcomers,
}

/// Where somebody signs in.
struct Desk<'a> {
    hub: Hub,
    outbox: Arc<Outbox>,
    from: IpAddr,
    accounts: Accounts,
    tape: Option<&'a Arc<dyn Tape>>,
}

/// Who signed in.
enum Who {
    /// Somebody with an account.
    Known(Box<Seat>),
    /// Somebody whose account is not stored yet.
    Promised(Promise),
}

impl Desk<'_> {
    fn say(&self, text: impl Into<Bytes>) {
        self.outbox.offer(&Batch::raw(text.into()));
    }

    /// Asks until somebody is signed in; `None` when nobody will be.
    async fn sign_in(&self, typing: &mut Typing<'_>) -> Option<Who> {
        let who = loop {
            match typing.next().await? {
                Typed::New => self.say(minechat::NICKNAME),
                Typed::Hash(hash) => match self.settle(account::known(&self.hub, &hash, self.from).await)? {
                    Some(signed) => break Who::Known(self.seat(signed).await?),
                    None => self.say([minechat::UNKNOWN, minechat::NICKNAME].concat()),
                },
                Typed::Nickname(typed) => {
                    let wish = account::wish(&typed);
                    if wish.is_empty() {
                        break self.promise().await?;
                    }
                    let seat = self.seat(self.settle(account::register(&self.hub, &wish, self.from).await)?).await?;
                    self.accounts.newcomers.add(seat.user());
                    break Who::Known(seat);
                }
                Typed::Http => return None,
                // Before somebody is signed in, nothing else is read.
                Typed::Message(_) | Typed::Nothing | Typed::TooLong => {}
            }
        };
        typing.dialog.welcome();
        Some(who)
    }

    async fn seat(&self, signed: Signed) -> Option<Box<Seat>> {
        let seat = self.settle(self.open(&signed.token).await)?;
        self.welcome(signed.nickname.as_str(), &signed.hash);
        Some(Box::new(seat))
    }

    async fn promise(&self) -> Option<Who> {
        let promise = self.settle(self.accounts.promised.promise(&self.hub).await)?;
        self.welcome(promise.nickname.as_str(), promise.key.reveal());
        Some(Who::Promised(promise))
    }

    fn welcome(&self, nickname: &str, hash: &str) {
        if let Some(tape) = self.tape {
            tape.secret(account::secret_in(hash));
        }
        self.say(minechat::account(nickname, hash) + minechat::WELCOME);
    }

    async fn open(&self, token: &Secret) -> Result<Seat, Refusal> {
        let opened = self.hub.open(token, self.outbox.clone(), Lifetime::Session, Some(self.from)).await;
        opened.map_err(|error| {
            debug!(%error, "no session");
            Refusal::Unavailable
        })
    }

    /// The wire has no word for what befalls the server: the connection is closed, and may be tried again.
    fn settle<T>(&self, done: Result<T, Refusal>) -> Option<T> {
        done.inspect_err(|why| debug!(%why, "nobody was signed in")).ok()
    }
}

/// Somebody who is welcome.
struct Speaker<'a> {
    desk: &'a Desk<'a>,
    room: RoomName,
    who: Who,
    /// When it counts as somebody who stays. Many only make an account, or look whether theirs is there.
    stays: Option<Instant>,
    /// Of its own among all ids of a user, and how many messages have one.
    ids: Uuid,
    said: u64,
}

impl<'a> Speaker<'a> {
    fn new(desk: &'a Desk<'a>, room: RoomName, who: Who) -> Self {
        let stays = Some(Instant::now() + STAYS);
        Self { desk, room, who, stays, ids: Uuid::now_v7(), said: 0 }
    }

    async fn take(&mut self, typed: Typed, limits: &Limits) {
        let why = match typed {
            Typed::Message(body) => match self.post(body).await {
                Ok(()) => return,
                Err(why) => why,
            },
            Typed::TooLong => {
                let why = format!("a message has at most {} bytes", limits.message);
                return self.desk.say(minechat::not_sent(&why));
            }
            _ => return self.desk.say(minechat::SENT),
        };
        match &self.who {
            Who::Known(seat) => seat.refuse(why, None),
            Who::Promised(_) => self.desk.say(minechat::not_sent(&why.to_string())),
        }
    }

    /// Says something. That it was said is answered when it is kept.
    async fn post(&mut self, body: Arc<str>) -> Result<(), Refusal> {
        self.keep_promise().await?;
        self.said += 1;
        let id = MessageId::new(&format!("{}-{}", self.ids.simple(), self.said)).ok();
        let say = Command::Say { room: Some(self.room.clone()), body, id };
        let Who::Known(seat) = &mut self.who else { return Err(Refusal::Over) };
        match seat.run(say.clone()).await {
            Err(Refusal::NotInRoom(_)) => {}
            done => return done,
        }
        self.enter().await?;
        let Who::Known(seat) = &mut self.who else { return Err(Refusal::Over) };
        seat.run(say).await
    }

    /// Stores an account that is not stored yet.
    async fn keep_promise(&mut self) -> Result<(), Refusal> {
        let Who::Promised(promise) = &mut self.who else { return Ok(()) };
        let token = promise.keep(&self.desk.hub, self.desk.from).await?;
        let seat = Box::new(self.desk.open(&token).await?);
        // Whoever stayed has been announced, as a rule and by this name.
        if !promise.is_announced_as(seat.name().as_ref()) {
            self.desk.accounts.newcomers.add(seat.user());
        }
        self.who = Who::Known(seat);
        Ok(())
    }

    /// Comes into the room, for the first time or after it was put out.
    async fn enter(&mut self) -> Result<(), Refusal> {
        let Who::Known(seat) = &mut self.who else { return Ok(()) };
        seat.run(Command::Enter(self.room.clone())).await?;
        self.stays = None;
        if self.desk.accounts.newcomers.take(seat.user()) {
            seat.announce(&self.room)?;
        }
        Ok(())
    }

    /// Is there long enough to be there for others.
    async fn stay(&mut self) {
        self.stays = None;
        let there = match &mut self.who {
            Who::Promised(promise) => promise.announce(&self.desk.hub, &self.room, self.desk.from),
            Who::Known(_) => self.enter().await,
        };
        // Whoever may not come in hears so when they speak.
        if let Err(why) = there {
            debug!(%why, "not in the room");
        }
    }

    async fn leave(self, why: Closing, failed: bool) {
        let Who::Known(mut seat) = self.who else { return };
        if failed {
            seat.count_cut(Cut::Protocol);
        }
        seat.end(why, None).await;
    }
}

const WIRE: &str = "minechat-write";
/// How long somebody is connected before it is somebody who stays.
const STAYS: Duration = Duration::from_secs(5);
/// Lines for each command that a session may send: a message has many, and at least two.
const LINES: u32 = 16;
