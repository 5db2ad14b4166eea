//! The first word to somebody of whom only datagrams tell that they are there. Anybody can claim any address over UDP, so
//! nobody knows yet whether whoever is there asked for anything.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tracing::debug;
use uuid::Uuid;

use super::member::{Newcomer, Place};
use super::members::Members;
#[cfg(feature = "server")]
use super::route::Peers;
use super::route::at;
use crate::address::{Entry, Protocol, network};
use crate::codec::talk::{encode_v1, encode_v2};
use crate::hub::Rate;
use crate::limits::Limits;
use crate::message::{Message, MessageId};
use crate::name::UserName;
use crate::net::lately::Lately;
use crate::text::SafeText;
use crate::transport::Sent;

/// Greets newcomers to one room, and makes members of those who acknowledge.
#[derive(Debug)]
pub(super) struct Greeter {
    place: Place,
    members: Arc<Members>,
    open: Mutex<Open>,
}

/// Who was greeted and has not answered.
#[derive(Debug)]
struct Open {
    waiting: HashMap<UserName, Waiting>,
    /// How often each was greeted in vain.
    vain: Lately<(Entry, u32)>,
}

#[derive(Debug)]
struct Waiting {
    newcomer: Newcomer,
    /// What it said meanwhile without an id. Nobody sends that again, and nobody was told that it is taken.
    said: Vec<Arc<str>>,
}

/// The pace of all rooms' greetings, and what became of them.
#[derive(Debug)]
pub(super) struct Greetings {
    started: Instant,
    rate: Mutex<Rate>,
    counted: [AtomicU64; 3],
}

/// What became of the greetings to newcomers over UDP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg(feature = "server")]
pub(crate) struct CountedGreetings {
    /// Acknowledged, so that somebody became a member.
    pub(crate) acknowledged: u64,
    /// Sent, and not acknowledged.
    pub(crate) unanswered: u64,
    /// Not sent: there were too many.
    pub(crate) dropped: u64,
}

impl Greeter {
    pub(super) fn new(place: Place, members: Arc<Members>) -> Self {
        let open = Open { waiting: HashMap::new(), vain: Lately::new(MOST_REMEMBERED) };
        Self { place, members, open: Mutex::new(open) }
    }

    /// Whether somebody has yet to answer.
    pub(super) fn awaits(&self, name: &UserName) -> bool {
        self.lock().waiting.contains_key(name)
    }

    /// Greets whoever sent `message`, unless that is under way; `known` are those who spoke by a connection from there at
    /// some time. A newcomer who acknowledges becomes a member.
    pub(super) fn greet(self: &Arc<Self>, newcomer: Newcomer, known: bool, message: &Message) {
        let said = message.id.is_none().then(|| message.text.clone());
        let greetings = &self.place.peers.shared.greetings;
        let full = {
            let mut open = self.lock();
            if let Some(waiting) = open.waiting.get_mut(&newcomer.name) {
                if waiting.newcomer == newcomer && waiting.said.len() < MOST_HELD {
                    waiting.said.extend(said);
                }
                return;
            }
            let beside = |waiting: &&Waiting| network(waiting.newcomer.source) == network(newcomer.source);
            let full = open.waiting.len() >= MOST_AT_ONCE
                || open.waiting.values().filter(beside).count() >= MOST_OF_ONE_ADDRESS;
            if !full {
                let said = said.into_iter().collect();
                open.waiting.insert(newcomer.name.clone(), Waiting { newcomer: newcomer.clone(), said });
            }
            full
        };
        if full {
            return greetings.count(DROPPED);
        }
        if !known && !greetings.allow() {
            self.lock().waiting.remove(&newcomer.name);
            return greetings.count(DROPPED);
        }
        let (greeter, greeting) = (self.clone(), greeting(&self.place.called, message));
        self.members.spawn(async move {
            let stop = greeter.place.stop.clone();
            match stop.run_until_cancelled(greeter.is_there(&newcomer, &greeting)).await {
                Some(true) => greeter.welcome(newcomer).await,
                Some(false) => greeter.doubt(newcomer),
                None => {}
            }
        });
    }

    /// Sends the greeting; whether it was acknowledged.
    async fn is_there(&self, newcomer: &Newcomer, greeting: &Message) -> bool {
        let protocol = newcomer.entry.address.protocol();
        let transport = self.place.peers.shared.transports.get(protocol);
        let (Some(to), Some(transport)) = (at(&newcomer.entry, newcomer.source), transport) else { return false };
        match transport.greet(&to, greeting).await {
            Ok(Sent::Delivered) => {
                self.place.peers.shared.proofs.note(&newcomer.name, &to);
                true
            }
            // Where there are connections, one was made.
            Ok(_) => *protocol != Protocol::UDP,
            Err(error) => {
                let reason = error.to_string();
                debug!(peer = %newcomer.name, reason = %SafeText(&reason), "a newcomer does not acknowledge");
                false
            }
        }
    }

    /// Makes a member, which says what it said meanwhile.
    async fn welcome(&self, newcomer: Newcomer) {
        self.place.peers.shared.greetings.count(ACKNOWLEDGED);
        let name = newcomer.name.clone();
        if let Err(refusal) = self.members.ensure(newcomer).await {
            debug!(peer = %name, %refusal, "a newcomer may not come in");
            self.lock().waiting.remove(&name);
            return;
        }
        loop {
            let said = {
                let mut open = self.lock();
                let said = open.waiting.get_mut(&name).map(|waiting| std::mem::take(&mut waiting.said));
                // From here on what it says does not come this way.
                match said.filter(|said| !said.is_empty()) {
                    Some(said) => said,
                    None => {
                        open.waiting.remove(&name);
                        return;
                    }
                }
            };
            for text in said {
                self.members.say(&name, text).await;
            }
        }
    }

    /// Lets it try again, a few times.
    fn doubt(&self, newcomer: Newcomer) {
        let shared = &self.place.peers.shared;
        shared.greetings.count(UNANSWERED);
        let Newcomer { name, entry, .. } = newcomer;
        let mut open = self.lock();
        open.waiting.remove(&name);
        let before = open.vain.get(&name).filter(|(then, _)| *then == entry).map_or(0, |(_, times)| *times);
        let times = if before + 1 < MOST_TIMES { before + 1 } else { 0 };
        open.vain.note(&name, (entry.clone(), times));
        drop(open);
        if times == 0 {
            shared.doubt(&name, entry);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Greetings {
    pub(super) fn new(limits: &Limits) -> Self {
        let mut pace = limits.clone();
        (pace.commands_per_second, pace.commands_burst) = (PER_SECOND, PER_SECOND);
        Self { started: Instant::now(), rate: Mutex::new(Rate::new(&pace)), counted: Default::default() }
    }

    /// Whether one more stranger may be greeted now.
    fn allow(&self) -> bool {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner).allow(self.started.elapsed())
    }

    fn count(&self, what: usize) {
        self.counted[what].fetch_add(1, Ordering::Relaxed);
    }

    #[cfg(feature = "server")]
    fn counted(&self) -> CountedGreetings {
        let [acknowledged, unanswered, dropped] =
            [ACKNOWLEDGED, UNANSWERED, DROPPED].map(|what| self.counted[what].load(Ordering::Relaxed));
        CountedGreetings { acknowledged, unanswered, dropped }
    }
}

#[cfg(feature = "server")]
impl Peers {
    /// What became of the greetings to newcomers, in all rooms.
    pub(crate) fn greetings(&self) -> CountedGreetings {
        self.shared.greetings.counted()
    }
}

/// A short word that is no longer than what arrived, or the shortest that there is.
fn greeting(called: &UserName, arrived: &Message) -> Message {
    let bytes = match &arrived.id {
        Some(id) => encode_v2(arrived, id, None).len(),
        None => encode_v1(arrived).len(),
    };
    // Not from the clock, as others are: who guesses it acknowledges for another.
    let mut id = Uuid::new_v4().simple().to_string();
    id.truncate(ID);
    let id = MessageId::new(&id).unwrap_or_else(|_| MessageId::random());
    let word = |text| Message::new(called.clone(), text).with_id(id.clone());
    let hello = word(HELLO);
    if encode_v2(&hello, &id, None).len() <= bytes { hello } else { word("") }
}

/// A copy like others, from the room itself.
const HELLO: &str = "system: hello";
/// Characters of a greeting's id, each 4 random bits.
const ID: usize = 12;
/// Strangers who are greeted in a second, in all rooms together.
const PER_SECOND: u32 = 5;
/// Newcomers to one room who have not answered yet. One more is not greeted.
const MOST_AT_ONCE: usize = 256;
/// How many of them may come from one address, so that nobody has all the places.
const MOST_OF_ONE_ADDRESS: usize = 16;
/// Texts of one newcomer that wait for the answer. One more is dropped.
const MOST_HELD: usize = 4;
/// Greetings in vain, one after another, after which a newcomer is not greeted for a while.
const MOST_TIMES: u32 = 3;
/// Newcomers whose greetings in vain are remembered.
const MOST_REMEMBERED: usize = 1024;
const ACKNOWLEDGED: usize = 0;
const UNANSWERED: usize = 1;
const DROPPED: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_no_longer_than_what_arrived_and_says_nothing_to_the_shortest() {
        let (called, dan) = (UserName::new("lobby").unwrap(), UserName::new("dan").unwrap());
        let length = |message: &Message| encode_v2(message, message.id.as_ref().unwrap(), None).len();
        let ours = Message::new(dan.clone(), "hello, room").with_id(MessageId::random());
        let told = greeting(&called, &ours);
        assert!(&*told.text == HELLO && length(&told) <= length(&ours), "{told:?}");
        let told = greeting(&called, &Message::new(dan, "hi"));
        assert_eq!((&*told.text, length(&told)), ("", 46));
        assert_ne!(greeting(&called, &ours).id, greeting(&called, &ours).id);
    }
}
