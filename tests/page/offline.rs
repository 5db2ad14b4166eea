//! Connections that break.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::browser::{Chromium, ELSEWHERE, Look};
use crate::common::durable::{Durable, PROGRAM, UNLIMITED};

#[tokio::test]
async fn a_browser_that_was_cut_off_comes_back_with_everything() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    let (alice, bob) =
        tokio::join!(chromium.open(server.port, Look::default()), chromium.open(server.port, Look::default()));
    alice.sign_in("alice").await;
    bob.sign_in("bob").await;
    alice.say("before").await;
    bob.until_says("#messages .body", "before").await;

    bob.offline(true).await;
    bob.until_says("#banner:not([hidden])", "No connection").await;
    for n in 1..=3 {
        alice.say(&format!("missed {n}")).await;
    }
    alice.until("document.querySelectorAll('#messages .message').length === 4").await;
    bob.say("said while away").await;
    bob.until_says("#waiting .state", "waits for the connection").await;
    assert_eq!(bob.texts("#waiting .from").await, ["bob"]);
    bob.type_in("#text", "half a thou").await;
    bob.offline(false).await;
    bob.until_says("#banner", "nothing was missed").await;
    bob.until_says("#messages .body", "said while away").await;
    bob.until("document.getElementById('banner').hidden").await;

    let mut said = bob.bodies().await;
    assert_eq!(said.pop().as_deref(), Some("said while away"));
    assert_eq!(said, ["before", "missed 1", "missed 2", "missed 3"]);
    assert_eq!(bob.js("document.getElementById('text').value").await, json!("half a thou"));
    assert_eq!(bob.texts("#waiting li").await, Vec::<String>::new());
    alice.until_says("#messages .body", "said while away").await;
    assert_eq!(alice.bodies().await, bob.bodies().await);
    bob.is_clean().await;
}

#[tokio::test]
async fn a_server_that_is_killed_and_restarted_costs_nothing() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let port = server.port;
    let chromium = Chromium::start();
    let (alice, bob) = tokio::join!(chromium.open(port, Look::default()), chromium.open(port, Look::default()));
    alice.sign_in("alice").await;
    bob.sign_in("bob").await;
    alice.say("before").await;
    bob.until_says("#messages .body", "before").await;
    bob.type_in("#direct-name", "alice\n").await;
    bob.say("between us").await;
    bob.until("document.querySelector('#messages .state').textContent === 'delivered'").await;

    // It takes what is said and answers nothing, and then it is gone.
    server.signal("STOP");
    alice.say("on its way").await;
    alice.until_says("#waiting .state", "sending").await;
    server.kill();
    alice.until_says("#banner:not([hidden])", "No connection").await;
    bob.until_says("#banner:not([hidden])", "No connection").await;
    alice.say("behind it").await;
    bob.say("still between us").await;

    let server = restart(home.path(), port);
    // Nobody has to wait for the pause to end.
    bob.until("!document.getElementById('banner-now').hidden").await;
    alice.until_says("#messages .body", "behind it").await;
    alice.until("document.querySelectorAll('#waiting li').length === 0").await;
    bob.until_says("#messages .body", "still between us").await;
    bob.until_says("#messages .message:last-child .state", "delivered").await;
    assert_eq!(bob.bodies().await, ["between us", "still between us"]);
    bob.click("#rooms .place").await;
    bob.until_says("#messages .body", "behind it").await;
    assert_eq!(alice.bodies().await, ["before", "on its way", "behind it"]);
    assert_eq!(bob.bodies().await, alice.bodies().await);
    drop(server);
}

#[tokio::test]
async fn what_a_restored_copy_tells_anew_stands_there_once() {
    let home = tempfile::tempdir().unwrap();
    let (data, copy) = (home.path().join("data"), home.path().join("copy"));
    let server = Durable::start(&data, &[UNLIMITED]);
    let port = server.port;
    let chromium = Chromium::start();
    let alice = chromium.open(port, Look::default()).await;
    alice.sign_in("alice").await;
    let token = server.guest("bob").await;
    let mut bob = server.rich(&token).await;
    bob.command("direct", json!({"to": "alice", "body": "between us", "id": "0197f3c8-a2b4-7d31-9c57-2f6de14a8b90"}))
        .await;
    alice.until_says("#directs .badge", "1").await;
    let copied = Command::new(PROGRAM).args(["backup", "--data"]).args([&data, &copy]).status().unwrap();
    assert!(copied.success());
    server.kill();
    let server = restart(&copy, port);
    let mut bob = server.rich(&token).await;
    bob.command("direct", json!({"to": "alice", "body": "and after", "id": "0197f3c8-a2b4-7d31-9c57-2f6de14a8b91"}))
        .await;
    alice.until_says("#directs", "2").await;
    alice.click("#directs .place").await;
    alice.until_says("#messages .message:last-child .body", "and after").await;
    assert_eq!(alice.bodies().await, ["between us", "and after"]);
    alice.reload().await;
    alice.until_says("#messages .message:last-child .body", "and after").await;
    assert_eq!(alice.bodies().await, ["between us", "and after"]);
    alice.is_clean().await;
}

#[tokio::test]
async fn what_was_being_sent_when_a_page_was_closed_goes_out_later() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let port = server.port;
    let chromium = Chromium::start();
    let alice = chromium.open(port, Look::default()).await;
    alice.sign_in("alice").await;
    server.signal("STOP");
    alice.say("on its way").await;
    alice.until_says("#waiting .state", "sending").await;
    alice.type_in("#text", "and half a thou").await;
    server.kill();
    let server = restart(home.path(), port);
    alice.reload().await;
    alice.until_says("#messages .body", "on its way").await;
    alice.until("document.querySelectorAll('#waiting li').length === 0").await;
    assert_eq!(alice.bodies().await, ["on its way"]);
    assert_eq!(alice.js("document.getElementById('text').value").await, json!("and half a thou"));
    assert_eq!(alice.text("#me").await, "alice");
    drop(server);
}

#[tokio::test]
async fn what_is_refused_can_be_sent_again_or_removed() {
    let (_home, _server, _chromium, alice, mut owner) = super::beside_a_den().await;
    alice.type_in("#room-name", "den\n").await;
    alice.until_says("#count", "2 here").await;
    owner.command("mute", json!({"room": "den", "user": "alice"})).await;
    alice.until_says("#messages .note", "you are muted").await;
    alice.say("let me").await;
    alice.say("never mind").await;
    alice.until("document.querySelectorAll('#waiting .state.failed').length === 2").await;
    alice.until_says("#waiting .state.failed", "you are muted").await;
    // They outlast the page.
    alice.reload().await;
    alice.until("document.querySelectorAll('#waiting .state.failed').length === 2").await;
    alice.until_says("#count", "2 here").await;
    owner.command("unmute", json!({"room": "den", "user": "alice"})).await;
    alice.until_says("#messages .note", "no longer muted").await;
    alice.click("#waiting li:first-child .link:nth-of-type(1)").await;
    alice.until_says("#messages .body", "let me").await;
    alice.click("#waiting li:first-child .link:nth-of-type(2)").await;
    alice.until("document.querySelectorAll('#waiting li').length === 0").await;
    assert_eq!(alice.bodies().await, ["let me"]);
    alice.is_clean().await;
}

#[tokio::test]
async fn whoever_is_signed_out_signs_in_again_and_what_waited_goes_out() {
    let (_home, server, _chromium, alice) = super::alone().await;
    alice.say("hello").await;
    alice.until_says("#messages .state", "accepted").await;
    alice.offline(true).await;
    alice.until_says("#banner:not([hidden])", "No connection").await;
    alice.say("on paper").await;
    alice.until_says("#waiting .state", "waits for the connection").await;
    alice.type_in("#text", "half a thou").await;
    let token = alice.js("JSON.parse(localStorage['talk.token'])").await;
    assert_eq!(server.sign_out(token.as_str().unwrap()).await, 204);
    // Somebody else has the name by now.
    server.account("alice").await;
    alice.offline(false).await;
    alice.until_says("#signin:not([hidden]) #signin-error", "You are signed out").await;
    alice.js("document.getElementById('nickname').value = ''").await;
    alice.sign_in("alice-2").await;
    alice.until_says("#messages .body", "on paper").await;
    alice.until("document.querySelectorAll('#waiting li').length === 0").await;
    assert_eq!(alice.bodies().await, ["hello", "on paper"]);
    assert_eq!(alice.js("document.getElementById('text').value").await, json!("half a thou"));
}

#[tokio::test]
async fn a_guest_of_a_server_that_forgets_everything_comes_back_by_themselves() {
    let (home, server, _chromium, alice) = super::alone_where_nothing_is_kept().await;
    let port = server.port;
    alice.say("before").await;
    alice.until_says("#messages .state", "accepted").await;
    server.kill();
    alice.until_says("#banner:not([hidden])", "No connection").await;
    alice.say("behind it").await;
    let server = Durable::spawn(home.server(&["--memory", "--port", &port.to_string()]));
    alice.until_says("#messages .body", "behind it").await;
    alice.until("document.querySelectorAll('#waiting li').length === 0").await;
    // What the server does not know any more is not shown as if it did.
    assert_eq!(alice.bodies().await, ["behind it"]);
    assert_eq!(alice.text("#me").await, "alice");
    drop(server);
}

#[tokio::test]
async fn a_page_without_tls_from_another_machine_works_and_a_new_tab_takes_over_what_a_closed_one_left() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED, "server.hosts=chat.example"]);
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    for host in [ELSEWHERE, "127.0.0.1"] {
        alice.visit_at(host, server.port).await;
        assert_eq!(alice.js("isSecureContext").await, json!(host != ELSEWHERE));
        alice.sign_in(&format!("alice-{}", host.len())).await;
        alice.say("hello").await;
        alice.until_says("#messages .state", "accepted").await;
        alice.offline(true).await;
        alice.until_says("#banner:not([hidden])", "No connection").await;
        let words = format!("on paper at {host}");
        alice.say(&words).await;
        alice.until_says("#waiting .state", "waits for the connection").await;
        alice.type_in("#text", "half a thou").await;
        alice.another_tab(host, server.port).await;
        alice.until_says("#messages .body", &words).await;
        alice.until("document.querySelectorAll('#waiting li').length === 0").await;
        assert_eq!(alice.js("document.getElementById('text').value").await, json!("half a thou"));
        let said = alice.bodies().await;
        assert_eq!(said.iter().filter(|body| **body == words).count(), 1, "{said:?}");
    }
}

#[tokio::test]
async fn a_server_that_went_back_to_an_older_state_is_not_said_to_have_missed_nothing() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let port = server.port;
    let chromium = Chromium::start();
    let alice = chromium.open(port, Look::default()).await;
    alice.sign_in("alice").await;
    alice.say("before").await;
    alice.until_says("#messages .state", "accepted").await;
    server.kill();
    alice.until_says("#banner:not([hidden])", "No connection").await;
    let older = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(home.path()).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        std::fs::copy(file.path(), older.path().join(file.file_name())).unwrap();
    }
    let server = restart(home.path(), port);
    alice.until_says("#banner", "nothing was missed").await;
    alice.say("gone").await;
    alice.until("document.querySelectorAll('#messages .state.accepted').length === 2").await;
    server.kill();
    alice.until_says("#banner:not([hidden])", "No connection").await;
    // Every banner there is from now on is remembered.
    alice
        .js("(window.said = [], new MutationObserver(() => said.push(document.getElementById('banner').textContent))
            .observe(document.getElementById('banner'), { subtree: true, childList: true, characterData: true }), 0)")
        .await;
    let server = restart(older.path(), port);
    alice.until("said.some((words) => words.includes('some messages are not kept'))").await;
    assert_eq!(alice.js("said.some((words) => words.includes('nothing was missed'))").await, json!(false));
    drop(server);
}

/// The server on its data again, on the port that it had.
fn restart(home: &Path, port: u16) -> Durable {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("RUST_LOG", "error");
    command.args(["--port", &port.to_string(), "--set", UNLIMITED, "--data"]).arg(home);
    Durable::spawn(command)
}
