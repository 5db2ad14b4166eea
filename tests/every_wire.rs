//! Everything at once: a user on each wire, all of them in one room.
#![cfg(all(unix, feature = "server"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use common::exposition::Exposition;
use common::fake_websocket::FakeWebSocket;
use common::raw::{self, LONG, exchange, request};
use common::raw_websocket::{self, read_text, text};
use common::room_peers::{Ear, message, say_http, say_udp, websocket};
use common::rooms::{form, token_in};
use common::{console, minechat, pair_chat, rooms};
use serde_json::json;
use talk::hub::{Heard, Seat};
use talk::message::{Command, Event};
use talk::name::RoomName;
use talk::server::{Config, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixDatagram};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

#[tokio::test]
async fn a_text_from_each_wire_reaches_all_others_once_in_one_order_and_a_private_one_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let syslog = UnixDatagram::bind(dir.path().join("log")).unwrap();
    let talk = Talk::start(&dir.path().join("log")).await;
    let (mut users, mut petra) = talk.everybody().await;

    // From here on all of them hear the same.
    users.ann.say(START).await;
    for name in HEARERS.into_iter().chain(["listener"]) {
        users.ear(name).until(START).await;
    }
    users.say_at_once(&talk).await;
    petra.send("psst").await;
    users.ann.command("direct", json!({ "to": "rita", "body": "for rita" })).await;
    users.ann.command("direct", json!({ "to": "peer:hattie", "body": "for hattie" })).await;
    let mut heard = Vec::new();
    // Rita, Pia and Hattie have heard what is theirs alone before anything else is said.
    for (name, private) in [("rita", "for rita"), ("pia", "psst"), ("hattie", "for hattie")] {
        heard.push((name, users.ear(name).until(private).await));
    }
    users.ann.say(END).await;

    let order = users.ear("listener").until(END).await;
    let mut said: Vec<_> = order.iter().filter(|(_, text)| text.starts_with("from ")).cloned().collect();
    assert_eq!(order.len(), said.len() + 1, "{order:#?}");
    assert_eq!(order.last().unwrap(), &("ann".to_owned(), END.to_owned()));
    said.sort();
    let mut expected: Vec<_> = SPEAKERS.map(|name| (name.to_owned(), format!("from {name}"))).into_iter().collect();
    expected.sort();
    assert_eq!(said, expected, "each once, under its name");

    for name in HEARERS {
        let before = heard.iter().position(|(who, _)| *who == name).map(|at| heard.remove(at).1);
        let mut here = before.unwrap_or_default();
        here.extend(users.ear(name).until(END).await);
        let private: Vec<_> = here.iter().filter(|(_, text)| PRIVATE.contains(&text.as_str())).cloned().collect();
        let own = match name {
            // Without an id the echo is the only word of its acceptance.
            "ann" => vec![("ann", "for rita"), ("ann", "for hattie")],
            "rita" => vec![("ann", "for rita")],
            "pia" => vec![("petra", "psst")],
            "hattie" => vec![("ann", "for hattie")],
            _ => Vec::new(),
        };
        let own: Vec<_> = own.into_iter().map(|(from, text)| (from.to_owned(), text.to_owned())).collect();
        assert_eq!(private, own, "{name}");
        let public: Vec<_> = here.into_iter().filter(|(_, text)| !PRIVATE.contains(&text.as_str())).collect();
        let echo = ECHOES.contains(&name);
        let expected: Vec<_> = order.iter().filter(|(from, _)| echo || from != name).cloned().collect();
        assert_eq!(public, expected, "{name}");
    }
    // Whoever is in no room heard nothing but what became of her words.
    petra.hears(&["[server] Message sent to user pia", "[server] Message delivered to user pia"]).await;

    let logged = logged(&syslog).await;
    for text in SPEAKERS.iter().map(|name| format!("[{name}] from {name}")).chain(
        [("petra", "psst"), ("ann", "for rita"), ("ann", "for hattie")].map(|(from, text)| format!("[{from}] {text}")),
    ) {
        assert_eq!(logged.iter().filter(|record| record.ends_with(&text)).count(), 1, "{text} in {logged:#?}");
    }
    talk.counts_each_wire().await;
    drop((users, petra));
    talk.stop().await;
}

#[tokio::test]
async fn a_stop_tells_every_wire_in_its_own_words_and_leaves_nothing_open() {
    let dir = tempfile::tempdir().unwrap();
    let talk = Talk::start(&dir.path().join("nowhere")).await;
    let (mut users, mut petra) = talk.everybody().await;
    let (mut waiting, mut silent) = (talk.connect("console").await, talk.connect("minechat-write").await);
    let ports: Vec<_> = talk.wires.iter().filter(|(wire, _)| *wire != "peer").map(|(_, at)| *at).collect();
    let port = talk.port;
    talk.stop().await;
    assert_eq!(users.ann.closed().await, Some(1001));
    assert_eq!(users.rita.closed().await, Some(1001));
    assert_eq!(petra.closed().await, Some(1001));
    assert_eq!(users.pia.closed().await, Some(1001));
    let embedded = async {
        loop {
            match users.emma.1.next().await {
                Some(Event::Closing(_)) | None => return,
                Some(_) => {}
            }
        }
    };
    timeout(LONG, embedded).await.unwrap();
    while users.cora.next().await.is_some() {}
    for stream in [&mut users.listener.0, &mut users.mina.0] {
        let mut rest = Vec::new();
        timeout(LONG, tokio::io::AsyncReadExt::read_to_end(stream, &mut rest)).await.unwrap().unwrap();
    }
    for stream in [&mut waiting, &mut silent] {
        let mut rest = Vec::new();
        timeout(LONG, tokio::io::AsyncReadExt::read_to_end(stream, &mut rest)).await.unwrap().unwrap();
    }
    for at in ports.into_iter().chain([(HERE, port).into()]) {
        assert!(TcpStream::connect(at).await.is_err(), "{at}");
    }
}

/// A whole server with every wire open.
struct Talk {
    port: u16,
    wires: Vec<(&'static str, SocketAddr)>,
    hub: talk::hub::Hub,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Talk {
    async fn start(log: &Path) -> Self {
        let mut config = Config::default();
        let wires = ["pair.port", "minechat.listen_port", "minechat.write_port", "console.port", "server.port"];
        for key in wires {
            config.set("the test", key, "0").unwrap();
        }
        let rooms = "global=lobby@http:0, global=hall@websocket:0, global=yard@udp:0";
        config.set("the test", "room_peers", rooms).unwrap();
        config.set("the test", "syslog.to", &format!("unix:{}", log.display())).unwrap();
        let server = Server::bind(config).await.unwrap();
        let (port, wires, hub) = (server.local_addr().port(), server.wires().collect(), server.hub().clone());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run_until(async {
            let _ = stopped.await;
        }));
        Self { port, wires, hub, stop, running }
    }

    async fn stop(self) {
        drop(self.stop);
        timeout(LONG, self.running).await.unwrap().unwrap();
    }

    fn at(&self, wire: &str) -> SocketAddr {
        self.wires.iter().find(|(name, _)| *name == wire).unwrap_or_else(|| panic!("{wire} in {:?}", self.wires)).1
    }

    async fn connect(&self, wire: &str) -> TcpStream {
        TcpStream::connect(self.at(wire)).await.unwrap()
    }

    /// The port of a room for peers, by its place in the configuration.
    fn room(&self, n: usize) -> u16 {
        self.wires.iter().filter(|(name, _)| *name == "peer").nth(n).unwrap().1.port()
    }

    /// Everybody in `global`, and Petra, who speaks to Pia alone.
    async fn everybody(&self) -> (Users, pair_chat::Client) {
        let ann = self.session("ann", "").await;
        let mut rita = self.session("rita", "talk.v2, ").await;
        rita.command("enter", json!({ "room": "global" })).await;
        assert_eq!(rita.of_type("presence").await["user"], "rita");
        let pia = self.pair("pia", "global").await;
        let cora = self.cora().await;
        let mut mina = minechat::Client::connect(self.at("minechat-write")).await;
        mina.write("\nmina\n").await;
        for line in [minechat::HELLO, minechat::NICKNAME] {
            mina.expect(line).await;
        }
        assert_eq!(mina.account().await.0, "mina");
        mina.expect(minechat::WELCOME).await;
        let (mut seat, heard) = self.hub.sit("emma").await.unwrap();
        seat.run(Command::Enter(RoomName::global())).await.unwrap();
        let (hattie, wendy, mut udo) = (Ear::http(HERE).await, websocket().await, Ear::udp(HERE).await);
        self.register("hattie", "HTTP", hattie.port, None).await;
        self.register("wendy", "WEBSOCKET", wendy.port, None).await;
        self.register("udo", "UDP", udo.port, Some("ack")).await;
        // A peer is a member from its first word on.
        let taken = say_http(HERE, self.room(0), "hattie", "here I am").await;
        assert!(taken.starts_with("HTTP/1.1 200 OK\r\n"), "{taken}");
        let (mut link, _) = raw_websocket::open(self.room(1), "/v1/message", "").await;
        link.write_all(&text(r#"{"user":"wendy","text":"here I am"}"#)).await.unwrap();
        assert_eq!(read_text(&mut link).await, "OK");
        assert!(say_udp(HERE, self.room(2), "udo", "here I am", TRIES).await);
        udo.greeted("yard").await;
        let listener = self.listener(&mut seat).await;
        let emma = (seat, heard);
        let users = Users { ann, rita, pia, cora, mina, listener, emma, hattie, wendy, link, udo };
        (users, self.pair("petra", "pia").await)
    }

    /// A session of rooms; a plain one is in `global`.
    async fn session(&self, name: &str, before: &str) -> rooms::Client {
        let head = format!("POST /auth HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{}", form(name));
        let token = token_in(&exchange(self.port, head).await);
        let headers = format!("sec-websocket-protocol: {before}{token}\r\n");
        let (stream, head) = raw_websocket::open(self.port, "/ws", &headers).await;
        rooms::Client { stream, head, token }
    }

    async fn pair(&self, name: &str, with: &str) -> pair_chat::Client {
        let (stream, _) = raw_websocket::open(self.at("pair").port(), "/", "").await;
        let mut client = pair_chat::Client { stream, pings: Vec::new(), answers: true };
        client.asks(name, "1").await;
        client.asks(with, "1").await;
        client
    }

    /// At the console, as soon as she is in the room.
    async fn cora(&self) -> console::Client {
        let mut client = console::Client::over(self.connect("console").await);
        client.write(json!({ "username": "cora" }).to_string()).await;
        client.command("cmd!participants_count").await;
        while !client.heard().await.1.starts_with("Participants count: ") {}
        client
    }

    /// Somebody who hears minechat from what is said next on.
    async fn listener(&self, seat: &mut Seat) -> minechat::Client {
        let mut client = minechat::Client::connect(self.at("minechat-listen")).await;
        let mut said = 0;
        // Nothing tells when it is there, but that it hears something.
        let first = loop {
            let body = format!("probe {said}").into();
            seat.run(Command::Say { room: None, body, id: None }).await.unwrap();
            said += 1;
            assert!(said < 600, "the listener hears nothing");
            if let Ok(line) = timeout(Duration::from_millis(50), client.line()).await {
                break line;
            }
        };
        let first: usize = first.trim_end().strip_prefix("emma: probe ").unwrap().parse().unwrap();
        for n in first + 1..said {
            client.expect(&format!("emma: probe {n}\n")).await;
        }
        client
    }

    async fn register(&self, name: &str, protocol: &str, port: u16, feature: Option<&str>) {
        let mut entry = json!({ "protocol": protocol, "host": "127.0.0.1", "port": port });
        let mut media_type = "application/json";
        if let Some(feature) = feature {
            entry["features"] = json!([feature]);
            media_type = "application/vnd.talk.v2+json";
        }
        let put =
            request(&format!("PUT /v1/users/{name}"), &format!("content-type: {media_type}\r\n"), &entry.to_string());
        assert_eq!(raw::status(&exchange(self.port, put).await), "200");
    }

    /// Asks the metrics for the connections of each wire.
    async fn counts_each_wire(&self) {
        let answer = exchange(self.port, request("GET /metrics", "", "")).await;
        let told = Exposition::parse(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        for (wire, open) in [("pair", 2.0), ("console", 1.0), ("minechat-listen", 1.0), ("minechat-write", 1.0)] {
            assert_eq!(told.value(&format!("talk_wire_connections{{wire=\"{wire}\"}}")), open, "{wire}");
            assert_eq!(told.value(&format!("talk_wire_connections_accepted_total{{wire=\"{wire}\"}}")), open, "{wire}");
        }
        assert_eq!(told.value("talk_unsigned"), 0.0);
    }
}

/// One on each wire.
struct Users {
    /// Rooms, plain.
    ann: rooms::Client,
    /// Rooms, rich.
    rita: rooms::Client,
    /// Pair chat, paired with the room.
    pia: pair_chat::Client,
    /// The console.
    cora: console::Client,
    /// Minechat, to write; she hears nothing.
    mina: minechat::Client,
    /// Minechat, to hear; nobody has a name there.
    listener: minechat::Client,
    /// A session without a socket.
    emma: (Seat, Heard),
    /// Peers over HTTP, WebSocket (and her way to the room), and UDP.
    hattie: Ear,
    wendy: FakeWebSocket,
    link: TcpStream,
    udo: Ear,
}

impl Users {
    /// Each says something, all at once.
    async fn say_at_once(&mut self, talk: &Talk) {
        let Self { ann, rita, pia, cora, mina, emma, link, .. } = self;
        let emma = async {
            let body = "from emma".into();
            emma.0.run(Command::Say { room: None, body, id: None }).await.unwrap();
        };
        let wendy = json!({ "user": "wendy", "text": "from wendy" }).to_string();
        let wendy = text(&wendy);
        let rita = rita.command("message", json!({ "room": "global", "body": "from rita", "id": "1" }));
        let (_, _, _, _, _, _, taken, sent, heard) = tokio::join!(
            ann.say("from ann"),
            rita,
            pia.send("from pia"),
            cora.say("from cora"),
            mina.write("from mina\n\n"),
            emma,
            say_http(HERE, talk.room(0), "hattie", "from hattie"),
            link.write_all(&wendy),
            say_udp(HERE, talk.room(2), "udo", "from udo", TRIES),
        );
        assert!(taken.starts_with("HTTP/1.1 200 OK\r\n"), "{taken}");
        sent.unwrap();
        assert!(heard);
        mina.expect(minechat::SENT).await;
        assert_eq!(read_text(link).await, "OK");
    }

    fn ear(&mut self, name: &str) -> Listening<'_> {
        match name {
            "ann" => Listening::Rooms(&mut self.ann),
            "rita" => Listening::Rooms(&mut self.rita),
            "pia" => Listening::Pair(&mut self.pia),
            "cora" => Listening::Console(&mut self.cora),
            "listener" => Listening::Minechat(&mut self.listener),
            "emma" => Listening::Events(&mut self.emma.1),
            "hattie" => Listening::Peer(&mut self.hattie),
            "wendy" => Listening::Socket(&mut self.wendy),
            "udo" => Listening::Peer(&mut self.udo),
            _ => panic!("nobody is called {name}"),
        }
    }
}

enum Listening<'a> {
    Rooms(&'a mut rooms::Client),
    Pair(&'a mut pair_chat::Client),
    Console(&'a mut console::Client),
    Minechat(&'a mut minechat::Client),
    Events(&'a mut Heard),
    Peer(&'a mut Ear),
    Socket(&'a mut FakeWebSocket),
}

impl Listening<'_> {
    /// What is said up to that text.
    async fn until(&mut self, last: &str) -> Vec<(String, String)> {
        let mut heard = Vec::new();
        loop {
            let Some((from, text)) = self.next().await else { continue };
            let end = text == last;
            heard.push((from, text));
            if end {
                return heard;
            }
            assert!(heard.len() < 1000, "{last} never comes: {heard:#?}");
        }
    }

    /// The next text, and whose it is; `None` for anything else.
    async fn next(&mut self) -> Option<(String, String)> {
        match self {
            Self::Rooms(client) => {
                let heard = client.hear().await;
                if heard.get("type").is_some_and(|kind| kind != "message") || heard["from"] == "system" {
                    return None;
                }
                let field = |key: &str| heard[key].as_str().unwrap().to_owned();
                Some((field("from"), field("body")))
            }
            Self::Pair(client) => {
                let line = client.hear().await;
                let (from, text) = line.strip_prefix('[').unwrap().split_once("] ").unwrap();
                (from != "server").then(|| (from.to_owned(), text.to_owned()))
            }
            Self::Console(client) => {
                let heard = client.hear().await;
                let field = |key: &str| heard[key].as_str().unwrap().to_owned();
                (heard["message_type"] == "message").then(|| (field("sender"), field("data")))
            }
            Self::Minechat(client) => {
                let line = client.line().await;
                (!line.starts_with("Server: # ")).then(|| split(line.trim_end()))
            }
            Self::Events(heard) => match timeout(LONG, heard.next()).await.unwrap().unwrap() {
                Event::Message(post) => Some((post.record.from.to_string(), post.record.body.to_string())),
                _ => None,
            },
            Self::Peer(ear) => Some(copy(&ear.next().await)),
            Self::Socket(ear) => Some(copy(&timeout(LONG, ear.next()).await.unwrap())),
        }
    }
}

/// What a peer was sent: in rooms the room's name says who spoke in the text, and to the peer alone the sender's does.
fn copy(sent: &str) -> (String, String) {
    let (user, text) = message(sent);
    match ["lobby", "hall", "yard"].contains(&user.as_str()) {
        true => split(&text),
        false => (user, text),
    }
}

fn split(line: &str) -> (String, String) {
    let (from, text) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
    (from.to_owned(), text.to_owned())
}

/// What syslog was told up to now.
async fn logged(syslog: &UnixDatagram) -> Vec<String> {
    let mut records: Vec<String> = Vec::new();
    let mut datagram = [0; 4096];
    while records.last().is_none_or(|last| !last.ends_with(END)) {
        let length = timeout(LONG, syslog.recv(&mut datagram)).await.unwrap().unwrap();
        records.push(String::from_utf8(datagram[..length].to_vec()).unwrap());
    }
    records
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SPEAKERS: [&str; 9] = ["ann", "rita", "pia", "cora", "mina", "emma", "hattie", "wendy", "udo"];
/// Mina's wire has no ears.
const HEARERS: [&str; 8] = ["ann", "rita", "pia", "cora", "emma", "hattie", "wendy", "udo"];
/// Those who hear themselves.
const ECHOES: [&str; 3] = ["ann", "rita", "emma"];
const PRIVATE: [&str; 3] = ["psst", "for rita", "for hattie"];
const START: &str = "the start";
const END: &str = "the end";
/// How often something is said over UDP until it is acknowledged.
const TRIES: usize = 100;
