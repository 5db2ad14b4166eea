//! One task per client: it connects, comes back, writes and hears. What that means in a protocol, the protocol's own
//! machine knows, which has neither socket nor clock.

mod protocol;
mod turn;
mod writing;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::writing::{Moved, Writing, advance};
use super::outbox::Outbox;
use super::queue::{Telling, queue};
use super::{Client, EVENTS, Ended, Event, Events, Journal, OUTBOX, REQUESTS, Request, State, TextId};
use crate::net::backoff::Backoff;

pub(super) use self::protocol::{Connecting, NoLine, Protocol};
pub(super) use self::turn::{Over, Step, Turn};

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
    let (tell, events) = queue(EVENTS, MOST_BYTES);
    let abilities = Arc::new(protocol.abilities().iter().copied().collect());
    let longest = protocol.longest();
    let mut driver = Driver {
        protocol,
        outbox: Outbox::new(OUTBOX, common.journal),
        step: Step::new(),
        requests: asked,
        left: CancellationToken::new(),
        events: tell,
        backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        once: common.once,
        leaving: None,
        connected_before: false,
        taken_since: None,
        taken: 0,
        refused: None,
    };
    driver.turn(|_, turn| {
        let kept: Vec<_> =
            turn.outbox.iter().map(|text| (text.id.clone(), text.to.clone(), text.text.clone())).collect();
        for (id, to, text) in kept {
            turn.tell(Event::Restored { id, to, text });
        }
    });
    let leave = driver.left.clone();
    let task = AbortOnDropHandle::new(tokio::spawn(driver.run()));
    let last = Arc::new(leave.clone().drop_guard());
    (Client { requests, leave, _last: last, abilities, longest }, Events::new(events, task))
}

struct Driver<P: Protocol> {
    protocol: P,
    outbox: Outbox,
    step: Step<P::Out>,
    requests: mpsc::Receiver<Request>,
    /// The program left.
    left: CancellationToken,
    events: Telling,
    backoff: Backoff,
    once: bool,
    /// It was asked to leave, and goes then at the latest.
    leaving: Option<Instant>,
    connected_before: bool,
    /// Since when somebody has the name, after a drop.
    taken_since: Option<Instant>,
    /// How often somebody had it before the first connection, and whether that is why there is none.
    taken: u32,
    refused: Option<String>,
}

/// How long it may still take to be let in.
struct Entering {
    left: Duration,
    since: Instant,
    /// Whether time counts: not while nothing is read.
    counts: bool,
}

impl Entering {
    fn until(&mut self, now: Instant, reading: bool) -> Instant {
        if self.counts {
            self.left = self.left.saturating_sub(now - self.since);
        }
        (self.since, self.counts) = (now, reading);
        now + self.left
    }
}

impl<P: Protocol> Driver<P> {
    async fn run(mut self) {
        let ended = self.live().await;
        self.requests.close();
        // Whoever waits for a word on one is told, also before everything else was taken.
        while self.requests.try_recv().is_ok() {}
        self.turn(|protocol, turn| protocol.ended(turn));
        self.step.events.push_back(Event::Ended(ended));
        while !self.step.events.is_empty() {
            self.events.give(&mut self.step.events).await;
        }
    }

    async fn live(&mut self) -> Ended {
        loop {
            let connecting = self.protocol.connect();
            let Some(made) = self.meanwhile(connecting).await else { return self.gone() };
            self.refused = None;
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
                NoLine::Taken(reason) if self.connected_before => {
                    let since = *self.taken_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > RESERVED {
                        return Ended::Refused(reason);
                    }
                    reason
                }
                NoLine::Taken(reason) => {
                    self.taken += 1;
                    if self.once || self.taken > self.protocol.grace() {
                        return Ended::Refused(reason);
                    }
                    self.refused = Some(reason.clone());
                    reason
                }
            };
            if self.once {
                return Ended::Lost(reason);
            }
            let retry_in = self.backoff.next();
            self.turn(|_, turn| turn.tell(Event::Lost { reason, retry_in }));
            if self.meanwhile(tokio::time::sleep(retry_in)).await.is_none() {
                return self.gone();
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
                // Whoever takes nothing is not connected again and again, each time with more to tell.
                done = &mut future, if self.step.events.len() < MOST_EVENTS => return Some(done),
                () = self.events.give(&mut self.step.events), if !self.step.events.is_empty() => {}
                Some(request) = self.requests.recv(), if self.listens() => self.request(request),
                () = self.left.cancelled(), if self.leaving.is_none() => self.leave(),
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
        let mut writing = Writing::new(self.protocol.pace(), now);
        let (mut heard, mut asked, mut goodbye, mut was_stuck) = (now, None, false, false);
        let mut entering = Entering { left: ENTERED, since: now, counts: true };
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
                (heard, asked) = (now, None);
            }
            let entered_by = Some(entering.until(now, reading)).filter(|_| !self.step.connected);
            if entered_by.is_some_and(|at| at <= now) {
                return Over::Lost("the server does not let this user in".into());
            }
            let may_write = writing.may(now);
            let stuck = writing.unflushed || (may_write && !self.step.outs.is_empty());
            if !stuck || !was_stuck {
                writing.moved = now;
            }
            was_stuck = stuck;
            let silence = self.protocol.quiet().filter(|_| reading).map(|quiet| asked.unwrap_or(heard) + quiet);
            let wakes = [
                silence,
                entered_by.filter(|_| reading),
                self.protocol.due(),
                self.leaving.map(|until| if goodbye { until + FAREWELL } else { until }),
                stuck.then_some(writing.moved + STUCK),
                (!may_write && !self.step.outs.is_empty()).then(|| writing.when()),
            ];
            let wake = wakes.into_iter().flatten().min();
            tokio::select! {
                () = self.events.give(&mut self.step.events), if !told => {}
                Some(request) = self.requests.recv(), if self.listens() && self.step.outs.len() < MOST_OUTS => {
                    self.request(request);
                }
                () = self.left.cancelled(), if self.leaving.is_none() => self.leave(),
                moved = advance(line, &mut self.step.outs, writing.unflushed, may_write, reading) => match moved {
                    Ok(Moved::Heard(what)) => {
                        (heard, asked) = (Instant::now(), None);
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
                            // From now on: this machine may have slept until now.
                            (None, Some(ping)) => {
                                asked = Some(now);
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

    /// Does what was asked before it was asked to leave, also if the program is not listened to otherwise.
    fn leave(&mut self) {
        for _ in 0..REQUESTS {
            let Ok(request) = self.requests.try_recv() else { break };
            self.request(request);
        }
        self.stay();
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Say { to, text, id, done } => {
                let taken = self.protocol.route(to).and_then(|to| self.outbox.push(id, to, text));
                let taken = taken.map(|event| self.turn(|_, turn| turn.tell(event)));
                // Whoever stopped waiting hears the states all the same.
                let _ = done.send(taken.map(drop));
            }
            Request::Ask(ask) => self.turn(|protocol, turn| protocol.ask(ask, turn)),
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
        let taken = self.events.taken();
        f(&mut self.protocol, &mut Turn { now: Instant::now(), taken, outbox: &mut self.outbox, step: &mut self.step })
    }

    /// It left without a connection.
    fn gone(&mut self) -> Ended {
        self.refused.take().map_or_else(|| self.left(), Ended::Refused)
    }

    fn left(&self) -> Ended {
        Ended::Left { unsettled: self.waiting() }
    }

    /// Texts of which it is not known that they are with the other end, as far as that can be known.
    fn waiting(&self) -> usize {
        if self.protocol.confirms() { self.outbox.unsettled() } else { self.outbox.unsent() }
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
/// How long it may take to be let in on a connection, while the program takes what it is told.
const ENTERED: Duration = Duration::from_secs(120);
/// How long what waits may take to go out when the client leaves, from the last text on that did.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the other end may take nothing of what is written.
const STUCK: Duration = Duration::from_secs(30);
/// Events that wait before the program is not listened to any more: more than the states of a whole outbox.
const MOST_EVENTS: usize = 4 * OUTBOX;
/// Bytes of events that wait to be taken, beside those of the one that was heard last.
const MOST_BYTES: u32 = 4 << 20;
/// Things that wait to be written before the program is not listened to any more.
const MOST_OUTS: usize = 64;
/// Things that wait to be written before the other end is not listened to any more.
const MOST_ANSWERS: usize = 4 * MOST_OUTS;

#[cfg(test)]
mod tests;
