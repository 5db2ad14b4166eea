//! A bot in a room: it takes a seat in the hub itself, without a socket, while others come over theirs.
//!
//! ```text
//! cargo run --example bot -- 7000
//! ```
//!
//! Whoever enters `global` of that room server is greeted; `!time` and `!count` are answered.

#![allow(clippy::print_stdout)]

use std::error::Error;

use talk::gateway::{RoomServer, http};
use talk::hub::{Heard, Hub, Seat};
use talk::message::{Command, Event, Refusal, Timestamp};
use talk::name::RoomName;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(7000), |port| port.parse())?;
    let hub = Hub::new();
    let (seat, heard) = enter(&hub).await?;
    tokio::spawn(attend(seat, heard));
    let server = RoomServer::bind(&"127.0.0.1".parse()?, port, http::service(hub)).await?;
    println!("listening on {}", server.local_addr());
    server.serve(std::future::pending()).await;
    Ok(())
}

pub(crate) async fn enter(hub: &Hub) -> Result<(Seat, Heard), Refusal> {
    let (mut seat, heard) = hub.sit("clock").await?;
    seat.run(Command::Enter(RoomName::global())).await?;
    Ok((seat, heard))
}

/// Answers until the hub stops. A room never waits for its members: who is slower than its talk is cut, a bot too.
pub(crate) async fn attend(mut seat: Seat, mut heard: Heard) -> Result<(), Refusal> {
    let me = seat.name().ok_or(Refusal::Over)?;
    let mut count = 0;
    while let Some(event) = heard.next().await {
        let body = match event {
            Event::Joined { user, .. } if user != me => format!("welcome, {user}"),
            // It hears itself as everybody does.
            Event::Message(post) if post.record.from.as_ref() != me.as_str() => {
                count += 1;
                match &*post.record.body {
                    "!time" => clock(post.record.at),
                    "!count" => format!("{count} since I came"),
                    _ => continue,
                }
            }
            Event::Closing(_) => break,
            _ => continue,
        };
        seat.run(Command::Say { room: None, body: body.into(), id: None }).await?;
    }
    Ok(())
}

/// The time of day in UTC.
fn clock(at: Timestamp) -> String {
    let seconds = at.as_millis() / 1000 % 86_400;
    format!("it is {:02}:{:02}:{:02} UTC", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
