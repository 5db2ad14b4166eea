//! The client of minechat against our own server and against one with the quirks of others, over real sockets: what was
//! typed is said, as often as its states tell, and accepted only when it is answered.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::gate::Gate;
use common::listener::Listener;
use common::minechat::Wire;
use common::originals::minechat::{Original, Quirk};
use common::programs::free_port;
use talk::client::minechat::{Options, OptionsError};
use talk::client::{Ability, Account, Ended, Event, Happened, Journal, Place, Refused, State};
use talk::hub::Hub;
use talk::limits::Limits;

#[tokio::test]
async fn two_users_meet_and_hear_themselves() {
    let mut wire = Wire::start().await;
    let mut ann = start(ours(&wire).nickname("ann"));
    let account = registered(&mut ann).await;
    assert_eq!((account.nickname.as_str(), ann.connected().await), ("ann", (Some("ann".into()), None)));
    assert!(!format!("{:?}", ann.heard).contains(account.hash.reveal()));
    let mut bob = start(ours(&wire).nickname("bob"));
    bob.connected().await;
    hears(&mut wire, &mut ann).await;
    hears(&mut wire, &mut bob).await;

    let id = ann.say("hello,\nbob").await;
    assert_eq!(ann.states_of(&id, &State::Accepted).await, [State::Queued, State::Sent, State::Accepted]);
    let heard = said_by(&mut bob, "ann").await;
    assert_eq!((&*heard.text, heard.own, heard.id, heard.place), ("hello, bob", false, None, Place::Open));
    let heard = said_by(&mut ann, "ann").await;
    assert_eq!((&*heard.text, heard.own, heard.id), ("hello, bob", true, Some(id)));
    assert_eq!(ann.client.say(None, &"a".repeat(16 * 1024 + 1)).await, Err(Refused::Length(16 * 1024)));
    assert_eq!(ann.client.say(Some("bob"), "psst").await, Err(Refused::Unsupported));
    assert_eq!(ann.leave().await, Ended::Left { unsettled: 0 });

    // The account comes back by its hash.
    let mut again = start(ours(&wire).token(account.hash.reveal()));
    assert_eq!(again.connected().await, (Some("ann".into()), None));
    // A new one is announced once it says something.
    let mut eve = start(ours(&wire).nickname("eve"));
    eve.connected().await;
    eve.say("hi").await;
    let joined = bob.until(|event| matches!(event, Event::Happened { .. })).await;
    assert!(matches!(joined, Event::Happened { user, what: Happened::Joined, .. } if user == "eve"));
}

#[tokio::test]
async fn an_unknown_token_is_told_and_ends_the_client() {
    let (wire, original) = (Wire::start().await, Original::start().await);
    for options in [ours(&wire), theirs(&original)] {
        let mut ann = start(options.token("6f9d8a52-1f2b-4a1e-9d2c-0a5f4cf3b1de").nickname("ann"));
        let refused = ann.until(|event| matches!(event, Event::Refused { .. } | Event::Ended(_))).await;
        assert!(matches!(refused, Event::Refused { code: Some(code), .. } if code == "unknown_token"));
        assert!(matches!(ann.ended().await, Ended::Refused(_)));
    }
    let options = Options::new().write("127.0.0.1", 1).token("no\ntoken");
    assert!(matches!(options.connect(), Err(OptionsError::BadToken(_))));
    assert_eq!(Options::new().connect().err(), Some(OptionsError::NoPort));
    for (host, port) in [("a b", 1), ("a", 0)] {
        assert!(matches!(Options::new().listen(host, port).connect(), Err(OptionsError::BadHost { .. })));
    }
}

#[tokio::test]
async fn either_port_alone_will_do() {
    let mut wire = Wire::start().await;
    let mut listener = start(Options::new().listen("127.0.0.1", wire.listen.port()));
    assert_eq!(listener.connected().await, (None, None));
    assert!(!listener.client.can(Ability::Say));
    assert_eq!(listener.client.say(None, "x").await, Err(Refused::Unsupported));
    hears(&mut wire, &mut listener).await;

    let mut writer = start(Options::new().write("127.0.0.1", wire.write.port()).nickname("ann"));
    writer.connected().await;
    let id = writer.say("a\nb").await;
    writer.until_state(&id, &State::Accepted).await;
    let shown = writer.heard.iter().find_map(|event| match event {
        Event::Message(heard) => Some((heard.from.as_str(), &*heard.text, heard.own, heard.id.as_ref())),
        _ => None,
    });
    assert_eq!(shown, Some(("ann", "a\nb", true, Some(&id))));
    assert_eq!(&*said_by(&mut listener, "ann").await.text, "a b");
    assert_eq!(writer.leave().await, Ended::Left { unsettled: 0 });
    assert_eq!(listener.leave().await, Ended::Left { unsettled: 0 });
}

#[tokio::test]
async fn a_server_that_was_restarted_is_found_again_and_nothing_typed_is_lost() {
    let mut wire = Wire::start().await;
    let (listen, write) = (Gate::before(wire.listen.port()).await, Gate::before(wire.write.port()).await);
    let mut ann = start(gated(&listen, &write).nickname("ann"));
    let before = registered(&mut ann).await;
    ann.connected().await;
    hears(&mut wire, &mut ann).await;
    // One that knows everybody, and one that knows nobody any more.
    for hub in [wire.hub.clone(), Hub::new()] {
        listen.shut();
        write.shut();
        ann.until(|event| matches!(event, Event::Lost { .. })).await;
        let ids = [ann.say("while").await, ann.say("away").await];
        drop(wire);
        wire = Wire::with(hub, None).await;
        let mut bob = wire.listener().await;
        listen.lead_to(wire.listen.port());
        write.lead_to(wire.write.port());
        listen.open();
        write.open();
        assert_eq!(ann.connected().await, (Some("ann".into()), None));
        for id in ids {
            ann.until_state(&id, &State::Accepted).await;
        }
        let mut heard = Vec::new();
        while heard.len() < 2 {
            let line = bob.line().await;
            heard.extend(line.strip_prefix("ann: ").map(str::to_owned));
        }
        assert_eq!(heard, ["while\n", "away\n"]);
    }
    let after = ann.heard.iter().rev().find_map(|event| match event {
        Event::Account(account) => Some(account.clone()),
        _ => None,
    });
    assert!(after.is_some_and(|after| after != before), "the last one did not know the account");
}

#[tokio::test]
async fn a_client_that_ends_leaves_its_texts_to_the_next() {
    let wire = Wire::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let options = Options::new().write("127.0.0.1", free_port()).nickname("ann").once();
    let mut ann = start(options.journal(Journal::open(&path).unwrap()));
    assert!(matches!(ann.ended().await, Ended::Lost(why) if why.contains("no connection to speak")));
    let options = Options::new().write("127.0.0.1", free_port()).nickname("ann");
    let mut ann = start(options.journal(Journal::open(&path).unwrap()));
    let id = ann.say("later").await;
    assert_eq!(ann.leave().await, Ended::Left { unsettled: 1 });
    drop(ann);
    let mut ann = start(ours(&wire).nickname("ann").journal(Journal::open(&path).unwrap()));
    assert!(matches!(ann.next().await, Event::Restored { id: kept, .. } if kept == id));
    ann.until_state(&id, &State::Accepted).await;
}

#[tokio::test]
async fn a_late_answer_is_waited_for_and_nothing_is_accepted_before() {
    let original = Original::start().await;
    original.know("key", "ann");
    let mut ann = start(theirs(&original).token("key"));
    assert_eq!(ann.connected().await, (Some("ann".into()), None));
    original.next(&[Quirk::Late]);
    let (late, next) = (ann.say("late").await, ann.say("next").await);
    // It was heard by everybody; that is no answer.
    let heard = said_by(&mut ann, "ann").await;
    assert_eq!((heard.own, heard.id.as_ref()), (true, Some(&late)));
    original.say("bob: anybody here?");
    said_by(&mut ann, "bob").await;
    let state = |event: &Event| match event {
        Event::State { id, state } => Some((id.clone(), state.clone())),
        _ => None,
    };
    let states: Vec<_> = ann.heard.iter().filter_map(state).collect();
    let of = |id| states.iter().filter(|(of, _)| of == id).map(|(_, state)| state.clone()).collect::<Vec<_>>();
    assert_eq!((of(&late), of(&next)), (vec![State::Queued, State::Sent], vec![State::Queued]));
    original.release();
    ann.until_state(&late, &State::Accepted).await;
    ann.until_state(&next, &State::Accepted).await;
    assert_eq!(original.until(|_| true).await.said, ["ann: late", "bob: anybody here?", "ann: next"]);
}

#[tokio::test]
async fn a_line_that_is_dropped_repeats_the_text_as_its_states_say_and_the_ear_stays_open() {
    let original = Original::start().await;
    original.know("key", "ann");
    let mut ann = start(theirs(&original).token("key"));
    ann.connected().await;
    original.next(&[Quirk::Drops, Quirk::Loses]);
    let id = ann.say("hello").await;
    ann.until(|event| matches!(event, Event::Lost { .. })).await;
    original.say("bob: meanwhile");
    assert_eq!(ann.connected().await, (Some("ann".into()), Some(true)), "nothing was missed");
    let (sent, queued) = (State::Sent, State::Queued);
    let all = [queued.clone(), sent.clone(), queued.clone(), sent.clone(), queued.clone(), sent, State::Accepted];
    assert_eq!(ann.states_of(&id, &State::Accepted).await, all);
    ann.others("bob", 1).await;
    let seen = original.until(|_| true).await;
    assert_eq!(seen.said, ["ann: hello", "bob: meanwhile", "ann: hello"], "once for each time that it was sent");
    assert_eq!((seen.writers, seen.listeners), (3, 1));
    assert_eq!(ann.others("ann", 0).await, [""; 0]);
}

#[tokio::test]
async fn a_text_that_is_never_answered_fails_after_three_times() {
    let original = Original::start().await;
    original.know("key", "ann");
    let mut limits = Limits::default();
    limits.request_timeout = Duration::from_millis(100);
    let mut ann = start(theirs(&original).token("key").limits(&limits));
    original.next(&[Quirk::Never; 3]);
    let (never, next) = (ann.say("hello?").await, ann.say("anybody?").await);
    let failed = |event: &Event| matches!(event, Event::State { id, state: State::Failed(_) } if *id == never);
    ann.until(failed).await;
    ann.until_state(&next, &State::Accepted).await;
    let seen = original.until(|_| true).await;
    assert_eq!(seen.said, ["ann: hello?", "ann: hello?", "ann: hello?", "ann: anybody?"]);
}

#[tokio::test]
async fn banners_and_lines_that_nobody_knows_are_shown_and_do_no_harm() {
    let original = Original::noisy().await;
    original.know("key", "ann");
    let mut ann = start(theirs(&original).nickname("ann"));
    assert_eq!(ann.connected().await.0, Some("Jolly ann".into()), "somebody is called so");
    original.say("# no name, no text");
    let id = ann.say("hello").await;
    ann.until_state(&id, &State::Accepted).await;
    let notice = |text: &str| Event::Notice(text.into());
    for text in ["-- be kind --", "-- welcome to our chat --", "(the weather is fine)", "# no name, no text"] {
        if !ann.heard.contains(&notice(text)) {
            ann.until(|event| *event == notice(text)).await;
        }
    }
    assert!(!ann.heard.contains(&notice("")));
}

#[tokio::test]
async fn a_port_to_speak_is_kept_alive_and_a_dead_one_is_noticed() {
    let original = Original::start().await;
    original.know("key", "ann");
    let (listen, write) = (Gate::before(original.listen).await, Gate::before(original.write).await);
    let mut limits = Limits::default();
    limits.request_timeout = Duration::from_millis(100);
    let options = gated(&listen, &write).token("key").quiet(Duration::from_millis(20)).limits(&limits);
    let mut ann = start(options);
    ann.connected().await;
    original.until(|seen| seen.pings >= 5).await;
    assert!(ann.heard.iter().all(|event| !matches!(event, Event::Lost { .. })));
    write.swallow();
    let lost = ann.until(|event| matches!(event, Event::Lost { .. })).await;
    assert!(matches!(lost, Event::Lost { reason, .. } if reason.contains("does not answer")));
    write.cut();
    assert_eq!(ann.connected().await, (Some("ann".into()), None));
    assert_eq!(original.until(|seen| seen.listeners == 2).await.listeners, 2, "neither socket is trusted then");
    assert!(original.until(|_| true).await.said.is_empty(), "nobody hears a ping");
}

#[tokio::test]
async fn silence_of_the_port_to_hear_is_an_end_only_where_it_is_said_so() {
    let original = Original::start().await;
    let options = || Options::new().listen("127.0.0.1", original.listen);
    let mut patient = start(options());
    patient.connected().await;
    let mut ann = start(options().silence(Duration::from_millis(50)));
    for _ in 0..2 {
        let lost = ann.until(|event| matches!(event, Event::Lost { .. })).await;
        assert!(matches!(lost, Event::Lost { reason, .. } if reason.contains("nothing was heard")));
        ann.connected().await;
    }
    original.say("bob: hi");
    said_by(&mut patient, "bob").await;
    assert!(patient.heard.iter().all(|event| !matches!(event, Event::Lost { .. })));
}

fn start(options: Options) -> Listener {
    Listener::of(options.connect().unwrap())
}

fn ours(wire: &Wire) -> Options {
    Options::new().listen("127.0.0.1", wire.listen.port()).write("127.0.0.1", wire.write.port())
}

fn theirs(original: &Original) -> Options {
    Options::new().listen("127.0.0.1", original.listen).write("127.0.0.1", original.write)
}

fn gated(listen: &Gate, write: &Gate) -> Options {
    Options::new().listen("127.0.0.1", listen.port).write("127.0.0.1", write.port)
}

async fn registered(user: &mut Listener) -> Account {
    match user.until(|event| matches!(event, Event::Account(_))).await {
        Event::Account(account) => account,
        other => panic!("{other:?}"),
    }
}

async fn said_by(user: &mut Listener, name: &str) -> talk::client::Heard {
    let said = |event: &Event| match event {
        Event::Message(heard) if heard.from == name => Some(heard.clone()),
        _ => None,
    };
    match user.heard.iter().find_map(said) {
        Some(heard) => heard,
        None => said(&user.until(|event| said(event).is_some()).await).unwrap(),
    }
}

/// Waits until a client hears what is said: nothing else tells.
async fn hears(wire: &mut Wire, user: &mut Listener) {
    for _ in 0..1000 {
        wire.probe().await;
        tokio::select! {
            biased;
            event = user.next() => if matches!(event, Event::Message(_)) { return },
            () = async { for _ in 0..200 { tokio::task::yield_now().await } } => {}
        }
    }
    panic!("nothing was heard");
}
