//! How many there are.

use async_trait::async_trait;

use super::{Ask, Bot};

/// Tells how many users are in the room: `!count`, `cmd!participants_count`.
#[derive(Clone, Copy, Debug)]
pub struct Count;

#[async_trait]
impl Bot for Count {
    fn word(&self) -> &str {
        "count"
    }

    fn command(&self) -> &str {
        "participants_count"
    }

    async fn answer(&self, ask: &Ask<'_>) -> Option<String> {
        ask.argument.is_empty().then(|| format!("Participants count: {}", ask.participants))
    }
}
