//! What strangers may send to a room server in rich mode: arguments that are none, numbers that are none, positions that
//! nobody can have, and more of it than anybody can answer. A healthy pair hears each other meanwhile.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use common::pair::Pair;
use common::rooms::{Client, Server};
use serde_json::{Value, json};
use talk::limits::Limits;
use talk::message::Command;
use talk::name::RoomName;
use tokio::io::AsyncWriteExt;

/// A server, a pair in `global`, and mallory in `global` and in a room of hers.
async fn stage() -> (Server, Pair, Client) {
    let mut limits = Limits::default();
    limits.commands_per_second = 0;
    let server = Server::with(&limits).await;
    let pair = Pair::meet(&server).await;
    let mut mallory = server.rich("mallory").await;
    mallory.command("enter", json!({ "room": "global" })).await;
    mallory.command("createroom", json!({ "name": "den" })).await;
    mallory.until(&json!({ "type": "presence", "room": "den", "user": "mallory", "state": "joined" })).await;
    (server, pair, mallory)
}

/// The next frame that is neither news nor somebody's message in `global`.
async fn answer(client: &mut Client) -> Value {
    loop {
        let heard = client.hear().await;
        if heard["type"] != "presence" && heard["type"] != "receipt" && heard["room"] != "global" {
            return heard;
        }
    }
}

/// Everything up to the answer to a question that is always answered.
async fn answers(client: &mut Client) -> Vec<Value> {
    client.command("listrooms", json!({})).await;
    let mut heard = Vec::new();
    loop {
        let next = answer(client).await;
        if next["list"] == "rooms" && next["body"] == "den\nglobal" {
            return heard;
        }
        heard.push(next);
    }
}

/// Each command with arguments that would do, and which of them are texts, numbers, or may be left out.
fn commands() -> Vec<(&'static str, Value, Names, Names, Names)> {
    let aimed = || json!({ "room": "den", "user": "nobody", "seconds": 1, "reason": "r" });
    vec![
        ("message", json!({ "room": "den", "body": "b" }), &["room", "body"], &[], &["id"]),
        ("direct", json!({ "to": "nobody", "body": "b" }), &["to", "body"], &[], &["id"]),
        ("enter", json!({}), &["room"], &[], &[]),
        ("leave", json!({}), &["room"], &[], &[]),
        ("typing", json!({}), &["room"], &[], &[]),
        ("switchroom", json!({}), &["room"], &[], &[]),
        ("createroom", json!({}), &["name"], &[], &[]),
        ("received", json!({ "room": "den", "seq": 1 }), &["room"], &["seq"], &[]),
        ("resume", json!({ "room": "den", "epoch": "e", "seq": 1 }), &["room", "epoch"], &["seq"], &[]),
        ("search", json!({ "room": "den", "text": "t" }), &["room", "text"], &[], &["before", "limit"]),
        ("history", json!({}), &[], &[], &["room", "after", "before", "limit"]),
        ("listusers", json!({}), &[], &[], &["room"]),
        ("block", json!({}), &["user"], &[], &[]),
        ("unblock", json!({}), &["user"], &[], &[]),
        ("kick", aimed(), &["room", "user"], &[], &["seconds", "reason"]),
        ("ban", aimed(), &["room", "user"], &[], &["seconds", "reason"]),
        ("unban", aimed(), &["room", "user"], &[], &["seconds", "reason"]),
        ("mute", aimed(), &["room", "user"], &[], &["seconds", "reason"]),
        ("unmute", aimed(), &["room", "user"], &[], &["seconds", "reason"]),
        ("close", json!({ "room": "den" }), &["room"], &[], &["reason"]),
        ("revoke", json!({}), &["session"], &[], &[]),
    ]
}

type Names = &'static [&'static str];

const NUMBERS: [&str; 5] = ["seq", "after", "before", "limit", "seconds"];

#[tokio::test]
async fn arguments_of_the_wrong_kind_are_told_and_change_nothing() {
    let (_server, mut pair, mut mallory) = stage().await;
    let mut cases: Vec<(String, String)> = Vec::new();
    for (kind, args, texts, numbers, optional) in commands() {
        for argument in texts.iter().chain(numbers).chain(optional) {
            let is_number = NUMBERS.contains(argument);
            let mut wrong = vec!["-1", "1.5", "-0.0", "1e2", "true", "[]", "{}", "[1]", "[\"den\"]", "{\"$ne\":null}"];
            wrong.push("18446744073709551616");
            wrong.push(if is_number { "\"1\"" } else { "1" });
            if is_number {
                wrong.extend(["\"\"", "-9223372036854775808", "1.0"]);
            }
            if !optional.contains(argument) {
                wrong.push("null");
            }
            for value in wrong {
                let mut args = args.clone();
                args[*argument] = "PLACE".into();
                let frame = json!({ "type": kind, "args": args }).to_string().replace("\"PLACE\"", value);
                cases.push((frame, format!("cannot parse '{argument}' arg of {kind} command")));
            }
            let mut args = args.clone();
            args[*argument] = "PLACE".into();
            let frame = json!({ "type": kind, "args": args }).to_string();
            for value in ["1e400", "-1e400", "NaN", "Infinity", "0x1", "01", "1.", "+1", "\"\\ud800\"", "'den'"] {
                cases.push((frame.replace("\"PLACE\"", value), "error parsing your message".into()));
            }
            let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
            cases.push((frame.replace("\"PLACE\"", &deep), "error parsing your message".into()));
            if texts.contains(argument) || numbers.contains(argument) {
                let mut args = args;
                args.as_object_mut().unwrap().remove(*argument);
                let frame = json!({ "type": kind, "args": args }).to_string();
                cases.push((frame, format!("cannot parse '{argument}' arg of {kind} command")));
            }
        }
    }
    for (seconds, kind) in [("0", "ban"), ("3153600001", "mute"), ("18446744073709551615", "ban")] {
        let frame = format!(r#"{{"type":"{kind}","args":{{"room":"den","user":"x","seconds":{seconds}}}}}"#);
        cases.push((frame, format!("cannot parse 'seconds' arg of {kind} command")));
    }
    assert!(cases.len() > 900, "{}", cases.len());
    for (frame, text) in &cases {
        mallory.send(frame).await;
        let heard = answer(&mut mallory).await;
        assert_eq!((&heard["type"], heard["body"].as_str().unwrap()), (&json!("error"), text.as_str()), "{frame:.200}");
        pair.speak().await;
    }
    assert!(answers(&mut mallory).await.is_empty());
}

#[tokio::test]
async fn long_and_unknown_arguments_are_refused_for_what_they_are() {
    let (_server, mut pair, mut mallory) = stage().await;
    let long = "x".repeat(65_000);
    let wide = "\u{1f600}".repeat(16_000);
    let mut cases: Vec<(&str, Value, &str)> = Vec::new();
    for name in [&*long, &*wide, "", "..", "no/room", "@", "@0197", "@@", "\u{0}", "nowhere"] {
        let exists = name == "nowhere";
        for (kind, code) in [
            ("enter", "no_room"),
            ("switchroom", "no_room"),
            ("resume", "no_room"),
            // Whoever moderates nothing learns nothing.
            ("kick", if exists { "forbidden" } else { "no_room" }),
            ("close", if exists { "forbidden" } else { "no_room" }),
            ("leave", if exists { "not_in_room" } else { "no_room" }),
            ("typing", if exists { "not_in_room" } else { "no_room" }),
            ("received", if exists { "not_in_room" } else { "no_room" }),
            ("history", if exists { "not_in_room" } else { "no_room" }),
            ("search", if exists { "not_in_room" } else { "no_room" }),
            ("listusers", if exists { "not_in_room" } else { "no_room" }),
            ("message", if exists { "not_in_room" } else { "no_room" }),
        ] {
            let args = json!({ "room": name, "epoch": "e", "seq": 1, "text": "t", "body": "b", "user": "ann" });
            cases.push((kind, args, code));
        }
    }
    for user in [&*long, &*wide, "", " ", "nobody", "@0197f3c8a2b47d319c572f6de14a8b90", "ann#2", "system"] {
        for kind in ["unblock", "unban", "unmute"] {
            // Nothing is to be lifted, and nobody hears of it.
            mallory.command(kind, json!({ "room": "den", "user": user })).await;
        }
        for kind in ["block", "kick", "ban", "mute"] {
            cases.push((kind, json!({ "room": "den", "user": user }), "no_user"));
        }
        cases.push(("direct", json!({ "to": user, "body": "b" }), "no_user"));
    }
    for (kind, args) in [
        ("message", json!({ "room": "den", "body": long })),
        ("message", json!({ "room": "den", "body": wide })),
        ("message", json!({ "room": "den", "body": "b", "id": long })),
        ("message", json!({ "room": "den", "body": "b", "id": "" })),
        ("message", json!({ "room": "den", "body": "b", "id": "a\nb" })),
        ("direct", json!({ "to": "ann", "body": long })),
        ("search", json!({ "room": "den", "text": long })),
        ("search", json!({ "room": "den", "text": "" })),
        ("search", json!({ "room": "den", "text": "x".repeat(257) })),
        ("resume", json!({ "room": "den", "epoch": long, "seq": 0 })),
        ("resume", json!({ "room": "den", "epoch": "", "seq": 0 })),
        ("kick", json!({ "room": "den", "user": "ann", "reason": long })),
        ("close", json!({ "room": "den", "reason": wide })),
    ] {
        cases.push((kind, args, "argument"));
    }
    for session in [&*long, "", "x", "0197f3c8a2b47d319c572f6de14a8b90", "*"] {
        cases.push(("revoke", json!({ "session": session }), "no_session"));
    }
    for (kind, args) in [
        ("kick", json!({ "room": "global", "user": "ann" })),
        ("ban", json!({ "room": "global", "user": "ann", "seconds": 1 })),
        ("unban", json!({ "room": "global", "user": "ann" })),
        ("mute", json!({ "room": "global", "user": "ann" })),
        ("unmute", json!({ "room": "global", "user": "ann" })),
        ("close", json!({ "room": "global" })),
        ("kick", json!({ "room": "den", "user": "mallory" })),
        ("ban", json!({ "room": "den", "user": "mallory" })),
    ] {
        cases.push((kind, args, "forbidden"));
    }
    assert!(cases.len() > 150, "{}", cases.len());
    for (kind, args, code) in &cases {
        mallory.command(kind, args.clone()).await;
        let heard = answer(&mut mallory).await;
        let short = format!("{kind} {args:.100}: {heard:.300}");
        assert_eq!((&heard["type"], &heard["code"]), (&json!("error"), &json!(code)), "{short}");
        pair.speak().await;
    }
    assert!(answers(&mut mallory).await.is_empty());
}

#[tokio::test]
async fn positions_that_nobody_can_have_are_answered_with_what_there_is() {
    let (_server, mut pair, mut mallory) = stage().await;
    mallory.command("message", json!({ "room": "den", "body": "only", "id": "1" })).await;
    let only = answer(&mut mallory).await;
    let accepted = answer(&mut mallory).await;
    assert_eq!((&only["seq"], &accepted["type"]), (&json!(1), &json!("accepted")));
    let epoch = &only["epoch"];
    let recovered = |from: u64, to: u64, recovered: bool| json!({ "type": "recovered", "room": "den", "epoch": epoch, "from": from, "to": to, "recovered": recovered });
    let found = |messages: Value| json!({ "type": "found", "room": "den", "text": "only", "messages": messages });
    let end = |count: u64, more: bool| json!({ "type": "history", "room": "den", "epoch": epoch, "count": count, "more": more });
    let most = u64::MAX;
    let half = u64::MAX / 2 + 1;
    for (kind, args, expected) in [
        ("history", json!({ "after": most }), vec![end(0, false)]),
        ("history", json!({ "before": 0 }), vec![end(0, false)]),
        ("history", json!({ "after": 1, "before": 1 }), vec![end(0, false)]),
        ("history", json!({ "after": most, "before": 0 }), vec![end(0, false)]),
        ("history", json!({ "after": 0, "before": most, "limit": most }), vec![only.clone(), end(1, false)]),
        ("history", json!({ "after": half, "limit": half }), vec![end(0, false)]),
        ("history", json!({ "before": half }), vec![only.clone(), end(1, false)]),
        ("history", json!({ "limit": 0 }), vec![end(0, true)]),
        ("search", json!({ "text": "only", "before": most, "limit": most }), vec![found(json!([only]))]),
        ("search", json!({ "text": "only", "before": 0 }), vec![found(json!([]))]),
        ("search", json!({ "text": "only", "before": 1, "limit": 1 }), vec![found(json!([]))]),
        ("resume", json!({ "epoch": epoch, "seq": 0 }), vec![only.clone(), recovered(0, 1, true)]),
        ("resume", json!({ "epoch": epoch, "seq": 1 }), vec![recovered(1, 1, true)]),
        ("resume", json!({ "epoch": epoch, "seq": 2 }), vec![recovered(2, 1, false)]),
        ("resume", json!({ "epoch": epoch, "seq": half }), vec![recovered(half, 1, false)]),
        ("resume", json!({ "epoch": epoch, "seq": most }), vec![recovered(most, 1, false)]),
        ("resume", json!({ "epoch": "another", "seq": 0 }), vec![recovered(0, 1, false)]),
        ("resume", json!({ "epoch": "another", "seq": most }), vec![recovered(0, 1, false)]),
        ("received", json!({ "seq": 0 }), vec![]),
        ("received", json!({ "seq": half }), vec![]),
        ("received", json!({ "seq": most }), vec![]),
    ] {
        let mut args = args;
        args["room"] = "den".into();
        mallory.command(kind, args.clone()).await;
        // What comes of the history may be behind what is answered at once.
        for expected in expected {
            assert_eq!(answer(&mut mallory).await, expected, "{kind} {args}");
        }
        let rest = answers(&mut mallory).await;
        assert!(rest.is_empty(), "{kind} {args}: {rest:?}");
        pair.speak().await;
    }
    // Nobody has taken what was not said yet.
    mallory.command("received", json!({ "room": "global", "seq": most })).await;
    mallory.command("message", json!({ "room": "global", "body": "x", "id": "2" })).await;
    let message = loop {
        let heard = mallory.of_type("message").await;
        if heard["id"] == "2" {
            break heard;
        }
    };
    // The last receipt of what was said in the den may come before.
    let receipt = loop {
        let heard = mallory.of_type("receipt").await;
        if heard["room"] == "global" {
            break heard;
        }
    };
    assert_eq!((&receipt["seq"], &receipt["delivered"]), (&message["seq"], &json!(0)));
}

/// Says so many things in `global`, from a program's seat.
async fn fill(server: &Server, messages: usize) {
    let (mut seat, mut heard) = server.hub.sit("filler").await.unwrap();
    seat.run(Command::Enter(RoomName::global())).await.unwrap();
    let listening = tokio::spawn(async move { while heard.next().await.is_some() {} });
    for n in 0..messages {
        let body = format!("message number {n}").into();
        seat.run(Command::Say { room: None, body, id: None }).await.unwrap();
    }
    // The last of them is in its place before this is ready.
    seat.run(Command::Leave(None)).await.unwrap();
    drop(seat);
    listening.await.unwrap();
}

/// Where `global` stands.
async fn head(client: &mut Client) -> (Value, u64) {
    client.command("message", json!({ "room": "global", "body": "here", "id": "here" })).await;
    let accepted = client.of_type("accepted").await;
    (accepted["epoch"].clone(), accepted["seq"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_resumes_are_answered_or_refused_one_by_one() {
    let (server, mut pair, mut mallory) = stage().await;
    fill(&server, 1000).await;
    let (epoch, head) = head(&mut mallory).await;
    let (mut recovered, mut busy) = (0, 0);
    for storm in 1..=10 {
        // One from far away for each that is nearly up to date.
        for n in 0..100 {
            let seq = if n % 2 == 0 { head - 600 } else { head - 1 };
            mallory.command("resume", json!({ "room": "global", "epoch": epoch, "seq": seq })).await;
        }
        pair.speak().await;
        while recovered + busy < 100 * storm {
            let heard = mallory.hear().await;
            match heard["type"].as_str().unwrap() {
                "recovered" => {
                    assert_eq!(heard["recovered"], true, "{heard}");
                    recovered += 1;
                }
                "error" => {
                    assert_eq!(heard["code"], "busy");
                    busy += 1;
                }
                _ => {}
            }
        }
        pair.speak().await;
    }
    assert!(recovered >= 10, "each storm brings it up to date at least once: {recovered} recovered, {busy} busy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_resumes_of_one_who_does_not_read_cost_at_most_the_queue() {
    let (server, mut pair, mut mallory) = stage().await;
    fill(&server, 2000).await;
    let (epoch, _) = head(&mut mallory).await;
    for _ in 0..1000 {
        let frame = json!({ "type": "resume", "args": { "room": "global", "epoch": epoch, "seq": 0 } }).to_string();
        // It may be cut before it has sent them all.
        let _ = mallory.stream.write_all(&common::raw_websocket::text(&frame)).await;
    }
    for _ in 0..50 {
        pair.speak().await;
        let gauges = server.hub.gauges();
        assert!(gauges.queued_bytes <= Limits::default().member_bytes, "{gauges:?}");
        assert!(gauges.queued_messages <= Limits::default().member_messages, "{gauges:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_histories_for_one_who_does_not_read_are_refused_beyond_some() {
    let (server, mut pair, mut mallory) = stage().await;
    fill(&server, 2000).await;
    head(&mut mallory).await;
    for _ in 0..100 {
        mallory.command("history", json!({ "room": "global", "after": 10, "limit": 1000 })).await;
    }
    for _ in 0..100 {
        pair.speak().await;
        let gauges = server.hub.gauges();
        assert!(gauges.queued_bytes <= Limits::default().member_bytes, "{gauges:?}");
        assert!(gauges.queued_messages <= Limits::default().member_messages, "{gauges:?}");
    }
    // Whoever reads again gets each page whole, and a refusal for each that was too much.
    let (mut old, mut busy) = (0, 0);
    while old / 1000 + busy < 100 {
        let heard = mallory.hear().await;
        match heard["type"].as_str().unwrap() {
            "error" => {
                assert_eq!(heard["code"], "busy");
                busy += 1;
            }
            "message" if heard["from"] == "filler" => {
                let seq = heard["seq"].as_u64().unwrap();
                assert_eq!(seq, 11 + old % 1000, "in order");
                old += 1;
            }
            _ => {}
        }
    }
    // What the system takes on the way waits nowhere here: how many are too much depends on who is faster.
    assert!(busy >= 1 && old >= 30_000, "{old} messages, {busy} refused");
    pair.speak().await;
}
