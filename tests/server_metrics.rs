//! What `talk-server` tells whoever runs it: whether it lives, whether it is ready, what it counts.
#![cfg(all(unix, feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Instant;

use common::durable::Durable;
use common::exposition::Exposition;
use common::programs::Home;
use common::raw::{LONG, exchange};
use common::raw_websocket::frame;
use common::registry::Client;
use common::rooms::{said, status};
use serde_json::json;
use tokio::io::AsyncWriteExt;

async fn metrics(server: &Durable) -> Exposition {
    let (status, text) = server.get("/metrics").await;
    assert_eq!(status, 200, "{text}");
    Exposition::parse(&text).unwrap_or_else(|why| panic!("{why} in {text}"))
}

/// Asks until these samples have these values; what is counted may be counted just after it is heard of.
async fn until(server: &Durable, expected: &[(&str, f64)]) -> Exposition {
    let deadline = Instant::now() + LONG;
    loop {
        let told = metrics(server).await;
        let wrong = expected.iter().find(|(sample, value)| told.count(sample) != *value);
        let Some((sample, value)) = wrong else { return told };
        assert!(Instant::now() < deadline, "{sample} is never {value}: {told:#?}");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_text_that_breaks_a_rule_of_the_format_is_found() {
    let good = "# HELP a_seconds It\\n lasts\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n\
                a_seconds_sum 1.5\na_seconds_count 2\na_seconds_bucket{le=\"1.0\"} 1\na_seconds_bucket{le=\"+Inf\"} 2\n\
                # HELP b B\n# TYPE b counter\nb_total{x=\"a\\\"}, \\\\\",y=\"\"} 3\n# EOF\n";
    let parsed = Exposition::parse(good).unwrap();
    assert_eq!((parsed.value("a_seconds_count"), parsed.samples.len()), (2.0, 5));
    for (from, to) in [
        ("# EOF\n", ""),
        ("# EOF\n", "# EOF"),
        ("# EOF\n", "# EOF\n\n"),
        ("+Inf", "1.7976931348623157e308"),
        ("+Inf", "inf"),
        ("+Inf\"} 2", "+Inf\"} 3"),
        ("1.0\"} 1", "1.0\"} 3"),
        ("a_seconds_sum 1.5\n", ""),
        ("UNIT a_seconds seconds", "UNIT a_seconds bytes"),
        ("# HELP b B\n", ""),
        ("# TYPE b counter\n", ""),
        ("# TYPE b counter\n", "# TYPE b counter\n# TYPE b counter\n"),
        ("b counter", "b number"),
        ("b_total{", "b{"),
        ("b_total{", "c_total{"),
        ("b_total{", "0b_total{"),
        ("} 3", "} -3"),
        ("} 3", "} 0x3"),
        ("} 3", "}3"),
        ("} 3", "} NaN"),
        ("y=", "x="),
        ("y=", "y-z="),
        ("\\\\\"", "\\\""),
        ("It\\n", "It\\t"),
        ("# HELP b", "\n# HELP b"),
        ("# HELP b", "#HELP b"),
        ("a_seconds_count 2\n", "a_seconds_count 2\na_seconds_count 2\n"),
        ("# EOF\n", "# HELP a_seconds again\n# TYPE a_seconds gauge\n# EOF\n"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        assert!(Exposition::parse(&bad).is_err(), "{from:?} to {to:?}: {bad}");
    }
}

#[tokio::test]
async fn metrics_are_open_metrics_and_complete() {
    let home = Home::new();
    let data = home.path().join("data");
    let nobody = format!("unix:{}", home.path().join("nobody").display());
    for arguments in [&["--memory"][..], &["--data", data.to_str().unwrap(), "--syslog", &nobody]] {
        let server = home.start(arguments);
        let answer = server.ask("GET /metrics", "", "").await.to_ascii_lowercase();
        for header in [
            "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n",
            "cache-control: no-store\r\n",
            "x-content-type-options: nosniff\r\n",
        ] {
            assert!(answer.contains(header), "{header} in {answer}");
        }
        let told = metrics(&server).await;
        assert_eq!(told.value(concat!("talk_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}")), 1.0);
        assert_eq!(told.value("talk_ready"), 1.0);
        let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() - told.value("talk_start_time_seconds");
        assert!((0.0..3600.0).contains(&started), "{started}");
        let on_disk = arguments != ["--memory"];
        for store in ["registry", "accounts", "history", "rules"] {
            let waiting = told.samples.get(&format!("talk_store_waiting{{store=\"{store}\"}}"));
            // Whatever a start has to write may just be on its way.
            assert!(
                waiting.is_some() == on_disk && waiting.is_none_or(|waiting| *waiting <= 2.0),
                "{store}: {waiting:?}"
            );
            assert_eq!(
                told.samples.contains_key(&format!("talk_store_commit_seconds_count{{store=\"{store}\"}}")),
                on_disk
            );
        }
        assert_eq!(told.samples.contains_key("talk_syslog_connected"), on_disk);
        // What is told is what the manual lists.
        let manual = include_str!("../docs/operations.md");
        for (name, kind) in &told.types {
            let suffix = [("counter", "_total"), ("info", "_info")].into_iter().find(|(of, _)| of == kind);
            let name = format!("`{name}{}`", suffix.map_or("", |(_, suffix)| suffix));
            assert!(manual.contains(&name), "{name} in docs/operations.md");
        }
        let head =
            exchange(server.port, "HEAD /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        assert!(status(&head) == 200 && head.ends_with("\r\n\r\n"), "{head}");
        let post = server.ask("POST /metrics", "", "").await;
        assert!(status(&post) == 405 && post.contains("allow: GET, HEAD\r\n"), "{post}");
    }
}

#[tokio::test]
async fn a_message_a_refusal_and_the_end_of_a_session_are_counted() {
    let home = Home::new();
    let server = home.start(&["--memory", "--set", "limits.commands_per_second=1", "--set", "limits.commands_burst=5"]);
    let mut ann = server.join("ann").await;
    let mut bob = server.rich(&server.guest("bob").await).await;
    let before = until(&server, &[("talk_sessions", 2.0), ("talk_users", 2.0), ("talk_rooms", 1.0)]).await;
    assert_eq!(before.value("talk_sessions_opened_total"), 2.0);
    assert_eq!(before.value("talk_messages_accepted_total"), 0.0);
    ann.say("hello").await;
    assert_eq!(ann.hear().await, said("ann", "hello"));
    let told = until(&server, &[("talk_messages_accepted_total", 1.0), ("talk_accepted_seconds_count", 1.0)]).await;
    assert!(told.value("talk_accepted_seconds_sum") > 0.0);
    assert_eq!(told.value("talk_accepted_seconds_bucket{le=\"+Inf\"}"), 1.0);
    bob.command("message", json!({"room": "global", "body": "x", "id": "1"})).await;
    assert_eq!(bob.of_type("error").await["code"], "not_in_room");
    until(&server, &[("talk_commands_refused_total{code=\"not_in_room\"}", 1.0)]).await;
    // Four ends: asked for, too fast, no text, no word.
    ann.command("exit", json!({})).await;
    assert_eq!(ann.closed().await, Some(1000));
    for _ in 0..20 {
        bob.command("listrooms", json!({})).await;
    }
    assert_eq!(bob.closed().await, Some(1008));
    let mut carol = server.join("carol").await;
    carol.stream.write_all(&frame(0x82, b"x")).await.unwrap();
    assert_eq!(carol.closed().await, Some(1003));
    drop(server.join("dave").await);
    let ended = |reason: &str| format!("talk_sessions_ended_total{{reason=\"{reason}\"}}");
    let told = until(
        &server,
        &[
            (&ended("exit"), 1.0),
            (&ended("too_fast"), 1.0),
            (&ended("protocol"), 1.0),
            ("talk_sessions", 0.0),
            ("talk_sessions_opened_total", 4.0),
        ],
    )
    .await;
    for reason in ["stopping", "too_slow", "revoked", "silent"] {
        assert_eq!(told.value(&ended(reason)), 0.0, "{reason}");
    }
    assert_eq!(told.value("talk_messages_accepted_total"), 1.0);
}

#[tokio::test]
async fn requests_and_connections_are_counted() {
    let home = Home::new();
    let settings = ["--set", "limits.loopback_exempt=false", "--set", "limits.connections_per_address=10"];
    let server = home.start(&[&["--memory"], &settings[..]].concat());
    let before = metrics(&server).await;
    assert_eq!(server.get("/nowhere").await.0, 404);
    let ann = server.join("ann").await;
    // Hers, and the one that asks.
    let told = until(&server, &[("talk_connections", 2.0)]).await;
    let moved = |sample: &str| told.value(sample) - before.value(sample);
    assert_eq!(moved("talk_http_answers_total{status=\"4xx\"}"), 1.0);
    assert_eq!(moved("talk_http_answers_total{status=\"1xx\"}"), 1.0);
    assert!(moved("talk_http_answers_total{status=\"2xx\"}") >= 2.0);
    assert!(moved("talk_connections_accepted_total") >= 3.0);
    assert_eq!(told.value("talk_connections_refused_total"), 0.0);
    let mut kept = Vec::new();
    loop {
        let mut client = Client::connect(server.at).await;
        match client.ask("GET", "/v1/health", &[], "").await.status {
            200 => kept.push(client),
            status => break assert_eq!(status, 429),
        }
        assert!(kept.len() < 10, "too many are let in");
    }
    drop((ann, kept));
    let deadline = Instant::now() + LONG;
    // Those who went are let go one after another.
    let told = loop {
        let (status, text) = server.get("/metrics").await;
        if status == 200 {
            break Exposition::parse(&text).unwrap();
        }
        assert!(Instant::now() < deadline, "nobody is let in again");
    };
    assert!(told.value("talk_connections_refused_total") >= 1.0);
}

#[tokio::test]
async fn commits_are_timed_by_store() {
    let home = Home::new();
    let data = home.path().join("data");
    let server = Durable::start(&data, &[]);
    let commits = |store: &str| format!("talk_store_commit_seconds_count{{store=\"{store}\"}}");
    let before = metrics(&server).await;
    let mut ann = server.join("ann").await;
    ann.say("kept").await;
    assert_eq!(ann.hear().await, said("ann", "kept"));
    let body = r#"{"host":"127.0.0.1","port":1}"#;
    assert_eq!(status(&server.ask("PUT /v1/users/bob", "content-type: application/json\r\n", body).await), 200);
    let after = metrics(&server).await;
    for store in ["history", "accounts", "registry"] {
        assert!(after.value(&commits(store)) > before.value(&commits(store)), "{store}: {after:#?}");
        let sum = format!("talk_store_commit_seconds_sum{{store=\"{store}\"}}");
        assert!(after.value(&sum) > 0.0, "{store}: {after:#?}");
        assert_eq!(after.value(&format!("talk_store_waiting{{store=\"{store}\"}}")), 0.0);
    }
}

#[tokio::test]
async fn foreign_hosts_and_pages_are_refused() {
    let home = Home::new();
    let server = home.start(&["--memory", "--allow-host", "chat.example", "--origin", "https://page.example"]);
    let ask = async |path: &str, headers: &str| {
        let method = if path == "/auth" { "POST" } else { "GET" };
        let nickname = if path == "/auth" { "?nickname=zz" } else { "" };
        let head =
            format!("{method} {path}{nickname} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: 0\r\n\r\n");
        status(&exchange(server.port, head).await)
    };
    for path in ["/healthz", "/readyz", "/metrics", "/auth", "/ws", "/nowhere", "/v1/users", "/v1/health"] {
        for headers in [
            "host: evil.example\r\n",
            "host: localhost.evil.example\r\n",
            "host: localhost\r\norigin: http://evil.example\r\n",
            "host: localhost\r\norigin: null\r\n",
            "host: chat.example\r\norigin: http://localhost:1\r\n",
        ] {
            assert_eq!(ask(path, headers).await, 403, "{path} {headers}");
        }
        for headers in ["", "host: localhost\r\nhost: localhost\r\n"] {
            assert_eq!(ask(path, headers).await, 400, "{path} {headers}");
        }
    }
    // Who may be in the right is told what to do.
    let refused = exchange(server.port, "GET /ws HTTP/1.1\r\nhost: other.example\r\nconnection: close\r\n\r\n").await;
    assert!(refused.contains("--allow-host"), "{refused}");
    let site = "host: localhost\r\nsec-fetch-site: cross-site\r\n";
    assert_eq!(ask("/metrics", site).await, 403);
    // A page that may use the rooms is no operator.
    assert_eq!(ask("/metrics", "host: localhost\r\norigin: https://page.example\r\n").await, 403);
    assert_eq!(ask("/auth", "host: localhost\r\norigin: https://page.example\r\n").await, 201);
    for headers in
        ["host: chat.example\r\n", "host: CHAT.example:443\r\n", "host: 127.0.0.1\r\n", "host: [::1]:7000\r\n"]
    {
        assert_eq!(ask("/healthz", headers).await, 200, "{headers}");
    }
    // The registry's programs on other machines may have no more than an address; nobody's name resolves to us then.
    for headers in
        ["host: localhost\r\n", "host: chat.example\r\n", "host: 192.0.2.1:7000\r\n", "host: [2001:db8::1]\r\n"]
    {
        assert_eq!(ask("/v1/users", headers).await, 200, "{headers}");
    }
    let own = format!("host: localhost:{0}\r\norigin: http://localhost:{0}\r\n", server.port);
    assert_eq!(ask("/metrics", &own).await, 200);
}
