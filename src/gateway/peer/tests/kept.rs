//! What a peer was told is taken reaches the room, whatever becomes of its membership meanwhile.

use std::time::Duration;

use super::stage::{Confirmed, Fate, HERE, Sitting, Stage};
use crate::address::Protocol;
use crate::limits::Limits;

/// Bob, a member over HTTP, two of whose messages are confirmed and on their way; and Ann, who hears the room.
async fn on_the_way() -> (Stage, Sitting, [Confirmed; 2]) {
    let stage = Stage::new().await;
    stage.register("bob", Protocol::HTTP, HERE, 9001).await;
    let mut ann = stage.sit("ann", "lobby").await;
    stage.http.speak("bob", "hi", HERE).await.unwrap();
    ann.expect(&["+bob", "bob: hi"]).await;
    let one = stage.http.confirm("bob", "one", HERE).await.unwrap();
    let two = stage.http.confirm("bob", "two", HERE).await.unwrap();
    (stage, ann, [one, two])
}

#[tokio::test(start_paused = true)]
async fn what_was_confirmed_is_said_although_the_entry_went() {
    let (mut stage, mut ann, [one, two]) = on_the_way().await;
    stage.remove("bob", None).await;
    ann.expect(&["-bob"]).await;
    one.arrive().await;
    two.arrive().await;
    ann.expect(&["+bob", "bob: one", "bob: two", "-bob"]).await;
    // It came in for that alone.
    ann.say("gone").await;
    ann.expect(&["ann: gone"]).await;
    ann.expect_silence(Duration::from_secs(60)).await;
    stage.expect_nothing_sent().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_confirmed_is_said_although_too_many_sends_failed() {
    let (mut stage, mut ann, [one, two]) = on_the_way().await;
    stage.http.set(Fate::Fails);
    for number in 1..=3 {
        ann.say(&number.to_string()).await;
        ann.expect(&[&format!("ann: {number}")]).await;
        stage.next_sent().await;
    }
    ann.expect(&["-bob"]).await;
    stage.http.set(Fate::Delivered);
    one.arrive().await;
    ann.expect(&["+bob", "bob: one"]).await;
    two.arrive().await;
    ann.expect(&["bob: two"]).await;
    // It is a member as after any message.
    ann.say("welcome back").await;
    assert_eq!(stage.next_sent().await.2, "ann: welcome back");
}

#[tokio::test(start_paused = true)]
async fn what_was_confirmed_is_said_although_the_peer_moved_and_goes_nowhere_else() {
    let (mut stage, mut ann, [one, two]) = on_the_way().await;
    stage.register("bob", Protocol::HTTP, HERE, 9002).await;
    stage.http.speak("bob", "moved", HERE).await.unwrap();
    one.arrive().await;
    ann.expect(&["-bob", "+bob", "bob: moved", "bob: one"]).await;
    two.arrive().await;
    ann.expect(&["bob: two"]).await;
    ann.say("where?").await;
    assert_eq!(stage.next_sent().await.0, 9002);
    stage.expect_nothing_sent().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_is_to_prove_their_address_says_it_and_is_sent_nothing() {
    let mut stage = Stage::empty(&Limits::default());
    stage.open("lobby=lobby@udp:8090").await;
    stage.register("bob", Protocol::UDP, HERE, 9001).await;
    let mut ann = stage.sit("ann", "lobby").await;
    stage.udp.speak("bob", "hi", HERE).await.unwrap_err();
    ann.expect(&["+bob", "bob: hi"]).await;
    stage.next_sent().await;
    let one = stage.udp.confirm("bob", "one", HERE).await.unwrap();
    ann.expect_silence(Duration::from_secs(599)).await;
    ann.expect(&["-bob"]).await;
    one.arrive().await;
    ann.expect(&["+bob", "bob: one", "-bob"]).await;
    ann.say("gone").await;
    ann.expect(&["ann: gone"]).await;
    stage.expect_nothing_sent().await;
}
