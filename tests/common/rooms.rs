//! A room server, and clients of it that know nothing but the wire.

use std::time::Duration;

use serde_json::{Value, json};
use talk::gateway::{RoomServer, http};
use talk::hub::Hub;
use talk::limits::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::raw::LONG;
use super::raw_websocket::{CLOSE, PING, PONG, TEXT, frame, read_frame, text, upgrade};

/// A server on a port of its own, stopped by [`Server::stop`] or by being dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) hub: Hub,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(&Limits::default()).await
    }

    pub(crate) async fn with(limits: &Limits) -> Self {
        Self::over(Hub::with_limits(limits)).await
    }

    pub(crate) async fn over(hub: Hub) -> Self {
        let service =
            http::service(hub.clone()).origins(["https://chat.example".to_owned()]).hosts(["chat.example".to_owned()]);
        let server = RoomServer::bind(&"127.0.0.1".parse().unwrap(), 0, service).await.unwrap();
        let port = server.local_addr().port();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Self { port, hub, stop: Some(stop), task }
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(LONG, &mut self.task).await.unwrap().unwrap();
    }

    /// A token by a form.
    pub(crate) async fn token(&self, nickname: &str) -> String {
        let answer = self.post("/auth", &form(nickname)).await;
        assert_eq!(status(&answer), 201, "{answer}");
        token_in(&answer)
    }

    /// Whether somebody could sign up by that name now.
    pub(crate) async fn try_name(&self, nickname: &str) -> u16 {
        status(&self.post("/auth", &form(nickname)).await)
    }

    pub(crate) async fn post(&self, target: &str, rest: &str) -> String {
        self.exchange(&format!("POST {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{rest}")).await
    }

    pub(crate) async fn exchange(&self, request: &str) -> String {
        super::raw::exchange(self.port, request).await
    }

    /// A plain session in `global`, past its own greeting.
    pub(crate) async fn join(&self, nickname: &str) -> Client {
        let token = self.token(nickname).await;
        let mut client = self.open(&format!("sec-websocket-protocol: {token}\r\n")).await;
        assert_eq!(client.hear().await, said("system", &format!("{nickname} joined")));
        client.token = token;
        client
    }

    /// A rich session, in no room.
    pub(crate) async fn rich(&self, nickname: &str) -> Client {
        let token = self.token(nickname).await;
        let mut client = self.open(&format!("sec-websocket-protocol: talk.v2, {token}\r\n")).await;
        assert!(client.head.contains("sec-websocket-protocol: talk.v2\r\n"), "{}", client.head);
        client.token = token;
        client
    }

    pub(crate) async fn open(&self, headers: &str) -> Client {
        let (stream, head) = super::raw_websocket::open(self.port, "/ws", headers).await;
        Client { stream, head, token: String::new() }
    }

    /// What an upgrade is answered that is refused.
    pub(crate) async fn refused(&self, headers: &str) -> u16 {
        self.asked(&upgrade("/ws", headers)).await
    }

    /// The status of the answer, whether or not the connection stays open behind it.
    pub(crate) async fn asked(&self, request: &str) -> u16 {
        let mut stream = super::raw::connect(self.port).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        tokio::time::timeout(LONG, stream.read_exact(&mut head)).await.unwrap().unwrap();
        std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
    }
}

/// One WebSocket.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) head: String,
    pub(crate) token: String,
}

impl Client {
    pub(crate) async fn send(&mut self, frame: &str) {
        self.stream.write_all(&text(frame)).await.unwrap();
    }

    pub(crate) async fn command(&mut self, kind: &str, args: Value) {
        self.send(&json!({ "type": kind, "args": args }).to_string()).await;
    }

    pub(crate) async fn say(&mut self, body: &str) {
        self.command("message", json!({ "from": "whoever", "body": body })).await;
    }

    /// The next frame, which is a text. On a busy machine a test may be silent for so long that it is asked whether it is
    /// there.
    pub(crate) async fn hear(&mut self) -> Value {
        let (mut opcode, mut payload) = read_frame(&mut self.stream).await.expect("a frame");
        while (opcode, &payload[..]) == (PING, b"idle") {
            self.stream.write_all(&frame(0x80 | PONG, &payload)).await.unwrap();
            (opcode, payload) = read_frame(&mut self.stream).await.expect("a frame");
        }
        assert_eq!(opcode, TEXT, "{}", String::from_utf8_lossy(&payload));
        serde_json::from_slice(&payload).unwrap()
    }

    /// The next text's body, from the system.
    pub(crate) async fn system(&mut self) -> String {
        let heard = self.hear().await;
        assert_eq!(heard["from"], "system", "{heard}");
        heard["body"].as_str().unwrap().to_owned()
    }

    /// Reads on until a frame is `expected`, and returns what came before it.
    pub(crate) async fn until(&mut self, expected: &Value) -> Vec<Value> {
        let mut before = Vec::new();
        loop {
            let heard = self.hear().await;
            if heard == *expected {
                return before;
            }
            before.push(heard);
            assert!(before.len() < 10_000, "{expected} never came");
        }
    }

    /// Reads on until a frame of that type.
    pub(crate) async fn of_type(&mut self, kind: &str) -> Value {
        for _ in 0..10_000 {
            let heard = self.hear().await;
            if heard["type"] == kind {
                return heard;
            }
        }
        panic!("no {kind} came");
    }

    /// The code of the Close that comes (1005 when it has none), whatever comes before; `None` when the connection just ends.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            let (opcode, payload) = read_frame(&mut self.stream).await?;
            if opcode == CLOSE {
                return Some(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)));
            }
        }
    }

    /// Whether the server closes the connection after its Close.
    pub(crate) async fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        tokio::time::timeout(LONG, self.stream.read_to_end(&mut rest)).await.is_ok()
    }
}

pub(crate) fn said(from: &str, body: &str) -> Value {
    json!({ "from": from, "body": body })
}

pub(crate) fn form(nickname: &str) -> String {
    body("application/x-www-form-urlencoded", &format!("nickname={nickname}"))
}

pub(crate) fn body(media_type: &str, body: &str) -> String {
    format!("content-type: {media_type}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

pub(crate) fn status(answer: &str) -> u16 {
    super::raw::status(answer).parse().unwrap_or_else(|_| panic!("{answer:?}"))
}

pub(crate) fn token_in(answer: &str) -> String {
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1);
    body["token"].as_str().unwrap().to_owned()
}

/// What a leaving may take at the most.
pub(crate) const SOON: Duration = Duration::from_secs(2);
