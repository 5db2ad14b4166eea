//! What was said before, and what is said elsewhere.

use serde_json::{Value, json};
use thirtyfour::Key;

use crate::access::is_accessible;
use crate::browser::{Chromium, Look};
use crate::common::durable::{Durable, SECRET, UNLIMITED};

#[tokio::test]
async fn scrolling_up_loads_what_came_before_and_keeps_the_place() {
    let (_home, server, _chromium, alice, ()) = super::alone_after(async |server| fill(server, 450).await).await;
    alice.until("document.querySelectorAll('#messages .message').length >= 100").await;
    alice.until_says("#messages .body", "number 450").await;
    let at_end = "(() => { const log = document.getElementById('log'); return log.scrollHeight - log.scrollTop - log.clientHeight < 2; })()";
    assert_eq!(alice.js(at_end).await, json!(true));

    // The place of a message on the screen stays when others come in above it.
    let loaded = "document.querySelectorAll('#messages .message').length";
    let mut before = alice.js(loaded).await.as_u64().unwrap();
    while before < 450 {
        alice.until("!document.getElementById('more').hidden").await;
        alice.js(
            "(window.mark = document.querySelector('#messages .message'), document.getElementById('log').scrollTop = 0,
              window.top0 = mark.getBoundingClientRect().top, 0)",
        )
        .await;
        alice.until(&format!("{loaded} > {before}")).await;
        let moved = alice.js("Math.abs(mark.getBoundingClientRect().top - top0)").await;
        assert!(moved.as_f64().unwrap() <= 2.0, "it moved by {moved} at {before}");
        before = alice.js(loaded).await.as_u64().unwrap();
    }
    let bodies = alice.bodies().await;
    assert_eq!(bodies, (1..=450).map(|n| format!("number {n}")).collect::<Vec<_>>());
    assert_eq!(alice.js("document.getElementById('more').hidden").await, json!(true));
    assert_eq!(alice.texts(".day").await, ["Today"]);

    // Somebody who reads above is not torn away by what is said below.
    alice.js("document.getElementById('log').scrollTop = 1000").await;
    fill(&server, 1).await;
    alice.until("!document.getElementById('down').hidden").await;
    assert_eq!(alice.js("document.getElementById('log').scrollTop").await, json!(1000));
    alice.click("#down").await;
    assert_eq!(alice.js(at_end).await, json!(true));
    alice.is_clean().await;
}

#[tokio::test]
async fn reading_goes_on_where_it_ended_and_the_end_stays_the_end_in_any_window() {
    let (_home, server, _chromium, alice) = super::alone().await;
    alice.until_says("#count", "1 here").await;
    alice.type_in("#direct-name", "bob\n").await;
    fill(&server, 90).await;
    alice.until_says("#rooms .badge", "90").await;
    alice.click("#rooms .place").await;
    let from_top = "(() => { const top = (one) => document.querySelector(one).getBoundingClientRect().top;
        return top('.unread-mark') - top('#log'); })()";
    alice.until("!document.getElementById('down').hidden").await;
    let from_top = alice.js(from_top).await.as_f64().unwrap();
    assert!((0.0..200.0).contains(&from_top), "what is new begins {from_top} px from the top");

    alice.click("#down").await;
    let drawn = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => {
        const log = document.getElementById('log');
        done(Math.round(log.scrollHeight - log.scrollTop - log.clientHeight)); }))))";
    assert_eq!(alice.js(drawn).await, json!(0));
    for (width, height) in [(800, 600), (1280, 720), (375, 700), (320, 568), (375, 700), (1200, 800), (800, 600)] {
        alice.look(Look { width, height, ..Look::default() }).await;
        alice.until(&format!("innerWidth === {width}")).await;
        let below = alice.js(drawn).await.as_i64().unwrap();
        assert!(below.abs() < 2, "{below} px are below at {width}x{height}");
    }

    // From the field in which one writes, the keys for pages turn those of the messages.
    alice.click("#text").await;
    alice.keys(Key::PageUp).await;
    alice.until("!document.getElementById('down').hidden").await;
    alice.keys(Key::PageDown).await;
    alice.until("document.getElementById('down').hidden").await;
    alice.is_clean().await;
}

#[tokio::test]
async fn search_finds_what_is_far_back_and_goes_there() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let mut bob = server.rich(&server.guest("bob").await).await;
    bob.command("enter", json!({"room": "global"})).await;
    bob.command("message", json!({"room": "global", "body": "Завтрак в ДЕВЯТЬ"})).await;
    fill(&server, 300).await;
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.sign_in("alice").await;
    alice.click("[data-open=found]").await;
    alice.type_in("#search", "завтрак\n").await;
    alice.until_says("#results .body", "ДЕВЯТЬ").await;
    assert_eq!(alice.texts("#results mark").await, ["Завтрак"]);
    assert_eq!(alice.text("#search-status").await, "1 found.");
    alice.click("#results button").await;
    alice.until_says(".message.found .body", "ДЕВЯТЬ").await;
    alice.until(
        "(() => { const it = document.querySelector('.message.found').getBoundingClientRect(), log = \
         document.getElementById('log').getBoundingClientRect(); return it.top >= log.top && it.bottom <= log.bottom; })()",
    )
    .await;
    alice.js("document.getElementById('search').value = ''").await;
    alice.type_in("#search", "nobody said this\n").await;
    alice.until_says("#search-status", "Nothing was found.").await;
    alice.js("document.getElementById('search').value = ''").await;
    alice.type_in("#search", "\"number 1\n").await;
    // Of a page of results nobody says that it is all.
    alice.until_says("#search-status", "The newest 20; there may be more further back.").await;
    assert_eq!(alice.text("#results mark").await, "number 1");
    alice.is_clean().await;
}

#[tokio::test]
async fn what_is_found_far_back_is_shown_with_what_was_around_it_and_the_way_back() {
    let (_home, server, _chromium, alice, ()) = super::alone_after(async |server| number(server, 12_000).await).await;
    alice.until_says("#messages .body", "number 12000").await;
    alice.click("[data-open=found]").await;
    // From one part of the past to the next, and to where it begins.
    for (wanted, around) in [("number 00500", [451, 550]), ("number 00001", [1, 51]), ("number 06000", [5951, 6050])] {
        alice.js("document.getElementById('search').value = ''").await;
        alice.type_in("#search", &format!("\"{wanted}\"\n")).await;
        alice.until("document.querySelector('#results mark')").await;
        assert_eq!(alice.texts("#results .body").await, [wanted]);
        alice.click("#results button").await;
        alice.until_says(".message.found .body", wanted).await;
        let seen = "(() => { const it = document.querySelector('.message.found').getBoundingClientRect(), log = \
             document.getElementById('log').getBoundingClientRect(); return it.top >= log.top && it.bottom <= log.bottom; })()";
        alice.until(seen).await;
        assert_eq!(alice.text("#past:not([hidden]) span").await, "This was said earlier.");
        let bodies = alice.bodies().await;
        let numbers: Vec<u32> = bodies.iter().map(|body| body["number ".len()..].parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|two| two[0] + 1 == two[1]), "{numbers:?}");
        let [from, to] = around;
        assert!(numbers[0] <= from && *numbers.last().unwrap() >= to, "{numbers:?}");
        assert!(numbers.len() <= 1000, "{}", numbers.len());
    }
    alice.is_clean().await;

    for dark in [true, false] {
        alice.look(Look { dark, ..Look::default() }).await;
        is_accessible(&alice, 15).await;
    }
    assert_eq!(alice.text("[role=status]#past-words").await, "This was said earlier.");

    // What is said now disturbs nobody there, and is counted.
    let top = "document.querySelector('.message.found').getBoundingClientRect().top";
    let before = alice.js(top).await;
    fill(&server, 3).await;
    alice.until_says("#since:not([hidden])", "3").await;
    assert_eq!(alice.js("document.title").await, json!("(3) global – Talk"));
    assert_eq!(alice.js(top).await, before);
    assert_eq!(alice.js("document.getElementById('since').ariaLabel").await, json!("3 unread"));
    // Nor does a reconnect.
    alice.offline(true).await;
    alice.until_says("#banner:not([hidden])", "No connection").await;
    fill(&server, 2).await;
    alice.offline(false).await;
    alice.until_says("#since:not([hidden])", "5").await;
    alice.until_says(".message.found .body", "number 06000").await;
    // Back again, reading goes on where it ended.
    alice.click("#present").await;
    alice.until("document.getElementById('past').hidden").await;
    assert_eq!(alice.js("document.title").await, json!("global – Talk"));
    assert_eq!(alice.js("document.activeElement.id").await, json!("text"));
    alice.until("document.querySelector('.unread-mark').nextElementSibling.textContent.endsWith('number 1')").await;
    let last = alice.bodies().await.split_off(alice.bodies().await.len() - 6);
    assert_eq!(last, ["number 12000", "number 1", "number 2", "number 3", "number 1", "number 2"]);
    alice.is_clean().await;
}

#[tokio::test]
async fn the_past_is_read_on_until_it_meets_what_is_said_now_and_is_bounded() {
    let (_home, _server, _chromium, alice, ()) = super::alone_after(async |server| number(server, 3_000).await).await;
    alice.until_says("#messages .body", "number 03000").await;
    alice.click("[data-open=found]").await;
    alice.type_in("#search", "\"number 01500\"\n").await;
    alice.until("document.querySelector('#results mark')").await;
    alice.click("#results button").await;
    alice.until_says(".message.found .body", "number 01500").await;
    alice.js("(window.most = 0, new MutationObserver(() => { most = Math.max(most, document.querySelectorAll('#messages .message').length); })
        .observe(document.getElementById('messages'), { subtree: true, childList: true }), 0)").await;

    // Up to where it begins. The place of a message on the screen stays while others come in and go.
    let ends = "(() => { const all = [...document.querySelectorAll('#messages .body')]; return [all[0], all.at(-1)].map((one) => Number(one.textContent.slice(7))); })()";
    while alice.js(ends).await[0] != json!(1) {
        let first = alice.js(ends).await[0].clone();
        alice.js("(window.mark = document.querySelector('#messages .message'), document.getElementById('log').scrollTop = 0,
                  window.was = mark.querySelector('.body').textContent, window.top0 = mark.getBoundingClientRect().top, 0)").await;
        alice.until(&format!("{ends}[0] < {first}")).await;
        let moved = alice
            .js("Math.abs([...document.querySelectorAll('#messages .message')].find((one) => \
             one.querySelector('.body').textContent === was).getBoundingClientRect().top - top0)")
            .await;
        assert!(moved.as_f64().unwrap() <= 2.0, "it moved by {moved} at {first}");
    }
    alice.until("document.getElementById('more').hidden && !document.getElementById('begin').hidden").await;
    assert_eq!(alice.js("document.getElementById('past').hidden").await, json!(false));
    assert!(alice.js("most").await.as_u64().unwrap() <= 1_100);

    // And down to now, where it is one again, with nothing left out.
    alice.until("(document.getElementById('log').scrollTop = 1e9) && document.getElementById('past').hidden").await;
    assert!(alice.js("most").await.as_u64().unwrap() <= 1_100);
    let numbers = alice.bodies().await;
    let (from, to) = (numbers.len(), 3_000);
    assert_eq!(numbers, (to + 1 - from..=to).map(|n| format!("number {n:05}")).collect::<Vec<_>>());
    alice.say("here again").await;
    alice.until_says("#messages .body", "here again").await;
    alice.is_clean().await;
}

#[tokio::test]
async fn whoever_speaks_or_goes_elsewhere_leaves_the_past() {
    let (_home, _server, _chromium, alice, ()) = super::alone_after(async |server| number(server, 1_500).await).await;
    alice.until_says("#messages .body", "number 01500").await;
    for way in ["say", "escape", "again", "elsewhere", "near"] {
        alice.click("[data-open=found]").await;
        alice.js("document.getElementById('search').value = ''").await;
        alice.type_in("#search", "\"number 00007\"\n").await;
        alice.until_says("#results mark", "number 00007").await;
        alice.click("#results button").await;
        alice.until_says(".message.found .body", "number 00007").await;
        alice.until("!document.getElementById('past').hidden").await;
        match way {
            "say" => {
                alice.say("said from the past").await;
                alice.until_says("#messages .message.own .body", "said from the past").await;
            }
            // The first closes the panel.
            "escape" => alice.keys(Key::Escape + Key::Escape).await,
            "again" => alice.click("#rooms .place").await,
            "elsewhere" => {
                alice.type_in("#room-name", "den\n").await;
                alice.until_says("#title", "den").await;
                assert_eq!(alice.js("document.getElementById('past').hidden").await, json!(true));
                alice.click("#rooms .place").await;
            }
            _ => {
                alice.js("document.getElementById('search').value = ''").await;
                alice.type_in("#search", "\"number 01499\"\n").await;
                alice.until_says("#results mark", "number 01499").await;
                alice.click("#results button").await;
                alice.until_says(".message.found .body", "number 01499").await;
            }
        }
        alice.until("document.getElementById('past').hidden").await;
        alice
            .until_says(
                "#messages .message:last-child .body",
                if way == "say" { "said from" } else { "said from the past" },
            )
            .await;
        if alice.js("document.getElementById('found').hidden").await == json!(false) {
            alice.click("[data-close=found]").await;
        }
    }
    alice.is_clean().await;
}

#[tokio::test]
async fn what_is_said_elsewhere_is_counted_and_shown_in_the_title() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    let (alice, bob) =
        tokio::join!(chromium.open(server.port, Look::default()), chromium.open(server.port, Look::default()));
    alice.sign_in("alice").await;
    bob.sign_in("bob").await;
    alice.type_in("#room-name", "den\n").await;
    alice.until_says("#count", "1 here").await;
    assert_eq!(alice.js("document.title").await, json!("den – Talk"));

    // The room that alice made is there for bob, with how many are in it.
    bob.click("#room-name").await;
    bob.until_says("#others .place", "den").await;
    assert_eq!(bob.text("#others .place .members").await, "1");
    bob.click("#others .place").await;
    bob.until_says("#count", "2 here").await;
    alice.until_says("#count", "2 here").await;
    alice.until_says("#messages .note", "bob joined").await;
    alice.click("[data-open=people]").await;
    alice.until_says("#users", "bob").await;
    assert_eq!(alice.texts("#users bdi").await, ["alice (you)", "bob"]);

    // Typing is seen where it happens, and ends with the message.
    tokio::join!(alice.until_says("#typing", "bob is writing"), bob.type_in("#text", "I thi"));
    bob.type_in("#text", "nk so\n").await;
    alice.until_says("#messages .body", "I think so").await;
    alice.until("document.getElementById('typing').textContent === ''").await;

    bob.click("#rooms .place").await;
    for n in 1..=3 {
        bob.say(&format!("elsewhere {n}")).await;
    }
    alice.until_says("#rooms .badge", "3").await;
    assert_eq!(alice.js("document.title").await, json!("(3) den – Talk"));
    alice.click("#rooms .place").await;
    alice.until("document.querySelectorAll('.badge:not([hidden])').length === 0").await;
    assert_eq!(alice.js("document.title").await, json!("global – Talk"));
    alice.until("document.querySelector('.unread-mark').nextElementSibling.textContent.includes('elsewhere 1')").await;

    // Between two people.
    alice.click("#users li:last-child button").await;
    alice.say("just us").await;
    bob.until_says("#directs .badge", "1").await;
    assert_eq!(bob.js("document.title").await, json!("(1) global – Talk"));
    bob.click("#directs .place").await;
    bob.until_says("#messages .body", "just us").await;
    bob.say("yes").await;
    alice.until_says("#messages .body", "yes").await;
    alice.until("document.querySelector('#messages .state').textContent === 'delivered'").await;

    // Both outlast the page.
    alice.reload().await;
    alice.until("document.querySelectorAll('#messages .body').length === 2").await;
    assert_eq!(alice.bodies().await, ["just us", "yes"]);
    assert_eq!(alice.texts("#directs .place").await, ["bob"]);
    assert_eq!(alice.texts("#rooms .place > :first-child").await, ["global", "den"]);

    bob.click("#rooms li:last-child .place").await;
    bob.click("#leave").await;
    alice.click("#rooms li:last-child .place").await;
    alice.until_says("#count", "1 here").await;
    for tab in [&alice, &bob] {
        tab.is_clean().await;
    }
}

#[tokio::test]
async fn a_direct_conversation_that_was_closed_comes_back_whole() {
    let (_home, _server, _chromium, alice, mut bob) = super::beside_bob().await;
    assert_eq!(alice.js("document.getElementById('leave').hidden").await, json!(true));
    alice.type_in("#direct-name", "bob\n").await;
    alice.say("one").await;
    alice.until_says("#messages .body", "one").await;
    bob.command("direct", json!({"to": "alice", "body": "two"})).await;
    alice.until_says("#messages .body", "two").await;
    // Nothing is left, so it is closed.
    assert_eq!(alice.text("#leave").await, "Close");
    for (closed, text) in ["three", "four"].into_iter().enumerate() {
        alice.click("#leave").await;
        alice.until_says("#title", "global").await;
        assert_eq!(alice.texts("#directs .place").await, Vec::<String>::new());
        bob.command("direct", json!({"to": "alice", "body": text})).await;
        alice.until_says("#directs .badge", "1").await;
        if closed == 1 {
            alice.reload().await;
        }
        alice.click("#directs .place").await;
        alice.until_says("#messages .body", text).await;
        assert_eq!(alice.bodies().await, ["one", "two", "three", "four"][..closed + 3]);
    }
    alice.reload().await;
    alice.until("document.querySelectorAll('#messages .body').length === 4").await;
    alice.is_clean().await;
}

#[tokio::test]
async fn who_is_called_or_written_to_is_notified_if_they_want() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let mut bob = server.rich(&server.guest("bob").await).await;
    bob.command("createroom", json!({"name": "den"})).await;
    bob.of_type("presence").await;
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.sign_in("alice").await;
    alice.type_in("#room-name", "den\n").await;
    alice.until_says("#count", "2 here").await;
    alice.click("#rooms .place").await;
    alice
        .js("(window.told = [], window.Notification = class {
            static permission = 'granted';
            static async requestPermission() { return 'granted'; }
            constructor(title, { body }) { told.push([title, body]); window.last = this; }
            close() { window.gone = true; }
        }, 0)")
        .await;
    let mut say = async |kind: &str, place: &str, to: &str, body: &str| {
        bob.command(kind, json!({place: to, "body": body, "id": body})).await;
        while bob.of_type("accepted").await["id"] != json!(body) {}
    };
    // Nobody is told anything unasked.
    say("message", "room", "den", "alice, come").await;
    alice.until_says("#rooms .badge", "1").await;
    alice.click("#notify").await;
    alice.until("document.getElementById('notify').getAttribute('aria-pressed') === 'true'").await;
    say("message", "room", "den", "nothing of interest").await;
    say("message", "room", "den", "and alice, bring jam").await;
    // Of two places, neither waits for the other.
    alice.until_says("#rooms .badge", "3").await;
    say("direct", "to", "alice", "for you").await;
    alice.until_says("#directs .badge", "1").await;
    assert_eq!(alice.js("told").await, json!([["bob – den", "and alice, bring jam"], ["bob", "for you"]]));
    // A click on it leads there.
    alice.js("last.onclick()").await;
    alice.until_says("#title", "bob").await;
    alice.click("#notify").await;
    alice.until("document.getElementById('notify').getAttribute('aria-pressed') === 'false'").await;
    // What was told goes with whom it was told, and leads nobody else there.
    alice.js("(window.gone = false, 0)").await;
    alice.click("#signout").await;
    alice.click("#ask [value=yes]").await;
    alice.until("!document.getElementById('signin').hidden").await;
    assert_eq!(alice.js("gone").await, json!(true));
    alice.js("last.onclick()").await;
    assert_eq!(alice.js("['places', 'current'].some((key) => `talk.${key}` in localStorage)").await, json!(false));
    alice.is_clean().await;
}

#[tokio::test]
async fn a_click_counts_though_the_list_changes_under_it() {
    let (_home, server, _chromium, alice, mut bob) = super::beside_bob().await;
    bob.command("direct", json!({"to": "alice", "body": "one"})).await;
    alice.until_says("#directs .badge", "1").await;
    let place = alice.js("(({ x, y, width, height }) => ({ x: x + 20, y: y + height / 2 }))(document.querySelector('#directs .place').getBoundingClientRect())").await;
    let press = |kind: &str| json!({"type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1});
    alice.devtools("Input.dispatchMouseEvent", press("mousePressed")).await;
    bob.command("direct", json!({"to": "alice", "body": "two"})).await;
    alice.until_says("#directs .badge", "2").await;
    alice.devtools("Input.dispatchMouseEvent", press("mouseReleased")).await;
    alice.until_says("#title", "bob").await;
    // Nor does the focus go.
    alice.js("document.querySelector('#rooms .place').focus()").await;
    let token = server.guest("carol").await;
    let mut carol = server.rich(&token).await;
    carol.command("enter", json!({"room": "global"})).await;
    alice.until_says("#rooms .members", "3").await;
    assert_eq!(alice.js("document.activeElement === document.querySelector('#rooms .place')").await, json!(true));
    alice.is_clean().await;
}

#[tokio::test]
async fn a_day_that_ends_is_seen_in_the_log() {
    let (_home, _server, _chromium, alice) = super::alone().await;
    alice.until("!document.getElementById('begin').hidden").await;
    // Nothing is kept from before this test: the frames say when, and that is what is shown.
    let said = |seq: u32, days: u32| -> Value {
        json!({"type": "message", "room": "global", "epoch": "e", "seq": seq, "prev": seq - 1, "from": "bob", "body": format!("{days} days ago"), "days": days})
    };
    for (seq, days) in [(1, 40), (2, 40), (3, 1), (4, 0)] {
        alice.js(&format!("hear({{...{}, ts: Date.now() - {days} * 86400000}})", said(seq, days))).await;
    }
    let days = alice.texts(".day").await;
    assert_eq!(days[1..], ["Yesterday", "Today"]);
    let date = "new Intl.DateTimeFormat('en', {weekday: 'long', day: 'numeric', month: 'long', year: 'numeric'}).format(Date.now() - 40 * 86400000)";
    assert_eq!(json!(days[0]), alice.js(date).await);
    alice.is_clean().await;
}

#[tokio::test]
async fn an_account_is_made_and_signed_in_to_with_its_secret() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    server.account("taken").await;
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    // A name that belongs to somebody is refused in words, and nothing typed is lost.
    alice.type_in("#nickname", "taken\n").await;
    alice.until("document.getElementById('signin-error').textContent !== ''").await;
    assert_eq!(alice.js("document.getElementById('nickname').value").await, json!("taken"));
    // Where its secret goes is shown then.
    alice.until("document.getElementById('account').open").await;
    alice.type_in("#secret", "not the secret\n").await;
    alice.until_says("#signin-error", "secret").await;
    alice.js("document.getElementById('secret').value = ''").await;
    alice.type_in("#secret", &format!("{SECRET}\n")).await;
    alice.until_says("#count", "1 here").await;
    assert_eq!(alice.text("#me").await, "taken");

    // Signed in it stays, and signed out the name is remembered and the secret is not.
    alice.reload().await;
    alice.until_says("#count", "1 here").await;
    alice.click("#signout").await;
    alice.until("!document.getElementById('signin').hidden").await;
    assert_eq!(
        alice.js("[document.getElementById('nickname').value, document.getElementById('secret').value]").await,
        json!(["taken", ""])
    );
    assert_eq!(
        alice.js("Object.values({...localStorage}).some((kept) => kept.includes('correct horse'))").await,
        json!(false)
    );
    alice.reload().await;
    alice.until("!document.getElementById('signin').hidden").await;
    assert_eq!(alice.js("document.getElementById('nickname').value").await, json!("taken"));
}

/// The same, with numbers that are all as long, so that none is the beginning of another.
async fn number(server: &Durable, count: u32) {
    super::fill(server, count, |n| format!("number {n:05}")).await;
}

/// Somebody says numbers in `global`, from 1.
async fn fill(server: &Durable, count: u32) {
    super::fill(server, count, |n| format!("number {n}")).await;
}
