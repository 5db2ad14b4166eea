//! A recorder of a program's own.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::raw::{LONG, connect, exchange, request};
use common::raw_websocket::{self, read_text, text};
use common::rooms::token_in;
use serde_json::json;
use talk::gateway::{Context, Gateway, MinechatListen, RoomServer, http};
use talk::hub::Hub;
use talk::tape::{Frame, Framing, Piece, Recorder, Tape, Way};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_program_hears_of_every_frame_and_where_secrets_stand() {
    let (hub, notes) = (Hub::new(), Notes::default());
    let recorder: Arc<dyn Recorder> = Arc::new(notes.clone());
    let service = http::service(hub.clone()).recorded(Some(recorder.clone()));
    let server = RoomServer::bind(&"127.0.0.1".parse().unwrap(), 0, service).await.unwrap();
    let port = server.local_addr().port();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async { stopped.await.unwrap_or(()) }));
    let listen = MinechatListen::bind(&"127.0.0.1".parse().unwrap(), 0).await.unwrap();
    let (at, token) = (listen.local_addr().port(), CancellationToken::new());
    let context = Context::new(hub.clone(), token.clone()).recorded(Some(recorder));
    let listening = tokio::spawn(Box::new(listen).serve(context));

    let mut ears = BufReader::new(connect(at).await);
    // Until somebody listens nothing is written there.
    notes.until("minechat-listen begins").await;
    let ann = token_in(&exchange(port, request("POST /auth?nickname=ann", "", "")).await);
    let (mut socket, _) = raw_websocket::open(port, "/ws", &format!("sec-websocket-protocol: {ann}\r\n")).await;
    read_text(&mut socket).await;
    socket.write_all(&text(&json!({ "type": "message", "args": { "body": "hello" } }).to_string())).await.unwrap();
    read_text(&mut socket).await;
    let mut line = String::new();
    timeout(LONG, ears.read_line(&mut line)).await.unwrap().unwrap();
    assert_eq!(line, "ann: hello\n");
    drop((socket, ears));
    notes.until("ended").await;
    drop(stop);
    timeout(LONG, serving).await.unwrap().unwrap();
    token.cancel();
    timeout(LONG, listening).await.unwrap().unwrap();

    let all = notes.all();
    assert!(!all.replace(&format!("<{ann}>"), "").replace(&format!("\"{ann}\""), "").contains(&ann), "{all}");
    for wanted in [
        "rooms begins",
        "In Http POST /auth?nickname=ann HTTP/1.1\r\n\r\n",
        &format!("secret <{ann}>"),
        &format!("In Http GET /ws HTTP/1.1\r\nupgrade: WebSocket\r\nsec-websocket-protocol: <{ann}>\r\n\r\n"),
        "In Text {\"type\":\"message\",\"args\":{\"body\":\"hello\"}}",
        "{\"from\":\"ann\",\"body\":\"hello\"}",
        "wrote ann: hello",
        "over",
    ] {
        assert!(all.contains(wanted), "{wanted} in {all}");
    }
}

/// A line for each thing that is noted.
#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    async fn until(&self, words: &str) {
        let noted = async {
            while !self.all().contains(words) {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, noted).await.unwrap();
    }

    fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

impl Recorder for Notes {
    fn tape(&self, wire: &'static str, _: Framing) -> Option<Arc<dyn Tape>> {
        self.add(format!("{wire} begins"));
        Some(Arc::new(One(self.clone())))
    }
}

struct One(Notes);

impl Tape for One {
    fn secret(&self, secret: &str) {
        self.0.add(format!("secret <{secret}>"));
    }

    fn note(&self, way: Way, frame: Frame, pieces: &[Piece<'_>]) {
        let shown = |piece: &Piece<'_>| match piece {
            Piece::Plain(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Piece::Secret(secret) => format!("<{secret}>"),
            Piece::Unread(length) => format!("<{length} bytes>"),
        };
        self.0.add(format!("{way:?} {frame:?} {}", pieces.iter().map(shown).collect::<String>()));
    }

    fn wrote(&self, bytes: &Bytes) {
        self.0.add(format!("wrote {}", String::from_utf8_lossy(bytes)));
    }

    fn ended(&self) {
        self.0.add("ended");
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.add("over");
    }
}
