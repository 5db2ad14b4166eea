//! A bot of one's own: it remembers what a room talks about.
//!
//! ```text
//! cargo run --example own_bot -- 9009
//! ```
//!
//! Whoever comes to that port by the console protocol may say `!topic` or `!topic the weather`, heard by all, or send the
//! command `cmd!topic`, answered to the asker alone. In a room it answers on every other wire of the hub as well.

#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use talk::bot::{Ask, Bot, Bots};
use talk::gateway::{Console, Context, Gateway};
use talk::hub::Hub;
use talk::name::RoomName;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(9009), |port| port.parse())?;
    let (console, serving) = serve(port).await?;
    println!("listening on {console}");
    serving.await;
    Ok(())
}

/// One topic for each room.
#[derive(Debug, Default)]
pub(crate) struct Topic {
    topics: Mutex<HashMap<RoomName, String>>,
}

#[async_trait]
impl Bot for Topic {
    fn word(&self) -> &str {
        "topic"
    }

    async fn answer(&self, ask: &Ask<'_>) -> Option<String> {
        // Rooms are bounded, so these are, too.
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if !ask.argument.is_empty() {
            topics.insert(ask.room.clone(), ask.argument.chars().take(100).collect());
        }
        Some(match topics.get(ask.room) {
            Some(topic) => format!("Topic of {}: {topic}", ask.room),
            None => format!("{} has no topic, {}; choose one: !topic TEXT", ask.room, ask.from),
        })
    }
}

/// A hub with the standard bots and this one, and a way into it.
pub(crate) async fn serve(port: u16) -> Result<(std::net::SocketAddr, impl Future<Output = ()>), Box<dyn Error>> {
    let bots = Bots::standard().with(Topic::default());
    let (ears, answers) = bots.clone().listen();
    let hub = Hub::builder().watch(ears).build().await?;
    let console = Console::bind(&"127.0.0.1".parse()?, port).await?.bots(bots);
    let at = console.local_addr();
    let context = Context::new(hub.clone(), CancellationToken::new());
    Ok((at, async move { tokio::join!(answers.run(&hub), Box::new(console).serve(context)).1 }))
}
