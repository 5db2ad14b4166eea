//! What a protocol's machine sees and wants, one step at a time.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::client::outbox::{Outbox, Text};
use crate::client::{Ended, Event, State, TextId};

/// What a method of a machine sees and wants.
pub(in crate::client) struct Turn<'a, Out> {
    pub(in crate::client) now: Instant,
    /// How many events the program has taken, as [`Turn::tell`] counts them.
    pub(in crate::client) taken: u64,
    pub(in crate::client) outbox: &'a mut Outbox,
    pub(in crate::client) step: &'a mut Step<Out>,
}

/// What is wanted and not done yet.
#[derive(Debug)]
pub(in crate::client) struct Step<Out> {
    pub(in crate::client) events: VecDeque<Event>,
    pub(in crate::client) outs: VecDeque<(Out, Option<TextId>)>,
    /// Events that were told before, these included.
    pub(in crate::client) told: u64,
    pub(in crate::client) online: bool,
    pub(in crate::client) connected: bool,
    pub(in crate::client) over: Option<Over>,
    pub(in crate::client) leave: bool,
}

/// How a connection ends.
#[derive(Debug)]
pub(in crate::client) enum Over {
    Lost(String),
    /// Somebody has the name, as in [`NoLine::Taken`].
    Taken(String),
    /// As it was meant to: another follows at once.
    Again,
    Ended(Ended),
}

impl<Out> Step<Out> {
    pub(in crate::client) fn new() -> Self {
        let (events, outs) = (VecDeque::new(), VecDeque::new());
        Self { events, outs, told: 0, online: false, connected: false, over: None, leave: false }
    }
}

impl<Out> Turn<'_, Out> {
    /// Tells the program something. The number says when the program has it: when [`Turn::taken`] is no smaller.
    pub(in crate::client) fn tell(&mut self, event: Event) -> u64 {
        self.step.events.push_back(event);
        self.step.told += 1;
        self.step.told
    }

    /// Writes something that is no text of the outbox.
    pub(in crate::client) fn write(&mut self, out: Out) {
        self.step.outs.push_back((out, None));
    }

    /// Writes a text of the outbox.
    pub(in crate::client) fn write_text(&mut self, id: &TextId, out: Out) {
        self.step.outs.push_back((out, Some(id.clone())));
    }

    /// Notes, and tells, how far a text came.
    pub(in crate::client) fn advance(&mut self, id: &TextId, state: State) {
        if let Some(event) = self.outbox.advance(id, state) {
            self.tell(event);
        }
    }

    /// What was sent and not confirmed waits again, where `again` says yes.
    pub(in crate::client) fn requeue(&mut self, again: impl Fn(&Text) -> bool) {
        for event in self.outbox.requeue(again) {
            self.tell(event);
        }
    }

    /// A text that the server had taken, and that may not have arrived, waits again.
    pub(in crate::client) fn revive(&mut self, id: &TextId) {
        if let Some(event) = self.outbox.revive(id) {
            self.tell(event);
        }
    }

    /// Refuses what was asked.
    pub(in crate::client) fn refuse(&mut self, reason: impl Into<String>, code: Option<&str>) {
        self.tell(Event::Refused { reason: reason.into(), code: code.map(str::to_owned) });
    }

    /// Everything needed was said: texts may go out.
    pub(in crate::client) fn connected(&mut self, name: Option<String>, resumed: Option<bool>) {
        self.step.connected = true;
        self.tell(Event::Connected { name, resumed });
    }

    /// Whether there is a connection.
    pub(in crate::client) fn online(&self) -> bool {
        self.step.online
    }

    /// This connection is no good: make another.
    pub(in crate::client) fn give_up(&mut self, reason: impl Into<String>) {
        self.step.over.get_or_insert(Over::Lost(reason.into()));
    }

    /// This connection is no good: somebody has the name, as in [`NoLine::Taken`].
    pub(in crate::client) fn taken(&mut self, reason: impl Into<String>) {
        self.step.over.get_or_insert(Over::Taken(reason.into()));
    }

    /// This connection has served its purpose: make another, of which nobody need be told. Only where the program asked
    /// for what takes one.
    pub(in crate::client) fn again(&mut self) {
        self.step.over.get_or_insert(Over::Again);
    }

    /// The program asks to leave, by what it asked now, as [`Client::leave`] has it.
    pub(in crate::client) fn leave(&mut self) {
        self.step.leave = true;
    }

    /// The client ends.
    pub(in crate::client) fn end(&mut self, ended: Ended) {
        self.step.over = Some(Over::Ended(ended));
    }
}
