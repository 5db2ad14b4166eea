//! Two tabs of one browser, what a browser kept, and questions that cross answers.

use serde_json::json;

use crate::browser::{Chromium, Look};
use crate::common::durable::{Durable, UNLIMITED};

#[tokio::test]
async fn whoever_signs_out_in_one_tab_leaves_nothing_in_the_others() {
    let (_home, server, _chromium, alice) = super::alone().await;
    alice.beside(server.port).await;
    alice.until_says("#count", "here").await;
    let mut bob = server.rich(&server.guest("bob").await).await;
    bob.command("direct", json!({"to": "alice", "body": "between us"})).await;
    alice.until_says("#directs .place", "bob").await;
    alice.click("#directs .place").await;
    alice.until_says("#messages .body", "between us").await;
    alice.offline(true).await;
    alice.until_says("#banner:not([hidden])", "No connection").await;
    alice.say("in my name").await;
    alice.until_says("#waiting .state", "waits for the connection").await;
    alice.type_in("#text", "half a thou").await;
    // What a tab left that is gone.
    let left = "localStorage['talk.waiting.gone'] =
         JSON.stringify([{ id: 'left', to: 'global', body: 'left in my name' }])";
    alice.js(left).await;

    alice.turn_to(0).await;
    alice.click("#signout").await;
    alice.click("#ask [value=yes]").await;
    alice.until("!document.getElementById('signin').hidden").await;
    alice.turn_to(1).await;
    alice.until("!document.getElementById('signin').hidden").await;
    alice.offline(false).await;
    let left = "document.getElementById('chat').textContent + document.getElementById('text').value";
    let left = alice.js(left).await.as_str().unwrap().to_owned();
    assert!(!left.contains("between us") && !left.contains("half a thou") && !left.contains("in my name"), "{left}");
    let kept = alice.js("JSON.stringify(localStorage)").await.as_str().unwrap().to_owned();
    assert!(!kept.contains("between us") && !kept.contains("half a thou") && !kept.contains("talk.places"), "{kept}");

    // The next one, in this tab and after a reload, which takes over what tabs left.
    alice.js("document.getElementById('nickname').value = ''").await;
    alice.sign_in("carol").await;
    alice.reload().await;
    alice.until_says("#count", "here").await;
    alice.say("in mine").await;
    alice.until_says("#messages .state", "accepted").await;
    assert_eq!(alice.bodies().await, ["in mine"]);
    bob.command("history", json!({"room": "global"})).await;
    assert_eq!(bob.of_type("error").await["code"], "not_in_room");
    let kept = alice.js("JSON.stringify(localStorage)").await.as_str().unwrap().to_owned();
    assert!(kept.contains("in my name"), "what was said waits for the one who said it: {kept}");
    alice.turn_to(0).await;
    alice.is_clean().await;
}

#[tokio::test]
async fn a_reloaded_tab_has_its_name_however_long_the_page_before_takes_to_go() {
    let (_home, server, _chromium, alice) = super::alone().await;
    alice.type_in("#text", "half a thou").await;
    let name = alice.js("sessionStorage.tab").await;
    alice.holder(server.port, name.as_str().unwrap()).await;
    alice.turn_to(0).await;
    alice.refresh().await;
    alice.turn_to(1).await;
    alice.until("window.held").await;
    alice.turn_to(0).await;
    // Longer than a page takes that has nothing else to do.
    alice.until("performance.now() > 2000").await;
    alice.turn_to(1).await;
    alice.js("release()").await;
    alice.turn_to(0).await;
    alice.until_says("#count", "here").await;
    assert_eq!(alice.js("sessionStorage.tab").await, name);
    assert_eq!(alice.js("document.getElementById('text').value").await, json!("half a thou"));
    assert_eq!(alice.js("watched.errors").await, json!([]));
}

#[tokio::test]
async fn what_a_tab_left_is_taken_over_when_it_has_gone_and_nobody_waits_for_that() {
    let (_home, server, _chromium, alice) = super::alone().await;
    alice.holder(server.port, "gone").await;
    alice.until("window.held").await;
    alice.turn_to(0).await;
    let left =
        "(localStorage['talk.waiting.gone'] = JSON.stringify([{ id: 'left', to: 'global', body: 'left behind' }]),
         localStorage['talk.draft.gone.global'] = JSON.stringify('half a thou'),
         localStorage[`talk.draft.${sessionStorage.tab}.den`] = localStorage['talk.draft.gone.den'] = '\"mine\"')";
    alice.js(left).await;
    alice.reload().await;
    alice.say("meanwhile").await;
    alice.until_says("#messages .state", "accepted").await;
    assert_eq!(alice.bodies().await, ["meanwhile"]);
    alice.turn_to(1).await;
    alice.js("release()").await;
    alice.turn_to(0).await;
    alice.until_says("#messages .body", "left behind").await;
    assert_eq!(alice.js("document.getElementById('text').value").await, json!("half a thou"));
    // Of two drafts for one room, neither is lost.
    let kept = alice.js("Object.keys(localStorage).filter((key) => key.includes('.gone'))").await;
    assert_eq!(kept, json!(["talk.draft.gone.den"]));
    assert_eq!(alice.js("watched.errors").await, json!([]));
}

#[tokio::test]
async fn a_room_that_was_entered_in_one_tab_is_not_forgotten_by_what_another_keeps() {
    let (_home, server, _chromium, alice, mut owner) = super::beside_a_den().await;
    owner.command("createroom", json!({"name": "nook"})).await;
    alice.beside(server.port).await;
    for (tab, room) in [(0, "den"), (1, "nook")] {
        alice.turn_to(tab).await;
        alice.until_says("#count", "here").await;
        alice.type_in("#room-name", &format!("{room}\n")).await;
        alice.until_says("#title", room).await;
        alice.until_says("#count", "2 here").await;
    }
    alice.turn_to(0).await;
    alice.reload().await;
    alice.until("document.querySelectorAll('#rooms .place').length === 3").await;
    // Whoever leaves it is not there the next time, and still in the other.
    alice.click("#leave").await;
    alice.until_says("#title", "global").await;
    alice.reload().await;
    alice.until_says("#rooms .place", "den").await;
    assert_eq!(alice.js("document.querySelectorAll('#rooms .place').length").await, json!(2));
    assert_eq!(alice.js("watched.errors").await, json!([]));
}

#[tokio::test]
async fn a_tab_that_was_signed_out_before_leaves_nothing_either() {
    let (_home, server, _chromium, alice) = super::alone().await;
    alice.beside(server.port).await;
    alice.until_says("#count", "here").await;
    let mut bob = server.rich(&server.guest("bob").await).await;
    bob.command("direct", json!({"to": "alice", "body": "between us"})).await;
    alice.until_says("#directs .place", "bob").await;
    alice.click("#directs .place").await;
    let token = alice.js("JSON.parse(localStorage['talk.token'])").await;
    assert_eq!(server.sign_out(token.as_str().unwrap()).await, 204);
    for tab in [1, 0] {
        alice.turn_to(tab).await;
        alice.until_says("#signin:not([hidden]) #signin-error", "You are signed out").await;
    }
    let again = "document.getElementById('nickname').value = ''";
    alice.js(again).await;
    alice.sign_in("alice").await;
    alice.click("#signout").await;
    alice.click("#ask [value=yes]").await;
    alice.until("!document.getElementById('signin').hidden").await;
    alice.turn_to(1).await;
    alice.until("!document.getElementById('chat').textContent.includes('between us')").await;
    alice.js(again).await;
    alice.sign_in("alice").await;
    assert_eq!(alice.texts("#directs li").await, Vec::<String>::new());
}

#[tokio::test]
async fn two_tabs_of_a_guest_come_back_together_from_a_server_that_forgets_everything() {
    let (home, server, _chromium, alice) = super::alone_where_nothing_is_kept().await;
    let port = server.port;
    alice.beside(port).await;
    alice.until_says("#count", "here").await;
    server.kill();
    for tab in 0..2 {
        alice.turn_to(tab).await;
        alice.until_says("#banner:not([hidden])", "No connection").await;
    }
    let server = Durable::spawn(home.server(&["--memory", "--port", &port.to_string()]));
    for tab in 0..2 {
        alice.turn_to(tab).await;
        alice.js("document.getElementById('banner-now').click()").await;
    }
    for tab in 0..2 {
        alice.turn_to(tab).await;
        alice.until_says("#count", "1 here").await;
        let words = format!("from tab {tab}");
        alice.say(&words).await;
        alice.until_says("#messages .body", &words).await;
        assert_eq!(alice.text("#me").await, "alice");
    }
    alice.reload().await;
    alice.until_says("#count", "1 here").await;
    drop(server);
}

#[tokio::test]
async fn what_is_asked_twice_is_found_once_and_what_cannot_be_asked_is_said() {
    let (_home, server, _chromium, alice, ()) =
        super::alone_after(async |server| super::fill(server, 50, |n| format!("number {n}")).await).await;
    alice.click("[data-open=found]").await;
    alice.js("document.getElementById('search').value = 'number'").await;
    alice.js("[1, 2, 3].map(() => document.getElementById('search-form').requestSubmit())").await;
    alice.until("!document.getElementById('search-more').hidden").await;
    alice.js("[1, 2, 3].map(() => document.getElementById('search-more').click())").await;
    alice.until("document.querySelectorAll('#results li').length >= 40").await;
    alice.js("document.getElementById('search-more').click()").await;
    alice.until("document.getElementById('search-more').hidden").await;
    // Whatever comes behind it has come when this is there.
    alice.say("done").await;
    alice.until_says("#messages .state", "accepted").await;
    let found = alice.texts("#results .body").await;
    assert_eq!(found, (1..=50).rev().map(|n| format!("number {n}")).collect::<Vec<_>>());
    assert_eq!(alice.text("#search-status").await, "50 found.");

    alice.offline(true).await;
    alice.until_says("#banner:not([hidden])", "No connection").await;
    alice.js("document.getElementById('search-form').requestSubmit()").await;
    alice.until_says("#search-status", "The server does not answer.").await;
    alice.offline(false).await;
    alice.until("document.getElementById('banner').hidden").await;
    alice.js("document.getElementById('search-form').requestSubmit()").await;
    alice.until_says("#search-status", "The newest 20;").await;
    // A question whose answer never comes.
    server.signal("STOP");
    alice.js("document.getElementById('search-form').requestSubmit()").await;
    alice.until_says("#search-status", "Searching").await;
    alice.js("window.dispatchEvent(new Event('offline'))").await;
    alice.until_says("#search-status", "The server does not answer.").await;
    // Where it cannot go, it says so.
    server.signal("CONT");
    alice.until("document.getElementById('banner').hidden").await;
    server.signal("STOP");
    alice.js("document.getElementById('search-form').requestSubmit()").await;
    let gone = json!({"type": "found", "room": "global", "text": "number", "epoch": "e",
        "messages": [{"seq": 999, "ts": 0, "from": "bob", "body": "number 999"}]});
    alice.js(&format!("hear({gone})")).await;
    alice.click("#results button").await;
    alice.until_says("#search-status", "not kept any more").await;
    server.signal("CONT");
    alice.is_clean().await;
}

#[tokio::test]
async fn whatever_a_browser_has_kept_the_page_comes_up() {
    let (_home, _server, _chromium, alice) = super::alone().await;
    let tab = alice.js("sessionStorage.tab").await.as_str().unwrap().to_owned();
    let token = alice.js("localStorage['talk.token']").await.as_str().unwrap().to_owned();
    let odd = [
        "5",
        "\"x\"",
        "true",
        "{}",
        "[null]",
        "[5]",
        "[[]]",
        "[{}]",
        "{\"length\":2}",
        "\"__proto__\"",
        "{",
        "[{\"ts\":{}}]",
    ];
    let keys = [
        "places",
        "current",
        "own",
        "theme",
        "notify",
        "direct.alice.@bob",
        &*format!("waiting.{tab}"),
        "waiting.gone",
        &*format!("draft.{tab}.global"),
    ];
    for value in odd {
        for key in keys {
            let set = format!("localStorage['talk.{key}'] = {}", json!(value));
            alice.js(&set).await;
        }
        alice.reload().await;
        alice.until_says("#count", "1 here").await;
        alice.until_says("#title", "global").await;
        alice.js("document.getElementById('text').value = ''").await;
        let words = format!("beside {value}");
        alice.say(&words).await;
        alice.until_says("#messages .body", &words).await;
        alice.is_clean().await;
    }
    for (key, value) in [
        ("token", "5"),
        ("token", "\"a b\""),
        ("token", "\"talk.v2\""),
        ("token", "{}"),
        ("nickname", "5"),
        ("nickname", "[]"),
    ] {
        alice.js(&format!("localStorage['talk.token'] = {}", json!(token))).await;
        alice.js(&format!("localStorage['talk.{key}'] = {}", json!(value))).await;
        alice.reload().await;
        alice.until("!document.getElementById('signin').hidden || /here/.test(document.getElementById('count').textContent)").await;
        alice.is_clean().await;
        alice.js("localStorage['talk.nickname'] = '\"alice\"'").await;
    }
}

#[tokio::test]
async fn names_that_mean_something_to_scripts_mean_nothing() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.sign_in("__proto__").await;
    for name in ["constructor", "__proto__", "toString", "hasOwnProperty"] {
        let mut other = server.guest(&format!("{name}_")).await;
        let mut other = server.rich(&std::mem::take(&mut other)).await;
        other.command("rename", json!({"nickname": name})).await;
        alice.type_in("#room-name", &format!("{name}\n")).await;
        alice.until_says("#title", name).await;
        alice.until_says("#count", "here").await;
        other.command("enter", json!({"room": name})).await;
        alice.until_says("#count", "2 here").await;
        other.command("message", json!({"room": name, "body": format!("in {name}"), "id": name})).await;
        alice.until_says("#messages .body", &format!("in {name}")).await;
        alice.say(&format!("I am {name}")).await;
        alice.until_says("#messages .state", "accepted").await;
        alice.until("document.querySelectorAll('#waiting li').length === 0").await;
    }
    assert_eq!(alice.js("({}).polluted === undefined && Object.keys(Object.prototype).length").await, json!(0));
    alice.is_clean().await;
}
