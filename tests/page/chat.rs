//! Chatting.

use serde_json::json;

use crate::browser::{Chromium, Look};
use crate::common::durable::{Durable, UNLIMITED};

#[tokio::test]
async fn two_browsers_chat_and_see_how_far_each_message_is() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    let (alice, bob) =
        tokio::join!(chromium.open(server.port, Look::default()), chromium.open(server.port, Look::default()));
    alice.sign_in("alice").await;
    bob.sign_in("bob").await;
    alice.until_says("#count", "2 here").await;

    alice.say("hello, bob").await;
    bob.until_says("#messages .body", "hello, bob").await;
    alice.until("document.querySelector('#messages .state').textContent === 'delivered'").await;
    let states: Vec<String> = serde_json::from_value(alice.js("states.filter(Boolean)").await).unwrap();
    let at = |state: &str| states.iter().position(|seen| seen == state);
    assert!(at("sending").is_some() && at("sending") < at("accepted"), "{states:?}");
    assert!(at("accepted") < at("delivered"), "{states:?}");

    bob.say("hello yourself,").await;
    bob.say("alice").await;
    // Each hears it for themselves, in whichever order.
    for tab in [&alice, &bob] {
        tab.until_says("#messages .body", "alice").await;
    }
    assert_eq!(alice.bodies().await, ["hello, bob", "hello yourself,", "alice"]);
    assert_eq!(bob.bodies().await, alice.bodies().await);
    // What one person says at once stands under one heading.
    assert_eq!(alice.js("document.querySelectorAll('.message.first').length").await, json!(2));
    assert_eq!(alice.text(".day").await, "Today");

    for tab in [&alice, &bob] {
        tab.is_clean().await;
    }
}

#[tokio::test]
async fn addresses_of_the_web_become_links_and_a_name_that_is_called_is_marked() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let mut bob = server.rich(&server.guest("bob").await).await;
    bob.command("enter", json!({"room": "global"})).await;
    let said = [
        "see https://bread.example/a?b=(c)&d#e, or (http://jam.example).",
        "javascript:alert(1) data:text/html,x file:///etc/passwd https:// ftp://x.example",
        "Alice, come",
        "malice and aliceblue",
    ];
    for text in said {
        bob.command("message", json!({"room": "global", "body": text})).await;
    }
    let chromium = Chromium::start();
    let alice = chromium.open(server.port, Look::default()).await;
    alice.sign_in("alice").await;
    alice.until_says("#messages .body", "aliceblue").await;
    assert_eq!(alice.bodies().await, said);
    let links =
        "[...document.querySelectorAll('#messages a')].map((one) => [one.getAttribute('href'), one.target, one.rel])";
    let link = |href: &str| json!([href, "_blank", "noopener noreferrer nofollow"]);
    assert_eq!(alice.js(links).await, json!([link("https://bread.example/a?b=(c)&d#e"), link("http://jam.example")]));
    assert_eq!(alice.texts(".called .body").await, ["Alice, come"]);
    alice.is_clean().await;
}
