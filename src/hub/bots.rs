//! Whoever answers when asked: what gateways know of bots.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::warn;

use crate::name::RoomName;
use crate::text;

/// A program that answers when it is asked.
#[async_trait]
pub trait Bot: fmt::Debug + Send + Sync + 'static {
    /// The word by which it is asked in a room, behind a `!`; without spaces.
    fn word(&self) -> &str;

    /// The word by which it is asked over the console protocol, behind `cmd!`; without colons. The same if there is no
    /// other.
    fn command(&self) -> &str {
        self.word()
    }

    /// Answers, or has nothing to say: then the room stays silent, and the console is told that there is no such command.
    /// What takes longer than [`PATIENCE`] is given up; meanwhile other bots wait.
    ///
    /// # Cancel safety
    /// The future may be dropped before it is ready.
    async fn answer(&self, ask: &Ask<'_>) -> Option<String>;
}

/// What a bot is asked, and what the hub knows.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Who asks.
    pub from: &'a str,
    /// In which room they are.
    pub room: &'a RoomName,
    /// What stands behind the word, without outer spaces; may be empty.
    pub argument: &'a str,
    /// How it was asked.
    pub way: Way,
    /// Users who are in the room now, the asker among them.
    pub participants: usize,
}

/// How a bot is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Way {
    /// By `!word`, heard by the whole room, as the answer will be.
    Room,
    /// By `cmd!word`, answered to the asker alone.
    Console,
}

/// A set of bots. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Bots {
    bots: Vec<Arc<dyn Bot>>,
}

impl Bots {
    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One more. Of several with the same word the last one answers.
    #[must_use]
    pub fn with(mut self, bot: impl Bot) -> Self {
        self.bots.insert(0, Arc::new(bot));
        self
    }

    /// Whether one is asked by this word.
    #[must_use]
    pub fn knows(&self, way: Way, word: &str) -> bool {
        self.find(way, word).is_some()
    }

    /// Has the one answer that is asked by this word, if there is one and it has something to say. The answer is cleaned
    /// of control characters, cut at [`LONGEST_ANSWER`], and not empty.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing is answered.
    pub async fn ask(&self, word: &str, ask: &Ask<'_>) -> Option<String> {
        let bot = self.find(ask.way, word)?;
        let Ok(answer) = tokio::time::timeout(PATIENCE, bot.answer(ask)).await else {
            warn!(?bot, "a bot takes too long to answer");
            return None;
        };
        let mut answer = text::clean(&answer?).into_owned();
        let ends = answer.char_indices().map(|(at, c)| at + c.len_utf8());
        let end = ends.take_while(|end| *end <= LONGEST_ANSWER).last().unwrap_or(0);
        answer.truncate(end);
        (!answer.is_empty()).then_some(answer)
    }

    fn find(&self, way: Way, word: &str) -> Option<&dyn Bot> {
        let called = |bot: &&Arc<dyn Bot>| match way {
            Way::Room => bot.word() == word,
            Way::Console => bot.command() == word,
        };
        self.bots.iter().find(called).map(|bot| &**bot)
    }
}

/// Bytes of an answer: more than anybody reads.
pub const LONGEST_ANSWER: usize = 4096;
/// How long a bot may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(5);
