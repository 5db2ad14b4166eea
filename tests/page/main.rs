//! The page as people meet it: real browsers on the real program.
#![cfg(all(unix, feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails; figures are printed")]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod attacks;
mod browser;
mod chat;
mod faces;
mod files;
mod forms;
mod history;
mod hostile;
mod layout;
mod look;
mod offline;
mod past;
mod pictures;
mod rare;
mod speed;
mod tabs;

use browser::{Chromium, Look, Tab};
use common::durable::{Durable, UNLIMITED};
use common::programs::Home;
use common::rooms::Client;
use serde_json::json;
use tempfile::TempDir;

/// A server with its data, and Alice, who is signed in to it in a browser.
async fn alone() -> (TempDir, Durable, Chromium, Tab) {
    let (home, server, chromium, alice, ()) = alone_after(async |_| ()).await;
    (home, server, chromium, alice)
}

/// The same, where something happened on the server before.
async fn alone_after<T>(before: impl AsyncFnOnce(&Durable) -> T) -> (TempDir, Durable, Chromium, Tab, T) {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let before = before(&server).await;
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.sign_in("alice").await;
    (home, server, chromium, alice, before)
}

/// The same, with a server that forgets everything.
async fn alone_where_nothing_is_kept() -> (Home, Durable, Chromium, Tab) {
    let home = Home::new();
    let server = home.start(&["--memory"]);
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.sign_in("alice").await;
    (home, server, chromium, alice)
}

/// The same as at first, with Bob in `global`, who has no browser.
async fn beside_bob() -> (TempDir, Durable, Chromium, Tab, Client) {
    alone_after(async |server| {
        let mut bob = server.rich(&server.guest("bob").await).await;
        bob.command("enter", json!({"room": "global"})).await;
        bob
    })
    .await
}

/// The same, with somebody in a room `den` of theirs.
async fn beside_a_den() -> (TempDir, Durable, Chromium, Tab, Client) {
    alone_after(async |server| {
        let mut owner = server.rich(&server.guest("owner").await).await;
        owner.command("createroom", json!({"name": "den"})).await;
        owner.of_type("presence").await;
        owner
    })
    .await
}

/// Somebody says that many things in `global`, numbered from 1.
async fn fill(server: &Durable, count: u32, body: impl Fn(u32) -> String) {
    let mut filler = server.rich(&server.guest(&format!("filler-{}", uuid::Uuid::new_v4())).await).await;
    filler.command("enter", json!({"room": "global"})).await;
    filler.of_type("presence").await;
    for n in 1..=count {
        filler.command("message", json!({"room": "global", "body": body(n), "id": format!("n{n}")})).await;
        if n % 200 == 0 || n == count {
            while filler.of_type("accepted").await["id"] != json!(format!("n{n}")) {}
        }
    }
}
