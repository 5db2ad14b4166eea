//! What others, other tabs and time can do to a page.

use serde_json::json;

use crate::browser::{Chromium, Look};
use crate::common::durable::{Durable, UNLIMITED};

#[tokio::test]
async fn direct_messages_of_before_a_reload_and_of_another_tab_are_not_lost_when_more_come() {
    let (_home, server, _chromium, alice) = super::alone().await;
    let mut bob = server.rich(&server.guest("bob").await).await;
    bob.command("direct", json!({"to": "alice", "body": "one"})).await;
    alice.until_says("#directs .badge", "1").await;
    alice.reload().await;
    alice.until_says("#count", "here").await;
    bob.command("direct", json!({"to": "alice", "body": "two"})).await;
    alice.until_says("#directs .badge", "1").await;
    alice.click("#directs .place").await;
    assert_eq!(alice.bodies().await, ["one", "two"]);

    // What another tab of hers keeps, which answered meanwhile.
    let answer = "(() => { const key = 'talk.direct.alice.@bob', kept = JSON.parse(localStorage[key]);
         kept.push({ id: 'elsewhere', from: 'alice', body: 'three', ts: Date.now(), own: true, state: 'delivered' });
         localStorage[key] = JSON.stringify(kept); })()";
    alice.js(answer).await;
    bob.command("direct", json!({"to": "alice", "body": "four"})).await;
    alice.until_says("#messages .body", "four").await;
    assert_eq!(alice.bodies().await, ["one", "two", "three", "four"]);
    alice.reload().await;
    alice.until_says("#messages .body", "four").await;
    assert_eq!(alice.bodies().await, ["one", "two", "three", "four"]);
    alice.is_clean().await;
}

#[tokio::test]
async fn the_copy_of_a_tab_is_another_tab_and_a_reloaded_one_the_same() {
    let (_home, server, _chromium, alice) = super::alone().await;
    alice.type_in("#text", "half a thou").await;
    let name = alice.js("sessionStorage.tab").await;
    alice.reload().await;
    assert_eq!(alice.js("sessionStorage.tab").await, name);
    assert_eq!(alice.js("document.getElementById('text').value").await, json!("half a thou"));
    alice.copy(server.port).await;
    assert_ne!(alice.js("sessionStorage.tab").await, name, "what either keeps would be in the other's place");
    assert_eq!(alice.js("document.getElementById('text').value").await, json!(""));
}

#[tokio::test]
async fn whoever_signs_out_leaves_nothing_to_the_next_at_that_browser() {
    let (_home, server, _chromium, alice) = super::alone().await;
    let mut bob = server.rich(&server.guest("bob").await).await;
    bob.command("direct", json!({"to": "alice", "body": "between us"})).await;
    alice.until_says("#directs .badge", "1").await;
    alice.offline(true).await;
    alice.until_says("#banner:not([hidden])", "No connection").await;
    alice.say("in my name").await;
    alice.until_says("#waiting .state", "waits for the connection").await;
    alice.type_in("#text", "half a thou").await;
    alice.click("#signout").await;
    alice.click("#ask [value=yes]").await;
    alice.until("!document.getElementById('signin').hidden").await;
    alice.offline(false).await;
    alice.js("document.getElementById('nickname').value = ''").await;
    alice.sign_in("carol").await;
    let seen = "[document.querySelectorAll('#directs li').length, document.getElementById('text').value,
         document.querySelectorAll('#waiting li').length]";
    assert_eq!(alice.js(seen).await, json!([0, "", 0]));
    alice.say("in mine").await;
    alice.until_says("#messages .state", "accepted").await;
    assert_eq!(alice.bodies().await, ["in mine"]);
    let kept = alice.js("JSON.stringify(localStorage)").await.as_str().unwrap().to_owned();
    assert!(!kept.contains("between us") && !kept.contains("half a thou"), "{kept}");
    assert!(kept.contains("in my name"), "what was said waits for the one who said it: {kept}");
}

#[tokio::test]
async fn a_user_of_many_rooms_stays_within_what_a_server_takes() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[]);
    let mut owner = server.rich(&server.guest("owner").await).await;
    for n in 1..20 {
        let room = format!("room-{n}");
        owner.command("createroom", json!({"name": room})).await;
        owner.command("message", json!({"room": room, "body": "come in"})).await;
        owner.of_type("message").await;
    }
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.sign_in("alice").await;
    alice
        .js("(() => { localStorage['talk.places'] = JSON.stringify(['global', ...Array.from({ length: 19 }, (_, n) => `room-${n + 1}`)]); })()")
        .await;
    alice.reload().await;
    alice.until("document.querySelectorAll('#rooms .members').length === 20").await;
    // Then everything was asked for, and answered.
    alice.say("here I am").await;
    alice.until_says("#messages .state", "accepted").await;
    alice
        .until(
            "[...document.querySelectorAll('#rooms .place')].every((place) => place.innerText.match(/\\d+$/)[0] > 0)",
        )
        .await;
    let banner = alice.text("#banner-text").await;
    assert!(!banner.contains("again") && !banner.contains("No connection"), "{banner}");
    alice.is_clean().await;
}

#[tokio::test]
async fn a_server_that_takes_nobody_in_is_asked_less_and_less_and_by_one_connection_at_a_time() {
    let (_home, _server, _chromium, alice) = super::alone().await;
    // It opens each connection, and says that it is full.
    alice.js(&format!("({OVERLOADED})()")).await;
    alice.js("window.dispatchEvent(new Event('offline'))").await;
    alice.until_says("#banner-text", "in 2 s").await;
    alice.js("window.silent = true").await;
    for _ in 0..4 {
        alice.js("document.getElementById('banner-now').click()").await;
    }
    let open = "made.filter((one) => !one.closed).length";
    assert_eq!(alice.js(open).await, json!(1), "nobody keeps connections that they do not use");
}

#[tokio::test]
async fn a_page_that_may_keep_nothing_works_as_long_as_it_is_open() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    let denied = "for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, {
        get() { throw new DOMException('denied', 'SecurityError'); } });";
    alice.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": denied})).await;
    alice.reload().await;
    alice.sign_in("alice").await;
    alice.say("hello").await;
    alice.until_says("#messages .state", "accepted").await;
    alice.click("#signout").await;
    alice.until("!document.getElementById('signin').hidden").await;
    alice.is_clean().await;
}

#[tokio::test]
async fn strangers_who_write_much_do_not_take_the_place_of_what_waits() {
    let (_home, _server, _chromium, alice) = super::alone().await;
    let flood = "(() => { const body = 'x'.repeat(16000);
        for (let n = 1; n <= 500; n += 1) hear({ type: 'message', room: '@0197f3c8a2b47d319c572f6de14a8b90', epoch: 'e',
            seq: n, prev: n - 1, ts: 1767225600000 + n, from: `m${n % 100}`, body: `${n} ${body}` }); })()";
    alice.js(flood).await;
    alice.offline(true).await;
    alice.until_says("#banner:not([hidden])", "No connection").await;
    for n in 0..8 {
        let words = format!("on paper {n} {}", "y".repeat(12_000));
        alice.js(&format!("document.getElementById('text').value = {}", json!(words))).await;
        alice.js("document.getElementById('say').requestSubmit()").await;
    }
    let kept =
        "JSON.parse(localStorage[Object.keys(localStorage).find((key) => key.startsWith('talk.waiting.'))]).length";
    assert_eq!(alice.js(kept).await, json!(8));
}

#[tokio::test]
async fn a_tab_that_stays_open_for_days_holds_so_much_and_no_more() {
    let (_home, _server, _chromium, alice) = super::alone().await;
    alice.until("!document.getElementById('begin').hidden").await;
    alice.type_in("#direct-name", "bob\n").await;
    let days =
        "(() => { for (let n = 1; n <= 24000; n += 1) hear({ type: 'message', room: 'global', epoch: 'e', seq: n,
        prev: n - 1, ts: 1767225600000 + n, from: 'bob', body: String(n) }); })()";
    alice.js(days).await;
    alice.click("#rooms .place").await;
    let held = alice.js("document.querySelectorAll('#messages .message').length").await.as_u64().unwrap();
    assert!((1_000..=2_000).contains(&held), "{held}");
    alice.is_clean().await;
}

#[tokio::test]
async fn frames_that_come_late_or_cannot_be_harm_nothing() {
    let (_home, _server, _chromium, alice) = super::alone().await;
    alice.type_in("#room-name", "den\n").await;
    alice.until_says("#count", "1 here").await;
    alice.click("#leave").await;
    alice.until_says("#title", "global").await;
    // What was on its way when she left.
    alice.js("hear({ type: 'message', room: 'den', epoch: 'e', seq: 1, prev: 0, ts: 1767225600000, from: 'bob', body: 'late' })").await;
    alice.js("hear({ type: 'presence', room: 'den', user: 'bob', state: 'left' })").await;
    alice.js("hear({ type: 'typing', room: 'den', user: 'bob' })").await;
    assert_eq!(alice.texts("#rooms .place bdi").await, ["global"]);

    // A time that no calendar has, of a history that somebody else wrote.
    alice.say("before").await;
    alice.until_says("#messages .state", "accepted").await;
    for ts in ["9e15", "-9e15"] {
        alice.js(&format!("hear({{ type: 'message', room: '@0197f3c8a2b47d319c572f6de14a8b90', epoch: 'e', seq: {seq}, prev: 0, ts: {ts}, from: 'bob', body: 'when' }})", seq = if ts == "9e15" { 1 } else { 2 })).await;
    }
    alice.click("#directs .place").await;
    assert_eq!(alice.bodies().await, ["when", "when"]);
    alice.click("#rooms .place").await;

    // A telephone's browser lets no page notify so, and says it by throwing.
    alice
        .js("(() => { localStorage['talk.notify'] = 'true';
             window.Notification = class { static permission = 'granted'; constructor() { throw new TypeError('Illegal constructor'); } }; })()")
        .await;
    alice.js("hear({ type: 'message', room: '@0197f3c8a2b47d319c572f6de14a8b90', epoch: 'e', seq: 3, prev: 2, ts: 1767225600000, from: 'bob', body: 'ring' })").await;
    alice.click("#directs .place").await;
    assert_eq!(alice.bodies().await, ["when", "when", "ring"]);
    alice.click("#rooms .place").await;

    // What was found where she is not any more.
    alice.click("[data-open=found]").await;
    alice.type_in("#search", "before\n").await;
    alice.until_says("#search-status", "1 found").await;
    // A refusal of something else, before the answer.
    let crossed = "(() => { document.getElementById('search').form.requestSubmit();
                   hear({ type: 'error', code: 'not_in_room', body: 'you are not in room den' }); })()";
    alice.js(crossed).await;
    alice.until_says("#search-status", "1 found").await;
    alice.click("#directs .place").await;
    alice.js("hear({ type: 'found', room: 'global', text: 'before', messages: [{ seq: 1, ts: 1767225600000, from: 'bob', body: 'before' }] })").await;
    assert_eq!(alice.texts("#results li").await, Vec::<String>::new());
    alice.is_clean().await;
}

/// Puts connections in the place of real ones that open and are closed again at once, or stay silent when that is wanted.
const OVERLOADED: &str = "() => {
    Math.random = () => 0;
    window.made = [];
    const Real = window.WebSocket;
    window.WebSocket = class {
        static OPEN = Real.OPEN;
        constructor() {
            made.push(this);
            this.readyState = 0;
            if (!window.silent) setTimeout(() => {
                this.readyState = 1;
                this.onopen();
                this.readyState = 3;
                this.closed = true;
                this.onclose({ code: 1013, reason: 'nobody can come in at the moment' });
            }, 0);
        }
        send() {}
        close() { this.closed = true; }
    };
}";
