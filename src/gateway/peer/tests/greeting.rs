//! Over UDP nobody is sent anything but a short word before they acknowledged one.

use std::time::Duration;

use super::stage::{ELSEWHERE, Fate, HERE, Sitting, Stage, ip, user};
use crate::address::Protocol;
use crate::limits::Limits;
use crate::transport::Turned;

const MINUTE: Duration = Duration::from_secs(60);

/// A room by UDP that Ann hears; Bob is registered by UDP, and did not speak by a connection.
async fn stage(limits: &Limits) -> (Stage, Sitting) {
    let mut stage = Stage::empty(limits);
    stage.open("lobby=lobby@udp:8090").await;
    stage.register("bob", Protocol::UDP, HERE, 9001).await;
    let ann = stage.sit("ann", "lobby").await;
    (stage, ann)
}

fn hello() -> (u16, String, String) {
    (9001, "lobby".into(), "system: hello".into())
}

fn is_later(answer: &Result<(), Turned>) -> bool {
    matches!(answer, Err(Turned::Later(_)))
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_over_udp_is_sent_one_short_word_and_nothing_of_the_room_until_it_acknowledged_that() {
    let (mut stage, mut ann) = stage(&Limits::default()).await;
    stage.udp.set(Fate::Fails);
    assert!(is_later(&stage.udp.speak_by_id("bob", "hi", HERE).await));
    let long = "x".repeat(10_000);
    ann.say(&long).await;
    ann.expect(&[&format!("ann: {long}")]).await;
    assert_eq!(stage.next_sent().await, hello());
    stage.expect_nothing_sent().await;
    ann.expect_silence(MINUTE).await;
    stage.udp.set(Fate::Delivered);
    assert!(is_later(&stage.udp.speak_by_id("bob", "hi", HERE).await), "not confirmed before it acknowledged");
    assert_eq!(stage.next_sent().await, hello());
    ann.expect(&["+bob"]).await;
    stage.udp.speak_by_id("bob", "hi", HERE).await.unwrap();
    ann.expect(&["bob: hi"]).await;
    ann.say("welcome").await;
    assert_eq!(stage.next_sent().await.2, "ann: welcome");
    ann.expect(&["ann: welcome"]).await;
    ann.expect_silence(MINUTE).await;
    stage.expect_nothing_sent().await;
}

#[tokio::test(start_paused = true)]
async fn what_it_says_without_an_id_is_kept_until_then_and_said_once_in_its_order() {
    let (mut stage, mut ann) = stage(&Limits::default()).await;
    for text in ["one", "two", "three"] {
        assert!(is_later(&stage.udp.speak("bob", text, HERE).await));
    }
    assert_eq!(stage.next_sent().await, (9001, "lobby".into(), String::new()), "no longer than it must be");
    ann.expect(&["+bob", "bob: one", "bob: two", "bob: three"]).await;
    stage.udp.speak("bob", "four", HERE).await.unwrap();
    ann.expect(&["bob: four"]).await;
    stage.expect_nothing_sent().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_of_somebody_who_is_not_there_is_not_much_and_never_said() {
    let (mut stage, mut ann) = stage(&Limits::default()).await;
    stage.udp.set(Fate::Fails);
    for number in 0..50 {
        assert!(is_later(&stage.udp.speak("bob", &number.to_string(), HERE).await));
    }
    stage.next_sent().await;
    ann.expect_silence(MINUTE).await;
    stage.expect_nothing_sent().await;
    stage.udp.set(Fate::Delivered);
    for number in 0..50 {
        assert!(is_later(&stage.udp.speak("bob", &number.to_string(), HERE).await));
    }
    let said: Vec<_> = (0..4).map(|number| format!("bob: {number}")).collect();
    ann.expect(&["+bob"]).await;
    ann.expect(&said.iter().map(String::as_str).collect::<Vec<_>>()).await;
    ann.expect_silence(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn three_words_in_vain_and_it_is_refused_for_ten_minutes() {
    let (mut stage, mut ann) = stage(&Limits::default()).await;
    stage.udp.set(Fate::Fails);
    for _ in 0..3 {
        assert!(is_later(&stage.udp.speak_by_id("bob", "hi", HERE).await));
        assert_eq!(stage.next_sent().await, hello());
        stage.expect_nothing_sent().await;
    }
    stage.udp.set(Fate::Delivered);
    assert!(matches!(stage.udp.speak_by_id("bob", "hi", HERE).await, Err(Turned::Away(_))));
    stage.expect_nothing_sent().await;
    ann.expect_silence(10 * MINUTE).await;
    assert!(is_later(&stage.udp.speak_by_id("bob", "hi", HERE).await));
    assert_eq!(stage.next_sent().await, hello());
    ann.expect(&["+bob"]).await;
    // Once it acknowledged, it is like others: three failures in a row end it.
    stage.udp.set(Fate::Fails);
    for number in 1..=3 {
        ann.say(&number.to_string()).await;
        ann.expect(&[&format!("ann: {number}")]).await;
        assert_eq!(stage.next_sent().await.2, format!("ann: {number}"));
    }
    ann.expect(&["-bob"]).await;
}

#[tokio::test(start_paused = true)]
async fn each_membership_needs_its_own_acknowledgement() {
    let (mut stage, mut ann) = stage(&Limits::default()).await;
    assert!(is_later(&stage.udp.speak("bob", "hi", HERE).await));
    stage.next_sent().await;
    ann.expect(&["+bob", "bob: hi"]).await;
    ann.expect_silence(9 * MINUTE).await;
    ann.expect(&["-bob"]).await;
    stage.udp.set(Fate::Fails);
    assert!(is_later(&stage.udp.speak("bob", "hi again", HERE).await));
    assert_eq!(stage.next_sent().await.2, "");
    ann.say("gone").await;
    ann.expect(&["ann: gone"]).await;
    ann.expect_silence(MINUTE).await;
    stage.expect_nothing_sent().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_spoke_to_the_registry_from_there_has_to_acknowledge_too_but_is_never_refused_for_not_doing_so() {
    let (mut stage, mut ann) = stage(&Limits::default()).await;
    stage.spoken.note(&user("bob"), ip(HERE));
    stage.udp.set(Fate::Fails);
    for _ in 0..10 {
        assert!(is_later(&stage.udp.speak_by_id("bob", "hi", HERE).await));
        assert_eq!(stage.next_sent().await, hello());
        stage.expect_nothing_sent().await;
    }
    ann.say("nobody").await;
    ann.expect(&["ann: nobody"]).await;
    stage.udp.set(Fate::Delivered);
    assert!(is_later(&stage.udp.speak_by_id("bob", "hi", HERE).await));
    ann.expect(&["+bob"]).await;
    assert_eq!(stage.next_sent().await, hello());
    stage.expect_nothing_sent().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_has_many_names_does_not_keep_others_from_being_greeted() {
    let (mut stage, mut ann) = stage(&Limits::default()).await;
    stage.udp.set(Fate::Hangs);
    for number in 0..100 {
        let name = format!("eve-{number}");
        stage.register(&name, Protocol::UDP, ELSEWHERE, 9002).await;
        stage.spoken.note(&user(&name), ip(ELSEWHERE));
        assert!(is_later(&stage.udp.speak_by_id(&name, "hi", ELSEWHERE).await));
    }
    for _ in 0..16 {
        assert_eq!(stage.next_sent().await.0, 9002);
    }
    stage.expect_nothing_sent().await;
    stage.udp.set(Fate::Delivered);
    assert!(is_later(&stage.udp.speak_by_id("bob", "hi", HERE).await));
    assert_eq!(stage.next_sent().await, hello());
    ann.expect(&["+bob"]).await;
}

#[tokio::test(start_paused = true)]
async fn however_many_strangers_come_only_some_are_greeted_in_all_rooms_together() {
    let (mut stage, _ann) = stage(&Limits::default()).await;
    let door = stage.udp.clone();
    for number in 0..100 {
        let name = format!("new-{number}");
        stage.register(&name, Protocol::UDP, HERE, 9001).await;
        assert!(is_later(&door.speak_by_id(&name, "hi", HERE).await));
    }
    stage.register("cid", Protocol::UDP, HERE, 9002).await;
    stage.spoken.note(&user("cid"), ip(HERE));
    assert!(is_later(&door.speak_by_id("cid", "hi", HERE).await));
    stage.open("den=den@udp:8091").await;
    for number in 0..100 {
        assert!(is_later(&stage.udp.speak_by_id(&format!("new-{number}"), "hi", HERE).await));
    }
    let mut greeted = Vec::new();
    while let Ok(sent) = tokio::time::timeout(Duration::from_millis(100), stage.sent.recv()).await {
        greeted.push(sent.unwrap().0.address);
    }
    assert_eq!(greeted.len(), 6, "{greeted:?}");
    assert!(greeted[5].to_string().ends_with(":9002"), "a stranger is nobody who was heard of: {greeted:?}");
    #[cfg(feature = "server")]
    assert_eq!(stage.peers.greetings().dropped, 195);
}
