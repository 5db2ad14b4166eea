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

use std::sync::Arc;

pub use self::clock::Clock;
pub use self::count::Count;
pub use self::ears::{Answers, Ears, QUESTIONS};
pub use self::game::Game;
pub use crate::hub::{Ask, Bot, Bots, LONGEST_ANSWER, PATIENCE, Way};

impl Bots {
    /// [`Count`], [`Clock`] and [`Game`].
    #[must_use]
    pub fn standard() -> Self {
        Self::none().with(Count).with(Clock).with(Game)
    }

    /// What hears the rooms of a hub for them, and what answers there.
    #[must_use]
    pub fn listen(self) -> (Arc<Ears>, Answers) {
        ears::pair(self)
    }
}

#[cfg(test)]
mod tests;
