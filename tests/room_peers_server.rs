//! `talk-server --room-peer` and `talk-client` as programs.
#![cfg(all(unix, feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used)]

mod common;

use std::io::BufRead;
use std::time::Duration;

use common::durable::Durable;
use common::programs::{ClientProgram, Home, free_port};
use common::rooms::said;
use serde_json::{Value, json};
use talk::registry::RegistryClient;

/// The ports of the rooms, as the server prints them.
fn ports(server: &mut Durable, count: usize) -> Vec<u16> {
    let line = |server: &mut Durable| {
        let mut line = String::new();
        server.out.read_line(&mut line).unwrap();
        line
    };
    (0..count)
        .map(|_| {
            let line = line(server);
            let at = line.trim().strip_prefix("peer on 127.0.0.1:").unwrap_or_else(|| panic!("{line}"));
            at.parse().unwrap()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn talk_client_chats_in_a_room_of_talk_server_by_every_protocol() {
    let home = Home::new();
    let rooms =
        ["--room-peer", "global=lobby@http:0", "--room-peer=global=hall@websocket:0", "--room-peer=global=yard@udp:0"];
    let mut server = home.start(&[&["--memory"], &rooms[..]].concat());
    ports(&mut server, 3);
    let mut ann = server.join("ann").await;
    let url = format!("http://127.0.0.1:{}", server.port);
    let mut clients = Vec::new();
    for (name, protocol, room) in [("bob", "http", "lobby"), ("cid", "websocket", "hall"), ("dan", "udp", "yard")] {
        let arguments = format!("--registry {url} --port 0 --name {name} --protocol {protocol}");
        let (mut client, _) = ClientProgram::start_and_greet(home.client(&arguments));
        client.type_line(&format!(":user {room}"));
        client.type_line(&format!("I am {name}"));
        ann.until(&said(name, &format!("I am {name}"))).await;
        clients.push((client, room));
    }
    ann.say("hello\nbob: forged").await;
    for (client, room) in &mut clients {
        let line = client.line(|line| line.contains("ann"));
        assert_eq!(line, format!("{room}: ann: hello bob: forged"));
    }
    // Among themselves they hear each other through the room, once.
    let (bob, _) = &mut clients[0];
    let seen: Vec<_> = ["cid", "dan"].iter().map(|name| format!("lobby: {name}: I am {name}")).collect();
    bob.type_line("goodbye");
    ann.until(&said("bob", "goodbye")).await;
    let (cid, _) = &mut clients[1];
    cid.line(|line| line == "hall: bob: goodbye");
    // And alone by their names.
    let mut eve = server.rich(&server.guest("eve").await).await;
    eve.command("direct", json!({ "to": "peer:cid", "body": "psst", "id": "1" })).await;
    assert_eq!(eve.of_type("receipt").await["state"], "delivered");
    cid.line(|line| line == "eve: psst");
    let (bob, _) = clients.remove(0);
    let done = bob.finish();
    assert_eq!(done.code(), Some(0));
    for line in &seen {
        assert_eq!(done.out.iter().filter(|shown| *shown == line).count(), 1, "{line}: {:#?}", done.out);
    }
    ann.until(&said("system", "bob left")).await;
    drop(clients);
    server.signal("TERM");
    let (status, rest) = server.ended().await;
    assert!(status.success(), "{status} {rest}");
}

#[tokio::test]
async fn a_room_that_cannot_listen_or_be_found_is_an_error_that_names_it() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let entry = format!("global=lobby@http:{}", taken.local_addr().unwrap().port());
    let start = |arguments: &[&str]| {
        let wires =
            ["--pair-port=off", "--minechat-listen-port=off", "--minechat-write-port=off", "--console-port=off"];
        home.run(&[&["--memory", "--port=0"], &wires[..], arguments].concat())
    };
    start(&["--room-peer", &entry]).failed(1, &[&entry, "cannot listen on http://127.0.0.1:"]);
    let twice = ["--room-peer=global=lobby@http:0", "--room-peer=den=lobby@http:0"];
    start(&twice).failed(1, &["den=lobby@http:0", "'lobby' is somebody else in the registry"]);
    let everywhere = ["--legacy-host=0.0.0.0", "--room-peer=global=lobby@http:0"];
    start(&everywhere).failed(1, &["peers cannot find a room at 0.0.0.0"]);
    let mut server = home.start(&[&["--memory", "--allow-host=localhost"], &everywhere[..]].concat());
    let mut line = String::new();
    server.out.read_line(&mut line).unwrap();
    let users: Value = serde_json::from_str(&server.get("/v1/users").await.1).unwrap();
    assert_eq!(users["lobby"]["host"], "localhost", "{users}");
}

#[tokio::test]
async fn after_a_crash_the_room_stands_in_the_registry_at_once() {
    let home = Home::new();
    let entry = format!("global=lobby@http:{}", free_port());
    let data = home.path().join("data");
    let arguments = ["--data", data.to_str().unwrap(), "--room-peer", &entry];
    for _ in 0..3 {
        let server = home.start(&arguments);
        let registry = RegistryClient::new(&format!("http://127.0.0.1:{}", server.port)).unwrap();
        let users = tokio::time::timeout(Duration::from_secs(10), registry.list()).await.unwrap().unwrap();
        let lobby = &users["lobby"];
        assert!(lobby.features.has("room"), "{users:?}");
        server.kill();
    }
    let server = home.start(&arguments);
    server.signal("TERM");
    assert!(server.ended().await.0.success());
    let server = home.start(&arguments[..2]);
    assert_eq!(server.get("/v1/users").await.1, "{}", "it took its leave");
}
