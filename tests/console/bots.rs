//! Bots, as console clients reach them.

use async_trait::async_trait;
use talk::bot::{Ask, Bot, Bots, Way};
use talk::gateway::Console;
use talk::hub::Hub;

use crate::common::console::{Client, Server, message, system, time_flies};

#[derive(Debug)]
struct Mirror;

#[async_trait]
impl Bot for Mirror {
    fn word(&self) -> &str {
        "mirror"
    }

    fn command(&self) -> &str {
        "look"
    }

    async fn answer(&self, ask: &Ask<'_>) -> Option<String> {
        let way = if ask.way == Way::Room { "room" } else { "console" };
        Some(format!("{} in {} of {}: {way} '{}'", ask.from, ask.room, ask.participants, ask.argument))
    }
}

/// A port whose clients, and a hub whose rooms, have these bots.
async fn server(bots: Bots) -> Server {
    time_flies();
    let (ears, answers) = bots.clone().listen();
    let hub = Hub::builder().watch(ears).build().await.unwrap();
    tokio::spawn(answers.run(&hub));
    let port = Console::bind(&"127.0.0.1".parse().unwrap(), 0).await.unwrap();
    Server::of(port.bots(bots), hub)
}

async fn all_hear(clients: &mut [&mut Client], expected: &str) {
    for client in clients {
        assert_eq!(client.raw().await, expected);
    }
}

#[tokio::test]
async fn what_is_asked_aloud_is_answered_aloud_by_the_server() {
    let server = server(Bots::standard()).await;
    let (mut alice, mut bob) = (server.join("alice").await, server.join("bob").await);
    alice.say("!count").await;
    assert_eq!(bob.raw().await, message("alice", "!count"));
    all_hear(&mut [&mut alice, &mut bob], &message("talk", "Participants count: 2")).await;
    alice.say("!rps lizard").await;
    assert_eq!(bob.raw().await, message("alice", "!rps lizard"));
    let again = "Incorrect command format. Please enter again: '!rps option' where option is one of the proposed: rock, scissors, paper";
    all_hear(&mut [&mut alice, &mut bob], &message("talk", again)).await;
}

#[tokio::test]
async fn what_is_asked_by_command_is_answered_to_the_asker_alone() {
    let server = server(Bots::standard().with(Mirror)).await;
    let (mut alice, mut bob) = (server.join("alice").await, server.join("bob").await);
    alice.command("cmd!look:at me").await;
    assert_eq!(alice.raw().await, system("alice", "alice in global of 2: console 'at me'"));
    alice.command("cmd!mirror").await;
    assert_eq!(alice.raw().await, system("alice", "The command: 'cmd!mirror' is not supported by the server"));
    alice.say("!mirror  mirror on the wall ").await;
    // The first that bob hears.
    assert_eq!(bob.raw().await, message("alice", "!mirror  mirror on the wall "));
    all_hear(&mut [&mut alice, &mut bob], &message("talk", "alice in global of 2: room 'mirror on the wall'")).await;
}

#[tokio::test]
async fn without_bots_no_command_is_known() {
    let server = server(Bots::none()).await;
    let mut alice = server.connect().await;
    alice.write(r#"{"username":"alice"}"#).await;
    alice.command("cmd!participants_count").await;
    let told = "The command: 'cmd!participants_count' is not supported by the server";
    assert_eq!(alice.raw().await, system("alice", told));
}
