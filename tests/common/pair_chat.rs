//! A server of pair chat and rooms on one hub, and clients that know nothing but the wire.

use talk::gateway::{Context, Gateway, Pair};
use talk::hub::Hub;
use talk::limits::Limits;
use talk::name::Nickname;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::raw::LONG;
use super::raw_websocket::{self, CLOSE, PING, PONG, TEXT, frame, read_frame, text};
use super::rooms;

const FIN: u8 = 0x80;

/// Both on ports of their own; stopped by [`Server::stop`] or by being dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) hub: Hub,
    pub(crate) rooms: rooms::Server,
    stop: CancellationToken,
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
        let (rooms, stop) = (rooms::Server::over(hub.clone()).await, CancellationToken::new());
        let pair = Pair::bind(&"127.0.0.1".parse().unwrap(), 0).await.unwrap();
        let pair = pair.origins(["https://chat.example".to_owned()]).hosts(["chat.example".to_owned()]);
        assert_eq!(pair.name(), "pair");
        let port = pair.local_addr().port();
        let task = tokio::spawn(Box::new(pair).serve(Context::new(hub.clone(), stop.clone())));
        Self { port, hub, rooms, stop, task }
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        tokio::time::timeout(LONG, &mut self.task).await.unwrap().unwrap();
    }

    /// At the first prompt.
    pub(crate) async fn open(&self) -> Client {
        let (stream, head) = raw_websocket::open(self.port, "/", "").await;
        assert!(!head.contains("sec-websocket-protocol"), "{head}");
        // Where the clock stands still nothing may wait for an acknowledgement that takes its time.
        stream.set_nodelay(true).unwrap();
        Client { stream, pings: Vec::new(), answers: true }
    }

    /// At the second prompt.
    pub(crate) async fn named(&self, nick: &str) -> Client {
        let mut client = self.open().await;
        client.asks(nick, "1").await;
        client
    }

    /// Past both.
    pub(crate) async fn paired(&self, nick: &str, with: &str) -> Client {
        let mut client = self.named(nick).await;
        client.asks(with, "1").await;
        client
    }

    /// Waits until a nickname is free, and takes it.
    pub(crate) async fn named_soon(&self, nick: &str) -> Client {
        let name = Nickname::new(nick).unwrap();
        let free = async {
            while self.hub.is_taken(&name).await.unwrap() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, free).await.unwrap_or_else(|_| panic!("{nick} is never free"));
        self.named(nick).await
    }
}

/// One client.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// The payloads of pings that came.
    pub(crate) pings: Vec<Vec<u8>>,
    /// Whether it answers pings, as every program does that reads.
    pub(crate) answers: bool,
}

impl Client {
    pub(crate) async fn send(&mut self, said: &str) {
        self.stream.write_all(&text(said)).await.unwrap();
    }

    /// At a prompt: says something, and hears nothing but that answer.
    pub(crate) async fn asks(&mut self, said: &str, answer: &str) {
        self.send(said).await;
        let (opcode, payload) = read_frame(&mut self.stream).await.expect("an answer");
        assert_eq!((opcode, String::from_utf8_lossy(&payload).as_ref()), (TEXT, answer), "{said:?}");
    }

    /// The next text.
    pub(crate) async fn hear(&mut self) -> String {
        loop {
            let (opcode, payload) = read_frame(&mut self.stream).await.expect("a frame");
            match opcode {
                PING => {
                    if self.answers {
                        self.pong(&payload).await;
                    }
                    self.pings.push(payload);
                }
                _ => {
                    assert_eq!(opcode, TEXT, "{}", String::from_utf8_lossy(&payload));
                    return String::from_utf8(payload).unwrap();
                }
            }
        }
    }

    /// The next texts.
    pub(crate) async fn hears(&mut self, expected: &[&str]) {
        for line in expected {
            assert_eq!(self.hear().await, *line);
        }
    }

    pub(crate) async fn pong(&mut self, payload: &[u8]) {
        self.stream.write_all(&frame(FIN | PONG, payload)).await.unwrap();
    }

    /// Says something to bobby, who hears `heard` and confirms it.
    pub(crate) async fn tells(&mut self, bobby: &mut Self, said: &str, heard: &str) {
        self.send(said).await;
        bobby.hears(&[heard]).await;
        self.hears(&["[server] Message sent to user bobby"]).await;
        bobby.confirms().await;
        self.hears(&["[server] Message delivered to user bobby"]).await;
    }

    /// Hears a ping, and answers it.
    pub(crate) async fn confirms(&mut self) {
        let (opcode, payload) = read_frame(&mut self.stream).await.expect("a frame");
        assert_eq!(opcode, PING, "{}", String::from_utf8_lossy(&payload));
        self.pong(&payload).await;
        self.pings.push(payload);
    }

    /// Whether what was sent before has been seen to: a ping of our own comes back.
    pub(crate) async fn settled(&mut self) {
        self.stream.write_all(&frame(FIN | PING, b"settled")).await.unwrap();
        let (opcode, payload) = read_frame(&mut self.stream).await.expect("a frame");
        assert_eq!((opcode, &payload[..]), (PONG, &b"settled"[..]), "{}", String::from_utf8_lossy(&payload));
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
}
