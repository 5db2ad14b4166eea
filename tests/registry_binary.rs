//! The registry's command line.
#![cfg(all(feature = "net", feature = "terminal", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::io::Read;
use std::process::{Command, Output, Stdio};

use common::registry::{Client, JSON, Process};

fn registry() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry"));
    command.env_remove("PORT").env_remove("TALK_DATA");
    command
}

fn run(arguments: &[&str]) -> (Output, String) {
    let output = registry().args(arguments).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

#[test]
fn help_and_version_exit_0_and_mistakes_exit_2() {
    for help in ["--help", "-h"] {
        let (output, text) = run(&[help]);
        assert_eq!(output.status.code(), Some(0));
        for option in ["--host", "--port", "--data", "--memory", "--health-check", "8088", "127.0.0.1"] {
            assert!(text.contains(option), "{option} in {text}");
        }
    }
    let (output, text) = run(&["--version"]);
    assert_eq!((output.status.code(), text.trim_end()), (Some(0), concat!("registry ", env!("CARGO_PKG_VERSION"))));
    for mistake in [
        &["--nonsense"][..],
        &["--port", "x", "--memory"],
        &["--port", "65536", "--memory"],
        &["--host", "a b", "--memory"],
        &["--memory", "--data", "x"],
        &["--memory", "--health-check", "0"],
        &["stray"],
    ] {
        let (output, text) = run(mistake);
        assert_eq!(output.status.code(), Some(2), "{mistake:?}: {text}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{mistake:?}: {text}");
    }
    let output = registry().arg("--memory").env("PORT", "nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_clear_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (output, text) = run(&["--memory", "--port", &port]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{text}");
    assert!(text.contains("--port"), "{text}");
    // A flag is stronger than the environment, which is stronger than the default.
    let output = registry().arg("--memory").env("PORT", &port).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let mut command = registry();
    command.args(["--memory", "--host", "::1", "--port", "0"]).env("PORT", &port);
    let process = Process::spawn(command);
    assert!(process.at.is_ipv6());
    assert_eq!(Client::connect(process.at).await.ask("GET", "/v1/health", &[], "").await.body, b"OK");
}

#[tokio::test]
async fn the_data_directory_follows_the_platform_or_talk_data() {
    let home = tempfile::tempdir().unwrap();
    for (variable, expected) in [("XDG_DATA_HOME", "talk/registry"), ("TALK_DATA", "registry")] {
        if variable == "XDG_DATA_HOME" && !cfg!(target_os = "linux") {
            continue;
        }
        let dir = home.path().join(variable);
        std::fs::create_dir(&dir).unwrap();
        let mut command = registry();
        command.args(["--port", "0"]).env(variable, &dir);
        let process = Process::spawn(command);
        assert!(dir.join(expected).join("registry.db").exists(), "{variable}");
        process.kill();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_termination_drains_and_exits_0() {
    let dir = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"] {
        let mut process = Process::start(dir.path());
        let mut client = Client::connect(process.at).await;
        let body = r#"{"host":"h","port":1}"#;
        client
            .send(b"PUT /v1/users/bob HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 21\r\n\r\n")
            .await;
        assert_eq!(client.answer().await.unwrap().status, 100);
        let pid = process.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        // It no longer listens; what it has begun, it ends.
        while tokio::net::TcpStream::connect(process.at).await.is_ok() {
            tokio::task::yield_now().await;
        }
        client.send(body.as_bytes()).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        drop(client);
        assert_eq!(process.child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut process = Process::start(tempfile::tempdir().unwrap().path());
    let mut client = Client::connect(process.at).await;
    client
        .send(b"PUT /v1/users/bob HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 21\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().status, 100, "a request that would hold the stop up");
    let pid = process.child.id().to_string();
    let interrupt = || assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    interrupt();
    while tokio::net::TcpStream::connect(process.at).await.is_ok() {
        tokio::task::yield_now().await;
    }
    interrupt();
    assert_eq!(process.child.wait().unwrap().code(), Some(130));
}

#[tokio::test]
async fn untrusted_text_reaches_the_log_only_made_safe() {
    let mut command = registry();
    command.args(["--memory", "--port", "0"]).stderr(Stdio::piped());
    let mut process = Process::spawn_logging(command, "debug");
    let mut client = Client::connect(process.at).await;
    client.ask("GET", "/v1/users/a%1b[2Jb\u{9b}\u{202e}c", &[JSON], "").await;
    let mut stderr = process.child.stderr.take().unwrap();
    process.kill();
    let mut log = String::new();
    stderr.read_to_string(&mut log).unwrap();
    assert!(log.contains("answered"), "{log:?}");
    assert!(!log.contains(['\u{9b}', '\u{202e}']), "{log:?}");
}
