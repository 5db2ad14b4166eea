//! Bots: programs that answer when they are asked, in a room by `!word` or over the console protocol by `cmd!word`.
//!
//! What is asked in a room is answered in that room, by the server's own name; what is asked over the console protocol is
//! answered to the asker alone. [`Bots::standard`] has the three that every server has; [`Bots::with`] adds one's own:
//!
//! ```
//! use async_trait::async_trait;
//! use talk::bot::{Ask, Bot, Bots};
//! use talk::hub::Hub;
//!
//! #[derive(Debug)]
//! struct Greeter;
//!
//! #[async_trait]
//! impl Bot for Greeter {
//!     fn word(&self) -> &str {
//!         "hello"
//!     }
//!     async fn answer(&self, ask: &Ask<'_>) -> Option<String> {
//!         Some(format!("Hello {}, you are one of {} in {}", ask.from, ask.participants, ask.room))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (ears, answers) = Bots::standard().with(Greeter).listen();
//! let hub = Hub::builder().watch(ears).build().await?;
//! // Ends with the hub.
//! tokio::spawn(answers.run(&hub));
//! # Ok(())
//! # }
//! ```

mod clock;
mod count;
mod ears;
mod game;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::warn;

pub use self::clock::Clock;
pub use self::count::Count;
pub use self::ears::{Answers, Ears, QUESTIONS};
pub use self::game::Game;
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

    /// [`Count`], [`Clock`] and [`Game`].
    #[must_use]
    pub fn standard() -> Self {
        Self::none().with(Count).with(Clock).with(Game)
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
    /// of control characters, cut at [`LONGEST`], and not empty.
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
        let end = ends.take_while(|end| *end <= LONGEST).last().unwrap_or(0);
        answer.truncate(end);
        (!answer.is_empty()).then_some(answer)
    }

    /// What hears the rooms of a hub for them, and what answers there.
    #[must_use]
    pub fn listen(self) -> (Arc<Ears>, Answers) {
        ears::pair(self)
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
pub const LONGEST: usize = 4096;
/// How long a bot may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
