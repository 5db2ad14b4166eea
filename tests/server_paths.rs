//! `talk-server` at its start, what answers at which path, and what strangers send to its port.
#![cfg(all(unix, feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use common::durable::{Durable, PROGRAM};
use common::programs::Home;
use common::raw::{LONG, connect, exchange, read_all};
use common::registry::{Client, JSON};
use common::rooms::{Client as Session, said, status};
use common::server_program::Ended;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn the_registry_and_the_rooms_answer_on_the_port_of_the_readiness_line() {
    let home = Home::new();
    let server = home.start(&["--memory"]);
    assert!(server.port != 0 && server.at.ip().is_loopback(), "{}", server.at);
    let mut client = Client::connect(server.at).await;
    assert_eq!(client.ask("GET", "/v1/health", &[], "").await.body, b"OK");
    assert_eq!(client.ask("GET", "/v1/users", &[], "").await.json(), serde_json::json!({}));
    let body = r#"{"protocol":"UDP","host":"127.0.0.1","port":3002}"#;
    assert_eq!(client.ask("PUT", "/v1/users/bob", &[JSON], body).await.status, 200);
    let address: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(client.ask("GET", "/v1/users/bob", &[], "").await.json(), address);
    assert_eq!(client.ask("GET", "/v1/users", &[], "").await.json(), serde_json::json!({ "bob": address }));
    assert_eq!(client.ask("DELETE", "/v1/users/bob", &[], "").await.status, 200);
    client.ask("GET", "/v1/users/bob", &[], "").await.refused(404, "who was deleted");
    // A name in the registry is none in the rooms.
    let mut ann = server.join("ann").await;
    let _bob = server.join("bob").await;
    assert_eq!(ann.system().await, "bob joined");
    assert_eq!(server.get("/healthz").await, (200, "ok\n".into()));
    assert_eq!(server.get("/readyz").await, (200, "ready\n".into()));
}

#[tokio::test]
async fn an_unknown_path_is_told_which_there_are() {
    let home = Home::new();
    let server = home.start(&["--memory"]);
    for path in ["/index.html", "/nowhere", "/metrics/", "/ws/x", "/auth/", "/v2/users", "/healthz%20"] {
        let mut client = Client::connect(server.at).await;
        client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await;
        let answer = client.answer().await.unwrap();
        answer.refused(404, path);
        let text = String::from_utf8(answer.body).unwrap();
        for known in ["are /, ", "/auth", "/ws", "/v1/users", "/v1/health", "/healthz", "/readyz", "/metrics"] {
            assert!(text.contains(known), "{known} in {text}");
        }
    }
    Client::connect(server.at).await.ask("GET", "/v1/nowhere", &[], "").await.refused(404, "the registry's");
}

#[tokio::test]
async fn a_second_server_on_the_same_data_refuses() {
    let home = Home::new();
    let data = home.path().join("data");
    let first = Durable::start(&data, &[]);
    let second = || Ended::of(Durable::command(Command::new(PROGRAM), &data, &[]).output().unwrap());
    second()
        .failed(1, &[data.to_str().unwrap(), "in use by another process; stop that one, or name another directory"]);
    // The first does not mind.
    let mut ann = first.join("ann").await;
    ann.say("still here").await;
    assert_eq!(ann.hear().await, said("ann", "still here"));
    // A registry beside it would share its users.
    let registry = Command::new(env!("CARGO_BIN_EXE_registry")).args(["--port", "0", "--data"]).arg(&data).output();
    assert_eq!(registry.unwrap().status.code(), Some(1));
    first.kill();
    assert_eq!(Durable::start(&data, &[]).get("/readyz").await.0, 200);
}

#[tokio::test]
async fn data_are_kept_where_it_was_said_and_private() {
    let home = Home::new();
    let platform = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
    for (variable, value, expected) in [
        ("TALK_DATA", home.path().join("parent"), home.path().join("parent/server")),
        ("LANG", "C".into(), home.path().join(platform).join("talk/server")),
    ] {
        let mut command = home.server(&["--port", "0"]);
        command.env(variable, &value);
        let _server = Durable::spawn(command);
        for file in ["registry.db", "accounts.db", "history.db", "rules.db"] {
            assert!(expected.join(file).is_file(), "{file} in {}", expected.display());
        }
        assert_eq!(expected.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[tokio::test]
async fn what_keeps_it_from_running_is_told() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    home.run(&["--memory", "--port", &port]).failed(1, &[&format!("cannot listen on 127.0.0.1:{port}: "), "--port"]);
    // Not one of this machine's addresses (RFC 5737).
    home.run(&["--memory", "--port", "0", "--host", "192.0.2.1"]).failed(1, &["cannot listen on 192.0.2.1:0: "]);
    let file = home.write("file", "x");
    home.run(&["--port", "0", "--data", &file]).failed(1, &[&file, "; name a directory, not a file"]);
    for name in ["history.db", "accounts.db", "rules.db", "registry.db"] {
        let path = home.write(&format!("damaged {name}/{name}"), [7; 5000]);
        let dir = path.strip_suffix(&format!("/{name}")).unwrap();
        home.run(&["--port", "0", "--data", dir]).failed(
            1,
            &[&format!("{dir}: the data is damaged: {name}: "), "; restore the directory from a copy, or move it away"],
        );
        assert_eq!(std::fs::read(&path).unwrap(), [7; 5000], "it is left as it was");
    }
}

/// Says something, and hears it before anything else.
async fn undisturbed(session: &mut Session, after: &str) {
    session.say(after).await;
    assert_eq!(session.hear().await, said("ann", after));
}

#[tokio::test]
async fn garbage_on_the_port_disturbs_no_session() {
    let home = Home::new();
    let server = home.start(&["--memory", "--set", "limits.commands_per_second=0"]);
    let mut ann = server.join("ann").await;
    let binary: Vec<u8> = (0..65_536u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (garbage, what) in [
        (&b"\x00"[..], "a zero"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "the beginning of TLS"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"),
        (b"SSH-2.0-x\r\n", "SSH"),
        (b"\r\n\r\n\r\n\r\n", "empty lines"),
        (&binary, "64 KiB of anything"),
        (&[b'a'; 65_536], "64 KiB of one line"),
        (b"GET /ws HTTP/1.1\r\nhost: localhost\r\nupgrade: webso", "half a head"),
        (
            b"POST /auth HTTP/1.1\r\nhost: localhost\r\ncontent-length: 18446744073709551615\r\n\r\nx",
            "a body without end",
        ),
        (
            b"POST /auth HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "a chunk",
        ),
    ] {
        let mut stream = connect(server.port).await;
        // It may hang up before it has read all.
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        let answer = read_all(stream).await;
        assert!(answer.is_empty() || (400..500).contains(&status(&answer)), "{what}: {answer}");
        undisturbed(&mut ann, what).await;
    }
    assert_eq!(server.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn slow_heads_end_and_disturb_no_session() {
    let home = Home::new();
    let server = home.start(&["--memory", "--set", "limits.head_timeout=0.5", "--set", "limits.commands_per_second=0"]);
    let mut ann = server.join("ann").await;
    let mut silent = Vec::new();
    for begun in ["", "G", "GET /metrics HTTP/1.1\r\nhost: localh"] {
        let mut stream = connect(server.port).await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    // One that never stops sending, and never ends its head.
    let (mut reads, mut writes) = connect(server.port).await.into_split();
    writes.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ").await.unwrap();
    let drip = async {
        let mut beat = tokio::time::interval(Duration::from_millis(10));
        while writes.write_all(b"x").await.is_ok() {
            beat.tick().await;
        }
    };
    let mut answer = Vec::new();
    let read = async { while matches!(reads.read_buf(&mut answer).await, Ok(read) if read > 0) {} };
    let talk = async {
        for n in 0..100 {
            undisturbed(&mut ann, &n.to_string()).await;
        }
    };
    tokio::time::timeout(LONG, async { tokio::join!(drip, read, talk) }).await.expect("the slow head ends");
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    for stream in silent {
        let answer = read_all(stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    undisturbed(&mut ann, "after them all").await;
    assert_eq!(
        status(&exchange(server.port, "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await),
        200
    );
}
