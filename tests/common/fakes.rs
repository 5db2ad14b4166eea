//! Servers that do and say what they are told to.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::originals::pair::{frame, read_head, read_masked, upgrade};
use super::raw::LONG;

/// A server.
pub(crate) struct Fake {
    listener: TcpListener,
    pub(crate) port: u16,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    pub(crate) async fn accept(&self) -> TcpStream {
        timeout(LONG, self.listener.accept()).await.unwrap().unwrap().0
    }

    /// The next request: its connection and its head.
    pub(crate) async fn asked(&self) -> (TcpStream, String) {
        let mut stream = self.accept().await;
        let head = read_head(&mut stream).await;
        (stream, head)
    }

    /// Answers the next request; its head.
    pub(crate) async fn answer(&self, answer: &str) -> String {
        let (mut stream, head) = self.asked().await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // It is answered, whatever becomes of the connection.
        tokio::spawn(async move { stream.read_to_end(&mut rest).await });
        head
    }

    /// Takes a connection to the rooms, behind a sign-in if `signs_in`.
    pub(crate) async fn take(&self, signs_in: bool) -> TcpStream {
        if signs_in {
            assert!(self.answer(TOKEN).await.starts_with("POST /auth "));
        }
        let (stream, head) = upgrade(self.accept().await, "sec-websocket-protocol: talk.v2\r\n").await;
        assert!(head.starts_with("GET /ws ") && head.contains("\r\nauthorization: Bearer abcde\r\n"), "{head}");
        stream
    }

    /// Takes a connection to pair chat, past both prompts.
    pub(crate) async fn paired(&self) -> TcpStream {
        let (mut stream, _) = upgrade(self.accept().await, "").await;
        for _ in 0..2 {
            timeout(LONG, read_masked(&mut stream)).await.unwrap().unwrap();
            stream.write_all(&text("1")).await.unwrap();
        }
        stream
    }
}

pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

/// What says that `global` is up to date.
pub(crate) fn recovered(to: u64) -> Vec<u8> {
    text(&format!(
        "{{\"type\":\"recovered\",\"room\":\"global\",\"epoch\":\"e\",\"from\":0,\"to\":{to},\"recovered\":true}}"
    ))
}

/// Somebody's words in `global`.
pub(crate) fn message(seq: u64, from: &str, body: &str) -> Vec<u8> {
    let [from, body] = [from, body].map(serde_json::Value::from);
    let prev = seq - 1;
    text(&format!(
        "{{\"type\":\"message\",\"room\":\"global\",\"epoch\":\"e\",\"seq\":{seq},\"prev\":{prev},\"ts\":1,\"from\":{from},\"body\":{body}}}"
    ))
}

/// The answer to a sign-in.
pub(crate) const TOKEN: &str = "HTTP/1.1 201 Created\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n{\"token\":\"abcde\"}";
