//! A nickname that is just being left: whoever gets it is not there before everybody has heard of it.
#![allow(clippy::unwrap_used)]

#[path = "common/slow_accounts.rs"]
mod slow_accounts;

#[path = "common/clock.rs"]
mod clock;

use std::sync::Arc;
use std::time::Duration;

use slow_accounts::SlowAccounts;
use talk::hub::Hub;
use talk::message::{Command, Event};
use talk::name::{Nickname, RoomName};

#[tokio::test(start_paused = true)]
async fn a_name_is_not_heard_of_two_while_one_leaves_it() {
    let accounts = Arc::new(SlowAccounts::default());
    let hub = Hub::builder().accounts(accounts.clone()).build().await.unwrap();
    let (mut bob, mut heard) = hub.sit("bob").await.unwrap();
    let (mut ann, _ann) = hub.sit("ann").await.unwrap();
    for seat in [&mut bob, &mut ann] {
        seat.run(Command::Enter(RoomName::global())).await.unwrap();
    }
    let say = |body: &str| Command::Say { room: None, body: body.into(), id: None };
    ann.run(say("before")).await.unwrap();
    let renaming = tokio::spawn(async move {
        ann.run(Command::Rename(Nickname::new("anna").unwrap())).await.unwrap();
        ann.run(say("after")).await.unwrap();
        ann
    });
    accounts.done.notified().await;
    // The store has given the name up. Somebody wants it at once.
    let (coming, said) = (hub.clone(), say("I am the heir"));
    let heir = tokio::spawn(async move {
        let (mut heir, events) = coming.sit("ann").await.unwrap();
        heir.run(Command::Enter(RoomName::global())).await.unwrap();
        heir.run(said).await.unwrap();
        (heir, events)
    });
    // Time stands until nobody can do anything more.
    clock::passes(Duration::from_secs(1)).await;
    accounts.tell.notify_one();
    let mut lines = Vec::new();
    while lines.len() < 7 {
        lines.push(match heard.next().await.unwrap() {
            Event::Joined { user, .. } => format!("{user} joined"),
            Event::Renamed { old, new, .. } => format!("{old} is now {new}"),
            Event::Message(post) => format!("{}: {}", post.record.from, post.record.body),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(lines[..4], ["bob joined", "ann joined", "ann: before", "ann is now anna"], "{lines:?}");
    let mut rest = lines[4..].to_vec();
    rest.sort_unstable();
    assert_eq!(rest, ["ann joined", "ann: I am the heir", "anna: after"]);
    drop((renaming.await.unwrap(), heir.await.unwrap()));
}
