//! What is typed, chosen and asked.

use serde_json::{Value, json};
use thirtyfour::Key;

use crate::browser::{Chromium, Look};
use crate::common::durable::{Durable, SECRET, UNLIMITED};

#[tokio::test]
async fn a_name_that_no_room_can_have_is_refused_at_its_field_and_leads_nowhere() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    for (language, words) in [("en", "Latin letters"), ("ru", "латинских букв")] {
        let alice = chromium.open(server.port, Look { language, ..Look::default() }).await;
        alice.sign_in(&format!("alice-{language}")).await;
        for name in ["my room!", "сад", "x", "1bad", "@bob"] {
            alice.type_in("#room-name", &format!("{name}\n")).await;
            alice.until_says("#room-error", words).await;
            let there = alice.js("[document.activeElement.id, document.activeElement.ariaInvalid, document.getElementById('title').textContent]").await;
            assert_eq!(there, json!(["room-name", "true", "global"]), "{name}");
            assert_eq!(alice.texts("#rooms .place > :first-child").await, ["global"], "{name}");
            assert_eq!(alice.js("document.getElementById('room-name').value").await, json!(name));
            for _ in 0..name.chars().count() {
                alice.keys(Key::Backspace).await;
            }
            assert_eq!(alice.text("#room-error").await, "");
        }
        alice.is_clean().await;
    }
}

#[tokio::test]
async fn a_wrong_nickname_and_what_the_server_refuses_are_told_in_the_readers_language() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    server.account("taken").await;
    let mut owner = server.rich(&server.guest("owner").await).await;
    owner.command("createroom", json!({"name": "den"})).await;
    owner.of_type("presence").await;
    let chromium = Chromium::start();
    let boris = chromium.open(server.port, Look { language: "ru", ..Look::default() }).await;
    boris.type_in("#nickname", "борис\n").await;
    boris.until_says("#signin-error", "латинских букв").await;
    assert_eq!(boris.js("document.activeElement.id").await, json!("nickname"));
    boris.js("document.getElementById('nickname').value = ''").await;
    boris.type_in("#nickname", "taken\n").await;
    boris.until_says("#signin-error", "уже занято").await;
    boris.js("document.getElementById('nickname').value = ''").await;
    boris.type_in("#nickname", "system\n").await;
    boris.until_says("#signin-error", "Это имя не годится").await;
    boris.js("document.getElementById('nickname').value = ''").await;
    boris.type_in("#nickname", "taken\n").await;
    boris.until_says("#signin-error", "уже занято").await;
    boris.type_in("#secret", "short\n").await;
    boris.until_says("#signin-error", "не меньше 8").await;
    boris.type_in("#secret", " but not theirs\n").await;
    boris.until_says("#signin-error", "секрет у него другой").await;
    boris.js("document.getElementById('nickname').value = document.getElementById('secret').value = ''").await;
    boris.sign_in("boris").await;
    boris.type_in("#room-name", "den\n").await;
    boris.until_says("#title", "den").await;
    boris.until("document.getElementById('count').textContent === 'людей: 2'").await;
    owner.command("mute", json!({"room": "den", "user": "boris"})).await;
    boris.until_says("#messages .note", "Вам нельзя писать в комнате den").await;
    for (code, body, words) in [
        ("bad_room_name", "'x!' is not a valid room name", "x! не может быть названием комнаты."),
        ("no_room", "room shed does not exist", "Комнаты shed нет."),
        ("taken", "nickname x already taken", "Имя x уже занято."),
        ("odd", "nobody translated this", "nobody translated this"),
        ("argument", "cannot parse 'body' arg of message command", "Сервер этого не принимает."),
    ] {
        boris.js(&format!("hear({})", json!({"type": "error", "code": code, "body": body}))).await;
        boris.until_says("#messages .note", words).await;
    }
    // How long it is for, too; a moderator's own words as they are.
    let reason = "see: room den, for 5 s";
    for (action, args, words) in [
        ("mute", json!({"seconds": 600}), "Вам нельзя писать в комнате den (600 с)."),
        ("mute", json!({"reason": reason}), "Вам нельзя писать в комнате den: see: room den, for 5 s"),
        (
            "ban",
            json!({"seconds": 60, "reason": reason}),
            "Вам больше нельзя в комнату den (60 с): see: room den, for 5 s",
        ),
    ] {
        let whom = json!({"room": "den", "user": "boris"}).as_object().unwrap().clone();
        let args: serde_json::Map<_, _> = whom.into_iter().chain(args.as_object().unwrap().clone()).collect();
        owner.command(action, args.into()).await;
        boris
            .until(&format!(
                "[...document.querySelectorAll('#messages .note')].at(-1).textContent.endsWith({})",
                json!(words)
            ))
            .await;
    }
    boris.js(&format!("hear({})", json!({"type": "system", "body": "room den was closed: spring"}))).await;
    boris.until_says("#messages .note", "Комнату den закрыли: spring").await;

    let alice = chromium.open(server.port, Look::default()).await;
    assert!(alice.text("#nickname-help").await.contains("Latin letters"));
    alice.type_in("#nickname", "al ice\n").await;
    alice.until_says("#signin-error", "Latin letters").await;
    alice.is_clean().await;
}

#[tokio::test]
async fn an_account_is_made_only_when_that_is_meant() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    server.account("alice").await;
    let chromium = Chromium::start();
    for (language, words) in [("en", "no account called"), ("ru", "Учётной записи")] {
        let alice = chromium.open(server.port, Look { language, ..Look::default() }).await;
        let dialog = "[document.activeElement.value, document.getElementById('make').open]";
        // A slip of the pen makes nothing.
        let slip = format!("alise-{language}");
        alice.click("#account summary").await;
        alice.type_in("#nickname", &slip).await;
        alice.type_in("#secret", &format!("{SECRET}\n")).await;
        alice.until("document.getElementById('make').open").await;
        let asked = alice.text("#make-words").await;
        assert!(asked.contains(words) && asked.contains(&slip), "{asked}");
        assert_eq!(alice.js(dialog).await, json!(["no", true]));
        alice.keys(Key::Escape).await;
        alice.until("document.activeElement.id === 'nickname'").await;
        assert_eq!(server.try_name(&slip).await, 201, "nobody has the name");
        // The name is chosen, so what is typed takes its place, and the secret stands.
        alice.keys("alice\u{e007}").await;
        alice.until("!document.getElementById('chat').hidden").await;
        assert_eq!(alice.text("#me").await, "alice");
        alice.click("#signout").await;
        alice.until("document.activeElement.id === 'nickname'").await;

        // Whoever wants one says so, and is not asked again.
        let new = format!("new-{language}");
        for asked in [true, false] {
            alice.js("document.getElementById('nickname').value = ''").await;
            alice.type_in("#nickname", &new).await;
            alice.type_in("#secret", &format!("{SECRET}\n")).await;
            if asked {
                alice.until("document.getElementById('make').open").await;
                alice.keys(Key::Tab + Key::Enter).await;
            }
            alice.until_says("#me", &new).await;
            alice.until("!document.getElementById('chat').hidden").await;
            assert_eq!(alice.js("document.getElementById('make').open").await, json!(false));
            alice.click("#signout").await;
            alice.until("!document.getElementById('signin').hidden").await;
        }
        assert_eq!(server.try_name(&new).await, 403, "it is an account's");
        // A wrong secret is told as ever, and asks nothing.
        alice.type_in("#secret", "another secret\n").await;
        alice.until("document.getElementById('signin-error').textContent !== ''").await;
        assert_eq!(alice.js("document.getElementById('make').open").await, json!(false));
        assert_eq!(alice.js("[watched.errors, watched.violations]").await, json!([[], []]));
    }
}

#[tokio::test]
async fn a_theme_is_the_systems_or_light_or_dark_and_the_choice_says_which() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look { dark: true, ..Look::default() }).await;
    alice.sign_in("alice").await;
    let shown = "[document.getElementById('theme').selectedOptions[0].textContent, getComputedStyle(document.body).backgroundColor]";
    let (dark, light) = ("rgb(20, 23, 22)", "rgb(251, 251, 249)");
    assert_eq!(alice.js(shown).await, json!(["As the system", dark]));
    for (choice, ground) in [("Light", light), ("Dark", dark), ("Light", light), ("As the system", dark)] {
        alice.type_in("#theme", choice).await;
        assert_eq!(alice.js(shown).await, json!([choice, ground]));
        alice.reload().await;
        assert_eq!(alice.js(shown).await, json!([choice, ground]));
    }
    alice.is_clean().await;
}

#[tokio::test]
async fn what_looks_like_a_command_is_said_only_when_it_is_meant() {
    let (_home, _server, _chromium, alice) = super::alone().await;
    alice.say("/msg bob it is a secret").await;
    alice.until_says("#messages .note", "There is no command /msg here").await;
    assert_eq!(alice.js("document.getElementById('text').value").await, json!("/msg bob it is a secret"));
    assert_eq!(alice.bodies().await, Vec::<String>::new());
    alice.js("document.getElementById('text').value = ''").await;
    for text in ["/ is the root", "1/2", "/shrug"] {
        alice.say(text).await;
    }
    alice.until("[...document.querySelectorAll('#messages .note')].at(-1).textContent.includes('/shrug')").await;
    alice.keys(Key::Enter).await;
    alice.until_says("#messages .body", "/shrug").await;
    assert_eq!(alice.bodies().await, ["/ is the root", "1/2", "/shrug"]);
    alice.is_clean().await;
}

#[tokio::test]
async fn signing_out_asks_before_direct_messages_go() {
    let (_home, _server, _chromium, alice, mut bob) = super::beside_bob().await;
    bob.command("direct", json!({"to": "alice", "body": "psst"})).await;
    alice.until_says("#directs .badge", "1").await;
    alice.click("#signout").await;
    alice.until_says("#ask[open] #ask-words", "this browser only").await;
    alice.click("#ask [value=no]").await;
    alice.until("!document.getElementById('ask').open").await;
    assert_eq!(alice.js("'talk.direct.alice.@bob' in localStorage").await, json!(true));
    // Asked again before the page is told that the first question was closed: the answer to the second one counts.
    alice.js("(({signout, ask}) => (signout.click(), ask.close(), signout.click(), ask.open))(window)").await;
    alice.click("#ask [value=yes]").await;
    alice.until("!document.getElementById('signin').hidden").await;
    assert_eq!(alice.js("'talk.direct.alice.@bob' in localStorage").await, json!(false));
    alice.is_clean().await;
}

#[tokio::test]
async fn placeholders_are_whole_and_the_field_is_as_high_as_its_text() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    for language in ["en", "ru"] {
        let alice = chromium.open(server.port, Look { language, ..Look::default() }).await;
        alice.sign_in(&format!("alice-{language}")).await;
        alice.click("[data-open=found]").await;
        assert!(!alice.text("#search-help").await.is_empty());
        let cut = "[...document.querySelectorAll('[placeholder]')].filter((one) => one.checkVisibility()).filter((one) => {
            const style = getComputedStyle(one), pen = document.createElement('canvas').getContext('2d');
            pen.font = style.font;
            return pen.measureText(one.placeholder).width > one.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
        }).map((one) => one.placeholder)";
        assert_eq!(alice.js(cut).await, json!([]));
        let height = "document.getElementById('text').getBoundingClientRect().height";
        let one_line = alice.js(height).await;
        assert!(one_line.as_f64().unwrap() < 50.0, "{one_line}");
        alice.click("[data-close=found]").await;
        for width in [320, 360, 800] {
            alice.look(Look { width, language, ..Look::PHONE }).await;
            assert_eq!(alice.js(cut).await, json!([]), "{width}");
            alice.until(&format!("Math.abs({height} - {one_line}) < 2")).await;
        }
        // It grows with its text, and shrinks when the window is wider.
        alice.look(Look { language, ..Look::PHONE }).await;
        alice.type_in("#text", "as long as two lines of it on a phone, and no longer").await;
        alice.until(&format!("{height} > {one_line} + 10")).await;
        alice.look(Look { language, ..Look::default() }).await;
        alice.until(&format!("Math.abs({height} - {one_line}) < 2")).await;
    }
}

#[tokio::test]
async fn lines_are_as_long_as_eyes_like_and_what_is_found_has_the_focus_on_a_phone() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    super::fill(&server, 120, |n| format!("number {n}")).await;
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look { width: 1920, ..Look::default() }).await;
    alice.sign_in("alice").await;
    alice.say(&"many words make a line that is long, ".repeat(20)).await;
    alice.say("short").await;
    alice.until("document.querySelectorAll('#messages .message.own .state').length === 2").await;
    alice.until("[...document.querySelectorAll('#messages .state')].at(-1).textContent !== ''").await;
    let near = "[...document.querySelectorAll('#messages .message.own')].map((one) => {
        const body = one.querySelector('.body'), range = document.createRange();
        range.selectNodeContents(body);
        return [body.getBoundingClientRect().width, one.querySelector('.state').getBoundingClientRect().left - body.getBoundingClientRect().right];
    })";
    let near: Vec<[f64; 2]> = serde_json::from_value(alice.js(near).await).unwrap();
    assert!(near.iter().all(|[width, gap]| *width < 800.0 && (0.0..60.0).contains(gap)), "{near:?}");
    assert!(near[1][0] < 200.0, "{near:?}");
    // What fits in a line stands in one, however long the name above it is.
    alice.look(Look::PHONE).await;
    alice.say("this fits in a line, I bet").await;
    let lines = "[...document.querySelectorAll('#messages .body')].at(-1).getBoundingClientRect().height";
    alice.until_says("#messages .body", "I bet").await;
    assert!(alice.js(lines).await.as_f64().unwrap() < 30.0);
    alice.look(Look { width: 1920, ..Look::default() }).await;

    // Whoever has scrolled up is offered the way back.
    assert_eq!(alice.js("document.getElementById('down').hidden").await, json!(true));
    // What scrolls while the window changes its shape is no reader.
    alice.until("(document.getElementById('log').scrollTop = 300, !document.getElementById('down').hidden)").await;
    alice.click("#down").await;
    alice.until("document.getElementById('down').hidden").await;

    alice.look(Look::PHONE).await;
    alice.click("[data-open=found]").await;
    alice.type_in("#search", "\"number 77\"\n").await;
    alice.until_says("#results .body", "number 77").await;
    assert_eq!(alice.texts("#results mark").await, ["number 77"]);
    alice.click("#results button").await;
    alice.until("document.activeElement.matches('.message.found')").await;
    assert_eq!(alice.text(".message.found .body").await, "number 77");
    alice.is_clean().await;
}

#[tokio::test]
async fn a_room_that_was_just_made_is_listed_when_somebody_looks() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::PHONE).await;
    alice.sign_in("alice").await;
    alice.until_says("#count", "1 here").await;
    let mut bob = server.rich(&server.guest("bob").await).await;
    for name in ["shed", "barn"] {
        bob.command("createroom", json!({"name": name})).await;
        bob.of_type("presence").await;
        let asked: Value = alice.js("(window.asked = performance.now(), 0)").await;
        assert_eq!(asked, json!(0));
        alice.click("[data-open=places]").await;
        alice.until_says("#others .place", name).await;
        assert!(alice.js("performance.now() - asked").await.as_f64().unwrap() < 19_000.0, "it was not asked for");
        alice.click("[data-close=places]").await;
    }
}
