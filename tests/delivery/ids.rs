//! What is said twice under one id is said once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use talk::hub::Hub;
use talk::limits::Limits;
use talk::message::{Command, Event, Refusal};
use talk::secret::Password;
use talk::store::{AccountStore, MemoryAccounts, MemoryHistory};

use super::kit::*;

fn say_in(name: &str, body: &str, as_id: &str) -> Command {
    Command::Say { room: Some(room(name)), body: body.into(), id: Some(id(as_id)) }
}

#[tokio::test(start_paused = true)]
async fn the_same_again_has_the_same_place_and_anything_else_is_refused() {
    let hub = Hub::new();
    let mut bob = Session::member(&hub, "bob").await;
    let mut ann = Session::member(&hub, "ann").await;
    ann.run(Command::Create(room("den"))).await;
    ann.run(say_in("global", "hi", "1")).await;
    let first = ann.accepted("1").await;
    for _ in 0..3 {
        ann.run(say_in("global", "hi", "1")).await;
        assert_eq!(ann.accepted("1").await, first);
    }
    for other in [say_in("global", "ho", "1"), say_in("den", "hi", "1"), direct("bob", "hi", "1")] {
        ann.run(other).await;
        assert_eq!(ann.refusal("1").await, Refusal::IdReused);
    }
    ann.run(direct("bob", "psst", "2")).await;
    let place = ann.accepted("2").await;
    ann.run(direct("bob", "psst", "2")).await;
    assert_eq!(ann.accepted("2").await, place);
    // Ids are each user's own.
    bob.run(say_in("global", "hi", "1")).await;
    assert_eq!(bob.accepted("1").await.1.seq, first.1.seq + 1);
    // Both of his rooms in the order in which they came.
    let mut again = bob.again(&hub).await;
    let epoch = first.1.epoch.clone();
    again.run(resume(global(), &epoch, 0)).await;
    assert_eq!(again.recovered().await.0.len(), 2, "each was said once");
}

#[tokio::test(start_paused = true)]
async fn two_sessions_of_one_user_say_a_thing_once_between_them() {
    let history = Moody::new(&Limits::default());
    history.slow.store(30, Ordering::SeqCst);
    let hub = hub_over(history, &Limits::default()).await;
    let mut bob = Session::member(&hub, "bob").await;
    let mut one = Session::member(&hub, "ann").await;
    let mut two = Session::open(&hub, one.token.clone()).await;
    two.enter().await;
    for n in 0..100 {
        let n = n.to_string();
        let (first, second) = tokio::join!(one.seat.run(say_as(&n, &n)), two.seat.run(say_as(&n, &n)));
        first.unwrap();
        second.unwrap();
    }
    for n in 0..100 {
        let n = n.to_string();
        assert_eq!(one.accepted(&n).await, two.accepted(&n).await);
    }
    assert_eq!(bob.said().await.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_used_in_one_of_two_rooms_at_the_same_moment() {
    let history = Moody::new(&Limits::default());
    history.slow.store(30, Ordering::SeqCst);
    let hub = hub_over(history, &Limits::default()).await;
    let mut ann = Session::member(&hub, "ann").await;
    ann.run(Command::Create(room("den"))).await;
    for n in 0..50 {
        let n = n.to_string();
        ann.run(say_in("global", "hi", &n)).await;
        ann.run(say_in("den", "hi", &n)).await;
        ann.run(direct("ann", "hi", &n)).await;
    }
    let (mut accepted, mut refused, mut heard) = (vec![0; 50], vec![0; 50], 0);
    for event in ann.rest().await {
        match event {
            Event::Accepted { id, .. } => accepted[id.as_str().parse::<usize>().unwrap()] += 1,
            Event::Refused { why, id } => {
                assert_eq!(why, Refusal::IdReused);
                refused[id.unwrap().as_str().parse::<usize>().unwrap()] += 1;
            }
            Event::Message(_) => heard += 1,
            _ => {}
        }
    }
    assert_eq!((accepted, refused, heard), (vec![1; 50], vec![2; 50], 50));
}

#[tokio::test(start_paused = true)]
async fn an_id_is_known_to_the_next_hub_over_the_same_stores() {
    let limits = Limits::default();
    let history = Arc::new(MemoryHistory::new(&limits));
    let accounts: Arc<dyn AccountStore> = Arc::new(MemoryAccounts::new(&limits));
    let password = Password::new("correct horse").unwrap();
    let mut places = Vec::new();
    for _ in 0..2 {
        let hub = Hub::builder().history(history.clone()).accounts(accounts.clone()).build().await.unwrap();
        let token = hub.sign_in(&nick("ann"), &password).await.unwrap();
        let mut ann = Session::open(&hub, token).await;
        ann.enter().await;
        ann.run(say_as("hi", "1")).await;
        places.push(ann.accepted("1").await);
        ann.run(say_as("ho", "1")).await;
        assert_eq!(ann.refusal("1").await, Refusal::IdReused);
        drop(ann);
        hub.stop();
        hub.drained().await;
    }
    assert_eq!(places[0], places[1]);
}

#[tokio::test(start_paused = true)]
async fn an_id_whose_message_was_not_kept_is_free() {
    let history = Moody::new(&Limits::default());
    let hub = hub_over(history.clone(), &Limits::default()).await;
    let mut ann = Session::member(&hub, "ann").await;
    for broken in [&history.full, &history.down] {
        broken.store(true, Ordering::SeqCst);
        for body in ["hi", "ho"] {
            ann.run(say_as(body, "1")).await;
            assert_eq!(ann.refusal("1").await, Refusal::Unavailable);
        }
        broken.store(false, Ordering::SeqCst);
    }
    ann.run(say_as("at last", "1")).await;
    assert_eq!(ann.accepted("1").await.1.seq, 1);
}
