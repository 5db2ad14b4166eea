//! Pair chat over WebSockets, on any path.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Message as Frame, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use super::tcp::Port;
use super::unsigned::Guest;
use super::upgrades::{self, Welcome};
use super::websocket::{self, Frames, Opened, Pulse, Silence};
use super::{Context, Gateway};
use crate::address::Host;
use crate::codec::pair::{self, Asked, Lines, Recipient, Stage};
use crate::codec::rooms::confirmed;
use crate::hub::{Batch, Cut, Encoding, Hub, Lifetime, Outbox, Seat};
use crate::limits::Limits;
use crate::message::{Closing, Command, Refusal, RoomKey, UserId};
use crate::name::{Nickname, RoomName};
use crate::net::http::Upgrade;

/// Pair chat on a socket of its own.
///
/// A client says what it is called, then whom it speaks to, and is answered `1` or `0`; from then on what it says goes to
/// that user alone, or to that room. A page of a foreign `Origin` is answered 403, and so is a foreign `Host`.
///
/// ```
/// use talk::gateway::{Context, Gateway, Pair};
/// use talk::hub::Hub;
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pair = Box::new(Pair::bind(&"127.0.0.1".parse()?, 0).await?);
/// println!("pair chat at ws://{}", pair.local_addr());
/// let stop = CancellationToken::new();
/// let serving = tokio::spawn(pair.serve(Context::new(Hub::new(), stop.clone())));
/// stop.cancel();
/// serving.await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pair {
    port: Port,
    welcome: Welcome,
}

impl Pair {
    /// The port at which it is usually found.
    pub const PORT: u16 = 6078;

    /// Opens the socket; port 0 lets the system choose. Nothing is answered before [`Gateway::serve`].
    ///
    /// # Errors
    /// What the system says when nothing can listen there.
    pub async fn bind(host: &Host, port: u16) -> io::Result<Self> {
        Ok(Self { port: Port::bind(host, port).await?, welcome: Welcome::default() })
    }

    /// Lets pages of these origins (`https://chat.example`) use it, besides its own.
    #[must_use]
    pub fn origins(mut self, origins: impl IntoIterator<Item = String>) -> Self {
        self.welcome.origins = origins.into_iter().collect();
        self
    }

    /// Lets it go by these names in `Host` (`chat.example`, for any port), besides those of this machine.
    #[must_use]
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = String>) -> Self {
        self.welcome.hosts = hosts.into_iter().collect();
        self
    }
}

#[async_trait]
impl Gateway for Pair {
    fn name(&self) -> &'static str {
        NAME
    }

    fn local_addr(&self) -> SocketAddr {
        self.port.local_addr()
    }

    async fn serve(self: Box<Self>, context: Context) {
        let Self { port, mut welcome } = *self;
        welcome.recorder = context.recorder().map(|recorder| (NAME, recorder.clone()));
        let (limits, connections, stop) =
            (context.hub.limits().clone(), context.connections(NAME), context.stop.clone());
        let session = move |upgrade, from: SocketAddr| {
            let from = from.ip();
            serve(upgrade, context.hub.clone(), context.unsigned().enter(from), from, context.stop.clone())
        };
        upgrades::serve(port.into_listener(), limits, connections, welcome, stop, session).await;
    }
}

/// Serves one client from the upgrade to its end.
async fn serve(upgrade: Upgrade, hub: Hub, guest: Guest, from: IpAddr, stop: CancellationToken) {
    let limits = hub.limits().clone();
    let opened = Box::pin(websocket::open_without_echo(upgrade, &ENCODING, &limits)).await;
    let Some(Opened { outbox, mut out, way_in, place }) = opened else { return };
    // Its user sits at a prompt, and takes nothing but the answer.
    outbox.hold();
    let frames = way_in.frames(&limits).await;
    {
        let carry = pin!(out.carry(&outbox));
        let pulse = Pulse::new(&limits);
        let mut client = Client { frames, carry, outbox: outbox.clone(), pulse, hub, limits, stop };
        Box::pin(client.serve(guest, from)).await;
    }
    Box::pin(out.finish(&outbox)).await;
    drop(place);
}

/// One client, and what carries to it what waits.
struct Client<'a, C> {
    frames: Frames,
    carry: Pin<&'a mut C>,
    outbox: Arc<Outbox>,
    pulse: Pulse,
    hub: Hub,
    limits: Arc<Limits>,
    stop: CancellationToken,
}

/// Where a client's texts go.
struct Partner {
    /// As the client called it.
    recipient: Recipient,
    /// The user who had that name when it was last looked; `None` for a room, and since the client heard that they are
    /// gone. What it says then, knowing that, is for whoever has the name.
    user: Option<UserId>,
}

/// Why nothing more is heard of a client.
enum End {
    /// Nobody is there, or goodbye was said.
    Over,
    /// As every session ends.
    Closing(Closing),
    /// It did what this wire does not allow; the code and the reason to close with.
    Cut(Cut, u16, &'static str),
}

impl<C: Future<Output = ()>> Client<'_, C> {
    /// From the first prompt to the last word.
    async fn serve(&mut self, guest: Guest, from: IpAddr) {
        let signed = guest.sign_in(self.sign_in(from)).await;
        let mut seat = match signed.unwrap_or(Err(End::Cut(Cut::Silent, 1008, "say sooner what you are called"))) {
            Ok(seat) => seat,
            Err(End::Closing(why)) => return self.outbox.close(why),
            Err(End::Cut(_, code, reason)) => return websocket::close(&self.outbox, code, reason),
            Err(End::Over) => return websocket::goodbye(&self.outbox, None),
        };
        let why = match self.speak(&mut seat).await {
            End::Closing(why) => why,
            End::Cut(cut, code, reason) => {
                seat.count_cut(cut);
                websocket::close(&self.outbox, code, reason);
                Closing::Exit
            }
            End::Over => {
                websocket::goodbye(&self.outbox, None);
                Closing::Exit
            }
        };
        // Nobody hears of an end before the name is free.
        seat.end(why, (why == Closing::TooFast).then_some(Refusal::TooFast)).await;
    }

    /// Until the client has said what it is called, and nobody else is.
    async fn sign_in(&mut self, from: IpAddr) -> Result<Seat, End> {
        loop {
            match pair::decode(&self.text().await?, Stage::Nick, self.limits.message) {
                Asked::Quit => return Err(End::Closing(Closing::Exit)),
                Asked::Nick(name) => {
                    if let Some(seat) = self.open(&name, from).await? {
                        self.outbox.offer(&answer(true));
                        return Ok(seat);
                    }
                }
                _ => {}
            }
            self.outbox.offer(&answer(false));
        }
    }

    /// A session under that name, if the name is free.
    async fn open(&mut self, name: &Nickname, from: IpAddr) -> Result<Option<Seat>, End> {
        let later = End::Cut(Cut::Silent, 1013, "nobody can come in at the moment");
        if self.hub.tries().sign_in(Some(from)).is_err() {
            return Ok(None);
        }
        let token = match self.hub.sign_up(name).await {
            Ok(token) => token,
            Err(Refusal::Full | Refusal::Unavailable) => return Err(later),
            Err(_) => return Ok(None),
        };
        let opened = self.hub.open(&token, self.outbox.clone(), Lifetime::Session, Some(from)).await;
        opened.map(Some).map_err(|_| later)
    }

    /// Until there is nothing more to hear. Whoever was spoken to alone hears of it.
    async fn speak(&mut self, seat: &mut Seat) -> End {
        let mut partner = match self.pair(seat).await {
            Ok(partner) => partner,
            Err(end) => return end,
        };
        let Err(end) = self.chat(seat, &mut partner).await;
        if let Some(user) = partner.user {
            // What cannot be told is not worth a word to whoever is gone.
            let _ = seat.part(user);
        }
        end
    }

    /// Until the client has said whom it speaks to, and they are there.
    async fn pair(&mut self, seat: &mut Seat) -> Result<Partner, End> {
        loop {
            let text = timeout(self.limits.sign_in_timeout, self.text()).await;
            let text = text.map_err(|_| End::Cut(Cut::Silent, 1001, SILENT))??;
            match pair::decode(&text, Stage::Peer, self.limits.message) {
                Asked::Quit => return Err(End::Closing(Closing::Exit)),
                Asked::Peer(name) => {
                    if let Some(partner) = self.find(seat, &name).await {
                        self.outbox.release(&answer(true));
                        return Ok(partner);
                    }
                }
                _ => {}
            }
            self.outbox.offer(&answer(false));
        }
    }

    /// A user who is here, or a room, which the session enters.
    async fn find(&mut self, seat: &mut Seat, name: &str) -> Option<Partner> {
        if let Ok(nickname) = Nickname::known(name) {
            // Where nobody knows whether there is such a user, a room must not hear what may be meant for them.
            let user = self.hub.here(&nickname).await.ok()?;
            if user.is_some() {
                return Some(Partner { recipient: Recipient::User(nickname), user });
            }
        }
        let room = RoomName::new(name).ok()?;
        seat.run(Command::Enter(room.clone())).await.ok()?;
        Some(Partner { recipient: Recipient::Room(room), user: None })
    }

    async fn chat(&mut self, seat: &mut Seat, partner: &mut Partner) -> Result<Infallible, End> {
        let mut texts = 0;
        self.pulse.beat();
        let mut timer = pin!(sleep_until(self.pulse.until()));
        loop {
            let beats = self.pulse.beats();
            let frame = tokio::select! {
                biased;
                frame = self.next() => frame?,
                () = timer.as_mut(), if beats => {
                    match self.pulse.silence(Instant::now()) {
                        Silence::Short => {}
                        Silence::TooLong => return Err(End::Cut(Cut::Silent, 1001, SILENT)),
                        Silence::Long => {
                            self.outbox.offer(&Batch::raw(websocket::question()));
                        }
                    }
                    timer.as_mut().reset(self.pulse.until());
                    continue;
                }
            };
            match frame {
                Frame::Text(text) => {
                    texts += 1;
                    let refused = match pair::decode(&text, Stage::Chat, self.limits.message) {
                        Asked::Quit => return Err(End::Closing(Closing::Exit)),
                        Asked::Say(body) => self.say(seat, partner, texts, body).await,
                        Asked::TooLong => Err(Refusal::Argument { command: "message", argument: "body" }),
                        _ => Ok(()),
                    };
                    if let Err(why) = refused {
                        seat.refuse(why, Some(partner.recipient.id(texts)));
                    }
                }
                Frame::Pong(payload) => {
                    self.pulse.answered();
                    if let Some(seq) = confirmed(&payload) {
                        let room = RoomKey::Direct(seat.user());
                        // That it has taken nothing of the kind is its own affair.
                        let _ = seat.run(Command::Received { room, seq }).await;
                    }
                }
                _ => {}
            }
        }
    }

    /// Says a client's `n`th text. Here nothing waits for a user who is away: it is told that it does not arrive. So it is
    /// of the first text after another took the name, which may not be meant for them.
    async fn say(&mut self, seat: &mut Seat, partner: &mut Partner, n: u64, body: Arc<str>) -> Result<(), Refusal> {
        if let Recipient::User(name) = &partner.recipient {
            let here = self.hub.here(name).await?;
            partner.user = here.filter(|here| partner.user.is_none_or(|user| user == *here));
            if partner.user.is_none() {
                return Err(Refusal::NoUser(name.to_string()));
            }
        }
        match (partner.recipient.command(n, body), partner.user) {
            // By now the name may be another's again. In a box: it is seldom under way, and large.
            (Command::Direct { to, body, id }, Some(user)) => Box::pin(seat.direct_to(user, &to, body, id)).await,
            (command, _) => seat.run(command).await,
        }
    }

    /// The next text.
    async fn text(&mut self) -> Result<Utf8Bytes, End> {
        loop {
            if let Frame::Text(text) = self.next().await? {
                return Ok(text);
            }
        }
    }

    /// The next frame that this wire allows.
    async fn next(&mut self) -> Result<Frame, End> {
        loop {
            let frame = tokio::select! {
                biased;
                frame = websocket::next(&mut self.frames, self.carry.as_mut()) => frame,
                () = self.stop.cancelled() => return Err(End::Closing(Closing::Stopping)),
            };
            let frame = frame.map_err(|end| match end {
                Some((code, reason)) => End::Cut(Cut::Protocol, code, reason),
                None => End::Over,
            })?;
            self.pulse.beat();
            let allowed = if frame.is_text() { self.pulse.allows_command() } else { self.pulse.allows_control() };
            match frame {
                // Who is told much answers much, whoever tells it: the next answer says as much.
                Frame::Pong(_) if !allowed => {}
                _ if !allowed => return Err(End::Closing(Closing::TooFast)),
                Frame::Binary(_) => return Err(End::Cut(Cut::Protocol, 1003, "this is for texts")),
                frame => return Ok(frame),
            }
        }
    }
}

fn answer(yes: bool) -> Batch {
    let mut out = BytesMut::new();
    pair::answer(&mut out, yes);
    Batch::raw(out.freeze())
}

static ENCODING: Encoding = Encoding::new(NAME, &Lines).confirming();
const NAME: &str = "pair";
const SILENT: &str = "nothing was heard of you";
