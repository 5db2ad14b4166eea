//! Members come and go.

use std::time::Duration;

use super::stage::{ELSEWHERE, Fate, HERE, Stage, user, v1};
use crate::address::{Features, Protocol};
use crate::limits::Limits;
use crate::message::{Command, Event, MessageId, Moderation};
use crate::name::{Nickname, RoomName};
use crate::store::RegistryStore;
use crate::transport::Turned;

const MINUTE: Duration = Duration::from_secs(60);
/// Not on this machine: guests from there are known by their address.
const AFAR: &str = "192.0.2.7";

/// Bob, over HTTP, and Ann, who sits in the room: both have been heard, and what Ann says reaches Bob.
async fn bob_and_ann() -> (Stage, super::stage::Sitting) {
    let stage = Stage::new().await;
    stage.register("bob", Protocol::HTTP, HERE, 9001).await;
    let mut ann = stage.sit("ann", "lobby").await;
    stage.http.speak("bob", "hi", HERE).await.unwrap();
    ann.expect(&["+bob", "bob: hi"]).await;
    (stage, ann)
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_a_member_from_its_first_message_on_and_does_not_hear_itself() {
    let (mut stage, mut ann) = bob_and_ann().await;
    ann.say("hello").await;
    ann.expect(&["ann: hello"]).await;
    assert_eq!(stage.next_sent().await, (9001, "lobby".into(), "ann: hello".into()));
    stage.http.speak("bob", "and again", HERE).await.unwrap();
    ann.expect(&["bob: and again"]).await;
    stage.expect_nothing_sent().await;
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_of_silence_end_it_and_every_message_begins_them_anew() {
    let (mut stage, mut ann) = bob_and_ann().await;
    ann.expect_silence(9 * MINUTE).await;
    stage.http.speak("bob", "still here", HERE).await.unwrap();
    ann.expect(&["bob: still here"]).await;
    let since = tokio::time::Instant::now();
    ann.say("what others say does not count").await;
    ann.expect(&["ann: what others say does not count", "-bob"]).await;
    let silence = since.elapsed();
    assert!(silence >= 10 * MINUTE && silence < 10 * MINUTE + Duration::from_secs(2), "{silence:?}");
    stage.next_sent().await;
    ann.say("gone").await;
    stage.expect_nothing_sent().await;
    stage.http.speak("bob", "back", HERE).await.unwrap();
    ann.expect(&["ann: gone", "+bob", "bob: back"]).await;
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_entry() {
    let (mut stage, mut ann) = bob_and_ann().await;
    stage.remove("bob", None).await;
    ann.expect(&["-bob"]).await;
    ann.say("gone").await;
    stage.expect_nothing_sent().await;
    assert!(matches!(stage.http.speak("bob", "hi", HERE).await, Err(Turned::Away(_))));
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_lease() {
    let stage = Stage::new().await;
    stage.register_with("bob", Protocol::HTTP, HERE, 9001, Features::ours(), Some(60)).await;
    let mut ann = stage.sit("ann", "lobby").await;
    stage.http.speak("bob", "hi", HERE).await.unwrap();
    ann.expect(&["+bob", "bob: hi"]).await;
    ann.expect_silence(Duration::from_secs(58)).await;
    ann.expect(&["-bob"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_moves_ends_it_and_the_next_message_begins_it_at_the_new_place_under_the_same_name() {
    let (mut stage, mut ann) = bob_and_ann().await;
    stage.register("bob", Protocol::HTTP, HERE, 9002).await;
    stage.http.speak("bob", "moved", HERE).await.unwrap();
    ann.expect(&["-bob", "+bob", "bob: moved"]).await;
    ann.say("where?").await;
    assert_eq!(stage.next_sent().await, (9002, "lobby".into(), "ann: where?".into()));
    stage.expect_nothing_sent().await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_becomes_a_room_ends_it() {
    let (stage, mut ann) = bob_and_ann().await;
    stage.register_with("bob", Protocol::HTTP, HERE, 9001, Features::of_room(), None).await;
    ann.expect(&["-bob"]).await;
    assert!(matches!(stage.http.speak("bob", "hi", HERE).await, Err(Turned::Away(_))));
}

#[tokio::test(start_paused = true)]
async fn three_sends_that_fail_in_a_row_end_it() {
    let (mut stage, mut ann) = bob_and_ann().await;
    stage.http.set(Fate::Fails);
    for number in 1..=2 {
        ann.say(&number.to_string()).await;
        stage.next_sent().await;
    }
    stage.http.set(Fate::Delivered);
    ann.say("one that arrives").await;
    stage.next_sent().await;
    stage.http.set(Fate::Fails);
    ann.expect(&["ann: 1", "ann: 2", "ann: one that arrives"]).await;
    for number in 3..=5 {
        ann.expect_silence(Duration::from_secs(1)).await;
        ann.say(&number.to_string()).await;
        ann.expect(&[&format!("ann: {number}")]).await;
        stage.next_sent().await;
    }
    ann.expect(&["-bob"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_hangs_holds_nobody_up_and_is_put_out_when_its_queue_is_full() {
    let mut limits = Limits::default();
    (limits.member_messages, limits.commands_per_second) = (100, 0);
    let mut stage = Stage::empty(&limits);
    stage.open("lobby=lobby@http:8090").await;
    for (name, port) in [("bob", 9001), ("cid", 9002)] {
        stage.register(name, Protocol::HTTP, HERE, port).await;
    }
    let mut ann = stage.sit("ann", "lobby").await;
    stage.http.speak("bob", "hi", HERE).await.unwrap();
    ann.expect(&["+bob", "bob: hi"]).await;
    stage.http.set(Fate::Hangs);
    ann.say("0").await;
    ann.expect(&["ann: 0"]).await;
    assert_eq!(stage.next_sent().await.0, 9001);
    stage.http.set(Fate::Delivered);
    stage.http.speak("cid", "hi", HERE).await.unwrap();
    ann.expect(&["+cid", "cid: hi"]).await;
    let mut gone = false;
    for number in 1..300 {
        ann.say(&number.to_string()).await;
        loop {
            match ann.hear().await.as_str() {
                "-bob" => gone = true,
                heard => break assert_eq!(heard, format!("ann: {number}")),
            }
        }
        assert_eq!(stage.next_sent().await, (9002, "lobby".into(), format!("ann: {number}")));
    }
    if !gone {
        ann.expect(&["-bob"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_the_registry_does_not_know_there_is_turned_away_and_never_sent_to() {
    let mut stage = Stage::new().await;
    stage.register("bob", Protocol::HTTP, HERE, 9001).await;
    stage.register("far", Protocol::HTTP, "192.0.2.1", 9001).await;
    stage.register("open", Protocol::HTTP, "0.0.0.0", 9001).await;
    stage.register("unix", Protocol::new("unix").unwrap(), HERE, 9001).await;
    stage.register_with("other", Protocol::HTTP, HERE, 9001, Features::of_room(), None).await;
    let mut ann = stage.sit("ann", "lobby").await;
    for (name, source) in [
        ("nobody", HERE),
        ("bob", ELSEWHERE),
        ("bob", "::1"),
        ("far", HERE),
        ("open", HERE),
        ("other", HERE),
        ("lobby", HERE),
        ("Bob", HERE),
    ] {
        let answer = stage.http.speak(name, "hi", source).await;
        assert!(matches!(answer, Err(Turned::Away(_))), "{name} from {source}: {answer:?}");
    }
    ann.say("only us").await;
    ann.expect(&["ann: only us"]).await;
    ann.expect_silence(MINUTE).await;
    stage.expect_nothing_sent().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_of_the_first_version_over_udp_is_told_once_that_it_cannot_be_a_member() {
    let mut stage = Stage::empty(&Limits::default());
    stage.open("lobby=lobby@udp:8090").await;
    stage.register_with("old", Protocol::UDP, HERE, 9001, v1(), None).await;
    stage.register_with("far", Protocol::UDP, ELSEWHERE, 9001, v1(), None).await;
    let mut ann = stage.sit("ann", "lobby").await;
    for _ in 0..3 {
        assert!(matches!(stage.udp.speak("old", "hi", HERE).await, Err(Turned::Away(_))));
        assert!(matches!(stage.udp.speak("far", "hi", HERE).await, Err(Turned::Away(_))));
    }
    let (port, from, text) = stage.next_sent().await;
    assert_eq!((port, from.as_str()), (9001, "lobby"));
    assert!(text.len() <= 100 && !text.contains('\n'), "{text}");
    ann.say("hello").await;
    ann.expect(&["ann: hello"]).await;
    stage.expect_nothing_sent().await;
    stage.register_with("old", Protocol::UDP, HERE, 9002, v1(), None).await;
    assert!(stage.udp.speak("old", "hi", HERE).await.is_err());
    assert_eq!(stage.next_sent().await.0, 9002, "another entry is another peer");
}

#[tokio::test(start_paused = true)]
async fn however_many_come_only_some_are_told_that_they_cannot_be_members() {
    let mut stage = Stage::empty(&Limits::default());
    stage.open("lobby=lobby@udp:8090").await;
    for number in 0..100 {
        let name = format!("old-{number}");
        stage.register_with(&name, Protocol::UDP, HERE, 9001, v1(), None).await;
        assert!(stage.udp.speak(&name, "hi", HERE).await.is_err());
    }
    assert!(stage.sent.len() <= 5, "{}", stage.sent.len());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_gets_a_number_and_one_peer_has_one_name_in_all_rooms() {
    let mut stage = Stage::new().await;
    stage.open("dev=dev@udp:8091").await;
    stage.register("ann", Protocol::HTTP, HERE, 9001).await;
    stage.register("bob", Protocol::HTTP, HERE, 9002).await;
    let mut ann = stage.sit("ann", "lobby").await;
    let mut cid = stage.sit("cid", "dev").await;
    stage.http.speak("ann", "another", HERE).await.unwrap();
    ann.expect(&["+ann#2", "ann#2: another"]).await;
    stage.http.speak("bob", "here", HERE).await.unwrap();
    stage.udp.speak("bob", "and there", HERE).await.unwrap();
    ann.expect(&["+bob", "bob: here"]).await;
    cid.expect(&["+bob", "bob: and there"]).await;
    stage.remove("bob", None).await;
    ann.expect(&["-bob"]).await;
    cid.expect(&["-bob"]).await;
    assert!(!stage.hub.is_here(&Nickname::new("bob").unwrap()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn more_than_the_rate_is_turned_away() {
    let (stage, _ann) = bob_and_ann().await;
    let mut answers = Vec::new();
    for number in 0..80 {
        answers.push(stage.http.speak("bob", &number.to_string(), HERE).await);
    }
    assert!(answers[..50].iter().all(Result::is_ok));
    assert!(matches!(answers[79], Err(Turned::TooFast(_))));
    tokio::time::advance(MINUTE).await;
    stage.http.speak("bob", "slowly", HERE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_address_does_not_take_all_places_of_a_room() {
    let mut limits = Limits::default();
    limits.connections_per_address = 3;
    let mut stage = Stage::empty(&limits);
    stage.open("lobby=lobby@http:8090").await;
    let full = |answer| matches!(answer, Err(Turned::Later(_)));
    for number in 0..5 {
        let (afar, here) = (format!("afar{number}"), format!("here{number}"));
        stage.register(&afar, Protocol::HTTP, AFAR, 9001).await;
        stage.register(&here, Protocol::HTTP, HERE, 9001).await;
        assert_eq!(full(stage.http.speak(&afar, "hi", AFAR).await), number >= 3, "{afar}");
        stage.http.speak(&here, "hi", HERE).await.unwrap();
    }
    stage.http.speak("afar0", "still here", AFAR).await.unwrap();
    stage.register("bob", Protocol::HTTP, "192.0.2.8", 9001).await;
    stage.http.speak("bob", "hi", "192.0.2.8").await.unwrap();
    // Who moves takes no second place, and who goes makes room.
    stage.register("afar0", Protocol::HTTP, AFAR, 9002).await;
    stage.http.speak("afar0", "moved", AFAR).await.unwrap();
    stage.remove("afar0", None).await;
    let later = async {
        while full(stage.http.speak("afar4", "now?", AFAR).await) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(MINUTE, later).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn peers_of_one_address_come_in_no_faster_than_others_sign_in() {
    let mut limits = Limits::default();
    limits.users = 320;
    let mut stage = Stage::empty(&limits);
    stage.open("lobby=lobby@http:8090").await;
    let mut let_in = 0;
    for number in 0..20 {
        let name = format!("bob{number}");
        stage.register(&name, Protocol::HTTP, AFAR, 9001).await;
        match stage.http.speak(&name, "hi", AFAR).await {
            Ok(()) => let_in += 1,
            Err(turned) => assert!(matches!(turned, Turned::TooFast(_)), "{turned:?}"),
        }
    }
    assert_eq!(let_in, 10);
    stage.http.speak("bob0", "I am in", AFAR).await.unwrap();
    tokio::time::advance(MINUTE).await;
    stage.http.speak("bob19", "hi", AFAR).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_banned_peer_is_turned_away_and_a_muted_one_is_told() {
    let mut stage = Stage::new().await;
    stage.register("bob", Protocol::HTTP, AFAR, 9001).await;
    let room = RoomName::new("dev").unwrap();
    let (mut ann, mut heard) = stage.hub.sit("ann").await.unwrap();
    ann.run(Command::Create(room.clone())).await.unwrap();
    stage.open("dev=dev@http:8091").await;
    stage.http.speak("bob", "hi", AFAR).await.unwrap();
    let moderate = |action| {
        let (room, user) = (room.clone(), "bob".to_owned());
        Command::Moderate { room, action, user, seconds: None, reason: None }
    };
    while !matches!(heard.next().await.unwrap(), Event::Message(post) if &*post.record.body == "hi") {}
    ann.run(moderate(Moderation::Mute)).await.unwrap();
    while stage.sent.try_recv().is_ok() {}
    stage.http.speak("bob", "am I heard?", AFAR).await.unwrap();
    let mut told = stage.next_sent().await;
    while told.2 != "system: you are muted in room dev" {
        told = stage.next_sent().await;
    }
    ann.run(moderate(Moderation::Ban)).await.unwrap();
    while !matches!(heard.next().await.unwrap(), Event::Left { .. }) {}
    // Its session ends behind the news.
    let banned = async {
        loop {
            if let Err(turned) = stage.http.speak("bob", "hi", AFAR).await {
                return turned;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let answer = tokio::time::timeout(MINUTE, banned).await.unwrap();
    assert_eq!(answer, Turned::Away("you are banned from room dev".into()));
}

#[tokio::test(start_paused = true)]
async fn receipts_say_delivered_only_when_the_peer_confirmed() {
    let (stage, mut ann) = bob_and_ann().await;
    for (fate, delivered) in [(Fate::Delivered, 1), (Fate::Unconfirmed, 0), (Fate::Delivered, 1), (Fate::Fails, 0)] {
        stage.http.set(fate);
        // Behind a doubt nothing is told for a while, and this is said behind that.
        ann.expect_silence(Duration::from_secs(20)).await;
        let room = Some(RoomName::new("lobby").unwrap());
        let id = Some(MessageId::random());
        ann.seat.run(Command::Say { room, body: "hello".into(), id }).await.unwrap();
        let last = loop {
            match ann.event().await {
                Event::Receipt { sent, delivered, members, .. } if delivered == 1 => break (sent, delivered, members),
                Event::Receipt { .. } => match tokio::time::timeout(MINUTE, ann.heard.next()).await {
                    Ok(Some(Event::Receipt { sent, delivered, members, .. })) => break (sent, delivered, members),
                    other => panic!("{other:?}"),
                },
                _ => {}
            }
        };
        assert_eq!(last, (1, delivered, 1), "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_long_with_its_sender_comes_in_pieces() {
    let (mut stage, mut ann) = bob_and_ann().await;
    let long = "x".repeat(Limits::default().message);
    ann.say(&long).await;
    let (first, second) = (stage.next_sent().await.2, stage.next_sent().await.2);
    assert_eq!([first.trim_start_matches("ann: "), second.trim_start_matches("ann: ")].concat(), long);
    assert_eq!(first.len(), Limits::default().message);
}

#[tokio::test(start_paused = true)]
async fn the_room_is_renewed_in_the_registry_and_leaves_it_at_the_stop_with_its_members() {
    let (stage, mut ann) = bob_and_ann().await;
    let lobby = user("lobby");
    ann.expect_silence(9 * MINUTE).await;
    let record = stage.registry.get(&lobby, stage.clock.now()).await.unwrap().expect("it stands");
    assert!(record.entry.features.has(Features::ROOM) && record.entry.acknowledges());
    assert!(record.owner.is_some() && record.lease.is_some());
    assert!(stage.registry.remove(&lobby, None, stage.clock.now()).await.is_err(), "it is the server's");
    stage.stop.cancel();
    for task in stage.tasks {
        task.await.unwrap();
    }
    ann.expect(&["-bob"]).await;
    assert!(stage.registry.get(&lobby, stage.clock.now()).await.unwrap().is_none());
}
