//! Questions that are asked aloud: heard in every room, answered there.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use super::{Ask, Bots, Way};
use crate::hub::{Hub, Rate, Told, Watch};
use crate::limits::Limits;
use crate::message::{Post, RoomKey};
use crate::name::{RoomName, is_reserved};

/// Hears what is said in rooms, for [`Builder::watch`](crate::hub::Builder::watch), and keeps what a bot is asked until
/// [`Answers`] come to it: at most [`QUESTIONS`], the rest is passed over.
#[derive(Debug)]
pub struct Ears {
    bots: Bots,
    asked: mpsc::Sender<Arc<Post>>,
}

/// Answers what [`Ears`] heard.
#[derive(Debug)]
pub struct Answers {
    bots: Bots,
    heard: mpsc::Receiver<Arc<Post>>,
    /// How much was answered lately in each room, and what each begins with.
    paces: HashMap<RoomName, Rate>,
    pub(super) pace: Rate,
}

pub(super) fn pair(bots: Bots) -> (Arc<Ears>, Answers) {
    let (asked, heard) = mpsc::channel(QUESTIONS);
    (Arc::new(Ears { bots: bots.clone(), asked }), Answers { bots, heard, paces: HashMap::new(), pace: pace() })
}

impl Answers {
    /// Answers one question after the other, in the rooms of the hub that the [`Ears`] belong to, until nobody has that
    /// hub any more.
    ///
    /// # Cancel safety
    /// Dropped, no question is answered any more.
    pub fn run(mut self, hub: &Hub) -> impl Future<Output = ()> + Send + use<> {
        // Not kept: the hub has the other end of the queue.
        let hub = hub.downgrade();
        async move {
            let started = Instant::now();
            while let Some(post) = self.heard.recv().await {
                if !self.may_answer(&post.record.room, started.elapsed()) {
                    continue;
                }
                let Some(hub) = hub.upgrade() else { return };
                self.answer(&hub, &post).await;
            }
        }
    }

    /// Whether a room is to hear one more answer: nobody can block the server, so it must not let itself be made to flood.
    fn may_answer(&mut self, room: &RoomKey, now: Duration) -> bool {
        let RoomKey::Room(room) = room else { return false };
        if self.paces.len() >= MOST_ROOMS && !self.paces.contains_key(room) {
            self.paces.retain(|_, pace| !pace.is_full(now));
        }
        let pace = self.pace;
        self.paces.entry(room.clone()).or_insert(pace).allow(now)
    }

    async fn answer(&self, hub: &Hub, post: &Post) {
        let record = &post.record;
        let (Some((word, argument)), RoomKey::Room(room)) = (question(&record.body), &record.room) else { return };
        let participants = hub.users_in(room).await;
        let ask = Ask { from: &record.from, room, argument, way: Way::Room, participants };
        let Some(answer) = self.bots.ask(word, &ask).await else { return };
        if let Err(why) = hub.post_as_server(room, answer.into()).await {
            debug!(%room, %why, "nobody hears a bot's answer");
        }
    }
}

impl Watch for Ears {
    fn said(&self, said: &Told<'_>) {
        let record = &said.post.record;
        // What the server says itself is no question.
        if said.to.is_some() || is_reserved(&record.from) {
            return;
        }
        if question(&record.body).is_some_and(|(word, _)| self.bots.knows(Way::Room, word))
            && self.asked.try_send(said.post.clone()).is_err()
        {
            debug!(room = %record.room, "bots are asked more than they can answer");
        }
    }
}

fn pace() -> Rate {
    let mut limits = Limits::default();
    (limits.commands_per_second, limits.commands_burst) = (ANSWERS_PER_SECOND, ANSWERS_AT_ONCE);
    Rate::new(&limits)
}

/// The word and what stands behind it, of a text that begins with a mark.
fn question(text: &str) -> Option<(&str, &str)> {
    let asked = text.strip_prefix(MARK)?;
    let (word, argument) = asked.split_once(char::is_whitespace).unwrap_or((asked, ""));
    (!word.is_empty()).then(|| (word, argument.trim()))
}

/// What a question in a room begins with.
const MARK: char = '!';
/// Questions that wait for an answer.
pub const QUESTIONS: usize = 256;
/// Answers that one room hears: so many a second on average, and at once.
const ANSWERS_PER_SECOND: u32 = 2;
const ANSWERS_AT_ONCE: u32 = 20;
/// Rooms that are paced at a time before those are forgotten that were silent.
const MOST_ROOMS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_hears_so_many_answers_and_other_rooms_are_not_held_up() {
        let (_, mut answers) = pair(Bots::standard());
        let room = |name: &str| RoomKey::Room(RoomName::new(name).unwrap());
        let mut heard = |name: &str, at| (0..100).filter(|_| answers.may_answer(&room(name), at)).count();
        assert_eq!((heard("den", Duration::ZERO), heard("hall", Duration::ZERO)), (20, 20));
        assert_eq!(heard("den", Duration::from_secs(3)), 6);
        assert_eq!(heard("den", Duration::from_secs(60)), 20);
        for n in 0..2 * MOST_ROOMS {
            assert!(answers.may_answer(&room(&format!("room{n}")), Duration::from_secs(60 + n as u64)));
        }
        assert!(answers.paces.len() <= MOST_ROOMS);
    }

    #[test]
    fn a_question_is_a_mark_a_word_and_perhaps_more() {
        for (text, expected) in [
            ("!time", Some(("time", ""))),
            ("!rps  rock ", Some(("rps", "rock"))),
            ("!rps\nrock", Some(("rps", "rock"))),
            ("!a b c", Some(("a", "b c"))),
            ("!", None),
            ("! time", None),
            (" !time", None),
            ("time", None),
            ("", None),
        ] {
            assert_eq!(question(text), expected, "{text:?}");
        }
    }
}
