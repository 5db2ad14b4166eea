//! What strangers may send to a room server: frames that no client sends, commands that no program writes. Each gets the
//! documented answer, and two others go on hearing each other.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use common::bad_frames::bad_frames;
use common::pair::Pair;
use common::raw_websocket::{TEXT, frame, text};
use common::rooms::{Server, said};
use serde_json::json;
use talk::limits::Limits;
use tokio::io::AsyncWriteExt;

const FIN: u8 = 0x80;
const PING: u8 = 9;
const PONG: u8 = 10;

async fn unlimited() -> Server {
    let mut limits = Limits::default();
    limits.commands_per_second = 0;
    Server::with(&limits).await
}

#[tokio::test]
async fn hostile_frames_get_their_close_and_nobody_else_notices() {
    let server = unlimited().await;
    let mut pair = Pair::meet(&server).await;
    let hi = br#"{"type":"listrooms"}"#;
    let cases = bad_frames(hi);
    assert!(cases.len() >= 40, "{}", cases.len());
    for (n, (what, bytes, code)) in cases.into_iter().enumerate() {
        let mut mallory = server.join(&format!("m{n}")).await;
        mallory.stream.write_all(&bytes).await.unwrap();
        assert_eq!(mallory.closed().await, Some(code), "{what}");
        assert!(mallory.ends().await, "{what}");
        pair.speak().await;
    }
}

#[tokio::test]
async fn odd_but_lawful_frames_are_understood() {
    let server = unlimited().await;
    let mut ann = server.join("ann").await;
    let hi = br#"{"type":"listrooms"}"#;
    let (first, second) = hi.split_at(7);
    for (what, bytes) in [
        ("fragments", [frame(TEXT, first), frame(FIN, second)].concat()),
        ("empty fragments", [frame(TEXT, b""), frame(0, hi), frame(FIN, b"")].concat()),
        ("a pong that nobody asked for", [frame(FIN | PONG, b"x"), text(std::str::from_utf8(hi).unwrap())].concat()),
        ("a long form of a short length", {
            let mut bytes = vec![FIN | TEXT, 0x80 | 126, 0, hi.len() as u8, 7, 7, 7, 7];
            bytes.extend(hi.iter().map(|b| b ^ 7));
            bytes
        }),
    ] {
        ann.stream.write_all(&bytes).await.unwrap();
        assert_eq!(ann.system().await, "global", "{what}");
    }
    // A ping amid fragments is answered at once, and before what comes behind it.
    ann.stream
        .write_all(&[frame(TEXT, first), frame(FIN | PING, b"alive"), frame(FIN, second)].concat())
        .await
        .unwrap();
    assert_eq!(common::raw_websocket::read_frame(&mut ann.stream).await, Some((PONG, b"alive".to_vec())));
    assert_eq!(ann.system().await, "global");
    // One byte at a time.
    for byte in text(std::str::from_utf8(hi).unwrap()) {
        ann.stream.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(ann.system().await, "global");
}

#[tokio::test]
async fn hostile_commands_are_refused_and_the_session_goes_on() {
    let server = unlimited().await;
    let mut pair = Pair::meet(&server).await;
    let mut mallory = server.join("mallory").await;
    let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    let parse = "error parsing your message";
    let mut cases: Vec<(String, String)> = [
        "",
        " ",
        "null",
        "true",
        "1",
        "\"message\"",
        "[]",
        "{",
        "}",
        "{}",
        "{\"type\"}",
        "{\"type\":}",
        "{\"type\":null}",
        "{\"type\":1}",
        "{\"type\":[\"message\"]}",
        "{\"type\":{}}",
        "{\"Type\":\"exit\"}",
        "{'type':'exit'}",
        "{\"type\":\"exit\",}",
        "{\"type\":\"exit\"}x",
        "{\"type\":\"exit\"}{\"type\":\"exit\"}",
        "{\"type\":\"exit\",\"type\":\"exit\"}",
        "{\"type\":\"exit\",\"args\":1}",
        "{\"type\":\"exit\",\"args\":\"\"}",
        "{\"type\":\"exit\",\"args\":[]}",
        "{\"type\":\"exit\",\"args\":{\"a\":1,\"a\":2}}",
        "\u{feff}{\"type\":\"exit\"}",
        "{\"type\":\"\\ud800\"}",
        "{\"type\":\"exit\",\"x\":NaN}",
        "<exit/>",
    ]
    .iter()
    .map(|frame| ((*frame).to_owned(), parse.to_owned()))
    .collect();
    cases.push((format!("{{\"type\":\"exit\",\"args\":{deep}}}"), parse.into()));
    for kind in ["", "Message", "MESSAGE", "message ", "kick", "ban", "enter", "__proto__", "\u{0}", "exit\n"] {
        cases.push((json!({ "type": kind }).to_string(), format!("unknown command '{kind}'")));
    }
    for args in [
        json!({}),
        json!(null),
        json!({ "body": null }),
        json!({ "body": [] }),
        json!({ "body": {} }),
        json!({ "Body": "x" }),
    ] {
        let text = "cannot parse 'body' arg of message command";
        cases.push((json!({ "type": "message", "args": args }).to_string(), text.into()));
    }
    for body in ["", "\u{0}", "\u{1b}", "\u{7f}\u{80}\u{9f}"] {
        let text = "cannot parse 'body' arg of message command";
        cases.push((json!({ "type": "message", "args": { "body": body } }).to_string(), text.into()));
    }
    for from in [json!(1), json!([]), json!({}), json!(null), json!(true)] {
        let text = "cannot parse 'from' arg of message command";
        cases.push((json!({ "type": "message", "args": { "from": from, "body": "x" } }).to_string(), text.into()));
    }
    for name in ["", "x", "1x", "a b", "a/b", "../x", "a.b", "\u{202e}x", "x\n", "\u{430}\u{431}"] {
        let frame = |kind: &str, key: &str| json!({ "type": kind, "args": { key: name } }).to_string();
        cases.push((frame("setnick", "nickname"), format!("'{name}' is not a valid nickname")));
        cases.push((frame("createroom", "name"), format!("'{name}' is not a valid room name")));
        cases.push((frame("switchroom", "room"), format!("room {name} does not exist")));
    }
    assert!(cases.len() >= 60, "{}", cases.len());
    for (frame, text) in cases {
        mallory.send(&frame).await;
        let answer = loop {
            let heard = mallory.hear().await;
            if heard["from"] == "system" {
                break heard;
            }
        };
        assert_eq!(answer, said("system", &text), "{frame:.80}");
        pair.speak().await;
    }
    mallory.say("still here").await;
    mallory.until(&said("mallory", "still here")).await;
}

#[tokio::test]
async fn one_that_never_reads_is_cut_and_slows_nobody() {
    let mut limits = Limits::default();
    limits.commands_per_second = 0;
    let server = Server::with(&limits).await;
    let mut pair = Pair::meet(&server).await;
    let mut idler = server.join("idler").await;
    pair.ann.until(&said("system", "idler joined")).await;
    let long = "x".repeat(16 * 1024);
    // More than its queue and what the system buffers.
    for n in 0..2000 {
        pair.ann.say(&long).await;
        pair.ann.until(&said("ann", &long)).await;
        let before = pair.bob.until(&said("ann", &long)).await;
        if before.iter().any(|heard| *heard == said("system", "idler left")) {
            break;
        }
        assert!(n < 1999, "the idler is never cut");
    }
    pair.speak().await;
    // Whole frames up to the end, and the reason for it.
    assert!(matches!(idler.closed().await, Some(1008) | None));
    assert_eq!(server.try_name("idler").await, 201);
}

#[tokio::test]
async fn a_flood_of_pings_ends_and_a_flood_of_pongs_is_passed_over() {
    let mut limits = Limits::default();
    (limits.commands_per_second, limits.commands_burst) = (1, 4);
    let server = Server::with(&limits).await;
    let mut eve = server.join("eve").await;
    // Others can make it answer many pings, by direct messages.
    eve.stream.write_all(&frame(FIN | PONG, b"x").repeat(5000)).await.unwrap();
    eve.command("listrooms", json!({})).await;
    assert_eq!(eve.system().await, "global");
    // It may be cut before it has sent them all.
    let _ = eve.stream.write_all(&frame(FIN | PING, b"").repeat(5000)).await;
    assert_eq!(eve.closed().await, Some(1008));
}
