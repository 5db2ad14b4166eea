//! `talk-server --room-peer` and `talk-client` as programs.
#![cfg(all(unix, feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::io::{BufRead, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::durable::{Durable, NO_WIRES};
use common::exposition::Exposition;
use common::programs::{ClientProgram, Home, free_port, http, try_send};
use common::raw::LONG;
use common::registry::Client;
use common::rooms::said;
use common::server_program::Ended;
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
    let elsewhere = "choose another PORT in --room-peer ROOM=NAME@PROTOCOL:PORT, or another host with --legacy-host";
    start(&["--room-peer", &entry]).failed(1, &[&entry, "cannot listen on http://127.0.0.1:", elsewhere]);
    let twice = ["--room-peer=global=lobby@http:0", "--room-peer=den=lobby@http:0"];
    start(&twice).failed(2, &["global=lobby@http:0", "den=lobby@http:0", "contradict each other", "NAME"]);
    let everywhere = ["--legacy-host=0.0.0.0", "--room-peer=global=lobby@http:0"];
    start(&everywhere).failed(1, &["peers cannot find a room at 0.0.0.0", "--allow-host"]);
    let mut server = home.start(&[&["--memory", "--allow-host=localhost"], &everywhere[..]].concat());
    let mut line = String::new();
    server.out.read_line(&mut line).unwrap();
    let users: Value = serde_json::from_str(&server.get("/v1/users").await.1).unwrap();
    assert_eq!(users["lobby"]["host"], "localhost", "{users}");
}

#[tokio::test]
async fn a_name_that_a_peer_has_is_an_error_that_says_where_to_choose_another() {
    let home = Home::new();
    let data = home.path().join("data");
    let arguments = ["--data", data.to_str().unwrap(), "--port=0", "--room-peer=global=lobby@http:0"];
    let server = home.start(&arguments[..2]);
    let address = json!({ "protocol": "HTTP", "host": "127.0.0.1", "port": 1 }).to_string();
    let answer = http(&format!("127.0.0.1:{}", server.port), "PUT", "/v1/users/lobby", &address);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.kill();
    let mut command = home.server(&arguments);
    command.envs(NO_WIRES.map(|variable| (variable, "off")));
    let advice = "choose another NAME in --room-peer ROOM=NAME@PROTOCOL:PORT";
    let ended = Ended::of(command.output().unwrap());
    ended.failed(1, &["global=lobby@http:0", "'lobby' is somebody else in the registry", advice]);
}

#[tokio::test]
async fn the_connections_of_an_address_are_counted_over_the_rooms_of_peers_and_all_else() {
    let home = Home::new();
    let settings = ["--set", "limits.loopback_exempt=false", "--set", "limits.connections_per_address=10"];
    let rooms = ["--memory", "--room-peer=global=lobby@http:0", "--room-peer=global=hall@websocket:0"];
    let mut server = home.start(&[&rooms[..], &settings[..]].concat());
    let listening = [ports(&mut server, 2), vec![server.port]].concat();
    let mut kept: Vec<Client> = Vec::new();
    // Whether one more is let in, and kept.
    let mut enters = async |port: &u16| {
        let mut client = Client::connect(([127, 0, 0, 1], *port).into()).await;
        match client.ask("GET", "/v1/health", &[], "").await.status {
            200 => kept.push(client),
            status => {
                assert_eq!(status, 429);
                return false;
            }
        }
        assert!(kept.len() <= 10, "too many are let in");
        true
    };
    for port in listening.iter().cycle() {
        if !enters(port).await {
            break;
        }
    }
    for port in &listening {
        while enters(port).await {}
    }
    drop(kept);
    let told = async {
        loop {
            if let (200, text) = server.get("/metrics").await {
                return Exposition::parse(&text).unwrap_or_else(|why| panic!("{why} in {text}"));
            }
        }
    };
    let told = tokio::time::timeout(LONG, told).await.expect("somebody is let in again");
    assert!(told.value("talk_wire_connections_accepted_total{wire=\"peer\"}") >= 2.0);
    assert!(told.value("talk_wire_connections_refused_total{wire=\"peer\"}") >= 2.0);
    for outcome in ["acknowledged", "unanswered", "dropped"] {
        assert_eq!(told.value(&format!("talk_peer_greetings_total{{outcome=\"{outcome}\"}}")), 0.0);
    }
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

/// A peer that takes whatever is sent to it, as long as the test runs; tells its port.
fn listen() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = std::io::BufReader::new(stream.unwrap());
            std::thread::spawn(move || {
                loop {
                    let (mut line, mut length) = (String::new(), 0);
                    while line != "\r\n" {
                        line.clear();
                        if stream.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap();
                        }
                    }
                    let mut body = vec![0; length];
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}";
                    if stream.read_exact(&mut body).and_then(|()| stream.get_mut().write_all(answer)).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn what_a_peer_was_told_is_taken_is_kept_although_the_server_stops() {
    let home = Home::new();
    let data = home.path().join("data");
    let arguments = ["--data", data.to_str().unwrap(), "--set", "limits.commands_per_second=0", "--room-peer"];
    let mut server = home.start(&[&arguments[..], &["global=lobby@http:0"]].concat());
    let room = format!("127.0.0.1:{}", ports(&mut server, 1)[0]);
    let registry = format!("127.0.0.1:{}", server.port);
    let confirmed = Arc::new(AtomicUsize::new(0));
    let peers: Vec<_> = (0..8)
        .map(|peer| {
            let address = json!({ "protocol": "HTTP", "host": "127.0.0.1", "port": listen() }).to_string();
            let answer = http(&registry, "PUT", &format!("/v1/users/peer{peer}"), &address);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            let (room, confirmed) = (room.clone(), confirmed.clone());
            std::thread::spawn(move || {
                let mut said = Vec::new();
                for n in 0..10_000 {
                    let text = format!("{peer}-{n}");
                    let body = json!({ "user": format!("peer{peer}"), "text": text }).to_string();
                    match try_send(&room, "POST", "/v1/message", "application/json", &body) {
                        Ok(answer) if answer.starts_with("HTTP/1.1 200") => {
                            confirmed.fetch_add(1, Ordering::SeqCst);
                            said.push(text);
                        }
                        Ok(answer) if answer.starts_with("HTTP/1.1 503") => {}
                        _ => return said,
                    }
                }
                said
            })
        })
        .collect();
    while confirmed.load(Ordering::SeqCst) < 200 {
        tokio::task::yield_now().await;
    }
    server.signal("TERM");
    assert!(server.ended().await.0.success());
    let said: Vec<String> = peers.into_iter().flat_map(|peer| peer.join().unwrap()).collect();
    assert!(said.len() >= 200);

    let server = home.start(&arguments[..4]);
    let mut reader = server.rich(&server.guest("reader").await).await;
    let (mut kept, mut after) = (HashSet::new(), 0);
    reader.command("enter", json!({ "room": "global" })).await;
    loop {
        reader.command("history", json!({ "room": "global", "after": after, "limit": 1000 })).await;
        let more = loop {
            let frame = reader.hear().await;
            match frame["type"].as_str() {
                Some("message") => {
                    after = frame["seq"].as_u64().unwrap();
                    kept.insert(frame["body"].as_str().unwrap().to_owned());
                }
                Some("history") => break frame["more"] == true,
                _ => {}
            }
        };
        if !more {
            break;
        }
    }
    let lost: Vec<_> = said.iter().filter(|text| !kept.contains(*text)).collect();
    assert!(lost.is_empty(), "{} of {}: {lost:?}", lost.len(), said.len());
}
