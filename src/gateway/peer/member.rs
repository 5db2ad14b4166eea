//! One peer in one room: says there what it writes, and carries to it what is said there.

use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::alone::{Told, Turn};
use super::copies::{ENCODING, pieces};
use super::guests::Guest;
use super::pipe::{Pipe, Settled};
use super::route::{Peers, at, reason};
use super::taken::Taken;
use crate::address::{Entry, Protocol};
use crate::hub::{Batch, Encoding, Hub, Offered, Outbox, Seat, Sink};
use crate::message::{Closing, Command, Event, Message, Post, Refusal, RoomKey};
use crate::name::{RoomName, UserName};
use crate::text::SafeText;
use crate::transport::{Sent, Transport};

/// Whether a member came in, once that is known.
pub(super) type Joined = watch::Sender<Option<Result<(), Refusal>>>;

/// What is known of a member before it comes in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Newcomer {
    /// The peer.
    pub(super) name: UserName,
    /// Its entry as it stands in the registry.
    pub(super) entry: Entry,
    /// From where it spoke.
    pub(super) source: IpAddr,
    /// Whether it stays; otherwise it is there to say what was confirmed to it before, and is sent nothing.
    pub(super) stays: bool,
}

/// Where members are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) hub: Hub,
    pub(super) peers: Peers,
    pub(super) room: RoomName,
    /// The name under which the room writes.
    pub(super) called: UserName,
    pub(super) stop: CancellationToken,
}

/// Why a member is one no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// It said nothing for [`SILENCE`].
    Silent,
    /// Its entry went, or is another.
    Entry,
    /// [`MOST_FAILURES`] sends in a row failed.
    Failing,
    /// It said what it was there for, and does not stay.
    Said,
    /// The room put it out, or did not wait for it any longer.
    Out,
    /// The server stops.
    Stopped,
}

/// Serves a member until it is one no more.
pub(super) async fn serve(
    place: &Place,
    newcomer: Newcomer,
    mut texts: mpsc::Receiver<Arc<str>>,
    joined: Joined,
) -> End {
    match enter(place, &newcomer).await {
        Ok((seat, guest, entry, transport)) => {
            let _ = joined.send(Some(Ok(())));
            let now = Instant::now();
            let turn = newcomer.stays.then(|| guest.line.join(place.peers.shared.limits.member_messages));
            let member = Member {
                place,
                newcomer,
                entry,
                transport,
                guest,
                texts,
                seat,
                pipe: Pipe::default(),
                failures: 0,
                room: Taken::default(),
                turn,
                directs: Vec::new(),
                silent_at: now + SILENCE,
                look_at: now + LOOK,
            };
            member.run().await
        }
        Err(refusal) => {
            texts.close();
            if !texts.is_empty() {
                let (name, lost) = (&newcomer.name, texts.len());
                warn!(%name, lost, %refusal, "what was confirmed to a peer cannot be said: it may not come in again");
            }
            let _ = joined.send(Some(Err(refusal)));
            End::Out
        }
    }
}

type Entered = (Seat, Arc<Guest>, Entry, Arc<dyn Transport>);

async fn enter(place: &Place, newcomer: &Newcomer) -> Result<Entered, Refusal> {
    let shared = &place.peers.shared;
    let protocol = newcomer.entry.address.protocol();
    let transport = shared.transports.get(protocol).ok_or(Refusal::Unavailable)?.clone();
    let entry = at(&newcomer.entry, newcomer.source).ok_or(Refusal::Unavailable)?;
    let outbox: Arc<Outbox> = Arc::new(Outbox::new(Queue, &shared.limits));
    let whom = (&newcomer.entry, newcomer.source);
    let (mut seat, guest) = shared.guests.open(&place.hub, &newcomer.name, whom, &outbox).await?;
    if let Err(refusal) = seat.run(Command::Enter(place.room.clone())).await {
        seat.end(Closing::Exit, None).await;
        return Err(refusal);
    }
    Ok((seat, guest, entry, transport))
}

struct Member<'a> {
    place: &'a Place,
    newcomer: Newcomer,
    /// Where it is sent to.
    entry: Entry,
    transport: Arc<dyn Transport>,
    guest: Arc<Guest>,
    texts: mpsc::Receiver<Arc<str>>,
    seat: Seat,
    pipe: Pipe,
    /// Sends in a row that failed.
    failures: u32,
    /// What it took of the room.
    room: Taken,
    /// Its place among the peer's memberships, one of which carries what is said to the peer alone. Who does not stay
    /// has none.
    turn: Option<Turn>,
    /// What became of messages to it alone, and is not told yet.
    directs: Vec<Told>,
    silent_at: Instant,
    look_at: Instant,
}

impl Member<'_> {
    async fn run(mut self) -> End {
        let outbox = self.seat.outbox().clone();
        let end = loop {
            let due = self.silent_at.min(self.look_at).min(self.room.due().unwrap_or(self.silent_at));
            let takes = self.newcomer.stays && self.pipe.len() < self.window();
            if !self.newcomer.stays && self.texts.is_empty() {
                break End::Said;
            }
            tokio::select! {
                () = self.place.stop.cancelled() => break End::Stopped,
                text = self.texts.recv() => match text {
                    Some(text) => self.say(text).await,
                    None => break End::Entry,
                },
                settled = self.pipe.settled(), if self.pipe.len() > 0 => {
                    if let Some(end) = self.settle(settled) {
                        break end;
                    }
                }
                () = outbox.waiting(), if takes => {
                    if outbox.end().is_some() || self.take(&outbox) {
                        break End::Out;
                    }
                }
                () = Self::changed(&mut self.turn) => {}
                () = sleep_until(due) => {}
            }
            self.carry();
            self.tell().await;
            if let Some(end) = self.look(Instant::now()).await {
                break end;
            }
        };
        debug!(peer = %self.newcomer.name, room = %self.place.room, ?end, "a peer is no member any more");
        // What was confirmed is said all the same; closed, there is no more than waits now.
        self.texts.close();
        while let Some(text) = self.texts.recv().await {
            self.say(text).await;
        }
        if self.newcomer.stays && matches!(end, End::Stopped | End::Out) {
            let grace = self.place.peers.shared.limits.grace;
            let _ = timeout(grace, self.finish(&outbox)).await;
        }
        self.leave_directs();
        self.tell().await;
        self.seat.end(Closing::Exit, None).await;
        end
    }

    /// Lets another membership carry what is said to the peer alone.
    fn leave_directs(&mut self) {
        let Some(turn) = self.turn.take() else { return };
        let under_way = self.pipe.places().filter_map(|(room, seq)| match room {
            RoomKey::Direct(_) => Some((*seq, Some(NOT_CONFIRMED))),
            RoomKey::Room(_) => None,
        });
        // It may arrive yet, and nobody will know.
        let told: Vec<_> = self.directs.iter().copied().chain(under_way).collect();
        turn.end(&told);
        self.directs = told;
    }

    async fn changed(turn: &mut Option<Turn>) {
        match turn {
            Some(turn) => turn.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Begins to send what was said to the peer alone and is this membership's to carry.
    fn carry(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        self.directs.extend(turn.left());
        while self.pipe.len() < self.window()
            && let Some(post) = self.turn.as_mut().and_then(Turn::begin)
        {
            self.send_alone(post);
        }
    }

    /// Sends what waits.
    async fn finish(&mut self, outbox: &Outbox) {
        loop {
            self.carry();
            while self.pipe.len() < self.window() && outbox.queued() != (0, 0) {
                self.take(outbox);
                self.carry();
            }
            if self.pipe.len() == 0 {
                return;
            }
            let settled = self.pipe.settled().await;
            if self.settle(settled).is_some() {
                return;
            }
        }
    }

    /// Says in the room what the peer wrote.
    async fn say(&mut self, body: Arc<str>) {
        self.silent_at = Instant::now() + SILENCE;
        let room = Some(self.place.room.clone());
        if let Err(refusal) = self.seat.run(Command::Say { room, body, id: None }).await {
            self.seat.refuse(refusal, None);
        }
    }

    /// How many messages may be on their way at once.
    fn window(&self) -> usize {
        match self.entry.address.protocol() {
            // One request at a time, anyway.
            protocol if *protocol == Protocol::HTTP => 1,
            _ => WINDOW,
        }
    }

    /// Begins to send the next of what waits; tells whether that says that the peer was put out of the room.
    fn take(&mut self, outbox: &Outbox) -> bool {
        let (mut next, mut out) = (None, false);
        outbox.flush_with(|batch| {
            if next.is_some() {
                return Offered::Full;
            }
            let (mut start, length) = (0, batch.bytes().len());
            for (event, end) in batch.events().iter().zip(batch.ends()) {
                if let Event::Left { user, .. } = event {
                    out |= self.guest.nickname() == Some(user);
                }
                if end > start {
                    let text = String::from_utf8_lossy(&batch.bytes()[start..end]).into_owned();
                    next = Some((event.clone(), text));
                    return if end == length { Offered::All } else { Offered::Part(end) };
                }
                start = end;
            }
            Offered::All
        });
        if let Some((event, text)) = next {
            self.send(&event, text);
        }
        out
    }

    fn send(&mut self, event: &Event, text: String) {
        let most = self.place.peers.shared.limits.message;
        match event {
            Event::Message(post) if matches!(post.record.room, RoomKey::Direct(_)) => {
                if self.turn.as_mut().is_some_and(|turn| !turn.hold(post.clone())) {
                    self.directs.push((post.record.seq, Some(TOO_MANY)));
                }
            }
            event => {
                let place = match event {
                    Event::Message(post) => Some((post.record.room.clone(), post.record.seq)),
                    _ => None,
                };
                let mut pieces = pieces(&text, most).into_iter().peekable();
                while let Some(piece) = pieces.next() {
                    let message = Message::new(self.place.called.clone(), &piece);
                    let (to, transport) = (self.entry.clone(), self.transport.clone());
                    let sending = async move { transport.send(&to, &message).await };
                    let place = if pieces.peek().is_none() { place.clone() } else { None };
                    self.pipe.put(Box::pin(sending), place);
                }
            }
        }
    }

    /// Begins to send what was said to the peer alone, under its author's name.
    fn send_alone(&mut self, post: Arc<Post>) {
        let (peers, transport) = (self.place.peers.clone(), self.transport.clone());
        let (to, called) = (self.entry.clone(), self.place.called.clone());
        let place = (post.record.room.clone(), post.record.seq);
        let sending = async move {
            let from = peers.shared.called(&post.record.from, post.record.user).await.unwrap_or(called);
            transport.send(&to, &Message::new(from, &post.record.body)).await
        };
        self.pipe.put(Box::pin(sending), Some(place));
    }

    /// Takes in how a send ended; tells whether that was one failure too many.
    fn settle(&mut self, settled: Settled) -> Option<End> {
        let Settled { place, sent } = settled;
        let doubt = match &sent {
            Ok(Sent::Delivered) => None,
            Ok(_) => Some(NOT_CONFIRMED),
            Err(error) => Some(reason(error)),
        };
        match place {
            Some((RoomKey::Direct(_), seq)) => self.directs.push((seq, doubt)),
            _ if doubt.is_some() => self.room.doubtful(Instant::now()),
            Some((_, seq)) => self.room.delivered(seq),
            None => {}
        }
        match sent {
            Ok(Sent::Delivered) => {
                self.failures = 0;
                None
            }
            Ok(_) => {
                self.failures = 0;
                None
            }
            Err(error) => {
                let reason = error.to_string();
                debug!(peer = %self.newcomer.name, reason = %SafeText(&reason), "a peer was not reached");
                self.failures += 1;
                (self.failures >= MOST_FAILURES).then_some(End::Failing)
            }
        }
    }

    /// Tells the hub what the peer's program has.
    async fn tell(&mut self) {
        let mut taken: Vec<_> = self
            .room
            .tell(Instant::now())
            .map(|seq| (RoomKey::Room(self.place.room.clone()), seq))
            .into_iter()
            .collect();
        // In their order: what is behind a doubt is told by itself, for the doubt is told before.
        for (seq, doubt) in mem::take(&mut self.directs) {
            match doubt {
                Some(reason) => self.seat.doubt(seq, reason).await,
                None => taken.push((RoomKey::Direct(self.seat.user()), seq)),
            }
        }
        for (room, seq) in taken {
            if let Err(refusal) = self.seat.run(Command::Received { room, seq }).await {
                debug!(peer = %self.newcomer.name, %refusal, "a receipt is not told");
            }
        }
    }

    /// Looks whether the peer is to stay.
    async fn look(&mut self, now: Instant) -> Option<End> {
        if now >= self.silent_at {
            return Some(End::Silent);
        }
        if now >= self.look_at {
            self.look_at = now + LOOK;
            let entry = self.place.peers.shared.entry(&self.newcomer.name).await;
            // What cannot be told at the moment is as it was.
            if entry.is_ok_and(|entry| entry.as_ref() != Some(&self.newcomer.entry)) {
                return Some(End::Entry);
            }
        }
        None
    }
}

/// A peer's way out: its own task takes what waits.
struct Queue;

impl Sink for Queue {
    fn encoding(&self) -> Encoding {
        ENCODING
    }

    fn offer(&self, _: &Batch) -> Offered {
        Offered::Full
    }

    fn echo(&self) -> bool {
        false
    }
}

/// Why a message may not have arrived that the peer did not confirm in time.
const NOT_CONFIRMED: &str = "timed out";
/// Why one was not sent when the peer had ever more of them to take.
const TOO_MANY: &str = "busy";
/// A peer that says nothing for so long is no member any more.
const SILENCE: Duration = Duration::from_secs(600);
/// How often a member's entry is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Sends in a row that may fail.
const MOST_FAILURES: u32 = 3;
/// Messages to one peer that are on their way at once.
const WINDOW: usize = 32;
