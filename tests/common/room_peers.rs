//! Rooms that peers write to, and peers of other makes in a few lines each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use talk::gateway::peer::{Peers, RoomPeer};
use talk::gateway::{Context, Gateway};
use talk::hub::Hub;
use talk::limits::Limits;
use talk::registry::{Registry, RegistryClient, Spoken, service};
use talk::store::MemoryRegistry;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::fake_http::{answer, read_request};
use super::fake_websocket::{FakeWebSocket, Reply};
use super::raw::{self, LONG, read_all};
use super::rooms::{self, Client};

/// Where strangers are.
pub(crate) const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A registry, a hub with its room server, and rooms for peers.
pub(crate) struct World {
    pub(crate) rooms: rooms::Server,
    pub(crate) registry: SocketAddr,
    pub(crate) peers: Peers,
    pub(crate) context: Context,
    tasks: Vec<JoinHandle<()>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&Limits::default()).await
    }

    pub(crate) async fn with(limits: &Limits) -> Self {
        let (store, spoken) = (Arc::new(MemoryRegistry::new(limits)), Spoken::new(limits));
        let peers = Peers::new(store.clone(), spoken.clone(), limits);
        let hub = Hub::builder().limits(limits.clone()).route("peer", Arc::new(peers.clone())).build().await.unwrap();
        let rooms = rooms::Server::over(hub).await;
        let service = service(store).spoken(spoken);
        let registry = Registry::bind(&"127.0.0.1".parse().unwrap(), 0, service).await.unwrap();
        let (at, stop) = (registry.local_addr(), CancellationToken::new());
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(async move { registry.serve(stopped).await.unwrap() });
        let context = Context::new(rooms.hub.clone(), stop);
        Self { rooms, registry: at, peers, context, tasks: vec![serving] }
    }

    /// Lets peers write to `global` as `lobby`; the port.
    pub(crate) async fn lobby(&mut self, protocol: &str) -> u16 {
        self.open(&format!("global=lobby@{protocol}:0")).await
    }

    pub(crate) async fn open(&mut self, entry: &str) -> u16 {
        let host = "127.0.0.1".parse().unwrap();
        let room = RoomPeer::bind(&self.context, &self.peers, entry.parse().unwrap(), &host, None).await.unwrap();
        let (port, context) = (room.local_addr().port(), self.context.clone());
        self.tasks.push(tokio::spawn(Box::new(room).serve(context)));
        port
    }

    pub(crate) fn client(&self) -> RegistryClient {
        RegistryClient::new(&format!("http://{}", self.registry)).unwrap()
    }

    /// Registers somebody by a request from 127.0.0.1, with these features or in the first version's words.
    pub(crate) async fn register(&self, name: &str, protocol: &str, host: &str, port: u16, features: Option<&[&str]>) {
        let mut entry = json!({ "protocol": protocol, "host": host, "port": port });
        let mut media_type = "application/json";
        if let Some(features) = features {
            entry["features"] = json!(features);
            media_type = "application/vnd.talk.v2+json";
        }
        let request = raw::request(
            &format!("PUT /v1/users/{name}"),
            &format!("content-type: {media_type}\r\n"),
            &entry.to_string(),
        );
        let answer = raw::exchange(self.registry.port(), request).await;
        assert_eq!(raw::status(&answer), "200", "{answer}");
    }

    pub(crate) async fn unregister(&self, name: &str) {
        let answer =
            raw::exchange(self.registry.port(), raw::request(&format!("DELETE /v1/users/{name}"), "", "")).await;
        assert_eq!(raw::status(&answer), "200", "{answer}");
    }

    /// Ends the registry and the rooms for peers, and waits for that.
    pub(crate) async fn stop(self) {
        self.context.stop.cancel();
        for task in self.tasks {
            timeout(LONG, task).await.unwrap().unwrap();
        }
    }
}

/// The next text in a room that somebody said, passing over comings and goings.
pub(crate) async fn heard(client: &mut Client) -> (String, String) {
    loop {
        let heard = client.hear().await;
        if heard["from"] != "system" {
            return (heard["from"].as_str().unwrap().to_owned(), heard["body"].as_str().unwrap().to_owned());
        }
    }
}

/// What a peer of some make heard, as it came.
pub(crate) struct Ear {
    pub(crate) port: u16,
    heard: mpsc::Receiver<String>,
    task: JoinHandle<()>,
}

impl Ear {
    /// Listens by HTTP and says 200 to everything.
    pub(crate) async fn http(at: IpAddr) -> Self {
        let listener = TcpListener::bind((at, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, heard) = mpsc::channel(4096);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    let Some(request) = read_request(&mut stream).await else { return };
                    assert!(request.starts_with("POST /v1/message HTTP/1.1\r\n"), "{request}");
                    let _ = stream.write_all(&answer("200 OK", "application/json", "{\"status\":\"ok\"}")).await;
                    let _ = tell.send(request.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned()).await;
                });
            }
        });
        Self { port, heard, task }
    }

    /// Listens by UDP, and acknowledges what has an id, each once told.
    pub(crate) async fn udp(at: IpAddr) -> Self {
        let socket = UdpSocket::bind((at, 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let (tell, heard) = mpsc::channel(4096);
        let task = tokio::spawn(async move {
            let (mut buffer, mut before) = (vec![0; 65_536], Vec::new());
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
                let message: Value = serde_json::from_str(&text).unwrap();
                if let Some(id) = message["id"].as_str() {
                    socket.send_to(json!({ "ack": id }).to_string().as_bytes(), from).await.unwrap();
                    if before.contains(&id.to_owned()) {
                        continue;
                    }
                    before.push(id.to_owned());
                }
                let _ = tell.send(text).await;
            }
        });
        Self { port, heard, task }
    }

    /// What came next, as it came.
    pub(crate) async fn next(&mut self) -> String {
        timeout(LONG, self.heard.recv()).await.expect("something comes").unwrap()
    }

    /// What came next: under which name, and what.
    pub(crate) async fn message(&mut self) -> (String, String) {
        message(&self.next().await)
    }

    /// Waits for the first word of a room over UDP, which comes before all else.
    pub(crate) async fn greeted(&mut self, room: &str) {
        let (user, text) = self.message().await;
        assert!(user == room && ["", "system: hello"].contains(&&*text), "{user}: {text}");
    }

    /// Listens no more.
    pub(crate) fn end(&self) {
        self.task.abort();
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A peer that listens by WebSocket and says `OK`.
pub(crate) async fn websocket() -> FakeWebSocket {
    FakeWebSocket::start("/v1/message", None, |_| Reply::Text("OK".into())).await
}

pub(crate) fn message(text: &str) -> (String, String) {
    let message: Value = serde_json::from_str(text).unwrap();
    (message["user"].as_str().unwrap().to_owned(), message["text"].as_str().unwrap().to_owned())
}

/// Says something over HTTP from some address; the whole answer.
pub(crate) async fn say_http(from: IpAddr, port: u16, user: &str, text: &str) -> String {
    let mut stream = connect_from(from, port).await;
    stream.write_all(raw::post(&json!({ "user": user, "text": text }).to_string()).as_bytes()).await.unwrap();
    read_all(stream).await
}

pub(crate) async fn connect_from(from: IpAddr, port: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.unwrap()
}

/// Says something in version 2 over UDP, so many times until it is acknowledged; whether it was.
pub(crate) async fn say_udp(from: IpAddr, port: u16, user: &str, text: &str, tries: usize) -> bool {
    let socket = UdpSocket::bind((from, 0)).await.unwrap();
    let id = format!("{user}-{text}").chars().take(60).collect::<String>();
    let datagram = json!({ "user": user, "text": text, "id": id }).to_string();
    let mut buffer = [0; 1024];
    for _ in 0..tries {
        socket.send_to(datagram.as_bytes(), (Ipv4Addr::LOCALHOST, port)).await.unwrap();
        if let Ok(answer) = timeout(Duration::from_millis(100), socket.recv(&mut buffer)).await {
            assert_eq!(buffer[..answer.unwrap()], *json!({ "ack": id }).to_string().as_bytes());
            return true;
        }
    }
    false
}
