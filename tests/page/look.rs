//! What it looks like, on what screen, in what language; and what it weighs.

use std::path::Path;

use serde_json::json;
use thirtyfour::Key;

use crate::browser::{Chromium, Look, Tab};
use crate::common::durable::{Durable, UNLIMITED};

#[test]
fn the_page_weighs_less_than_100_kib_and_names_no_other_site() {
    let mut weight = 0;
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("web")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        weight += text.len();
        let named: Vec<_> = text.match_indices("://").map(|(at, _)| &text[at.saturating_sub(8)..]).collect();
        assert!(named.iter().all(|at| at.contains("http://www.w3.org/2000/svg")), "{named:?}");
    }
    assert!((10_000..100 * 1024).contains(&weight), "{weight} bytes");
}

#[tokio::test]
async fn a_phone_shows_everything_without_scrolling_sideways() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::PHONE).await;
    fits(&alice).await;
    alice.click("#account summary").await;
    fits(&alice).await;
    alice.sign_in("alice-with-a-name-that-is-as-long-as-any-name-may-be-of-64-chars").await;
    alice.say(&"long".repeat(200)).await;
    alice.until("document.querySelectorAll('#messages .message').length === 1").await;
    fits(&alice).await;

    // Rooms, people and search each cover the page, and give it back.
    alice.click("[data-open=places]").await;
    fits(&alice).await;
    for _ in 0..20 {
        alice.keys(Key::Tab).await;
        assert_eq!(alice.js("document.activeElement.closest('#room') === null").await, json!(true));
    }
    alice.type_in("#room-name", "a-room-with-a-name-that-is-as-long-as-any-name-may-be-64-chars-\n").await;
    alice.until_says("#title", "a-room").await;
    alice.until_says("#count", "1 here").await;
    fits(&alice).await;
    alice.click("[data-open=people]").await;
    alice.until_says("#users", "alice").await;
    fits(&alice).await;
    alice.click("[data-close=people]").await;
    alice.click("[data-open=found]").await;
    alice.type_in("#search", "nothing\n").await;
    alice.until("document.getElementById('search-status').textContent === 'Nothing was found.'").await;
    fits(&alice).await;
    alice.click("[data-close=found]").await;
    alice.say("short").await;
    alice.until_says("#messages .body", "short").await;
    alice.click("[data-open=places]").await;
    alice.click("#rooms .place").await;
    alice.until_says("#title", "global").await;
    alice.click("[data-open=places]").await;
    alice.click("#signout").await;
    alice.until("!document.getElementById('signin').hidden").await;
    alice.is_clean().await;
    // Nor is what is asked there wider than the screen.
    alice.type_in("#secret", "correct horse\n").await;
    alice.until("document.getElementById('make').open").await;
    fits(&alice).await;
}

#[tokio::test]
async fn a_browser_in_russian_gets_a_page_in_russian() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    let (boris, alice) = tokio::join!(
        chromium.open(server.port, Look { language: "ru", ..Look::default() }),
        chromium.open(server.port, Look { language: "de", ..Look::default() }),
    );
    assert_eq!(boris.js("document.documentElement.lang").await, json!("ru"));
    assert_eq!(boris.text("#signin .primary").await, "Войти");
    boris.sign_in("boris").await;
    boris.say("Доброе утро").await;
    boris.until_says("#messages .state", "принято").await;
    assert_eq!(boris.text(".day").await, "Сегодня");
    // No word is left in English.
    boris.click("[data-open=people]").await;
    boris.click("[data-open=found]").await;
    let english = "[...document.querySelectorAll('[data-t], [data-p], [data-l]')].flatMap((one) => [one.dataset.t && one.textContent, \
                   one.placeholder, one.dataset.l && one.getAttribute('aria-label')]).filter((words) => words && !/[а-яё]/i.test(words) && words !== 'Talk')";
    assert_eq!(boris.js(english).await, json!([]));
    // A language that the page does not speak gets English.
    assert_eq!(alice.js("document.documentElement.lang").await, json!("en"));
    assert_eq!(alice.text("#signin .primary").await, "Enter");
    boris.is_clean().await;
}

/// Asserts that the page is no wider than the phone's screen (what is too wide would widen `innerWidth`), and that no control lies beyond it.
async fn fits(tab: &Tab) {
    assert_eq!(
        tab.js("document.documentElement.scrollWidth <= 360 && document.body.scrollWidth <= 360").await,
        json!(true)
    );
    let beyond = "[...document.querySelectorAll('button, input, textarea, select, summary')].filter((one) => one.checkVisibility()).filter((one) => {
        const box = one.getBoundingClientRect();
        return box.left < 0 || box.right > 360.5 || box.width < 24 || box.height < 24;
    }).map((one) => one.outerHTML.slice(0, 120))";
    assert_eq!(tab.js(beyond).await, json!([]));
}
