//! What strangers may send to a room server: frames that no client sends, commands that no program writes. Each gets the
//! documented answer, and two others go on hearing each other.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use common::pair::Pair;
use common::raw_websocket::{CLOSE, TEXT, frame, header, text};
use common::rooms::{Server, said};
use serde_json::json;
use talk::limits::Limits;
use tokio::io::AsyncWriteExt;

const FIN: u8 = 0x80;
const BINARY: u8 = 2;
const PING: u8 = 9;
const PONG: u8 = 10;

async fn unlimited() -> Server {
    let mut limits = Limits::default();
    limits.commands_per_second = 0;
    Server::with(&limits).await
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// The head of a frame whose payload never comes.
fn declared(first: u8, length: u64) -> Vec<u8> {
    [&header(first, length)[..], &[7; 4]].concat()
}

fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, payload.len() as u8], payload].concat()
}

#[tokio::test]
async fn hostile_frames_get_their_close_and_nobody_else_notices() {
    let server = unlimited().await;
    let mut pair = Pair::meet(&server).await;
    let hi = br#"{"type":"listrooms"}"#;
    let mut cases: Vec<(String, Vec<u8>, u16)> = vec![
        ("an unmasked text".into(), unmasked(FIN | TEXT, hi), 1002),
        ("an unmasked ping".into(), unmasked(FIN | PING, b"x"), 1002),
        ("an unmasked close".into(), unmasked(FIN | CLOSE, &[3, 0xe8]), 1002),
        ("a binary frame".into(), frame(FIN | BINARY, hi), 1003),
        ("an empty binary frame".into(), frame(FIN | BINARY, b""), 1003),
        ("a binary message in fragments".into(), [frame(BINARY, b"a"), frame(FIN, b"b")].concat(), 1003),
        ("text that is not UTF-8".into(), frame(FIN | TEXT, b"\xff\xfe"), 1007),
        ("an overlong encoding".into(), frame(FIN | TEXT, b"\xc0\xaf"), 1007),
        ("a surrogate".into(), frame(FIN | TEXT, b"\xed\xa0\x80"), 1007),
        ("a code point too high".into(), frame(FIN | TEXT, b"\xf4\x90\x80\x80"), 1007),
        ("text that ends amid a character".into(), frame(FIN | TEXT, b"a\xe2\x82"), 1007),
        ("bad UTF-8 in a second fragment".into(), [frame(TEXT, b"ok"), frame(FIN, b"\xff")].concat(), 1007),
        ("a frame just too long".into(), declared(FIN | TEXT, 65_537), 1009),
        ("a declared length of 4 GiB".into(), declared(FIN | TEXT, 1 << 32), 1009),
        ("a declared length of 2^63 - 1".into(), declared(FIN | TEXT, (1 << 63) - 1), 1009),
        ("a long binary frame".into(), declared(FIN | BINARY, 1 << 20), 1009),
        ("a long fragment".into(), declared(TEXT, 1 << 20), 1009),
        (
            "fragments too long together".into(),
            [frame(TEXT, &[b'a'; 40_000]), frame(FIN, &[b'a'; 40_000])].concat(),
            1009,
        ),
        ("a continuation of nothing".into(), frame(FIN, b"x"), 1002),
        ("an unfinished continuation of nothing".into(), frame(0, b"x"), 1002),
        ("a text amid fragments".into(), [frame(TEXT, b"a"), frame(FIN | TEXT, b"b")].concat(), 1002),
        ("a ping in fragments".into(), frame(PING, b"x"), 1002),
        ("a close in fragments".into(), frame(CLOSE, &[3, 0xe8]), 1002),
        ("a ping of 126 bytes".into(), frame(FIN | PING, &[0; 126]), 1002),
        ("a pong of 126 bytes".into(), frame(FIN | PONG, &[0; 126]), 1002),
        ("a close of 126 bytes".into(), frame(FIN | CLOSE, &[3; 126]), 1002),
        ("a close of one byte".into(), frame(FIN | CLOSE, &[3]), 1002),
        ("a close whose reason is not UTF-8".into(), close(1000, b"\xff"), 1007),
        ("a close without a code".into(), frame(FIN | CLOSE, b""), 1005),
        ("an ordinary close".into(), close(1000, b"bye"), 1000),
        ("a close with a code of one's own".into(), close(4000, b""), 4000),
    ];
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        cases.push((format!("opcode {opcode}"), frame(FIN | opcode, b""), 1002));
    }
    for bit in [0x40, 0x20, 0x10] {
        cases.push((format!("reserved bit {bit:#x} on a text"), frame(FIN | bit | TEXT, hi), 1002));
        cases.push((format!("reserved bit {bit:#x} on a ping"), frame(FIN | bit | PING, b""), 1002));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535] {
        cases.push((format!("close code {code}"), close(code, b""), 1002));
    }
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
