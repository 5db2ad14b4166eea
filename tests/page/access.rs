//! Whoever uses a keyboard, listens instead of looking, or sees badly.

use serde_json::{Value, json};
use thirtyfour::prelude::*;

use crate::browser::{Chromium, Look, Tab};
use crate::common::durable::{Durable, UNLIMITED};

#[tokio::test]
async fn every_control_has_a_name_and_every_text_is_readable() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.click("#account summary").await;
    for dark in [false, true] {
        alice.look(Look { dark, ..Look::default() }).await;
        is_accessible(&alice, 4).await;
    }
    // What is asked stands over the rest, which has no part in it then.
    alice.type_in("#nickname", "alise").await;
    alice.type_in("#secret", "correct horse\n").await;
    alice.until("document.getElementById('make').open").await;
    let tree = alice.devtools("Accessibility.getFullAXTree", json!({})).await;
    let nodes = tree["nodes"].as_array().unwrap();
    let dialog = nodes.iter().find(|node| node["role"]["value"] == json!("dialog")).expect("a dialog");
    assert_eq!(dialog["name"]["value"], json!("Make an account?"));
    assert_eq!(dialog["description"]["value"], json!("There is no account called alise. Make one, with this secret?"));
    for dark in [false, true] {
        alice.look(Look { dark, ..Look::default() }).await;
        is_accessible(&alice, 2).await;
    }

    // Everything that the page can show: people, results, texts of all kinds and states.
    let alice = everything(&chromium, &server).await;
    alice.offline(true).await;
    alice.until_says("#banner:not([hidden])", "No connection").await;
    alice.say("on paper").await;
    alice.until_says("#waiting .state", "waits").await;
    for dark in [false, true] {
        alice.look(Look { dark, ..Look::default() }).await;
        // Of the two panels one is open at a time.
        alice.click("[data-open=people]").await;
        is_accessible(&alice, 20).await;
        alice.click("[data-open=found]").await;
        is_accessible(&alice, 20).await;
    }
    alice.offline(false).await;
    alice.until("document.querySelectorAll('#waiting li').length === 0").await;
    // The reader's own choice goes before the system's.
    alice.type_in("#theme", "Light").await;
    let ground = "getComputedStyle(document.body).backgroundColor";
    let light = alice.js(ground).await;
    is_accessible(&alice, 20).await;
    alice.reload().await;
    assert_eq!(alice.js(ground).await, light);
    alice.look(Look::PHONE).await;
    is_accessible(&alice, 7).await;
}

#[tokio::test]
async fn the_keyboard_is_enough() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let mut owner = server.rich(&server.guest("owner").await).await;
    owner.command("createroom", json!({"name": "den"})).await;
    owner.of_type("presence").await;
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    // No element is clicked, and none but the one that has the focus is typed into.
    alice.keys("alice\u{e007}").await;
    alice.until_says("#count", "1 here").await;
    alice.keys("a word about breakfast\u{e007}").await;
    alice.until("document.querySelectorAll('#messages .message').length === 1").await;

    tab_to(&alice, "room-name").await;
    alice.keys("den\u{e007}").await;
    alice.until_says("#title", "den").await;
    alice.until_says("#count", "2 here").await;
    owner.command("mute", json!({"room": "den", "user": "alice"})).await;
    alice.until_says("#messages .note", "you are muted").await;
    alice.keys("hello den\u{e007}").await;
    alice.until_says("#waiting .state.failed", "you are muted").await;
    owner.command("unmute", json!({"room": "den", "user": "alice"})).await;
    alice.until_says("#messages .note", "no longer muted").await;
    back_to(&alice, "Retry").await;
    alice.keys(Key::Enter).await;
    alice.until_says("#messages .body", "hello den").await;

    alice.keys(Key::Tab).await;
    tab_to(&alice, "direct-name").await;
    alice.keys("owner\u{e007}").await;
    alice.until_says("#title", "owner").await;
    alice.keys("for you\u{e007}").await;
    alice.until_says("#messages .body", "for you").await;

    // From one conversation to the next, and a line with a break in it.
    alice.held(Key::Alt, Key::Down).await;
    alice.until_says("#title", "global").await;
    alice.keys("two").await;
    alice.held(Key::Shift, Key::Enter).await;
    alice.keys("lines\u{e007}").await;
    alice.until("[...document.querySelectorAll('.body')].at(-1).textContent === 'two\\nlines'").await;
    back_to(&alice, "Search").await;
    alice.keys(Key::Enter).await;
    alice.keys("breakfast\u{e007}").await;
    alice.until_says("#results .body", "breakfast").await;
    alice.keys(Key::Tab + Key::Tab).await;
    alice.keys(Key::Enter).await;
    alice.until_says(".message.found", "breakfast").await;
    alice.keys(Key::Escape).await;
    alice.until("document.getElementById('found').hidden && document.activeElement.id === 'text'").await;

    // Out, too.
    tab_to(&alice, "signout").await;
    alice.keys(Key::Enter).await;
    // That costs the direct messages, so it is asked; whoever does not want it is where they were.
    alice.until("document.getElementById('ask').open && document.activeElement.value === 'no'").await;
    alice.keys(Key::Escape).await;
    alice.until("!document.getElementById('ask').open && document.activeElement.id === 'signout'").await;
    alice.keys(Key::Enter).await;
    alice.until("document.getElementById('ask').open").await;
    alice.keys(Key::Tab).await;
    alice.keys(Key::Enter).await;
    alice.until("document.activeElement.id === 'nickname'").await;
    alice.is_clean().await;
}

#[tokio::test]
async fn the_tab_key_goes_through_everything_in_the_order_that_is_seen() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    let alice = everything(&chromium, &server).await;
    // The first of all leads past the lists.
    alice.js("document.querySelector('.skip').focus()").await;
    let mut passed = vec![alice.js(FOCUSED).await];
    while passed.len() < 60 {
        alice.keys(Key::Tab).await;
        let focused = alice.js(FOCUSED).await;
        if focused["place"] == json!(-1) {
            break;
        }
        passed.push(focused);
    }
    let count = alice.js(&format!("{CONTROLS}.length")).await.as_u64().unwrap();
    let places: Vec<_> = passed.iter().map(|one| one["place"].clone()).collect();
    assert_eq!(places, (0..count).map(|place| json!(place)).collect::<Vec<_>>(), "{passed:#?}");
    // Whoever tabs sees where they are.
    let unseen: Vec<_> = passed.iter().filter(|one| one["outlined"] != json!(true)).collect();
    assert!(unseen.is_empty(), "{unseen:#?}");
    alice.js("document.querySelector('.skip').focus()").await;
    alice.keys(Key::Enter).await;
    alice.until("document.activeElement.id === 'text'").await;
}

/// A browser on which everything is open that can be at once.
async fn everything(chromium: &Chromium, server: &Durable) -> Tab {
    let mut owner = server.rich(&server.guest("owner").await).await;
    owner.command("createroom", json!({"name": "den"})).await;
    owner.of_type("presence").await;
    let alice = chromium.open(server.port, Look::default()).await;
    alice.sign_in("alice").await;
    owner.command("enter", json!({"room": "global"})).await;
    owner.command("direct", json!({"to": "alice", "body": "psst"})).await;
    owner.command("message", json!({"room": "global", "body": "breakfast"})).await;
    alice.until_says("#messages .body", "breakfast").await;
    alice.say("more breakfast").await;
    alice.until_says("#messages .body", "more breakfast").await;
    alice.click("[data-open=people]").await;
    alice.click("[data-open=found]").await;
    alice.type_in("#search", "breakfast\n").await;
    alice.until("document.querySelectorAll('#results li').length === 2").await;
    alice.click("#results li:last-child button").await;
    owner.command("mute", json!({"room": "global", "user": "alice"})).await;
    alice.until_says("#others .place", "den").await;
    alice.say("and eggs").await;
    alice
        .until("document.querySelector('#waiting .state.failed') || document.querySelectorAll('#messages .message')[2]")
        .await;
    owner.command("typing", json!({"room": "global"})).await;
    alice.until("document.getElementById('typing').textContent !== ''").await;
    alice
}

/// Asserts that all controls have names, and all texts contrast with what is behind them.
pub(crate) async fn is_accessible(tab: &Tab, at_least: usize) {
    let tree = tab.devtools("Accessibility.getFullAXTree", json!({})).await;
    let said = |node: &Value, key: &str| node[key]["value"].as_str().unwrap_or_default().to_owned();
    let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] != json!(true));
    let controls = [
        "button",
        "textbox",
        "searchbox",
        "link",
        "list box",
        "combobox",
        "checkbox",
        "DisclosureTriangle",
        "log",
        "navigation",
        "complementary",
    ];
    let named: Vec<_> = nodes
        .map(|node| (said(node, "role"), said(node, "name")))
        .filter(|(role, _)| controls.contains(&&**role))
        .collect();
    assert!(named.len() >= at_least, "{named:#?}");
    let nameless: Vec<_> = named.iter().filter(|(_, name)| name.trim().is_empty()).collect();
    assert!(nameless.is_empty(), "{nameless:?} of {named:#?}");

    let texts = tab.js(&format!("({CONTRASTS})()")).await;
    let texts = texts.as_array().unwrap();
    assert!(texts.len() >= at_least / 2, "{texts:#?}");
    let weak: Vec<_> = texts.iter().filter(|text| text["ratio"].as_f64() < text["needed"].as_f64()).collect();
    assert!(weak.is_empty(), "{weak:#?}");
}

/// Presses the tab key until something has the focus, by its id or what is written on it.
async fn tab_to(tab: &Tab, wanted: &str) {
    press_to(tab, wanted, false).await;
}

/// The same, backwards.
async fn back_to(tab: &Tab, wanted: &str) {
    press_to(tab, wanted, true).await;
}

async fn press_to(tab: &Tab, wanted: &str, back: bool) {
    let mut passed = Vec::new();
    for _ in 0..60 {
        if back {
            tab.held(Key::Shift, Key::Tab).await;
        } else {
            tab.keys(Key::Tab).await;
        }
        let focused = tab.js("[document.activeElement.id, document.activeElement.textContent.trim()]").await;
        if focused[0] == json!(wanted) || focused[1] == json!(wanted) {
            return;
        }
        passed.push(focused);
    }
    panic!("the tab key never gets to {wanted}: {passed:?}");
}

/// What can have the focus and is to be seen, in the order of the page.
const CONTROLS: &str = "[...document.querySelectorAll('a[href], button, input, textarea, select, summary, [tabindex]')]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled)";
/// Which of them has it, and whether that shows.
const FOCUSED: &str = "(() => {
    const all = [...document.querySelectorAll('a[href], button, input, textarea, select, summary, [tabindex]')]
        .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled);
    const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
    return {
        place: all.indexOf(one), what: one.id || one.outerHTML.slice(0, 80),
        outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && box.width > 0 && box.right > 0,
    };
})()";
/// The texts that are to be seen, with the contrast each has and needs (WCAG 2.2, 1.4.3, level AA).
const CONTRASTS: &str = "() => {
    const parse = (color) => {
        const parts = color.match(/[\\d.]+/g).map(Number);
        return { rgb: parts.slice(0, 3), alpha: parts[3] ?? 1 };
    };
    const over = (top, below) => top.rgb.map((part, n) => part * top.alpha + below[n] * (1 - top.alpha));
    const light = (rgb) => {
        const [r, g, b] = rgb.map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (one) => {
        const layers = [];
        for (let it = one; it; it = it.parentElement) {
            const layer = parse(getComputedStyle(it).backgroundColor);
            layers.push(layer);
            if (layer.alpha === 1) break;
        }
        return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
    };
    const seen = (color, one) => {
        for (let it = one; it; it = it.parentElement) color.alpha *= Number(getComputedStyle(it).opacity);
        return color;
    };
    const texts = [];
    const add = (one, color, words) => {
        const style = getComputedStyle(one), ground = behind(one), ink = over(seen(parse(color), one), ground);
        const [a, b] = [light(ink), light(ground)].sort((a, b) => b - a);
        const size = parseFloat(style.fontSize), big = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        texts.push({ words: words.trim().slice(0, 40), ratio: (a + 0.05) / (b + 0.05), needed: big ? 3 : 4.5, ink, ground, what: one.className || one.id || one.tagName });
    };
    for (const one of document.querySelectorAll('body *')) {
        if (!one.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
        const words = [...one.childNodes].filter((node) => node.nodeType === 3 && node.data.trim()).map((node) => node.data).join(' ');
        if (words && !one.disabled && one.tagName !== 'NOSCRIPT') add(one, getComputedStyle(one).color, words);
        if (one.placeholder && !one.value) add(one, getComputedStyle(one, '::placeholder').color, one.placeholder);
        if (one.value && one.matches('input, textarea')) add(one, getComputedStyle(one).color, one.value);
    }
    return texts;
}";
