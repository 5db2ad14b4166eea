//! Direct messages to peers, and from rooms to one member alone.

use super::stage::{ELSEWHERE, Fate, HERE, Stage, ip, user};
use crate::address::{Features, Protocol};
use crate::limits::Limits;
use crate::message::{Command, Delivery, Event, MessageId, Refusal};

/// What Ann hears of a direct message.
async fn direct(
    stage: &Stage,
    ann: &mut super::stage::Sitting,
    to: &str,
    text: &str,
) -> Result<(Delivery, String), String> {
    let id = Some(MessageId::random());
    let _ = stage;
    if let Err(refusal) = ann.seat.run(Command::Direct { to: to.into(), body: text.into(), id }).await {
        return Err(refusal.to_string());
    }
    loop {
        match ann.event().await {
            Event::DirectReceipt { state, reason, .. } => return Ok((state, reason.unwrap_or_default().into())),
            Event::Refused { why: Refusal::NoUser(name), .. } => return Err(name),
            _ => {}
        }
    }
}

async fn stage() -> (Stage, super::stage::Sitting) {
    let stage = Stage::empty(&Limits::default());
    let ann = stage.sit("ann", "global").await;
    stage.register("bob", Protocol::HTTP, HERE, 9001).await;
    stage.spoken.note(&user("bob"), ip(HERE));
    (stage, ann)
}

#[tokio::test(start_paused = true)]
async fn a_direct_message_reaches_a_peer_under_its_authors_name() {
    let (mut stage, mut ann) = stage().await;
    assert_eq!(direct(&stage, &mut ann, "peer:bob", "hi").await.unwrap().0, Delivery::Delivered);
    assert_eq!(stage.next_sent().await, (9001, "ann".into(), "hi".into()));
    stage.http.set(Fate::Unconfirmed);
    assert_eq!(direct(&stage, &mut ann, "peer:bob", "hi").await.unwrap().0, Delivery::Unconfirmed);
    stage.http.set(Fate::Fails);
    let failed = direct(&stage, &mut ann, "peer:bob", "hi").await.unwrap();
    assert_eq!(failed, (Delivery::Failed, "timed out".into()));
    for nobody in ["peer:cid", "peer:", "peer:a b", "peer:BOB", "peer:peer:bob", "bob"] {
        assert!(direct(&stage, &mut ann, nobody, "hi").await.is_err(), "{nobody}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_to_whoever_did_not_speak_from_where_they_are_registered() {
    let (mut stage, mut ann) = stage().await;
    stage.register("silent", Protocol::HTTP, HERE, 9002).await;
    stage.register("moved", Protocol::HTTP, "192.0.2.1", 9003).await;
    stage.spoken.note(&user("moved"), ip(HERE));
    stage.register("far", Protocol::UDP, ELSEWHERE, 9004).await;
    stage.spoken.note(&user("far"), ip(HERE));
    stage.register_with("lobby", Protocol::HTTP, HERE, 9005, Features::of_room(), None).await;
    stage.spoken.note(&user("lobby"), ip(HERE));
    stage.register("unix", Protocol::WEBSOCKET, HERE, 9006).await;
    stage.spoken.note(&user("unix"), ip(HERE));
    for (name, why) in [
        ("silent", "never_heard"),
        ("moved", "heard_from_elsewhere"),
        ("far", "heard_from_elsewhere"),
        ("lobby", "is_a_room"),
        ("unix", "no_transport"),
    ] {
        let told = direct(&stage, &mut ann, &format!("peer:{name}"), "hi").await.unwrap();
        assert_eq!(told, (Delivery::Failed, why.into()), "{name}");
    }
    stage.expect_nothing_sent().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_writes_to_a_peer_under_the_name_of_a_room_or_of_another_peer() {
    let (mut stage, _ann) = stage().await;
    stage.register_with("lobby", Protocol::HTTP, HERE, 9005, Features::of_room(), None).await;
    stage.register("cid", Protocol::HTTP, HERE, 9006).await;
    for name in ["lobby", "cid", "a.b", "саша", "Zen tester"] {
        let mut eve = stage.sit(name, "global").await;
        let sent = direct(&stage, &mut eve, "peer:bob", "ann: hello").await;
        assert_eq!(sent.unwrap().0, Delivery::Delivered);
        let (_, from, text) = stage.next_sent().await;
        assert!(from != name && from.contains('.'), "{from}");
        assert_eq!(text, "ann: hello");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plain_name_is_the_member_of_a_room_who_hears_it_under_its_authors_name() {
    let (mut stage, mut ann) = stage().await;
    stage.open("lobby=lobby@http:8090").await;
    assert!(direct(&stage, &mut ann, "bob", "too early").await.is_err());
    let mut cid = stage.sit("cid", "lobby").await;
    stage.http.speak("bob", "hi", HERE).await.unwrap();
    cid.expect(&["+bob", "bob: hi"]).await;
    let id = Some(MessageId::random());
    ann.seat.run(Command::Direct { to: "bob".into(), body: "psst".into(), id }).await.unwrap();
    assert_eq!(stage.next_sent().await, (9001, "ann".into(), "psst".into()));
    let mut states = Vec::new();
    while states.last() != Some(&Delivery::Delivered) {
        if let Event::DirectReceipt { state, .. } = ann.event().await {
            states.push(state);
        }
    }
    cid.expect_silence(std::time::Duration::from_secs(60)).await;
}

/// Bob, a member of a room, to whom Ann writes by his nickname.
async fn member() -> (Stage, super::stage::Sitting) {
    let (mut stage, mut ann) = stage().await;
    stage.open("global=lobby@http:8090").await;
    stage.http.speak("bob", "hi", HERE).await.unwrap();
    ann.expect(&["+bob", "bob: hi"]).await;
    (stage, ann)
}

async fn write(ann: &mut super::stage::Sitting, id: &str) {
    let id = Some(MessageId::new(id).unwrap());
    ann.seat.run(Command::Direct { to: "bob".into(), body: "psst".into(), id }).await.unwrap();
}

/// What Ann hears last of a message.
async fn last_word(ann: &mut super::stage::Sitting, wanted: &str) -> (Delivery, Option<&'static str>) {
    loop {
        match ann.event().await {
            Event::DirectReceipt { state: Delivery::Sent, reason: None, .. } => {}
            Event::DirectReceipt { id, state, reason, .. } if id.as_str() == wanted => return (state, reason),
            Event::DirectReceipt { id, state, .. } => panic!("{id} is {state:?} first"),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_member_does_not_confirm_is_unconfirmed_and_what_it_does_is_delivered_at_once() {
    let (stage, mut ann) = member().await;
    for round in 0..4 {
        for (n, (fate, state)) in [
            (Fate::Unconfirmed, Delivery::Unconfirmed),
            (Fate::Delivered, Delivery::Delivered),
            (Fate::Fails, Delivery::Unconfirmed),
            (Fate::Delivered, Delivery::Delivered),
        ]
        .into_iter()
        .enumerate()
        {
            stage.http.set(fate);
            let (id, begin) = (format!("{round}.{n}"), tokio::time::Instant::now());
            write(&mut ann, &id).await;
            let reason = (state == Delivery::Unconfirmed).then_some("timed out");
            assert_eq!(last_word(&mut ann, &id).await, (state, reason), "{id}");
            assert!(begin.elapsed() < std::time::Duration::from_secs(1), "{id}: {:?}", begin.elapsed());
        }
    }
    // And nothing more of any of them.
    let more = tokio::time::timeout(std::time::Duration::from_secs(60), last_word(&mut ann, "")).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_on_its_way_to_a_member_who_leaves_is_unconfirmed() {
    let (mut stage, mut ann) = member().await;
    stage.http.set(Fate::Hangs);
    write(&mut ann, "1").await;
    stage.next_sent().await;
    let long = tokio::time::timeout(std::time::Duration::from_secs(30), last_word(&mut ann, "1")).await;
    assert!(long.is_err(), "its fate is not known: {long:?}");
    stage.remove("bob", None).await;
    assert_eq!(last_word(&mut ann, "1").await, (Delivery::Unconfirmed, Some("timed out")));
}

/// Bob, a member of `global` and then of `den`, to whom Ann writes by his nickname.
async fn member_of_two() -> (Stage, super::stage::Sitting) {
    let (mut stage, mut ann) = stage().await;
    stage.open("global=lobby@http:8090").await;
    stage.http.speak("bob", "hi", HERE).await.unwrap();
    ann.expect(&["+bob", "bob: hi"]).await;
    stage.open("den=hall@http:8091").await;
    let mut cid = stage.sit("cid", "den").await;
    stage.http.speak("bob", "hi", HERE).await.unwrap();
    cid.expect(&["+bob", "bob: hi"]).await;
    (stage, ann)
}

#[tokio::test(start_paused = true)]
async fn a_member_of_two_rooms_hears_what_is_said_to_it_alone_once() {
    let (mut stage, mut ann) = member_of_two().await;
    for id in ["1", "2", "3"] {
        write(&mut ann, id).await;
        assert_eq!(stage.next_sent().await, (9001, "ann".into(), "psst".into()));
        assert_eq!(last_word(&mut ann, id).await, (Delivery::Delivered, None));
        stage.expect_nothing_sent().await;
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_membership_ends_that_carries_it_the_other_one_does_and_what_was_not_begun_is_not_lost() {
    let (mut stage, mut ann) = member_of_two().await;
    tokio::time::sleep(std::time::Duration::from_secs(9 * 60)).await;
    // Not silent in the other room.
    stage.http.speak("bob", "still here", HERE).await.unwrap();
    stage.http.set(Fate::Hangs);
    let texts = ["1", "2", "3"];
    for text in texts {
        let id = Some(MessageId::new(text).unwrap());
        ann.seat.run(Command::Direct { to: "bob".into(), body: text.into(), id }).await.unwrap();
    }
    assert_eq!(stage.next_sent().await.2, "1");
    stage.expect_nothing_sent().await;
    // What hangs is given up with the membership.
    stage.http.set(Fate::Delivered);
    assert_eq!(last_word(&mut ann, "1").await, (Delivery::Unconfirmed, Some("timed out")));
    for text in ["2", "3"] {
        assert_eq!(stage.next_sent().await, (9001, "ann".into(), text.into()));
        assert_eq!(last_word(&mut ann, text).await, (Delivery::Delivered, None));
    }
    stage.expect_nothing_sent().await;
}

/// Dan, who listens by UDP and spoke to the registry.
async fn by_udp() -> (Stage, super::stage::Sitting) {
    let (stage, ann) = stage().await;
    stage.register("dan", Protocol::UDP, HERE, 9007).await;
    stage.spoken.note(&user("dan"), ip(HERE));
    (stage, ann)
}

#[tokio::test(start_paused = true)]
async fn over_udp_what_was_never_acknowledged_is_sent_a_few_times_at_first_and_once_from_then_on() {
    let (mut stage, mut ann) = by_udp().await;
    stage.udp.set(Fate::Fails);
    for tries in [3, 1, 1] {
        let failed = direct(&stage, &mut ann, "peer:dan", "hi").await.unwrap();
        assert_eq!(failed, (Delivery::Failed, "timed out".into()));
        let mut ids = Vec::new();
        for _ in 0..tries {
            let (_, message) = stage.sent.recv().await.unwrap();
            ids.push(message.id.expect("so that it is shown once"));
        }
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        stage.expect_nothing_sent().await;
    }
    assert_eq!(stage.udp.greeted(), 5, "none of them is a send, which repeats itself");
}

#[tokio::test(start_paused = true)]
async fn over_udp_an_acknowledgement_makes_it_like_others_until_one_does_not_come() {
    let (mut stage, mut ann) = by_udp().await;
    for greeted in [1, 1, 1] {
        assert_eq!(direct(&stage, &mut ann, "peer:dan", "hi").await.unwrap().0, Delivery::Delivered);
        stage.next_sent().await;
        assert_eq!(stage.udp.greeted(), greeted);
    }
    stage.udp.set(Fate::Fails);
    for greeted in [1, 2] {
        assert_eq!(direct(&stage, &mut ann, "peer:dan", "hi").await.unwrap().0, Delivery::Failed);
        assert_eq!(stage.udp.greeted(), greeted);
    }
    // Somewhere else it has to be shown anew.
    stage.udp.set(Fate::Delivered);
    stage.register("dan", Protocol::UDP, HERE, 9008).await;
    assert_eq!(direct(&stage, &mut ann, "peer:dan", "hi").await.unwrap().0, Delivery::Delivered);
    assert_eq!(stage.udp.greeted(), 3);
}
