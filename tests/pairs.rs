//! The registry and two clients, each a process of its own: texts in both directions for every pair of protocols.
#![cfg(all(feature = "sqlite", feature = "terminal", unix))]
#![allow(clippy::unwrap_used)]

mod common;

use common::programs::{ClientProgram, Home, RegistryProgram};

fn texts() -> Vec<String> {
    let mut texts = vec![
        "hello".to_owned(),
        "Съешь же ещё этих мягких французских булок".to_owned(),
        "👋 👨\u{200d}👩\u{200d}👧 🇺🇦 ё é".to_owned(),
        "\"double\" 'single' `back` \\ \\n \\u0041 {\"text\":\"x\"} </b> %41 &amp; ${HOME}".to_owned(),
        "x".repeat(700),
        "щ".repeat(700),
        "  spaces around  ".to_owned(),
    ];
    texts.extend((0..50).map(|n| format!("number {n}")));
    texts
}

fn start(home: &Home, registry: &RegistryProgram, name: &str, protocol: &str) -> ClientProgram {
    let arguments = format!("--name {name} --protocol {protocol} --port 0 --registry {}", registry.url);
    ClientProgram::start_and_greet(home.client(&arguments)).0
}

fn exchange(one: &str, two: &str) {
    let (home, texts) = (Home::new(), texts());
    let registry = RegistryProgram::start(&home);
    let mut ann = start(&home, &registry, "ann", one);
    let mut bob = start(&home, &registry, "bob", two);
    assert_eq!(registry.users()["ann"]["protocol"], one.to_uppercase());
    assert_eq!(registry.users()["bob"]["protocol"], two.to_uppercase());
    ann.type_line(":user bob");
    bob.type_line(":user ann");
    // Both talk at once.
    for text in &texts {
        ann.type_line(text);
        bob.type_line(text);
    }
    for text in &texts {
        assert_eq!(bob.line(|_| true), format!("ann: {text}"), "{one} to {two}");
        assert_eq!(ann.line(|_| true), format!("bob: {text}"), "{two} to {one}");
    }
    for client in [ann, bob] {
        let done = client.finish();
        // Nothing came twice, and nothing else was said.
        let heard = done.out.iter().filter(|line| line.starts_with("ann: ") || line.starts_with("bob: ")).count();
        assert_eq!((done.code(), done.err.as_str(), heard), (Some(0), "", texts.len()), "{one} and {two}: {done:?}");
        assert!(!done.out.iter().any(|line| line.contains("confirms nothing")), "{one} and {two}: {done:?}");
    }
    assert_eq!(registry.users(), serde_json::json!({}));
}

#[test]
fn http_to_http() {
    exchange("http", "http");
}

#[test]
fn http_to_udp() {
    exchange("http", "udp");
}

#[test]
fn http_to_websocket() {
    exchange("http", "websocket");
}

#[test]
fn udp_to_http() {
    exchange("udp", "http");
}

#[test]
fn udp_to_udp() {
    exchange("udp", "udp");
}

#[test]
fn udp_to_websocket() {
    exchange("udp", "websocket");
}

#[test]
fn websocket_to_http() {
    exchange("websocket", "http");
}

#[test]
fn websocket_to_udp() {
    exchange("websocket", "udp");
}

#[test]
fn websocket_to_websocket() {
    exchange("websocket", "websocket");
}
