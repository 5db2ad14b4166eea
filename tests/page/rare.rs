//! What happens seldom: in the middle of an answer, in two tabs at once, on a machine that sleeps or sets its clock.

use serde_json::{Value, json};

use crate::browser::{Chromium, Look, Tab};
use crate::common::durable::{Durable, SECRET, UNLIMITED};
use crate::common::rooms::Client;

#[tokio::test]
async fn the_way_back_is_open_though_one_does_not_hear_who_spoke_last() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED, "durability=\"os\""]);
    super::fill(&server, 3, |n| format!("number {n}")).await;
    let mut mallory = server.rich(&server.guest("mallory").await).await;
    mallory.command("enter", json!({"room": "global"})).await;
    says(&mut mallory, 250).await;
    let mut blocking = server.rich(&server.account("alice").await).await;
    blocking.command("block", json!({"user": "mallory"})).await;
    blocking.command("listrooms", json!({})).await;
    blocking.of_type("system").await;
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.click("#account summary").await;
    alice.type_in("#secret", SECRET).await;
    alice.sign_in("alice").await;
    alice.until_says("#messages .body", "number 1").await;
    alice.until("!document.getElementById('begin').hidden").await;
    // Nor is what she does not hear missing where it is said now.
    says(&mut mallory, 3).await;
    super::fill(&server, 1, |_| "live".to_owned()).await;
    alice.until_says("#messages .body", "live").await;
    assert_eq!(alice.bodies().await, ["number 1", "number 2", "number 3", "live"]);
    let notes = alice.texts("#messages .note").await;
    assert!(notes.iter().all(|note| !note.contains("missing")), "{notes:?}");
    alice.is_clean().await;
}

#[tokio::test]
async fn nothing_is_left_out_when_messages_go_while_others_are_on_their_way() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED, "durability=\"os\""]);
    numbers(&server, 1, 450).await;
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.sign_in("alice").await;
    alice.until_says("#messages .body", "number 00450").await;
    alice.until("!document.getElementById('more').hidden").await;
    held(&alice, "history").await;
    alice.js("document.getElementById('more').click()").await;
    alice.until("kept.length === 1").await;
    // Of a room at which nobody looks less is held.
    alice.type_in("#direct-name", "bob\n").await;
    alice.until_says("#title", "bob").await;
    numbers(&server, 451, 2_500).await;
    alice.until_says("#rooms .badge", "2050").await;
    alice.js("letGo()").await;
    alice.until("answers === 1").await;
    alice.click("#rooms .place").await;
    alice.until_says("#title", "global").await;
    alice.until("(document.getElementById('log').scrollTop = 0, !document.getElementById('begin').hidden)").await;
    assert_eq!(alice.bodies().await, (1..=2_500).map(|n| format!("number {n:05}")).collect::<Vec<_>>());
    alice.is_clean().await;
}

#[tokio::test]
async fn what_is_asked_for_twice_is_shown_once() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED, "durability=\"os\""]);
    numbers(&server, 1, 1_500).await;
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.sign_in("alice").await;
    alice.until_says("#messages .body", "number 01500").await;
    alice.click("[data-open=found]").await;
    alice.type_in("#search", "\"number 00200\"\n").await;
    alice.until("document.querySelector('#results mark')").await;
    alice.click("#results button").await;
    alice.until_says(".message.found .body", "number 00200").await;
    let bodies = "[...document.querySelectorAll('#messages .body')].map((one) => Number(one.textContent.slice(7)))";
    for (end, beyond) in [("1e9", "after"), ("0", "before")] {
        held(&alice, "history").await;
        // A server that is busy is asked again later; meanwhile the reader asks.
        alice.js(&format!("document.getElementById('log').scrollTop = {end}")).await;
        alice.until("kept.length === 1").await;
        alice.js("(window.first = JSON.parse(kept.pop()).args, window.passes = true, 0)").await;
        alice.js("hear({ type: 'error', code: 'busy', body: 'you ask for more than can be answered at once' })").await;
        alice.js("document.getElementById('log').dispatchEvent(new Event('scroll'))").await;
        let again = format!("sent.filter(({{ args }}) => args.{beyond} === first.{beyond}).length === 3");
        alice.until(&again).await;
        alice.until("answers === sent.length - 1").await;
        let shown: Vec<u64> = serde_json::from_value(alice.js(bodies).await).unwrap();
        assert!(shown.windows(2).all(|two| two[0] + 1 == two[1]), "{beyond}: {shown:?}");
        alice.js("document.querySelector('.message.found').scrollIntoView({ block: 'center' })").await;
    }
    alice.is_clean().await;
}

#[tokio::test]
async fn a_direct_message_that_another_tab_kept_first_is_shown_and_counted_once() {
    let (_home, server, _chromium, alice) = super::alone().await;
    alice.beside(server.port).await;
    alice.until_says("#count", "here").await;
    let direct = |seq: u32| {
        json!({"type": "message", "room": "@0197f3c8a2b47d319c572f6de14a8b90", "epoch": "e", "seq": seq, "prev": seq - 1,
               "ts": 1_767_225_600_000_u64 + u64::from(seq), "from": "bob", "body": format!("number {seq}"), "own": false})
    };
    for seq in 1..=2 {
        alice.turn_to(1).await;
        let kept = json!((1..=seq).map(direct).collect::<Vec<_>>());
        alice.js(&format!("localStorage['talk.direct.alice.@bob'] = JSON.stringify({kept})")).await;
        alice.turn_to(0).await;
        if seq == 1 {
            alice.until_says("#directs .place", "bob").await;
            alice.click("#directs .place").await;
        }
        let words = format!("number {seq}");
        alice.until_says("#messages .body", &words).await;
        alice.click("#rooms .place").await;
        alice.js(&format!("hear({})", direct(seq))).await;
        alice.until_says("#directs .badge", "1").await;
        alice.click("#directs .place").await;
    }
    assert_eq!(alice.bodies().await, ["number 1", "number 2"]);
    // Of a guest who was here before under that name, as far as the server was then.
    let before = json!({"room": "@0197f3c8a2b47d319c572f6de14a8b91"});
    alice.js(&format!("hear(Object.assign({}, {before}, {{ body: 'number 3' }}))", direct(1))).await;
    assert_eq!(alice.bodies().await, ["number 1", "number 2", "number 3"]);
    alice.is_clean().await;
}

#[tokio::test]
async fn where_another_user_of_this_browser_stood_is_not_where_this_one_stands() {
    let (_home, server, _chromium, alice) = super::alone().await;
    let mut bob = server.rich(&server.guest("bob").await).await;
    bob.command("direct", json!({"to": "alice", "body": "one"})).await;
    alice.until_says("#directs .badge", "1").await;
    // A tab of somebody else, who signed in to another, told of the same server.
    let other = "(() => { const own = JSON.parse(localStorage['talk.own']);
        localStorage['talk.own'] = JSON.stringify({ ...own, room: '@0197f3c8a2b47d319c572f6de14a8b90', seq: 1e6 }); })()";
    alice.js(other).await;
    alice.reload().await;
    alice.until_says("#count", "1 here").await;
    bob.command("direct", json!({"to": "alice", "body": "two"})).await;
    alice.click("#directs .place").await;
    alice.until_says("#messages .body", "two").await;
    assert_eq!(alice.bodies().await, ["one", "two"]);
    alice.click("#rooms .place").await;
    assert_eq!(alice.texts("#messages .note").await, Vec::<String>::new());
    alice.is_clean().await;
}

#[tokio::test]
async fn a_question_about_an_account_is_not_asked_any_more_when_somebody_signs_in_in_another_tab() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.beside(server.port).await;
    alice.click("#account summary").await;
    alice.type_in("#nickname", "alise").await;
    alice.type_in("#secret", &format!("{SECRET}\n")).await;
    alice.until("document.getElementById('make').open").await;
    alice.turn_to(0).await;
    alice.sign_in("alice").await;
    alice.turn_to(1).await;
    alice.until("!document.getElementById('make').open && document.activeElement.id === 'nickname'").await;
    assert_eq!(server.try_name("alise").await, 201, "nobody has the name");
}

#[tokio::test]
async fn whoever_was_renamed_while_the_page_was_away_is_known_by_the_new_name() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let mut elsewhere = server.rich(&server.account("alice").await).await;
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.click("#account summary").await;
    alice.type_in("#secret", SECRET).await;
    alice.sign_in("alice").await;
    for (name, away) in [("alice-2", "offline"), ("alice-3", "reload")] {
        if away == "offline" {
            alice.offline(true).await;
            alice.until_says("#banner:not([hidden])", "No connection").await;
            alice.say("on paper").await;
            alice.until_says("#waiting .state", "waits for the connection").await;
        } else {
            alice.leave(server.port).await;
        }
        elsewhere.command("setnick", json!({"nickname": name})).await;
        elsewhere.command("listrooms", json!({})).await;
        elsewhere.of_type("system").await;
        if away == "offline" {
            alice.offline(false).await;
        } else {
            alice.visit(server.port).await;
        }
        alice.until_says("#me", name).await;
        alice.say(&format!("I am {name}")).await;
        alice.until_says("#messages .own .body", &format!("I am {name}")).await;
        alice.until("document.querySelectorAll('#waiting li').length === 0").await;
    }
    assert_eq!(alice.bodies().await, ["on paper", "I am alice-2", "I am alice-3"]);
}

#[tokio::test]
async fn whoever_may_not_come_back_is_told_so_of_each_text_and_does_not_seem_to_write() {
    let (_home, _server, _chromium, alice, mut owner) = super::beside_a_den().await;
    alice.type_in("#room-name", "den\n").await;
    alice.until_says("#count", "2 here").await;
    owner.command("ban", json!({"room": "den", "user": "alice"})).await;
    alice.until_says("#messages .note", "banned").await;
    held(&alice, "typing").await;
    for words in ["let me in", "please"] {
        alice.say(words).await;
        alice.until("document.querySelectorAll('#waiting li').length === document.querySelectorAll('#waiting .state.failed').length").await;
        alice.until_says("#waiting li", words).await;
    }
    let states = alice.texts("#waiting .state").await;
    assert_eq!(states, ["not sent: you are banned from room den", "not sent: you are banned from room den"]);
    assert_eq!(alice.js("kept").await, json!([]));
    owner.command("unban", json!({"room": "den", "user": "alice"})).await;
    owner.command("listrooms", json!({})).await;
    owner.of_type("system").await;
    alice.click("#waiting li:first-child .link:nth-of-type(1)").await;
    alice.until_says("#messages .body", "let me in").await;
    alice.is_clean().await;
}

#[tokio::test]
async fn whoever_is_in_as_many_rooms_as_one_may_be_is_told_so_of_each_text_for_another() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED, "limits.rooms_per_user=2"]);
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.sign_in("alice").await;
    let refused = "document.querySelectorAll('#waiting .state.failed').length";
    for room in ["den", "nook"] {
        alice.type_in("#room-name", &format!("{room}\n")).await;
        alice.until_says("#title", room).await;
        alice.say(&format!("hello {room}")).await;
        if room == "den" {
            alice.until_says("#messages .state", "accepted").await;
        }
    }
    alice.until(&format!("{refused} === 1")).await;
    assert_eq!(alice.texts("#waiting .state").await, ["not sent: you have 2 rooms already"]);
    // What is written while there is no connection, too.
    alice.offline(true).await;
    alice.until_says("#banner:not([hidden])", "No connection").await;
    alice.say("again").await;
    alice.offline(false).await;
    alice.until(&format!("{refused} === 2")).await;
    alice.until("document.getElementById('banner').hidden").await;

    alice.click("#rooms li:nth-child(2) .place").await;
    alice.until_says("#title", "den").await;
    alice.click("#leave").await;
    alice.click("#rooms li:nth-child(2) .place").await;
    alice.until_says("#title", "nook").await;
    alice.click("#waiting li:first-child .link:nth-of-type(1)").await;
    alice.until_says("#messages .body", "hello nook").await;
    alice.is_clean().await;
}

#[tokio::test]
async fn whoever_signs_out_and_in_again_at_once_has_the_name() {
    let (_home, server, _chromium, alice) = super::alone().await;
    // On a slow way to the server, which has not heard of the first when the second is wanted.
    let slow = "(({fetch}) => {
        window.told = 0;
        window.fetch = async (path, how) => {
            const leaves = how?.method === 'DELETE';
            if (leaves) await new Promise((then) => setTimeout(then, 1000));
            return fetch(path, how).finally(() => told += leaves);
        };
    })(window)";
    assert_eq!(alice.js(slow).await, Value::Null);
    for away in [false, true] {
        // Whoever is away then is signed out later.
        alice.offline(away).await;
        alice.click("#signout").await;
        alice.until("document.activeElement.id === 'nickname'").await;
        if away {
            alice.until("told === 2").await;
            alice.offline(false).await;
        }
        alice.keys("\u{e007}").await;
        alice.until("!document.getElementById('chat').hidden").await;
        alice.until_says("#count", "1 here").await;
    }
    // A browser that keeps nothing for a page refuses it locks, too.
    let refuse = "navigator.locks.request = () => Promise.reject(new DOMException('denied', 'SecurityError')), 0";
    alice.js(&format!("(window.locks = navigator.locks.request, {refuse})")).await;
    alice.click("#signout").await;
    alice.until("document.activeElement.id === 'nickname'").await;
    alice.keys("\u{e007}").await;
    alice.until("!document.getElementById('chat').hidden").await;
    alice.until_says("#count", "1 here").await;
    alice.js("(navigator.locks.request = locks, 0)").await;
    // In another tab, too.
    alice.beside(server.port).await;
    alice.until_says("#count", "1 here").await;
    alice.js("document.getElementById('signout').click()").await;
    alice.turn_to(0).await;
    alice.until("document.activeElement.id === 'nickname'").await;
    alice.keys("\u{e007}").await;
    alice.until("!document.getElementById('chat').hidden").await;
    alice.until_says("#count", "1 here").await;
    assert_eq!(alice.js("watched.errors").await, json!([]));
}

#[tokio::test]
async fn why_a_direct_message_did_not_arrive_is_told_in_words() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let _bob = server.rich(&server.guest("bob").await).await;
    let chromium = Chromium::start();
    for (language, words) in [("en", "not sent: they take no direct messages"), ("ru", "не принимает личные сообщения")]
    {
        let alice = chromium.open(server.port, Look { language, ..Look::default() }).await;
        alice.sign_in(&format!("alice-{language}")).await;
        alice.type_in("#direct-name", "bob\n").await;
        held(&alice, "direct").await;
        alice.say("psst").await;
        alice.until("kept.length === 1").await;
        alice.js("letGo()").await;
        alice.until("document.querySelectorAll('#waiting li').length === 0").await;
        alice.until("/^(sent|отправлено)$/.test(document.querySelector('#messages .state').textContent)").await;
        alice.js("hear({type: 'receipt', id: sent[0].args.id, to: 'bob', state: 'failed', reason: 'no_direct'})").await;
        alice.until_says("#messages .state", words).await;
        alice.is_clean().await;
    }
}

#[tokio::test]
async fn whoever_speaks_before_a_room_has_answered_is_in_it_and_is_heard() {
    let (_home, _server, _chromium, alice) = super::alone().await;
    held(&alice, "enter").await;
    alice.type_in("#room-name", "den\n").await;
    alice.until_says("#title", "den").await;
    alice.say("anybody here?").await;
    alice.until_says("#waiting li", "anybody here?").await;
    alice.js("letGo()").await;
    alice.until_says("#messages .body", "anybody here?").await;
    assert_eq!(alice.text("#title").await, "den");
    assert_eq!(alice.js("sent.length").await, json!(1));

    // The last word in a room is said, though its author is gone when that is answered.
    let bye = "(({text, say, leave}) => {
        // Behind the pace at which texts go out.
        setTimeout(() => (text.value = 'bye', say.requestSubmit(), leave.click()), 200);
    })(window)";
    alice.js(bye).await;
    alice.until_says("#title", "global").await;
    alice.until("!Object.keys(localStorage).some((key) => key.startsWith('talk.waiting.'))").await;
    alice.is_clean().await;
}

#[tokio::test]
async fn what_was_on_its_way_when_a_room_was_left_is_not_taken_for_its_newest() {
    let (_home, _server, _chromium, alice, mut owner) = super::beside_a_den().await;
    for body in ["one", "two"] {
        owner.command("message", json!({"room": "den", "body": body})).await;
    }
    alice.type_in("#room-name", "den\n").await;
    alice.until_says("#messages .body", "two").await;
    alice.click("#leave").await;
    held(&alice, "enter").await;
    alice.type_in("#room-name", "den\n").await;
    alice.until("kept.length === 1").await;
    alice
        .js("hear({type: 'message', room: 'den', epoch: 'e', seq: 2, prev: 1, ts: Date.now(), from: 'owner', body: 'late'})")
        .await;
    alice.js("letGo()").await;
    alice.until_says("#messages .body", "two").await;
    assert_eq!(alice.bodies().await, ["one", "two"]);
    alice.until("!document.getElementById('begin').hidden").await;
    alice.is_clean().await;
}

#[tokio::test]
async fn what_was_found_is_gone_to_only_while_it_is_wanted_and_takes_nobody_from_what_they_write() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED, "durability=\"os\""]);
    numbers(&server, 1, 1_500).await;
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.sign_in("alice").await;
    alice.until_says("#messages .body", "number 01500").await;
    alice.click("[data-open=found]").await;
    alice.type_in("#search", "\"number 00200\"\n").await;
    alice.until("document.querySelector('#results mark')").await;
    held(&alice, "history").await;
    // Whoever goes elsewhere meanwhile stays there.
    alice.click("#results button").await;
    alice.until("kept.length === 1").await;
    alice.say("never mind").await;
    alice.until_says("#messages .body", "never mind").await;
    alice.js("letGo()").await;
    alice.until("answers === 1").await;
    assert_eq!(alice.js("sent.length").await, json!(1), "no more is asked for");
    assert_eq!(alice.texts(".message.found").await, Vec::<String>::new());
    // Whoever writes meanwhile goes on writing.
    held(&alice, "history").await;
    alice.click("#results button").await;
    alice.until("kept.length === 1").await;
    alice.type_in("#text", "half a ").await;
    alice.js("letGo()").await;
    alice.until_says(".message.found .body", "number 00200").await;
    alice.keys("thought").await;
    assert_eq!(alice.js("document.getElementById('text').value").await, json!("half a thought"));
    alice.is_clean().await;
}

#[tokio::test]
async fn a_room_that_vanishes_again_and_again_is_made_anew_by_whoever_is_first() {
    let (home, server, _chromium, alice) = super::alone_where_nothing_is_kept().await;
    let port = server.port;
    alice.type_in("#room-name", "den\n").await;
    alice.until_says("#count", "1 here").await;
    let mut server = Some(server);
    for round in 1..=3 {
        server.take().unwrap().kill();
        alice.until_says("#banner:not([hidden])", "No connection").await;
        let words = format!("behind {round}");
        alice.say(&words).await;
        held(&alice, "createroom").await;
        let again = server.insert(Durable::spawn(home.server(&["--memory", "--port", &port.to_string()])));
        alice.until("kept.length === 1").await;
        let mut bob = again.rich(&again.guest("bob").await).await;
        if round == 2 {
            bob.command("createroom", json!({"name": "den"})).await;
            bob.of_type("presence").await;
        }
        alice.js("letGo()").await;
        alice.until_says("#messages .body", &words).await;
        alice.until("document.querySelectorAll('#waiting li').length === 0").await;
        assert_eq!(alice.text("#title").await, "den");
    }
}

#[tokio::test]
async fn a_server_that_lets_one_knock_and_says_nothing_is_given_up_and_tried_again() {
    let (_home, server, _chromium, alice) = super::alone().await;
    // What takes long takes a tenth of it.
    alice.js("(() => { const wait = setTimeout; window.setTimeout = (act, ms, ...all) => wait(act, ms > 5000 ? ms / 10 : ms, ...all); })()").await;
    alice.js("(window.made = 0, window.WebSocket = class extends WebSocket { constructor(...all) { super(...all); made += 1; } }, 0)").await;
    server.signal("STOP");
    // Another network: whether the server is there is asked at once.
    alice.js("window.dispatchEvent(new Event('online'))").await;
    alice.until("made >= 1").await;
    alice.until_says("#banner-text", "Connecting").await;
    alice.until("made >= 3").await;
    alice.say("behind it").await;
    server.signal("CONT");
    alice.until_says("#messages .body", "behind it").await;
    alice.until("document.querySelectorAll('#waiting li').length === 0").await;
    assert_eq!(alice.bodies().await, ["behind it"]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_neither_makes_anybody_wait_nor_says_anything_twice() {
    let (_home, _server, _chromium, alice) = super::alone().await;
    let back = "(() => { const now = Date.now; window.dispatchEvent(new Event('offline')); Date.now = () => now() - 3600000; })()";
    alice.js(back).await;
    alice.until_says("#banner", "nothing was missed").await;
    // A text that was on its way before.
    let left = "(() => { localStorage[`talk.waiting.${sessionStorage.tab}`] =
        JSON.stringify([{ id: 'left', to: 'global', body: 'from tomorrow', since: Date.now() + 86400000 }]); })()";
    alice.js(left).await;
    alice.reload().await;
    alice.until_says("#waiting .state.failed", "nobody can say").await;
    alice.is_clean().await;
}

#[tokio::test]
async fn whoever_leaves_a_room_and_comes_back_at_once_is_taken_for_nobody_else() {
    let (_home, _server, _chromium, alice, mut owner) = super::beside_a_den().await;
    alice.type_in("#room-name", "den\n").await;
    alice.until_says("#count", "2 here").await;
    held(&alice, "enter").await;
    alice.click("#leave").await;
    alice.until_says("#title", "global").await;
    alice.type_in("#room-name", "den\n").await;
    alice.until("kept.length > 0").await;
    // It was under way when she left.
    alice.js("hear({ type: 'presence', room: 'den', user: 'bob', state: 'joined' })").await;
    alice.js("letGo()").await;
    alice.until_says("#count", "2 here").await;
    assert_eq!(alice.text("#me").await, "alice");
    alice.say("back").await;
    assert_eq!(owner.of_type("message").await["from"], "alice");
    alice.until_says("#messages .own .body", "back").await;
    alice.is_clean().await;
}

#[tokio::test]
async fn the_server_is_told_nothing_more_of_a_room_that_was_left() {
    let (_home, _server, _chromium, alice, _owner) = super::beside_a_den().await;
    held(&alice, "received").await;
    alice.js("(window.passes = true, 0)").await;
    let last = json!({"type": "message", "room": "den", "epoch": "e", "seq": 1, "prev": 0, "ts": 1, "from": "owner", "body": "go"});
    let put_out = json!({"type": "presence", "room": "den", "user": "alice", "state": "left"});
    for (words, leaves) in [
        ("gone", "document.getElementById('leave').click()".to_owned()),
        ("put out", format!("(hear({put_out}), document.querySelector('#rooms .place').click())")),
    ] {
        alice.type_in("#room-name", "den\n").await;
        alice.until_says("#count", "2 here").await;
        alice.js(&format!("(hear({last}), {leaves}, 0)")).await;
        alice.until_says("#title", "global").await;
        alice.say(words).await;
        // All that was heard until then is told at once.
        alice.until("sent.some(({ args }) => args.room === 'global')").await;
        assert_eq!(alice.js("sent.filter(({ args }) => args.room !== 'global')").await, json!([]), "{words}");
        alice.js("sent.length = 0").await;
    }
    alice.is_clean().await;
}

#[tokio::test]
async fn a_gap_among_direct_messages_is_no_conversation() {
    let (_home, _server, _chromium, alice) = super::alone().await;
    alice.js("hear({ type: 'gap', room: '@0197f3c8a2b47d319c572f6de14a8b90', from: 42, to: 1041 })").await;
    alice.until_says("#messages .note", "Messages are missing").await;
    assert_eq!(alice.texts("#directs .place").await, Vec::<String>::new());
    alice.is_clean().await;
}

#[tokio::test]
async fn what_is_refused_of_one_room_is_not_taken_for_another_that_is_called_like_a_word_of_it() {
    let (_home, _server, _chromium, alice) = super::alone().await;
    held(&alice, "enter").await;
    alice.type_in("#room-name", "room\n").await;
    alice.until("kept.length > 0").await;
    alice.say("hello").await;
    alice.until_says("#waiting .body", "hello").await;
    alice.js("hear({ type: 'error', code: 'banned', body: 'you are banned from room den' })").await;
    alice.until_says("#messages .note", "banned from room den").await;
    assert_eq!(alice.texts("#waiting .state.failed").await, Vec::<String>::new());
    alice.js("hear({ type: 'error', code: 'banned', body: 'you are banned from room room' })").await;
    alice.until_says("#waiting .state.failed", "you are banned from room room").await;
    alice.is_clean().await;
}

/// Somebody says so many things that mean nothing.
async fn says(client: &mut Client, count: u32) {
    for n in 1..=count {
        let id = uuid::Uuid::new_v4().to_string();
        client.command("message", json!({"room": "global", "body": format!("noise {n}"), "id": id})).await;
        while client.of_type("accepted").await["id"] != json!(id) {}
    }
}

/// Somebody says those numbers, all of which are as long.
async fn numbers(server: &Durable, from: u32, to: u32) {
    super::fill(server, to + 1 - from, |n| format!("number {:05}", n + from - 1)).await;
}

/// From here on commands of a kind do not go out until `letGo()`, unless `passes` is set: they are `kept`, and `sent` once
/// they are let go; `answers` counts the ends of histories.
async fn held(tab: &Tab, kind: &str) {
    let script = format!(
        "(() => {{
            Object.assign(window, {{ kept: [], sent: [], answers: 0, passes: false }});
            const real = Object.getPrototypeOf(WebSocket.prototype).send;
            window.watchedSockets ??= new WeakSet();
            const go = (socket, data) => real.call(socket, data);
            WebSocket.prototype.send = function (data) {{
                if (!watchedSockets.has(this)) {{
                    watchedSockets.add(this);
                    this.addEventListener('message', ({{ data }}) => {{ if (JSON.parse(data).type === 'history') answers += 1; }});
                }}
                if (JSON.parse(data).type !== {kind}) return go(this, data);
                sent.push(JSON.parse(data));
                if (passes) return go(this, data);
                kept.push(data);
                window.letGo = () => {{ passes = true; for (const data of kept.splice(0)) go(this, data); }};
            }};
        }})()",
        kind = json!(kind)
    );
    assert_eq!(tab.js(&script).await, Value::Null);
}
