//! A console server as those in the field are: it takes what one `recv(1024)` gives for one object, answers the first one
//! with nothing, writes objects with nothing between them, and does not survive what it cannot read.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::common::raw::LONG;

/// A server, which ends when it is dropped.
pub(crate) struct Original {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    read: mpsc::Receiver<Read>,
}

/// What it makes of what one `recv` gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Read {
    /// Somebody's first object.
    Name(String),
    /// Who, which type, and what.
    Object(String, String, String),
    /// Who is gone.
    Left(String),
    /// It could not be read: more than one object, or less. Dropped, or the end of the server.
    Unreadable(Vec<u8>),
}

struct Shared {
    /// Ways to the clients. All that waits for one goes out in one piece.
    clients: Mutex<BTreeMap<String, mpsc::Sender<Vec<u8>>>>,
    read: mpsc::Sender<Read>,
    /// Whether it dies of what it cannot read.
    delicate: bool,
    awake: watch::Sender<bool>,
    dead: CancellationToken,
}

impl Original {
    /// One that dies of what it cannot read.
    pub(crate) async fn delicate() -> Self {
        Self::start(0, true).await
    }

    /// One that drops what it cannot read.
    pub(crate) async fn tolerant() -> Self {
        Self::start(0, false).await
    }

    async fn start(port: u16, delicate: bool) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, read) = mpsc::channel(10_000);
        let (clients, dead) = (Mutex::default(), CancellationToken::new());
        let shared = Arc::new(Shared { clients, read: tell, delicate, awake: watch::Sender::new(true), dead });
        let of = shared.clone();
        tokio::spawn(shared.dead.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(of.dead.clone().run_until_cancelled_owned(of.clone().serve(stream)));
            }
        }));
        Self { port, shared, read }
    }

    /// Dies with all its connections, and another takes its port. What the first one had read besides.
    pub(crate) async fn restart(&mut self) -> Vec<Read> {
        self.shared.dead.cancel();
        // When all its sockets are closed, nobody tells anything any more.
        let delicate = self.shared.delicate;
        let (awake, clients) = (watch::Sender::new(true), Mutex::default());
        let (read, dead) = (mpsc::channel(1).0, CancellationToken::new());
        self.shared = Arc::new(Shared { clients, read, delicate, awake, dead });
        let mut rest = Vec::new();
        while let Some(read) = self.read.recv().await {
            rest.push(read);
        }
        *self = Self::start(self.port, delicate).await;
        rest
    }

    /// Whether it looks for what comes.
    pub(crate) fn awake(&self, awake: bool) {
        self.shared.awake.send_replace(awake);
    }

    /// The next thing that it read.
    pub(crate) async fn next(&mut self) -> Read {
        tokio::time::timeout(LONG * 10, self.read.recv()).await.expect("something is read").expect("it lives")
    }

    /// The next texts, or commands, of somebody; nobody else says anything.
    pub(crate) async fn texts(&mut self, of: &str, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            match self.next().await {
                Read::Object(from, _, data) if from == of => texts.push(data),
                other => panic!("{other:?} after {texts:?}"),
            }
        }
        texts
    }

    /// Waits until somebody is there.
    pub(crate) async fn named(&mut self, name: &str) {
        assert_eq!(self.next().await, Read::Name(name.into()));
    }

    /// Writes these bytes to a client.
    pub(crate) fn write(&self, to: &str, bytes: impl Into<Vec<u8>>) {
        self.shared.clients.lock().unwrap()[to].try_send(bytes.into()).unwrap();
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        self.shared.dead.cancel();
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let (mut from, mut to) = stream.into_split();
        let (write, mut written) = mpsc::channel::<Vec<u8>>(10_000);
        let Some(first) = self.recv(&mut from).await else { return };
        let Some(name) = object(&first).and_then(|object| Some(object["username"].as_str()?.to_owned())) else {
            return self.cannot_read(first);
        };
        self.clients.lock().unwrap().insert(name.clone(), write);
        self.tell(Read::Name(name.clone()));
        let writing = async {
            while let Some(mut bytes) = written.recv().await {
                while let Ok(more) = written.try_recv() {
                    bytes.extend(more);
                }
                to.write_all(&bytes).await.ok()?;
            }
            None::<()>
        };
        tokio::select! {
            () = self.hear(&name, &mut from) => {}
            _ = writing => {}
        }
        self.clients.lock().unwrap().remove(&name);
        self.relay(&name, &written_as("system_message", &name, &format!("Client '{name}' left the chat")));
        self.tell(Read::Left(name));
    }

    async fn hear(&self, name: &str, from: &mut OwnedReadHalf) {
        while let Some(bytes) = self.recv(from).await {
            let read = object(&bytes).and_then(|object| {
                Some((object["message_type"].as_str()?.to_owned(), object["data"].as_str()?.to_owned()))
            });
            let Some((kind, data)) = read else {
                self.cannot_read(bytes);
                continue;
            };
            self.tell(Read::Object(name.into(), kind.clone(), data.clone()));
            if kind != "command" {
                self.relay(name, &written_as("message", name, &data));
                continue;
            }
            let answer = match data.as_str() {
                "cmd!client_exit" | "cmd!error" => return,
                "cmd!participants_count" => format!("Participants count: {}", self.clients.lock().unwrap().len()),
                "cmd!current_time" => "Current time: 22:46:57".into(),
                _ => format!("The command: '{data}' is not supported by the server"),
            };
            let answer = written_as("system_message", name, &answer).into_bytes();
            let _ = self.clients.lock().unwrap()[name].try_send(answer);
        }
    }

    /// What is there when it looks, five times a second.
    async fn recv(&self, from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
        crate::common::clock::passes(POLL).await;
        from.readable().await.ok()?;
        self.awake.subscribe().wait_for(|awake| *awake).await.ok()?;
        let mut buffer = vec![0; 1024];
        let read = from.read(&mut buffer).await.ok()?;
        buffer.truncate(read);
        (read > 0).then_some(buffer)
    }

    fn cannot_read(&self, bytes: Vec<u8>) {
        self.tell(Read::Unreadable(bytes));
        if self.delicate {
            self.dead.cancel();
        }
    }

    fn relay(&self, from: &str, object: &str) {
        for (name, way) in &*self.clients.lock().unwrap() {
            if name != from {
                let _ = way.try_send(object.as_bytes().to_vec());
            }
        }
    }

    fn tell(&self, read: Read) {
        let _ = self.read.try_send(read);
    }
}

/// All of the bytes as one object.
fn object(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok().filter(Value::is_object)
}

/// An object as Python writes it.
pub(crate) fn written_as(kind: &str, sender: &str, data: &str) -> String {
    format!(r#"{{"message_type": "{kind}", "sender": {}, "data": {}}}"#, ascii(sender), ascii(data))
}

fn ascii(text: &str) -> String {
    let mut out = String::new();
    for unit in Value::from(text).to_string().encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => out.push(char::from(byte)),
            _ => write!(out, "\\u{unit:04x}").unwrap(),
        }
    }
    out
}

/// How often it looks.
const POLL: Duration = Duration::from_millis(200);
