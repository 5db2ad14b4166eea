//! What is said to one who is away waits, within bounds, and goes with them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use talk::hub::{Hub, Lifetime};
use talk::limits::Limits;
use talk::message::{Command, Refusal};
use talk::secret::Password;

use super::kit::*;

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

async fn say_to_bob(ann: &mut Session, range: std::ops::Range<usize>) {
    for n in numbers(range.clone()) {
        ann.run(direct("bob", &n, &n)).await;
    }
    for n in numbers(range) {
        ann.accepted(&n).await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_comes_in_order_until_it_is_confirmed() {
    for count in [3, 40, 700] {
        let hub = Hub::with_limits(&many_from_one());
        let mut ann = Session::guest(&hub, "ann").await;
        let bob = Session::guest(&hub, "bob").await;
        let token = bob.drop_hard();
        say_to_bob(&mut ann, 0..count).await;
        let mut bob = Session::open(&hub, token).await;
        assert_eq!(bob.said().await, numbers(0..count));
        let mut bob = bob.again(&hub).await;
        assert_eq!(bob.said().await, numbers(0..count), "nothing was confirmed");
        bob.run(Command::Received { room: bob.own(), seq: 2 }).await;
        let mut bob = bob.again(&hub).await;
        assert_eq!(bob.said().await, numbers(2..count));
        bob.run(Command::Received { room: bob.own(), seq: u64::MAX }).await;
        let mut bob = bob.again(&hub).await;
        assert!(bob.said().await.is_empty());
        say_to_bob(&mut ann, 900..901).await;
        assert_eq!(bob.said().await, ["900"], "nobody confirms what was not said");
        assert_eq!(bob.again(&hub).await.said().await, ["900"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_hears_it_at_the_next_sign_in() {
    let hub = Hub::new();
    let password = Password::new("correct horse").unwrap();
    let mut ann = Session::guest(&hub, "ann").await;
    let token = hub.sign_in(&nick("bob"), &password).await.unwrap();
    drop(Session::open_for(&hub, token, Lifetime::Session).await);
    say_to_bob(&mut ann, 0..5).await;
    tokio::time::advance(Duration::from_secs(3 * 24 * 3600)).await;
    hub.tend().await.unwrap();
    let token = hub.sign_in(&nick("bob"), &password).await.unwrap();
    assert_eq!(Session::open(&hub, token).await.said().await, numbers(0..5));
}

#[tokio::test(start_paused = true)]
async fn one_who_comes_while_it_is_on_its_way_hears_it_once() {
    let history = Moody::new(&Limits::default());
    history.slow.store(50, Ordering::SeqCst);
    let hub = hub_over(history, &Limits::default()).await;
    let mut ann = Session::guest(&hub, "ann").await;
    let mut bob = Session::guest(&hub, "bob").await;
    let mut dice = Dice::new(1);
    for round in 0..40 {
        bob.run(Command::Received { room: bob.own(), seq: u64::MAX }).await;
        let token = bob.drop_hard();
        let mut expected = Vec::new();
        for n in 0..3 {
            let text = format!("{round} {n}");
            ann.run(direct("bob", &text, &text)).await;
            expected.push(text);
            crate::clock::passes(Duration::from_millis(dice.below(60))).await;
        }
        bob = Session::open(&hub, token).await;
        assert_eq!(bob.said().await, expected, "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn so_much_waits_and_no_more() {
    let mut limits = Limits::default();
    // A quarter for each author.
    limits.offline_messages = 40;
    let history = Moody::new(&limits);
    history.slow.store(50, Ordering::SeqCst);
    let hub = hub_over(history, &limits).await;
    let mut ann = Session::guest(&hub, "ann").await;
    let bob = Session::guest(&hub, "bob").await;
    let token = bob.drop_hard();
    for n in numbers(0..30) {
        ann.run(direct("bob", &n, &n)).await;
    }
    for n in numbers(0..10) {
        ann.accepted(&n).await;
    }
    for n in numbers(10..30) {
        assert_eq!(ann.refusal(&n).await, Refusal::Full);
    }
    // A repetition is no other message; and what was refused may be said again.
    ann.run(direct("bob", "3", "3")).await;
    assert_eq!(ann.accepted("3").await.1.seq, 4);
    let mut bob = Session::open(&hub, token).await;
    assert_eq!(bob.said().await, numbers(0..10));
    say_to_bob(&mut ann, 10..30).await;
    assert_eq!(bob.said().await, numbers(10..30), "one who is here takes what comes");
    bob.run(Command::Received { room: bob.own(), seq: 25 }).await;
    let token = bob.drop_hard();
    say_to_bob(&mut ann, 30..35).await;
    ann.run(direct("bob", "x", "x")).await;
    assert_eq!(ann.refusal("x").await, Refusal::Full);
    assert_eq!(Session::open(&hub, token).await.said().await, numbers(25..35));
}

#[tokio::test(start_paused = true)]
async fn another_guest_of_the_name_hears_nothing_of_it() {
    let hub = Hub::new();
    let mut ann = Session::guest(&hub, "ann").await;
    drop(Session::guest(&hub, "bob").await);
    say_to_bob(&mut ann, 0..5).await;
    tokio::time::advance(Duration::from_secs(601)).await;
    ann.run(direct("ann", "x", "x")).await;
    let gone = ann.refused(direct("bob", "x", "gone")).await;
    assert_eq!(gone, Refusal::NoUser("bob".into()));
    let mut bob = Session::guest(&hub, "bob").await;
    hub.tend().await.unwrap();
    assert!(bob.said().await.is_empty());
    say_to_bob(&mut ann, 5..6).await;
    let post = bob.post().await;
    assert_eq!((post.record.seq, post.record.prev, &*post.record.body), (1, 0, "5"));
}
