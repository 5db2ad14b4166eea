//! Kept messages, read again and looked through.

use std::sync::atomic::Ordering;

use talk::hub::Hub;
use talk::limits::Limits;
use talk::message::{Command, Event, Refusal};

use super::kit::*;

fn history(after: Option<u64>, before: Option<u64>, limit: Option<u64>) -> Command {
    Command::History { room: Some(global()), after, before, limit }
}

fn search(text: &str, before: Option<u64>, limit: Option<u64>) -> Command {
    Command::Search { room: global(), text: text.into(), before, limit }
}

/// A session in a room where the messages 1 to `count` are numbers.
async fn reader(hub: &Hub, count: u64) -> (Session, Session) {
    let mut ann = Session::member(hub, "ann").await;
    for n in 1..count {
        ann.run(say(&n.to_string())).await;
    }
    ann.run(say_as(&count.to_string(), "end")).await;
    ann.accepted("end").await;
    let bob = Session::member(hub, "bob").await;
    (ann, bob)
}

async fn found(session: &mut Session) -> (Vec<u64>, Option<u64>) {
    session
        .until(|event| match event {
            Event::Found { records, before, .. } => Some((records.iter().map(|r| r.seq).collect(), *before)),
            _ => None,
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn pages_begin_and_end_where_they_are_told_to() {
    let hub = Hub::new();
    let (_ann, mut bob) = reader(&hub, 2500).await;
    for (after, before, limit, expected) in [
        (None, None, None, 2401..=2500),
        (None, None, Some(3), 2498..=2500),
        (None, None, Some(5000), 1501..=2500),
        (None, None, Some(u64::MAX), 1501..=2500),
        (None, Some(10), Some(3), 7..=9),
        (None, Some(3), None, 1..=2),
        (Some(0), None, Some(2000), 1..=1000),
        (Some(2490), None, Some(100), 2491..=2500),
        (Some(5), Some(9), Some(100), 6..=8),
        (Some(5), Some(9), Some(2), 6..=7),
    ] {
        bob.run(history(after, before, limit)).await;
        let bodies: Vec<_> = expected.clone().map(|n| n.to_string()).collect();
        assert_eq!(bob.bodies(bodies.len()).await, bodies, "{after:?} {before:?} {limit:?}");
    }
    for (after, before, limit) in
        [(Some(2500), None, None), (None, Some(1), None), (Some(9), Some(5), None), (None, None, Some(0))]
    {
        bob.run(history(after, before, limit)).await;
        assert!(bob.said().await.is_empty(), "{after:?} {before:?} {limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_rooms_that_one_is_in_are_read() {
    let hub = Hub::new();
    let (_ann, mut bob) = reader(&hub, 10).await;
    bob.run(Command::Leave(None)).await;
    assert_eq!(bob.refused(history(None, None, None)).await, Refusal::NotInRoom("global".into()));
    assert_eq!(bob.refused(search("1", None, None)).await, Refusal::NotInRoom("global".into()));
    let here = Command::History { room: None, after: None, before: None, limit: None };
    assert_eq!(bob.refused(here).await, Refusal::InNoRoom);
}

#[tokio::test(start_paused = true)]
async fn a_whole_history_cuts_nobody_who_reads() {
    let hub = Hub::new();
    let (mut ann, _bob) = reader(&hub, 3000).await;
    let (mut cid, mut heard) = hub.sit("cid").await.unwrap();
    cid.run(Command::Enter(talk::name::RoomName::global())).await.unwrap();
    for _ in 0..10 {
        cid.run(history(Some(0), None, Some(1000))).await.unwrap();
    }
    let (mut count, mut live) = (0, 0);
    while count < 10_000 || live < 100 {
        match heard.next().await.expect("it was not cut") {
            Event::Message(post) if &*post.record.body == "live" => live += 1,
            Event::Message(_) => {
                count += 1;
                if count % 100 == 0 {
                    // The room goes on meanwhile.
                    ann.run(say("live")).await;
                }
            }
            _ => {}
        }
        tokio::task::yield_now().await;
    }
    assert_eq!((count, live), (10_000, 100));
}

#[tokio::test(start_paused = true)]
async fn a_search_finds_the_newest_first_and_goes_on_from_there() {
    let hub = Hub::new();
    let mut ann = Session::member(&hub, "ann").await;
    for n in 1..=3000 {
        let body = if n % 10 == 0 { format!("Привет, МИР {n}") } else { format!("other {n}") };
        ann.run(say(&body)).await;
    }
    ann.run(say_as("the end", "end")).await;
    ann.accepted("end").await;
    for text in ["привет, мир", "МИР", "ВЕТ"] {
        ann.run(search(text, None, Some(3))).await;
        assert_eq!(found(&mut ann).await, (vec![3000, 2990, 2980], Some(2980)), "{text}");
    }
    ann.run(search("мир", Some(2980), None)).await;
    let (seqs, before) = found(&mut ann).await;
    assert_eq!((seqs.len(), seqs[0], before), (20, 2970, Some(2780)));
    ann.run(search("мир", None, Some(10_000))).await;
    let (seqs, before) = found(&mut ann).await;
    assert_eq!((seqs.len(), before), (100, Some(2010)), "no more than that at once");
    let (mut all, mut before) = (Vec::new(), None);
    for _ in 0..10 {
        ann.run(search("мир", before, Some(100))).await;
        let (seqs, next) = found(&mut ann).await;
        all.extend(seqs);
        before = next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(all, (1..=300).rev().map(|n| n * 10).collect::<Vec<_>>());
    ann.run(search("nowhere", None, None)).await;
    assert_eq!(found(&mut ann).await, (vec![], None));
    ann.run(search("МИР", None, Some(0))).await;
    assert_eq!(found(&mut ann).await.0.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn words_phrases_and_beginnings_are_looked_for_and_not_those_of_a_blocked_user() {
    let hub = Hub::new();
    let (mut ann, mut bob) = (Session::member(&hub, "ann").await, Session::member(&hub, "bob").await);
    for body in ["Breakfast at eight", "no breakfast today", "an outbreak of eights", "Завтрак в ВОСЕМЬ"]
    {
        ann.run(say(body)).await;
    }
    ann.run(say_as("the end", "end")).await;
    ann.accepted("end").await;
    // More than one answer holds, newer than what others said.
    for _ in 0..150 {
        bob.run(say("breakfast, said bob")).await;
    }
    bob.run(say_as("the end", "end")).await;
    bob.accepted("end").await;
    ann.run(Command::Block("bob".into())).await;
    for (text, expected) in [
        ("EIGHT break", vec![3, 1]),
        ("\"at eight\"", vec![1]),
        ("break* today", vec![2]),
        ("восемь завтр*", vec![4]),
        ("breakfast", vec![2, 1]),
        ("\"eight at\"", vec![]),
    ] {
        ann.run(search(text, None, Some(100))).await;
        assert_eq!(found(&mut ann).await, (expected, None), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_questions_at_once_are_refused_and_the_others_answered() {
    let store = Moody::new(&Limits::default());
    let hub = hub_over(store.clone(), &Limits::default()).await;
    let (_ann, mut bob) = reader(&hub, 5).await;
    store.slow.store(1000, Ordering::SeqCst);
    let (mut asked, mut refused) = (0, 0);
    for _ in 0..100 {
        match bob.seat.run(history(None, None, Some(1))).await {
            Ok(()) => asked += 1,
            Err(why) => {
                assert_eq!(why, Refusal::Busy);
                refused += 1;
            }
        }
    }
    assert!((32..=34).contains(&asked) && refused == 100 - asked, "{asked} and {refused}");
    assert_eq!(bob.said().await.len(), asked);
    bob.run(history(None, None, Some(1))).await;
    assert_eq!(bob.said().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_resume_that_finds_no_place_leaves_the_session_out_of_the_room() {
    let store = Moody::new(&Limits::default());
    let hub = hub_over(store.clone(), &Limits::default()).await;
    let (mut ann, mut bob) = reader(&hub, 1000).await;
    ann.run(say_as("hi", "2")).await;
    let (_, at) = ann.accepted("2").await;
    ann.run(Command::Create(room("den"))).await;
    bob.run(Command::Enter(room("den"))).await;
    bob.run(Command::Leave(Some(room("global")))).await;
    store.slow.store(1000, Ordering::SeqCst);
    let in_den = || Command::Search {
        room: talk::message::RoomKey::Room(room("den")),
        text: "x".into(),
        before: None,
        limit: None,
    };
    for _ in 0..2 {
        while bob.seat.run(in_den()).await.is_ok() {}
        // The first of them is being answered now.
        tokio::task::yield_now().await;
    }
    assert_eq!(bob.refused(resume(global(), &at.epoch, 0)).await, Refusal::Busy);
    assert_eq!(bob.refused(history(None, None, None)).await, Refusal::NotInRoom("global".into()));
    bob.rest().await;
    bob.run(resume(global(), &at.epoch, 0)).await;
    let (before, how) = bob.recovered().await;
    assert_eq!((before, how.recovered), (messages(1..=1001), true));
}

#[tokio::test(start_paused = true)]
async fn a_history_that_does_not_answer_is_told() {
    let store = Moody::new(&Limits::default());
    let hub = hub_over(store.clone(), &Limits::default()).await;
    let (_ann, mut bob) = reader(&hub, 5).await;
    store.down.store(true, Ordering::SeqCst);
    for question in [history(None, None, None), search("1", None, None)] {
        bob.run(question).await;
        let why = bob.until(|event| if let Event::Refused { why, .. } = event { Some(why.clone()) } else { None });
        assert_eq!(why.await, Refusal::Unavailable);
    }
    store.down.store(false, Ordering::SeqCst);
    bob.run(history(None, None, None)).await;
    assert_eq!(bob.bodies(5).await.len(), 5);
}
