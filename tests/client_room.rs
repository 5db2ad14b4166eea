//! The client of rooms against our own server, over real sockets: what was typed arrives once, what was said is heard
//! once, whatever breaks.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::gate::Gate;
use common::listener::{Listener, by_itself, listener, user};
use common::rooms::Server;
use talk::client::room::Options;
use talk::client::{Ask, Ended, Event, Happened, Journal, Place, Refused, State};
use talk::limits::Limits;

#[tokio::test]
async fn two_clients_meet_and_each_text_is_told_step_by_step() {
    let server = Server::start().await;
    let mut ann = user(server.port, "ann");
    assert_eq!(ann.connected().await, (Some("ann".into()), None));
    let mut bob = user(server.port, "bob");
    bob.connected().await;

    let id = ann.say("hello, bob").await;
    let heard = bob.message().await;
    assert_eq!((heard.from.as_str(), &*heard.text, heard.own, heard.past), ("ann", "hello, bob", false, false));
    assert_eq!((heard.place, heard.id.as_ref()), (Place::Room("global".into()), Some(&id)));
    let delivered = State::Delivered { by: 1, of: 1 };
    assert_eq!(ann.states_of(&id, &delivered).await, [State::Queued, State::Sent, State::Accepted, delivered.clone()]);

    let id = ann.client.say(Some("bob"), "psst").await.unwrap();
    let heard = bob.message().await;
    assert_eq!((heard.from.as_str(), &*heard.text, heard.place), ("ann", "psst", Place::Direct));
    assert_eq!(ann.states_of(&id, &delivered).await, [State::Queued, State::Sent, State::Accepted, delivered.clone()]);

    let id = ann.client.say(Some("nobody"), "psst").await.unwrap();
    ann.until_state(&id, &State::Failed("user nobody is not here".into())).await;
    assert_eq!(ann.client.say(None, "").await, Err(Refused::Length(16 * 1024)));
    assert_eq!(ann.leave().await, Ended::Left { unsettled: 0 });
    let left = bob.until(|event| matches!(event, Event::Happened { what: Happened::Left, .. })).await;
    assert!(matches!(left, Event::Happened { user, .. } if user == "ann"));
    assert_eq!(server.try_name("ann").await, 201, "who left is gone, name and all");
}

#[tokio::test]
async fn what_is_asked_is_answered() {
    let server = Server::start().await;
    let mut ann = user(server.port, "ann");
    ann.connected().await;
    for text in ["one", "two breakfasts", "three"] {
        let id = ann.say(text).await;
        ann.until_state(&id, &State::Accepted).await;
    }
    let mut bob = user(server.port, "bob");
    bob.connected().await;
    let asks = [
        Ask::Users { room: None },
        Ask::Rooms,
        Ask::History { room: None, before: None, limit: 2 },
        Ask::Search { room: None, text: "BREAKFAST".into(), before: None },
        Ask::History { room: None, before: None, limit: 9 },
    ];
    for ask in asks {
        bob.client.ask(ask).await.unwrap();
    }
    let mut heard = Vec::new();
    bob.until(|event| {
        heard.push(match event {
            Event::Users { names, .. } => names.join(","),
            Event::Rooms(names) => names.join("+"),
            Event::Message(message) => format!("{}{}", message.text, if message.past { " before" } else { "" }),
            Event::HistoryEnd { complete, .. } => complete.to_string(),
            Event::Found { text, messages, .. } => format!("{text}: {} {}", messages.len(), messages[0].text),
            _ => return false,
        });
        heard.last().is_some_and(|last| last == "true")
    })
    .await;
    assert_eq!(
        heard,
        [
            "ann,bob",
            "global",
            "two breakfasts before",
            "three before",
            "false",
            "BREAKFAST: 1 two breakfasts",
            "one before",
            "two breakfasts before",
            "three before",
            "true"
        ]
    );

    bob.client.ask(Ask::Create { room: "den".into() }).await.unwrap();
    bob.until(|event| matches!(event, Event::Happened { room, .. } if room.as_deref() == Some("den"))).await;
    ann.client.ask(Ask::Enter { room: "den".into() }).await.unwrap();
    ann.until(|event| matches!(event, Event::Happened { room, .. } if room.as_deref() == Some("den"))).await;
    ann.client.ask(Ask::Typing { room: None }).await.unwrap();
    bob.until(|event| matches!(event, Event::Happened { what: Happened::Typing, user, .. } if user == "ann")).await;
    ann.client.ask(Ask::Rename { name: "anna".into() }).await.unwrap();
    let renamed = Happened::Renamed("anna".into());
    bob.until(|event| matches!(event, Event::Happened { what, .. } if *what == renamed)).await;
    ann.client.ask(Ask::Enter { room: "attic".into() }).await.unwrap();
    ann.client.ask(Ask::Leave { room: None }).await.unwrap();
    let mut heard = Vec::new();
    ann.until(|event| {
        heard.extend(match event {
            Event::Selected { to } => Some(to.clone().unwrap_or_default()),
            Event::Refused { code, .. } => code.clone(),
            _ => None,
        });
        heard.len() == 4
    })
    .await;
    assert_eq!(heard[0], "attic");
    assert!(heard[1..].contains(&"no_room".to_owned()) && heard[1..].contains(&"den".to_owned()), "{heard:?}");
    assert_eq!(ann.client.ask(Ask::Own { command: "x".into() }).await, Err(Refused::Unsupported));
}

#[tokio::test]
async fn whoever_asks_and_leaves_at_once_is_answered() {
    let server = Server::start().await;
    let mut ann = user(server.port, "ann");
    ann.connected().await;
    for ask in [Ask::Users { room: None }, Ask::Rooms] {
        ann.client.ask(ask).await.unwrap();
    }
    assert_eq!(ann.leave().await, Ended::Left { unsettled: 0 });
    let answers = ann.heard.iter().filter(|event| matches!(event, Event::Users { .. } | Event::Rooms(_)));
    assert_eq!(answers.count(), 2);
}

#[tokio::test]
async fn a_cut_is_told_and_what_was_said_meanwhile_is_heard_once_and_in_order() {
    let server = Server::start().await;
    let gate = Gate::before(server.port).await;
    let mut ann = user(gate.port, "ann");
    ann.connected().await;
    let mut bob = user(server.port, "bob");
    bob.connected().await;
    bob.say("0").await;
    assert_eq!(&*ann.message().await.text, "0");
    for round in 0..3 {
        gate.shut();
        ann.until(|event| matches!(event, Event::Lost { .. })).await;
        let (first, second) = (ann.say(&format!("mine {round}")).await, ann.say("and more").await);
        for n in 0..5 {
            let id = bob.say(&format!("{round} {n}")).await;
            bob.until_state(&id, &State::Accepted).await;
        }
        gate.open();
        let mut missed = Vec::new();
        let back = ann
            .until(|event| {
                if let Event::Message(message) = event {
                    missed.push((message.text.to_string(), message.past));
                }
                matches!(event, Event::Connected { .. })
            })
            .await;
        assert!(matches!(back, Event::Connected { resumed: Some(true), .. }), "{back:?}");
        assert_eq!(missed, (0..5).map(|n| (format!("{round} {n}"), true)).collect::<Vec<_>>());
        ann.until_state(&first, &State::Accepted).await;
        ann.until_state(&second, &State::Accepted).await;
        assert_eq!(bob.others("ann", 2).await, [format!("mine {round}"), "and more".into()]);
    }
}

#[tokio::test]
async fn a_text_whose_acceptance_was_lost_is_said_once() {
    let server = Server::start().await;
    let gate = Gate::before(server.port).await;
    let mut ann = user(gate.port, "ann");
    ann.connected().await;
    let mut bob = user(server.port, "bob");
    bob.connected().await;
    for round in 0..5 {
        // What the server says no longer comes through, what ann says does.
        gate.swallow();
        let text = format!("text {round}");
        let id = ann.say(&text).await;
        assert_eq!(bob.others("ann", 1).await, [text]);
        gate.cut();
        ann.until_state(&id, &State::Accepted).await;
    }
    let id = ann.say("the last").await;
    ann.until_state(&id, &State::Accepted).await;
    assert_eq!(bob.others("ann", 1).await, ["the last"]);
}

#[tokio::test]
async fn a_silent_link_is_found_dead_by_a_ping() {
    let server = Server::start().await;
    let gate = Gate::before(server.port).await;
    let quiet = Duration::from_millis(200);
    let mut ann = listener(by_itself(gate.port, "ann").enter("global").quiet(quiet));
    ann.connected().await;
    gate.swallow();
    let lost = ann.until(|event| matches!(event, Event::Lost { .. })).await;
    assert!(matches!(&lost, Event::Lost { reason, .. } if reason.contains("nothing was heard")), "{lost:?}");
    gate.cut();
    assert_eq!(ann.connected().await.1, Some(true));
}

#[tokio::test]
async fn a_name_that_is_taken_ends_the_first_sign_in() {
    let server = Server::start().await;
    server.token("ann").await;
    let mut ann = user(server.port, "ann");
    assert_eq!(ann.ended().await, Ended::Refused("nickname ann already taken (403)".into()));
    assert_eq!(ann.client.say(None, "x").await, Err(Refused::Ended));
    let mut bad = user(server.port, "1");
    assert!(matches!(bad.ended().await, Ended::Refused(reason) if reason.contains("(403)")));
}

#[tokio::test]
async fn a_server_that_forgot_the_token_is_signed_in_to_anew_once_the_name_is_free() {
    let (first, second) = (Server::start().await, Server::start().await);
    let gate = Gate::before(first.port).await;
    let mut ann = user(gate.port, "ann");
    ann.connected().await;
    // The other server never gave that token, and somebody there has the name for now.
    let mut other = second.join("ann").await;
    gate.lead_to(second.port);
    let mut taken = 0;
    ann.until(|event| {
        taken += usize::from(matches!(event, Event::Lost { reason, .. } if reason.contains("already taken")));
        taken == 2
    })
    .await;
    let id = ann.say("back").await;
    other.command("exit", serde_json::json!({})).await;
    assert_eq!(ann.connected().await, (Some("ann".into()), Some(false)));
    ann.until_state(&id, &State::Accepted).await;
}

#[tokio::test]
async fn a_server_that_lost_its_rooms_gets_them_back() {
    let (first, second) = (Server::start().await, Server::start().await);
    let gate = Gate::before(first.port).await;
    let mut ann = user(gate.port, "ann");
    ann.connected().await;
    ann.client.ask(Ask::Create { room: "den".into() }).await.unwrap();
    ann.until(|event| matches!(event, Event::Happened { .. })).await;
    let id = ann.say("in the old den").await;
    ann.until_state(&id, &State::Accepted).await;
    let mut bob = user(second.port, "bob");
    bob.connected().await;
    let id = bob.say("said in the new one").await;
    bob.until_state(&id, &State::Accepted).await;
    gate.lead_to(second.port);
    ann.until(|event| matches!(event, Event::Lost { .. })).await;
    let id = ann.say("in the new den").await;
    // It began anew, so what it keeps was said meanwhile.
    assert_eq!(&*ann.message().await.text, "said in the new one");
    assert_eq!(ann.connected().await.1, Some(false));
    ann.until_state(&id, &State::Accepted).await;
    bob.client.ask(Ask::Enter { room: "den".into() }).await.unwrap();
    bob.client.ask(Ask::History { room: Some("den".into()), before: None, limit: 5 }).await.unwrap();
    let _ = bob.until(|event| matches!(event, Event::Happened { room, .. } if room.as_deref() == Some("den"))).await;
    bob.client.ask(Ask::History { room: None, before: None, limit: 5 }).await.unwrap();
    assert_eq!(&*bob.message().await.text, "in the new den");
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_told_as_a_gap() {
    let mut limits = Limits::default();
    limits.history_count = 10;
    limits.commands_per_second = 0;
    let server = Server::with(&limits).await;
    let gate = Gate::before(server.port).await;
    let mut ann = user(gate.port, "ann");
    ann.connected().await;
    let mut bob = listener(by_itself(server.port, "bob").enter("global").pace(1000, Duration::ZERO));
    bob.connected().await;
    bob.say("before").await;
    ann.message().await;
    gate.shut();
    ann.until(|event| matches!(event, Event::Lost { .. })).await;
    for n in 0..400 {
        let id = bob.say(&n.to_string()).await;
        bob.until_state(&id, &State::Accepted).await;
    }
    gate.open();
    let (mut heard, mut gone) = (0, 0);
    let back = ann
        .until(|event| {
            match event {
                Event::Message(_) => heard += 1,
                Event::Gap { most, .. } => gone += most,
                _ => {}
            }
            matches!(event, Event::Connected { .. })
        })
        .await;
    assert!(matches!(back, Event::Connected { resumed: Some(false), .. }), "{back:?}");
    assert!(gone > 0 && heard + gone == 400, "{heard} and {gone}");
}

#[tokio::test]
async fn whoever_is_put_out_of_a_room_stays_out() {
    let server = Server::start().await;
    let gate = Gate::before(server.port).await;
    let mut ann = user(server.port, "ann");
    ann.connected().await;
    ann.client.ask(Ask::Create { room: "den".into() }).await.unwrap();
    ann.until(|event| matches!(event, Event::Happened { .. })).await;
    let mut bob = listener(by_itself(gate.port, "bob").enter("global").enter("den"));
    bob.connected().await;
    let mut moderator = server.rich("mod").await;
    moderator.command("enter", serde_json::json!({ "room": "den" })).await;
    moderator.command("kick", serde_json::json!({ "room": "den", "user": "bob" })).await;
    assert_eq!(moderator.of_type("error").await["code"], "forbidden");
    drop(moderator);
    let id = bob.say("in the den").await;
    bob.until_state(&id, &State::Accepted).await;
    bob.client.ask(Ask::Leave { room: Some("den".into()) }).await.unwrap();
    let selected = bob.until(|event| matches!(event, Event::Selected { .. })).await;
    assert_eq!(selected, Event::Selected { to: Some("global".into()) });
    gate.cut();
    bob.until(|event| matches!(event, Event::Lost { .. })).await;
    assert_eq!(bob.connected().await.1, Some(true));
    bob.client.ask(Ask::Users { room: Some("den".into()) }).await.unwrap();
    bob.until(|event| matches!(event, Event::Refused { code, .. } if code.as_deref() == Some("not_in_room"))).await;
}

#[tokio::test]
async fn queues_are_bounded_and_what_does_not_fit_is_refused_at_once() {
    let mut ann = listener(by_itself(common::programs::free_port(), "ann").enter("global"));
    ann.until(|event| matches!(event, Event::Lost { .. })).await;
    for n in 0..1024 {
        ann.say(&n.to_string()).await;
    }
    assert_eq!(ann.client.say(None, "one too many").await, Err(Refused::Full(1024)));
    ann.client.ask(Ask::Rooms).await.unwrap();
    ann.until(|event| matches!(event, Event::Refused { code, .. } if code.as_deref() == Some("offline"))).await;
    assert_eq!(ann.leave().await, Ended::Left { unsettled: 1024 });
}

#[tokio::test]
async fn once_means_once() {
    let mut ann = listener(by_itself(common::programs::free_port(), "ann").once());
    assert!(matches!(ann.ended().await, Ended::Lost(_)));
    for bad in ["", "https://a", "http://a?x", "ftp://a"] {
        assert!(Options::new(bad, "ann").connect().is_err(), "{bad}");
    }
    assert!(Options::new("http://a", "ann").enter("a b").connect().is_err());
}

#[tokio::test]
async fn a_journal_and_a_session_carry_a_crashed_client_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let gate = Gate::before(server.port).await;
    let options = || {
        let journal = Journal::open(&dir.path().join("journal")).unwrap();
        let options = by_itself(gate.port, "ann").enter("global").journal(journal);
        options.session(dir.path().join("session"))
    };
    let mut bob = user(server.port, "bob");
    bob.connected().await;
    let mut ann: Listener = listener(options());
    ann.connected().await;
    let id = ann.say("first").await;
    ann.until_state(&id, &State::Accepted).await;
    bob.say("heard").await;
    ann.until(|event| matches!(event, Event::Message(message) if &*message.text == "heard")).await;
    // One arrives and is not confirmed, one cannot be sent any more.
    gate.swallow();
    ann.say("unconfirmed").await;
    assert_eq!(bob.others("ann", 2).await, ["first", "unconfirmed"]);
    gate.shut();
    ann.until(|event| matches!(event, Event::Lost { .. })).await;
    ann.say("unsent").await;
    drop(ann);
    let id = bob.say("said meanwhile").await;
    bob.until_state(&id, &State::Accepted).await;
    gate.open();
    let mut ann = loop {
        // The lock on the journal goes with the task that ended.
        if Journal::open(&dir.path().join("journal")).is_ok() {
            break listener(options());
        }
        tokio::task::yield_now().await;
    };
    let mut heard = Vec::new();
    let back = ann
        .until(|event| {
            match event {
                Event::Restored { text, .. } => heard.push(format!("restored {text}")),
                Event::Message(message) if !message.own => heard.push(message.text.to_string()),
                _ => {}
            }
            matches!(event, Event::Connected { .. })
        })
        .await;
    assert!(matches!(back, Event::Connected { resumed: Some(true), .. }), "{back:?}");
    assert_eq!(heard.iter().filter(|heard| heard.starts_with("restored ")).count(), 2, "{heard:?}");
    assert!(heard.contains(&"said meanwhile".to_owned()), "{heard:?}");
    assert_eq!(bob.others("ann", 1).await, ["unsent"]);
    assert!(matches!(ann.leave().await, Ended::Left { unsettled: 0 }));
    // Whoever keeps a session goes without signing out.
    assert_eq!(server.try_name("ann").await, 403);
    let kept = Journal::open(&dir.path().join("journal")).unwrap();
    let mut again = listener(by_itself(gate.port, "ann").session(dir.path().join("session")).journal(kept));
    assert_eq!(again.connected().await.1, Some(true));
}

#[tokio::test]
async fn a_direct_message_is_told_once_whatever_its_server_heard_of_that() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let gate = Gate::before(server.port).await;
    let session = dir.path().join("session");
    let ann = || listener(by_itself(gate.port, "ann").session(session.clone()));
    let mut bob = user(server.port, "bob");
    let mut first: Listener = ann();
    bob.connected().await;
    first.connected().await;
    // What ann's program took is not heard by the server any more.
    gate.muffle();
    bob.client.say(Some("ann"), "psst").await.unwrap();
    assert_eq!(first.others("bob", 1).await, ["psst"]);
    let kept = async {
        while !std::fs::read_to_string(&session).unwrap_or_default().contains("\"direct\":{") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), kept).await.unwrap();
    drop(first);
    gate.cut();
    let mut again = ann();
    again.connected().await;
    bob.client.say(Some("ann"), "news").await.unwrap();
    assert_eq!(again.others("bob", 1).await, ["news"]);
}
