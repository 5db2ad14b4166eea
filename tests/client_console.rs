//! The client of console chat against our own server, over real sockets.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::console::Server;
use common::gate::Gate;
use common::listener::Listener;
use common::programs::free_port;
use talk::client::console::Options;
use talk::client::{Ability, Ask, Ended, Event, Happened, Place, Refused, State};
use talk::hub::Hub;
use talk::name::Nickname;
use talk::secret::Password;

fn by_itself(port: u16, name: &str) -> Options {
    Options::new("127.0.0.1", port, name)
}

/// A client that is there: asking for the count is answered when it is.
async fn user(port: u16, name: &str) -> Listener {
    let mut user = Listener::of(by_itself(port, name).connect().unwrap());
    assert_eq!(user.connected().await, (Some(name.into()), None));
    count(&mut user).await;
    user
}

/// How many are there.
async fn count(user: &mut Listener) -> Vec<String> {
    user.client.ask(Ask::Users { room: None }).await.unwrap();
    match user.until(|event| matches!(event, Event::Users { .. })).await {
        Event::Users { room: None, names } => names,
        other => panic!("{other:?}"),
    }
}

async fn notice(user: &mut Listener) -> String {
    match user.until(|event| matches!(event, Event::Notice(_))).await {
        Event::Notice(text) => text,
        other => panic!("{other:?}"),
    }
}

async fn own(user: &Listener, command: &str) {
    user.client.ask(Ask::Own { command: command.into() }).await.unwrap();
}

#[tokio::test]
async fn two_clients_meet_and_one_hears_the_other_leave() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (user(server.port, "ann").await, user(server.port, "bob").await);
    let id = ann.say("hello, bob").await;
    let heard = bob.message().await;
    assert_eq!((heard.from.as_str(), &*heard.text, heard.own, heard.id), ("ann", "hello, bob", false, None));
    assert_eq!(heard.place, Place::Open);
    assert_eq!(ann.states_of(&id, &State::Sent).await, [State::Queued, State::Sent]);
    // Nobody else tells her what she said.
    let own = ann.until(|event| matches!(event, Event::Message(_))).await;
    assert!(
        matches!(&own, Event::Message(own) if own.own && own.id == Some(id) && own.from == "ann" && &*own.text == "hello, bob")
    );
    bob.say("hello, ann").await;
    assert_eq!(&*ann.message().await.text, "hello, ann");
    assert_eq!(ann.leave().await, Ended::Left { unsettled: 0 });
    let left = bob.until(|event| matches!(event, Event::Happened { .. })).await;
    assert_eq!(left, Event::Happened { room: None, user: "ann".into(), what: Happened::Left });
}

#[tokio::test]
async fn what_is_asked_is_answered() {
    let server = Server::start().await;
    let mut ann = user(server.port, "ann").await;
    let mut bob = user(server.port, "bob").await;
    assert_eq!(count(&mut ann).await, ["2"]);
    own(&ann, "current_time").await;
    assert!(notice(&mut ann).await.starts_with("Current time: "));
    own(&ann, "cmd!start_game:rock").await;
    assert!(notice(&mut ann).await.contains("your option rock"));
    own(&ann, "participants_count").await;
    assert_eq!(notice(&mut ann).await, "Participants count: 2");
    own(&ann, "nope").await;
    assert_eq!(notice(&mut ann).await, "The command: 'cmd!nope' is not supported by the server");
    assert!(ann.client.can(Ability::Own) && !ann.client.can(Ability::Direct) && !ann.client.can(Ability::Rooms));
    assert_eq!(ann.client.say(Some("bob"), "psst").await, Err(Refused::Unsupported));
    assert_eq!(ann.client.ask(Ask::Rooms).await, Err(Refused::Unsupported));
    // As people leave who are used to it: what was typed before is said, and the answer heard.
    let last = ann.say("bye").await;
    own(&ann, "current_time").await;
    own(&ann, "cmd!client_exit").await;
    assert_eq!(ann.ended().await, Ended::Left { unsettled: 0 });
    ann.until_state(&last, &State::Sent).await;
    assert!(ann.heard.iter().rev().any(|event| matches!(event, Event::Notice(text) if text.starts_with("Current"))));
    assert_eq!(&*bob.message().await.text, "bye");
    assert_eq!(bob.until(|event| matches!(event, Event::Happened { .. })).await, gone("ann"));
}

fn gone(user: &str) -> Event {
    Event::Happened { room: None, user: user.into(), what: Happened::Left }
}

#[tokio::test]
async fn a_long_text_arrives_whole_and_in_order() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (user(server.port, "ann").await, user(server.port, "bob").await);
    let long: String = (0..700).map(|n| format!("{n} ж\"👋\\\n")).collect();
    let id = ann.say(&long).await;
    ann.say("end").await;
    let mut heard = String::new();
    loop {
        match bob.message().await.text.as_ref() {
            "end" => break,
            text => heard.push_str(text),
        }
    }
    assert_eq!(heard, long.replace('\n', " "));
    let own = ann.until(|event| matches!(event, Event::Message(own) if own.id.as_ref() == Some(&id))).await;
    assert!(matches!(own, Event::Message(own) if *own.text == *heard), "it is told once, and whole");
    let longest = "x".repeat(ann.client.longest());
    let id = ann.say(&longest).await;
    ann.until_state(&id, &State::Sent).await;
    assert_eq!(ann.client.say(None, &format!("{longest}x")).await, Err(Refused::Length(16 * 1024)));
}

#[tokio::test]
async fn whoever_leaves_at_once_has_all_of_it_said() {
    let server = Server::start().await;
    let mut bob = user(server.port, "bob").await;
    let mut ann = Listener::of(by_itself(server.port, "ann").connect().unwrap());
    // Longer than a goodbye may take, had it to be said in one go.
    let texts: Vec<_> = (0..40).map(|n| n.to_string()).chain(["\"".repeat(16 * 1024)]).collect();
    for text in &texts {
        ann.say(text).await;
    }
    assert_eq!(ann.leave().await, Ended::Left { unsettled: 0 });
    bob.until(|event| *event == gone("ann")).await;
    let heard = bob.heard.iter().filter_map(|event| match event {
        Event::Message(message) => Some(message.text.to_string()),
        _ => None,
    });
    let heard: Vec<_> = heard.collect();
    assert_eq!((&heard[..40], heard[40..].concat()), (&texts[..40], texts[40].clone()));
}

#[tokio::test]
async fn names_are_not_alone_and_accounts_have_secrets() {
    let hub = Hub::new();
    let secret = || Password::new("correct horse battery").unwrap();
    hub.sign_in(&Nickname::new("zoe").unwrap(), &secret()).await.unwrap();
    common::console::time_flies();
    let server = Server::over(hub).await;
    let (mut one, mut two) = (user(server.port, "ann").await, user(server.port, "ann").await);
    one.say("one").await;
    assert_eq!(two.message().await.from, "ann");
    two.say("two").await;
    assert_eq!(one.message().await.from, "ann#2");
    let mut zoe = Listener::of(by_itself(server.port, "zoe").secret(secret()).connect().unwrap());
    zoe.connected().await;
    count(&mut zoe).await;
    zoe.say("it is me").await;
    assert_eq!(one.message().await.from, "zoe");
    // The server closes the connection without a word.
    for name in ["Server", "a: b", "a#2"] {
        let mut bad = Listener::of(by_itself(server.port, name).connect().unwrap());
        assert!(matches!(bad.ended().await, Ended::Refused(reason) if reason.contains("another name")), "{name}");
        assert_eq!(bad.client.say(None, "x").await, Err(Refused::Ended));
    }
}

#[tokio::test]
async fn a_cut_is_told_and_what_is_typed_meanwhile_goes_out_in_order() {
    let server = Server::start().await;
    let gate = Gate::before(server.port).await;
    let (mut ann, mut bob) = (user(gate.port, "ann").await, user(server.port, "bob").await);
    for round in 0..3 {
        gate.shut();
        let lost = ann.until(|event| matches!(event, Event::Lost { .. })).await;
        assert!(matches!(&lost, Event::Lost { reason, .. } if !reason.is_empty()), "{lost:?}");
        own(&ann, "current_time").await;
        let refused = ann.until(|event| matches!(event, Event::Refused { .. })).await;
        assert!(matches!(refused, Event::Refused { code: Some(code), .. } if code == "offline"));
        let expected: Vec<_> = (0..5).map(|n| format!("{round} {n}")).collect();
        for text in &expected {
            ann.say(text).await;
        }
        gate.open();
        assert_eq!(ann.connected().await, (Some("ann".into()), None));
        let mut heard = Vec::new();
        while heard.len() < 5 {
            heard.push(bob.message().await.text.to_string());
        }
        assert_eq!(heard, expected);
        // What was said this moment might be said again.
        common::clock::passes(Duration::from_secs(6)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for_unless_once_is_enough() {
    let port = free_port();
    common::console::time_flies();
    let mut ann = Listener::of(by_itself(port, "ann").connect().unwrap());
    ann.until(|event| matches!(event, Event::Lost { .. })).await;
    ann.client.leave().await;
    assert_eq!(ann.ended().await, Ended::Left { unsettled: 0 });
    let mut ann = Listener::of(by_itself(port, "ann").once().connect().unwrap());
    assert!(matches!(ann.ended().await, Ended::Lost(_)));
}
