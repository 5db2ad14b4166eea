//! The way into the past, where what is asked for is not there, or not for everybody.

use serde_json::json;

use crate::browser::{Chromium, Look};
use crate::common::durable::{Durable, SECRET, UNLIMITED};
use crate::common::rooms::Client;

/// Somebody in a room who says that many things, numbered from 1.
async fn speaker(server: &Durable, name: &str, room: &str, bodies: impl Iterator<Item = String>) -> Client {
    let mut speaker = server.rich(&server.guest(name).await).await;
    speaker.command(if room == "global" { "enter" } else { "createroom" }, json!({"room": room, "name": room})).await;
    speaker.of_type("presence").await;
    for (n, body) in bodies.enumerate() {
        speaker.command("message", json!({"room": room, "body": body, "id": format!("n{n}")})).await;
        while speaker.of_type("accepted").await["id"] != json!(format!("n{n}")) {}
    }
    speaker
}

fn numbers(count: u32) -> impl Iterator<Item = String> {
    (1..=count).map(|n| format!("number {n:05}"))
}

#[tokio::test]
async fn what_is_said_by_those_whom_one_does_not_hear_is_passed_over() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED, "durability=\"os\""]);
    let needle = "a needle".to_owned();
    let _bob = speaker(&server, "bob", "global", [needle].into_iter()).await;
    let _mallory = speaker(&server, "mallory", "global", (0..1_050).map(|n| format!("noise {n}"))).await;
    let mut blocking = server.rich(&server.account("alice").await).await;
    blocking.command("block", json!({"user": "mallory"})).await;
    blocking.command("listrooms", json!({})).await;
    blocking.of_type("system").await;
    let _carol = speaker(&server, "carol", "global", numbers(150)).await;
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.click("#account summary").await;
    alice.type_in("#secret", SECRET).await;
    alice.sign_in("alice").await;
    alice.until_says("#messages .body", "number 00150").await;
    alice.click("[data-open=found]").await;
    alice.type_in("#search", "needle\n").await;
    alice.until_says("#results mark", "needle").await;
    alice.click("#results button").await;
    alice.until_says(".message.found .body", "a needle").await;
    let whole: Vec<String> = ["a needle".to_owned()].into_iter().chain(numbers(150)).collect();
    alice.until("(document.getElementById('log').scrollTop = 1e9) && document.getElementById('past').hidden").await;
    assert_eq!(alice.bodies().await, whole);
    // The same way up.
    alice.reload().await;
    alice.until_says("#messages .body", "number 00150").await;
    alice.until("(document.getElementById('log').scrollTop = 0, !document.getElementById('begin').hidden)").await;
    assert_eq!(alice.bodies().await, whole);
    alice.is_clean().await;
}

#[tokio::test]
async fn whoever_was_put_out_of_a_room_reads_on_there_when_they_are_back() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED, "durability=\"os\""]);
    let mut bob = speaker(&server, "bob", "den", numbers(150)).await;
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.sign_in("alice").await;
    alice.type_in("#room-name", "den\n").await;
    alice.until_says("#messages .body", "number 00150").await;
    alice.until("!document.getElementById('more').hidden").await;
    bob.command("kick", json!({"room": "den", "user": "alice"})).await;
    alice.until_says("#messages .note", "kicked").await;
    alice.js("document.getElementById('more').click()").await;
    alice.until_says("#messages .note", "not in").await;
    // Also where an answer takes longer than the next text has to wait.
    let late = "WebSocket.prototype.send = function (data) { setTimeout(() => super_send.call(this, data), 300); }";
    alice.js(&format!("(window.super_send = WebSocket.prototype.send, {late}, 0)")).await;
    alice.say("here again").await;
    while bob.of_type("message").await["body"] != "here again" {}
    alice.until("(document.getElementById('log').scrollTop = 0, !document.getElementById('begin').hidden)").await;
    let whole: Vec<String> = numbers(150).chain(["here again".to_owned()]).collect();
    assert_eq!(alice.bodies().await, whole);
}
