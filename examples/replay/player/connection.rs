//! One connection to a server, by any of its wires.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::{SinkExt, StreamExt};
use talk::codec::console::Objects;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_util::codec::Decoder;

use super::recording::Frame;

pub(crate) struct Connection {
    /// Gone for a moment while HTTP becomes a WebSocket, and for good when that fails.
    wire: Option<Wire>,
    /// What was sent last was recorded by its length alone: only the status of the answer can be compared.
    pub(crate) unread: bool,
}

enum Wire {
    Http(Http),
    WebSocket(Box<WebSocketStream<TcpStream>>),
    Lines(TcpStream, BytesMut),
    Objects(TcpStream, BytesMut, Objects),
}

struct Http {
    stream: TcpStream,
    read: BytesMut,
    /// Whether the answer to what was asked last has a body.
    head: bool,
}

impl Connection {
    pub(crate) async fn open(wire: &str, at: &str) -> io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(at)).await??;
        stream.set_nodelay(true)?;
        let read = BytesMut::new();
        let wire = match wire {
            "console" => Wire::Objects(stream, read, Objects::new(MOST)),
            wire if wire.starts_with("minechat") => Wire::Lines(stream, read),
            _ => Wire::Http(Http { stream, read, head: false }),
        };
        Ok(Self { wire: Some(wire), unread: false })
    }

    pub(crate) async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        match (self.wire.as_mut().ok_or(io::ErrorKind::NotConnected)?, frame) {
            (Wire::Http(http), Frame::Http(text)) => http.send(text).await,
            (Wire::Lines(stream, _), Frame::Text(text)) => stream.write_all(format!("{text}\n").as_bytes()).await,
            (Wire::Objects(stream, ..), Frame::Text(text)) => stream.write_all(text.as_bytes()).await,
            (Wire::WebSocket(socket), frame) => {
                let message = match frame.clone() {
                    Frame::Text(text) => Message::text(text),
                    Frame::Binary(bytes) => Message::binary(bytes),
                    Frame::Ping(payload) => Message::Ping(payload.into()),
                    Frame::Close(code, reason) => {
                        let code = code.map(|code| CloseFrame { code: code.into(), reason: reason.into() });
                        Message::Close(code)
                    }
                    Frame::Http(_) | Frame::Pong(_) => return Err(wrong()),
                };
                socket.send(message).await.map_err(io::Error::other)
            }
            _ => Err(wrong()),
        }
    }

    /// Says that nothing more will be said.
    pub(crate) async fn end(&mut self) {
        // Whoever is gone already need not be told.
        let _ = match &mut self.wire {
            Some(Wire::Http(http)) => http.stream.shutdown().await,
            Some(Wire::WebSocket(socket)) => socket.get_mut().shutdown().await,
            Some(Wire::Lines(stream, _) | Wire::Objects(stream, ..)) => stream.shutdown().await,
            None => Ok(()),
        };
    }

    /// The next frame, or why there is none.
    pub(crate) async fn next(&mut self) -> Result<Frame, String> {
        match timeout(PATIENCE, self.read()).await {
            Ok(Ok(Some(frame))) => Ok(frame),
            Ok(Ok(None)) => Err("the end of the connection".into()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("nothing for {} s", PATIENCE.as_secs())),
        }
    }

    /// What comes where nothing more should come but the end. HTTP has no end of its own.
    pub(crate) async fn rest(&mut self) -> Option<String> {
        if let Some(Wire::Http(_)) | None = &self.wire {
            return None;
        }
        match timeout(PATIENCE, self.read()).await {
            Ok(Ok(Some(frame))) => Some(frame.to_string()),
            Ok(Ok(None) | Err(_)) => None,
            Err(_) => Some(format!("no end for {} s", PATIENCE.as_secs())),
        }
    }

    async fn read(&mut self) -> io::Result<Option<Frame>> {
        match self.wire.as_mut().ok_or(io::ErrorKind::NotConnected)? {
            Wire::Http(http) => {
                let Some((text, upgraded)) = http.read().await? else { return Ok(None) };
                if upgraded && let Some(Wire::Http(Http { stream, read, .. })) = self.wire.take() {
                    let socket = WebSocketStream::from_partially_read(stream, read.to_vec(), Role::Client, None).await;
                    self.wire = Some(Wire::WebSocket(Box::new(socket)));
                }
                Ok(Some(Frame::Http(text)))
            }
            Wire::Lines(stream, read) => loop {
                if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                    let line = read.split_to(end);
                    read.advance(1);
                    return Ok(Some(Frame::Text(String::from_utf8_lossy(&line).into_owned())));
                }
                if stream.read_buf(read).await? == 0 {
                    return Ok(None);
                }
            },
            Wire::Objects(stream, read, objects) => loop {
                if let Some(object) = objects.decode(read).map_err(io::Error::other)? {
                    return Ok(Some(Frame::Text(String::from_utf8_lossy(&object).into_owned())));
                }
                if stream.read_buf(read).await? == 0 {
                    return Ok(None);
                }
            },
            Wire::WebSocket(socket) => loop {
                let message = match socket.next().await {
                    Some(Ok(message)) => message,
                    Some(Err(_)) | None => return Ok(None),
                };
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                return Ok(Some(match message {
                    Message::Text(text) => Frame::Text(text.to_string()),
                    Message::Binary(bytes) => Frame::Binary(bytes.to_vec()),
                    Message::Ping(payload) => {
                        // What answers it goes out with the next that is read or written.
                        let _ = socket.flush().await;
                        if &*payload == b"idle" {
                            continue;
                        }
                        Frame::Ping(text(&payload))
                    }
                    Message::Pong(payload) => Frame::Pong(text(&payload)),
                    Message::Close(None) => Frame::Close(None, String::new()),
                    Message::Close(Some(close)) => Frame::Close(Some(close.code.into()), close.reason.to_string()),
                    Message::Frame(_) => continue,
                }));
            },
        }
    }
}

impl Http {
    /// Sends a request with the fields that it needs besides those that were recorded.
    async fn send(&mut self, text: &str) -> io::Result<()> {
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(wrong)?;
        self.head = head.starts_with("HEAD ");
        let mut request = format!("{head}\r\nhost: localhost\r\n");
        if head.to_ascii_lowercase().contains("\r\nupgrade: ") {
            request.push_str("connection: upgrade\r\nsec-websocket-version: 13\r\n");
            request.push_str("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
        }
        if !body.is_empty() || head.starts_with("POST ") || head.starts_with("PUT ") {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body);
        self.stream.write_all(request.as_bytes()).await
    }

    /// The next answer with the fields that are recorded, and whether it leaves HTTP.
    async fn read(&mut self) -> io::Result<Option<(String, bool)>> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if self.read.len() > MOST || self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&self.read.split_to(end)).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let mut text = format!("{}\r\n", lines.next().unwrap_or_default());
        let fields: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
        let values = |name: &str| {
            let named: Vec<_> = fields.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).collect();
            named.into_iter().map(|(_, value)| value.trim().to_owned()).collect::<Vec<_>>()
        };
        for name in FIELDS {
            values(name).iter().for_each(|value| text.push_str(&format!("{name}: {value}\r\n")));
        }
        text.push_str("\r\n");
        let length = values("content-length").first().and_then(|length| length.parse().ok()).filter(|_| !self.head);
        let length: usize = length.unwrap_or_default();
        while self.read.len() < length {
            if length > MOST || self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
        text.push_str(&String::from_utf8_lossy(&self.read.split_to(length)));
        Ok(Some((text, head.starts_with("HTTP/1.1 101 "))))
    }
}

fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "this wire has no such frame")
}

/// The fields of an answer that are recorded, in their order.
const FIELDS: [&str; 5] = ["content-type", "allow", "retry-after", "www-authenticate", "sec-websocket-protocol"];
/// How long each frame is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a frame.
const MOST: usize = 64 << 20;
