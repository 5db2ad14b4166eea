//! Two in a room who hear each other, whatever else happens there.

use super::rooms::{Client, Server, said};

pub(crate) struct Pair {
    pub(crate) ann: Client,
    pub(crate) bob: Client,
    said: usize,
}

impl Pair {
    pub(crate) async fn meet(server: &Server) -> Self {
        Self::of(server.join("ann").await, server.join("bob").await).await
    }

    pub(crate) async fn of(ann: Client, bob: Client) -> Self {
        let mut pair = Self { ann, bob, said: 0 };
        pair.speak().await;
        pair
    }

    /// Each says a word, and both hear it.
    pub(crate) async fn speak(&mut self) {
        self.said += 1;
        let body = format!("word {}", self.said);
        self.ann.say(&body).await;
        self.ann.until(&said("ann", &body)).await;
        self.bob.until(&said("ann", &body)).await;
        self.bob.say(&body).await;
        self.bob.until(&said("bob", &body)).await;
        self.ann.until(&said("bob", &body)).await;
    }
}
