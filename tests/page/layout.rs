//! Where things lie, from the smallest phone to the widest desk.

use serde_json::{Value, json};

use crate::browser::{Chromium, Look, Tab};
use crate::common::durable::{Durable, UNLIMITED};

#[tokio::test]
async fn one_panel_takes_the_place_of_the_other_beside_the_conversation() {
    let (_home, _server, _chromium, alice) = super::alone().await;
    let height = "document.getElementById('room').getBoundingClientRect().height === innerHeight";
    for panel in ["people", "found", "people"] {
        alice.click(&format!("[data-open={panel}]")).await;
        let open = "['people', 'found'].filter((id) => !document.getElementById(id).hidden)";
        assert_eq!(alice.js(open).await, json!([panel]));
        let said = "[...document.querySelectorAll('[data-open]')].filter((one) => one.ariaExpanded === 'true').map((one) => one.dataset.open)";
        assert_eq!(alice.js(said).await, json!([panel]));
        assert_eq!(alice.js(height).await, json!(true), "{panel}");
        let beside = format!(
            "document.getElementById('{panel}').getBoundingClientRect().left >= document.getElementById('room').getBoundingClientRect().right"
        );
        assert_eq!(alice.js(&beside).await, json!(true), "{panel}");
    }
    alice.is_clean().await;
}

#[tokio::test]
async fn a_title_has_room_in_every_place_language_and_width() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    for language in ["en", "ru"] {
        let alice = chromium.open(server.port, Look { language, ..Look::PHONE }).await;
        alice.sign_in(&format!("alice-{language}")).await;
        alice.click("[data-open=places]").await;
        alice.type_in("#room-name", "a-garden-with-a-long-name\n").await;
        alice.until_says("#title", "a-garden").await;
        for direct in [false, true] {
            if direct {
                alice.click("[data-open=places]").await;
                alice.type_in("#direct-name", "somebody-with-a-long-name\n").await;
                alice.until_says("#title", "somebody").await;
            }
            for width in [320, 360, 701, 740, 860, 990, 1010, 1100, 1920] {
                alice.look(Look { width, language, ..Look::PHONE }).await;
                let title = alice.js(WIDTH_OF_TITLE).await.as_f64().unwrap();
                assert!(title >= 100.0, "{language} {width} {direct}: {title}");
                reaches(&alice, width).await;
                for panel in ["people", "found"] {
                    alice.click(&format!("[data-open={panel}]")).await;
                    reaches(&alice, width).await;
                    let title = alice.js(WIDTH_OF_TITLE).await.as_f64().unwrap();
                    assert!(title >= 100.0, "{language} {width} {direct} {panel}: {title}");
                    let field = alice.js("document.getElementById('text').getBoundingClientRect().width").await;
                    assert!(field.as_f64().unwrap() >= 200.0, "{language} {width} {direct} {panel}: {field}");
                    // Nothing lies over what it can be closed with.
                    alice.click(&format!("[data-close={panel}]")).await;
                }
            }
            alice.look(Look { language, ..Look::PHONE }).await;
        }
        // What is a sign only has a name all the same.
        let names: Value = alice.js("[...document.querySelectorAll('#room > header button')].map((one) => one.ariaLabel ?? one.textContent)").await;
        let expected = if language == "ru" {
            json!(["Беседы", "Поиск", "Люди", "Закрыть"])
        } else {
            json!(["Conversations", "Search", "People", "Close"])
        };
        assert_eq!(names, expected);
        alice.is_clean().await;
    }
}

/// Asserts that nothing that can be clicked lies beyond the screen, whose width the page cannot change.
async fn reaches(tab: &Tab, width: u32) {
    let beyond = format!(
        "[...document.querySelectorAll('button, input, textarea, select, #title, h2')].filter((one) => one.checkVisibility()).filter((one) => {{
            const box = one.getBoundingClientRect();
            return box.left < 0 || box.right > {width} + 0.5;
        }}).map((one) => one.outerHTML.slice(0, 120))"
    );
    assert_eq!(tab.js(&beyond).await, json!([]), "{width}");
    let wide = tab.js("document.documentElement.scrollWidth").await;
    assert!(wide.as_u64().unwrap() <= width.into(), "{wide} of {width}");
}

const WIDTH_OF_TITLE: &str = "document.getElementById('title').getBoundingClientRect().width";
