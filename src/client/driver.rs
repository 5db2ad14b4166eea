//! One task per client: it connects, comes back, writes and hears. What that means in a protocol, the protocol's own
//! machine knows, which has neither socket nor clock.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::outbox::{Outbox, Text};
use super::{
    Ability, Ask, Client, EVENTS, Ended, Event, Events, Journal, OUTBOX, REQUESTS, Refused, Request, State, TextId,
};
use crate::net::backoff::Backoff;

/// A protocol: how it connects, and what is said and heard on a connection.
///
/// The driver calls one method at a time. Whatever a method wants to come about, it puts into its [`Turn`].
pub(super) trait Protocol: Send + 'static {
    /// What is read: a frame, a line, an object.
    type In: Send;
    /// What is written.
    type Out: Send;
    /// An open connection, over however many sockets. Its errors say why it is over. Its parts are used only whole: it
    /// is polled to write and to read in turns.
    type Line: Stream<Item = Result<Self::In, String>> + Sink<Self::Out, Error = String> + Unpin + Send;
    /// What the connecting found out.
    type Welcome: Send;

    /// What it can do.
    fn abilities(&self) -> &'static [Ability];

    /// Bytes that a text may have.
    fn longest(&self) -> usize;

    /// Opens a connection. Bounds its own time.
    fn connect(&mut self) -> Connecting<Self>;

    /// A connection stands. Sooner or later [`Turn::connected`] must follow.
    fn opened(&mut self, welcome: Self::Welcome, turn: &mut Turn<'_, Self::Out>);

    /// Something was read.
    fn hear(&mut self, heard: Self::In, turn: &mut Turn<'_, Self::Out>);

    /// Where a text goes, said now for `to`, in words that mean the same later.
    fn route(&self, to: Option<String>) -> Result<Option<String>, Refused>;

    /// Writes a text, by [`Turn::write_text`], or waits for a better time. Called while one is the next.
    fn say(&mut self, text: &Text, turn: &mut Turn<'_, Self::Out>);

    /// A text was written.
    fn said(&mut self, _id: &TextId, _turn: &mut Turn<'_, Self::Out>) {}

    /// Whether the other end tells what became of a text. Where it does not, a client that leaves waits until each is
    /// written, and no longer.
    fn confirms(&self) -> bool {
        true
    }

    /// The program asks for something, also while there is no connection ([`Turn::online`]).
    fn ask(&mut self, ask: Ask, turn: &mut Turn<'_, Self::Out>);

    /// Whether answers are outstanding, for which a client that leaves waits a moment.
    fn awaits(&self) -> bool {
        false
    }

    /// The other end, or the network, ended the connection. By [`Turn::end`] the client ends, too.
    fn closed(&mut self, _reason: &str, _turn: &mut Turn<'_, Self::Out>) {}

    /// The connection is over. What was sent and not confirmed is to be requeued, or failed.
    fn lost(&mut self, turn: &mut Turn<'_, Self::Out>);

    /// The client leaves: the last that is to be written. `kept`: texts wait in a journal for the next start.
    fn goodbye(&mut self, _kept: bool, _turn: &mut Turn<'_, Self::Out>) {}

    /// When [`Protocol::alarm`] is due.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// It is time.
    fn alarm(&mut self, _turn: &mut Turn<'_, Self::Out>) {}

    /// Silence after which the other end is asked whether it is there; after as much again without anything heard the
    /// connection counts as dead. `None`: silence means nothing.
    fn quiet(&self) -> Option<Duration> {
        None
    }

    /// The question.
    fn ping(&mut self) -> Option<Self::Out> {
        None
    }

    /// How fast things may be written: so many at once, and one more each time this has passed.
    fn pace(&self) -> (u32, Duration) {
        (u32::MAX, Duration::ZERO)
    }
}

/// A connection that is being made.
pub(super) type Connecting<P> =
    Pin<Box<dyn Future<Output = Result<(<P as Protocol>::Line, <P as Protocol>::Welcome), NoLine>> + Send>>;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoLine {
    /// Another time there may be.
    Passing(String),
    /// There will be none.
    Refused(String),
    /// Somebody has the name. After a drop that may be this client itself, for as long as the server keeps the name.
    Taken(String),
}

/// What a method of a machine sees and wants.
pub(super) struct Turn<'a, Out> {
    pub(super) now: Instant,
    /// How many events the program has taken, as [`Turn::tell`] counts them.
    pub(super) taken: u64,
    pub(super) outbox: &'a mut Outbox,
    pub(super) step: &'a mut Step<Out>,
}

/// What is wanted and not done yet.
#[derive(Debug)]
pub(super) struct Step<Out> {
    pub(super) events: VecDeque<Event>,
    pub(super) outs: VecDeque<(Out, Option<TextId>)>,
    /// Events that were told before, these included.
    pub(super) told: u64,
    pub(super) online: bool,
    pub(super) connected: bool,
    pub(super) over: Option<Over>,
    pub(super) leave: bool,
}

/// How a connection ends.
#[derive(Debug)]
pub(super) enum Over {
    Lost(String),
    /// Somebody has the name, as in [`NoLine::Taken`].
    Taken(String),
    /// As it was meant to: another follows at once.
    Again,
    Ended(Ended),
}

impl<Out> Step<Out> {
    pub(super) fn new() -> Self {
        let (events, outs) = (VecDeque::new(), VecDeque::new());
        Self { events, outs, told: 0, online: false, connected: false, over: None, leave: false }
    }
}

impl<Out> Turn<'_, Out> {
    /// Tells the program something. The number says when the program has it: when [`Turn::taken`] is no smaller.
    pub(super) fn tell(&mut self, event: Event) -> u64 {
        self.step.events.push_back(event);
        self.step.told += 1;
        self.step.told
    }

    /// Writes something that is no text of the outbox.
    pub(super) fn write(&mut self, out: Out) {
        self.step.outs.push_back((out, None));
    }

    /// Writes a text of the outbox.
    pub(super) fn write_text(&mut self, id: &TextId, out: Out) {
        self.step.outs.push_back((out, Some(id.clone())));
    }

    /// Notes, and tells, how far a text came.
    pub(super) fn advance(&mut self, id: &TextId, state: State) {
        if let Some(event) = self.outbox.advance(id, state) {
            self.tell(event);
        }
    }

    /// What was sent and not confirmed waits again, where `again` says yes.
    pub(super) fn requeue(&mut self, again: impl Fn(&Text) -> bool) {
        for event in self.outbox.requeue(again) {
            self.tell(event);
        }
    }

    /// A text that the server had taken, and that may not have arrived, waits again.
    pub(super) fn revive(&mut self, id: &TextId) {
        if let Some(event) = self.outbox.revive(id) {
            self.tell(event);
        }
    }

    /// Refuses what was asked.
    pub(super) fn refuse(&mut self, reason: impl Into<String>, code: Option<&str>) {
        self.tell(Event::Refused { reason: reason.into(), code: code.map(str::to_owned) });
    }

    /// Everything needed was said: texts may go out.
    pub(super) fn connected(&mut self, name: Option<String>, resumed: Option<bool>) {
        self.step.connected = true;
        self.tell(Event::Connected { name, resumed });
    }

    /// Whether there is a connection.
    pub(super) fn online(&self) -> bool {
        self.step.online
    }

    /// This connection is no good: make another.
    pub(super) fn give_up(&mut self, reason: impl Into<String>) {
        self.step.over.get_or_insert(Over::Lost(reason.into()));
    }

    /// This connection is no good: somebody has the name, as in [`NoLine::Taken`].
    pub(super) fn taken(&mut self, reason: impl Into<String>) {
        self.step.over.get_or_insert(Over::Taken(reason.into()));
    }

    /// This connection has served its purpose: make another, of which nobody need be told. Only where the program asked
    /// for what takes one.
    pub(super) fn again(&mut self) {
        self.step.over.get_or_insert(Over::Again);
    }

    /// The program asks to leave, by what it asked now, as [`Client::leave`] has it.
    pub(super) fn leave(&mut self) {
        self.step.leave = true;
    }

    /// The client ends.
    pub(super) fn end(&mut self, ended: Ended) {
        self.step.over = Some(Over::Ended(ended));
    }
}

/// What every client is started with.
#[derive(Debug, Default)]
pub(super) struct Common {
    /// Where texts wait while no client runs.
    pub(super) journal: Option<Journal>,
    /// To end when the connection is lost.
    pub(super) once: bool,
}

/// Starts a client.
pub(super) fn start<P: Protocol>(protocol: P, common: Common) -> (Client, Events) {
    let (requests, asked) = mpsc::channel(REQUESTS);
    let (tell, events) = mpsc::channel(EVENTS);
    let abilities = Arc::new(protocol.abilities().iter().copied().collect());
    let longest = protocol.longest();
    let taken = Arc::new(AtomicU64::new(0));
    let mut driver = Driver {
        protocol,
        outbox: Outbox::new(OUTBOX, common.journal),
        step: Step::new(),
        requests: asked,
        events: tell,
        taken: taken.clone(),
        backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        once: common.once,
        leaving: None,
        connected_before: false,
        taken_since: None,
    };
    driver.turn(|_, turn| {
        let kept: Vec<_> =
            turn.outbox.iter().map(|text| (text.id.clone(), text.to.clone(), text.text.clone())).collect();
        for (id, to, text) in kept {
            turn.tell(Event::Restored { id, to, text });
        }
    });
    let task = AbortOnDropHandle::new(tokio::spawn(driver.run()));
    (Client { requests, abilities, longest }, Events { events, taken, _task: task })
}

struct Driver<P: Protocol> {
    protocol: P,
    outbox: Outbox,
    step: Step<P::Out>,
    requests: mpsc::Receiver<Request>,
    events: mpsc::Sender<Event>,
    taken: Arc<AtomicU64>,
    backoff: Backoff,
    once: bool,
    /// It was asked to leave, and goes then at the latest.
    leaving: Option<Instant>,
    connected_before: bool,
    /// Since when somebody has the name, after a drop.
    taken_since: Option<Instant>,
}

/// How the writing goes on a connection.
struct Writing {
    /// Texts that were handed to the connection and are not written yet.
    texts: VecDeque<TextId>,
    unflushed: bool,
    /// When something was written last.
    moved: Instant,
    /// When the next thing may be written, as if there were no burst.
    due: Instant,
    pace: (u32, Duration),
}

/// One step of a connection.
enum Moved<In> {
    Heard(In),
    /// One thing was handed over to be written.
    Taken(Option<TextId>),
    /// All that was handed over is written.
    Flushed,
}

impl<P: Protocol> Driver<P> {
    async fn run(mut self) {
        let ended = self.live().await;
        self.requests.close();
        self.step.events.push_back(Event::Ended(ended));
        for event in self.step.events {
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }

    async fn live(&mut self) -> Ended {
        loop {
            let connecting = self.protocol.connect();
            let Some(made) = self.meanwhile(connecting).await else { return self.left() };
            let why = match made {
                Ok((line, welcome)) => match self.talk(line, welcome).await {
                    Over::Lost(reason) => NoLine::Passing(reason),
                    Over::Taken(reason) => NoLine::Taken(reason),
                    Over::Again => continue,
                    Over::Ended(ended) => return ended,
                },
                Err(why) => why,
            };
            let reason = match why {
                NoLine::Passing(reason) => reason,
                NoLine::Refused(reason) => return Ended::Refused(reason),
                NoLine::Taken(reason) => {
                    let since = *self.taken_since.get_or_insert_with(Instant::now);
                    if !self.connected_before || since.elapsed() > RESERVED {
                        return Ended::Refused(reason);
                    }
                    reason
                }
            };
            if self.once {
                return Ended::Lost(reason);
            }
            let retry_in = self.backoff.next();
            self.turn(|_, turn| turn.tell(Event::Lost { reason, retry_in }));
            if self.meanwhile(tokio::time::sleep(retry_in)).await.is_none() {
                return self.left();
            }
        }
    }

    /// Serves the program while something else is waited for, which is given up when it is time to go.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        loop {
            if self.leaving.is_some_and(|until| self.waiting() == 0 || Instant::now() >= until) {
                return None;
            }
            tokio::select! {
                done = &mut future => return Some(done),
                () = give(&self.events, &mut self.step.events), if !self.step.events.is_empty() => {}
                request = self.requests.recv(), if self.listens() => self.request(request),
                () = until(self.leaving) => {}
            }
        }
    }

    /// Lives on a connection until its end.
    async fn talk(&mut self, mut line: P::Line, welcome: P::Welcome) -> Over {
        let began = Instant::now();
        self.step.online = true;
        self.turn(|protocol, turn| protocol.opened(welcome, turn));
        let over = self.converse(&mut line).await;
        self.connected_before |= self.step.connected;
        if self.step.connected && began.elapsed() >= STEADY {
            self.backoff.reset();
        }
        (self.step.online, self.step.connected, self.step.over) = (false, false, None);
        self.step.outs.clear();
        self.turn(|protocol, turn| protocol.lost(turn));
        if !matches!(over, Over::Lost(_)) {
            let farewell = async {
                let _ = line.close().await;
                while let Some(Ok(_)) = line.next().await {}
            };
            // What the other end still says is nobody's any more.
            let _ = tokio::time::timeout(FAREWELL, farewell).await;
        }
        match over {
            Over::Ended(Ended::Left { .. }) => Over::Ended(self.left()),
            over => over,
        }
    }

    async fn converse(&mut self, line: &mut P::Line) -> Over {
        let now = Instant::now();
        let mut writing =
            Writing { texts: VecDeque::new(), unflushed: false, moved: now, due: now, pace: self.protocol.pace() };
        let (mut heard, mut asked, mut goodbye, mut was_stuck) = (now, false, false, false);
        loop {
            if let Some(over) = self.step.over.take() {
                self.written(&mut writing.texts);
                return over;
            }
            if self.step.connected {
                self.taken_since = None;
            }
            let idle = self.step.outs.is_empty() && writing.texts.is_empty() && !writing.unflushed;
            if idle && self.step.connected && !goodbye {
                self.speak();
            }
            let idle = idle && self.step.outs.is_empty();
            if let Some(until) = self.leaving {
                let done = idle && self.waiting() == 0 && !self.protocol.awaits();
                if goodbye && idle {
                    return Over::Ended(self.left());
                }
                if !goodbye && (done || Instant::now() >= until) {
                    goodbye = true;
                    let kept = self.outbox.is_kept() && self.outbox.unsettled() > 0;
                    self.turn(|protocol, turn| protocol.goodbye(kept, turn));
                    continue;
                }
            }
            let now = Instant::now();
            // What is heard may have to be answered, which takes its time. Whoever does not read hears no silence.
            let told = self.step.events.is_empty();
            let reading = told && self.step.outs.len() < MOST_ANSWERS;
            if !reading {
                (heard, asked) = (now, false);
            }
            let may_write = writing.may(now);
            let stuck = writing.unflushed || (may_write && !self.step.outs.is_empty());
            if !stuck || !was_stuck {
                writing.moved = now;
            }
            was_stuck = stuck;
            let silence = self.protocol.quiet().filter(|_| reading).map(|quiet| heard + quiet * (1 + u32::from(asked)));
            let wakes = [
                silence,
                self.protocol.due(),
                self.leaving.map(|until| if goodbye { until + FAREWELL } else { until }),
                stuck.then_some(writing.moved + STUCK),
                (!may_write && !self.step.outs.is_empty()).then(|| writing.when()),
            ];
            let wake = wakes.into_iter().flatten().min();
            tokio::select! {
                () = give(&self.events, &mut self.step.events), if !told => {}
                request = self.requests.recv(), if self.listens() && self.step.outs.len() < MOST_OUTS => {
                    self.request(request);
                }
                moved = advance(line, &mut self.step.outs, writing.unflushed, may_write, reading) => match moved {
                    Ok(Moved::Heard(what)) => {
                        (heard, asked) = (Instant::now(), false);
                        self.turn(|protocol, turn| protocol.hear(what, turn));
                    }
                    Ok(Moved::Taken(id)) => writing.taken(id),
                    Ok(Moved::Flushed) => {
                        (writing.unflushed, writing.moved) = (false, Instant::now());
                        self.written(&mut writing.texts);
                    }
                    Err(reason) => {
                        self.written(&mut writing.texts);
                        if goodbye {
                            return Over::Ended(self.left());
                        }
                        self.turn(|protocol, turn| protocol.closed(&reason, turn));
                        return self.step.over.take().unwrap_or(Over::Lost(reason));
                    }
                },
                () = until(wake) => {
                    let now = Instant::now();
                    if self.protocol.due().is_some_and(|due| due <= now) {
                        self.turn(|protocol, turn| protocol.alarm(turn));
                    }
                    if self.leaving.is_some_and(|until| goodbye && now >= until + FAREWELL) {
                        return Over::Ended(self.left());
                    }
                    if stuck && now >= writing.moved + STUCK {
                        self.written(&mut writing.texts);
                        return Over::Lost("the other end reads nothing".into());
                    }
                    if silence.is_some_and(|at| at <= now) {
                        match (asked, self.protocol.ping()) {
                            (false, Some(ping)) => {
                                asked = true;
                                self.turn(|_, turn| turn.write(ping));
                            }
                            _ => return Over::Lost("nothing was heard of the other end".into()),
                        }
                    }
                }
            }
        }
    }

    /// Whether the program is listened to: not while it takes nothing of what comes of it, nor when it leaves.
    fn listens(&self) -> bool {
        self.leaving.is_none() && self.step.events.len() < MOST_EVENTS
    }

    fn request(&mut self, request: Option<Request>) {
        match request {
            Some(Request::Say { to, text, id, done }) => {
                let taken = self.protocol.route(to).and_then(|to| self.outbox.push(id, to, text));
                let taken = taken.map(|event| self.turn(|_, turn| turn.tell(event)));
                // Whoever stopped waiting hears the states all the same.
                let _ = done.send(taken.map(drop));
            }
            Some(Request::Ask(ask)) => self.turn(|protocol, turn| protocol.ask(ask, turn)),
            Some(Request::Leave) | None => self.step.leave = true,
        }
        if std::mem::take(&mut self.step.leave) {
            self.stay();
        }
    }

    /// Sets how long the client, which leaves, may still take: a moment for everybody else, and what the pace costs.
    fn stay(&mut self) {
        let outs = u32::try_from(self.step.outs.len()).unwrap_or(u32::MAX);
        self.leaving = Some(Instant::now() + LAST_WORDS + self.protocol.pace().1.saturating_mul(outs));
    }

    /// Has the next text written, if there is one.
    fn speak(&mut self) {
        let Some(text) = self.outbox.next().cloned() else { return };
        let before = self.step.outs.len();
        self.turn(|protocol, turn| protocol.say(&text, turn));
        // Whoever leaves has all of it said, as long as it goes out.
        if self.leaving.is_some() && self.step.outs.len() > before {
            self.stay();
        }
    }

    /// Notes that texts were written, or may have been when the connection broke meanwhile.
    fn written(&mut self, texts: &mut VecDeque<TextId>) {
        for id in texts.drain(..) {
            self.turn(|protocol, turn| {
                turn.advance(&id, State::Sent);
                protocol.said(&id, turn);
            });
        }
    }

    fn turn<T>(&mut self, f: impl FnOnce(&mut P, &mut Turn<'_, P::Out>) -> T) -> T {
        let taken = self.taken.load(Ordering::Acquire);
        f(&mut self.protocol, &mut Turn { now: Instant::now(), taken, outbox: &mut self.outbox, step: &mut self.step })
    }

    fn left(&self) -> Ended {
        Ended::Left { unsettled: self.waiting() }
    }

    /// Texts of which it is not known that they are with the other end, as far as that can be known.
    fn waiting(&self) -> usize {
        if self.protocol.confirms() { self.outbox.unsettled() } else { self.outbox.unsent() }
    }
}

impl Writing {
    /// Whether one more thing is within the pace.
    fn may(&self, now: Instant) -> bool {
        now >= self.when()
    }

    fn when(&self) -> Instant {
        let (burst, every) = self.pace;
        let early = every.saturating_mul(burst.saturating_sub(1));
        self.due.checked_sub(early).unwrap_or(self.due)
    }

    fn taken(&mut self, id: Option<TextId>) {
        self.texts.extend(id);
        (self.unflushed, self.moved) = (true, Instant::now());
        self.due = self.due.max(self.moved) + self.pace.1;
    }
}

/// Writes and reads what goes at the moment, one thing.
///
/// # Cancel safety
/// Nothing is lost by dropping the future.
async fn advance<In, Out, L>(
    line: &mut L,
    outs: &mut VecDeque<(Out, Option<TextId>)>,
    unflushed: bool,
    may_write: bool,
    reading: bool,
) -> Result<Moved<In>, String>
where
    L: Stream<Item = Result<In, String>> + Sink<Out, Error = String> + Unpin,
{
    std::future::poll_fn(|cx| {
        let mut broken = None;
        if may_write && !outs.is_empty() {
            match line.poll_ready_unpin(cx) {
                Poll::Ready(Ok(())) => {
                    if let Some((out, id)) = outs.pop_front() {
                        match line.start_send_unpin(out) {
                            Ok(()) => return Poll::Ready(Ok(Moved::Taken(id))),
                            Err(reason) => broken = Some(reason),
                        }
                    }
                }
                Poll::Ready(Err(reason)) => broken = Some(reason),
                Poll::Pending => {}
            }
        }
        if unflushed && broken.is_none() {
            match line.poll_flush_unpin(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(Moved::Flushed)),
                Poll::Ready(Err(reason)) => broken = Some(reason),
                Poll::Pending => {}
            }
        }
        if reading || broken.is_some() {
            // What still lies there may say why it broke.
            match line.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(heard))) if broken.is_none() || reading => {
                    return Poll::Ready(Ok(Moved::Heard(heard)));
                }
                Poll::Ready(Some(Err(reason))) => return Poll::Ready(Err(reason)),
                Poll::Ready(None) => {
                    return Poll::Ready(Err(broken.unwrap_or_else(|| "the server closed the connection".into())));
                }
                _ => {}
            }
        }
        broken.map_or(Poll::Pending, |reason| Poll::Ready(Err(reason)))
    })
    .await
}

/// Hands the oldest event over.
///
/// # Cancel safety
/// Nothing is lost by dropping the future.
async fn give(to: &mpsc::Sender<Event>, events: &mut VecDeque<Event>) {
    match to.reserve().await {
        Ok(permit) => {
            if let Some(event) = events.pop_front() {
                permit.send(event);
            }
        }
        // Nobody listens, which ends this task too.
        Err(_) => events.clear(),
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Pauses between tries to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a connection must have lasted for the pauses to begin anew.
const STEADY: Duration = Duration::from_secs(5);
/// How long a server keeps the name of a client that was cut, and a little more.
const RESERVED: Duration = Duration::from_secs(11 * 60);
/// How long what waits may take to go out when the client leaves, from the last text on that did.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the other end may take nothing of what is written.
const STUCK: Duration = Duration::from_secs(30);
/// Events that wait before the program is not listened to any more: more than the states of a whole outbox.
const MOST_EVENTS: usize = 4 * OUTBOX;
/// Things that wait to be written before the program is not listened to any more.
const MOST_OUTS: usize = 64;
/// Things that wait to be written before the other end is not listened to any more.
const MOST_ANSWERS: usize = 4 * MOST_OUTS;

#[cfg(test)]
mod tests;
