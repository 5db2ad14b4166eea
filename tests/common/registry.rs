//! A registry on a socket, its binary as a process, and a client that sends exactly the bytes it is told to.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use talk::limits::Limits;
use talk::registry::{Registry, service};
use talk::store::{MemoryRegistry, RegistryStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far more than anything here takes; only a hang meets it.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Server {
    pub at: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(&Limits::default()).await
    }

    pub async fn with(limits: &Limits) -> Self {
        Self::over(Arc::new(MemoryRegistry::new(limits)), limits).await
    }

    pub async fn over(store: Arc<dyn RegistryStore>, limits: &Limits) -> Self {
        Self::configured(store, limits, |registry| registry).await
    }

    pub async fn configured(
        store: Arc<dyn RegistryStore>,
        limits: &Limits,
        configure: impl FnOnce(Registry) -> Registry,
    ) -> Self {
        let service = service(store).limits(limits);
        let registry = configure(Registry::bind(&"127.0.0.1".parse().unwrap(), 0, service).await.unwrap());
        let at = registry.local_addr();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            registry.serve(async { stopped.await.unwrap_or(()) }).await.unwrap();
        });
        Self { at, stop: Some(stop), task }
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.at).await
    }

    /// One request on its own connection.
    pub async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.connect().await.ask(method, target, headers, body).await
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], "").await
    }

    pub async fn put(&self, name: &str, port: u16) -> Answer {
        let body = format!(r#"{{"protocol":"UDP","host":"127.0.0.1","port":{port}}}"#);
        self.ask("PUT", &format!("/v1/users/{name}"), &[JSON], &body).await
    }

    /// The list of users as version 1 shows it.
    pub async fn users(&self) -> Value {
        let answer = self.get("/v1/users").await;
        assert_eq!(answer.status, 200);
        answer.json()
    }

    pub async fn stop(mut self) {
        drop(self.stop.take());
        timeout(PATIENCE, &mut self.task).await.expect("the registry stops").unwrap();
    }
}

pub const JSON: (&str, &str) = ("content-type", "application/json");
pub const V2: (&str, &str) = ("content-type", "application/vnd.talk.v2+json");
pub const ACCEPT_V2: (&str, &str) = ("accept", "application/vnd.talk.v2+json, application/json;q=0.5");

/// A connection that sends bytes as they are.
pub struct Client {
    incoming: OwnedReadHalf,
    /// `None` after a split.
    outgoing: Option<OwnedWriteHalf>,
    read: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// Asserts a refusal with this status, as a problem document that says something.
    #[track_caller]
    pub fn refused(&self, status: u16, what: &str) {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{what}: {body}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{what}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{what}");
        assert!(problem["detail"].as_str().is_some_and(|d| d.len() > 10), "{what}: {body}");
        assert!(problem["title"].is_string() && problem["type"] == "about:blank", "{what}: {body}");
    }
}

impl Client {
    pub async fn connect(at: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(at)).await.unwrap().unwrap();
        stream.set_nodelay(true).unwrap();
        let (incoming, outgoing) = stream.into_split();
        Self { incoming, outgoing: Some(outgoing), read: Vec::new() }
    }

    /// The same connection for reading, and its other direction for writing.
    pub fn split(mut self) -> (Self, OwnedWriteHalf) {
        let outgoing = self.outgoing.take().unwrap();
        (self, outgoing)
    }

    /// The rest of a request may find the connection closed; what counts is the answer.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.outgoing.as_mut().unwrap().write_all(bytes)).await.expect("the registry reads");
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) {
        let _ = self.outgoing.as_mut().unwrap().shutdown().await;
    }

    pub async fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send(&request(method, target, headers, body)).await;
        self.answer_to(method).await.expect("an answer")
    }

    pub async fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET").await
    }

    /// The next answer, or `None` at the end of the connection.
    pub async fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let head = loop {
            if let Some(end) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                let rest = self.read.split_off(end + 4);
                break std::mem::replace(&mut self.read, rest);
            }
            if !self.more().await {
                assert!(self.read.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(&self.read));
                return None;
            }
        };
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(n, _)| n == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
        let length = if method == "HEAD" || status == 100 { 0 } else { length };
        while self.read.len() < length {
            assert!(self.more().await, "half a body");
        }
        let rest = self.read.split_off(length);
        let body = std::mem::replace(&mut self.read, rest);
        Some(Answer { status, headers, body })
    }

    /// Whether the registry ends the connection without saying anything more.
    pub async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }

    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.incoming.read_buf(&mut self.read)).await.expect("an answer in time");
        read.is_ok_and(|read| read > 0)
    }
}

pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() || ["POST", "PUT"].contains(&method) {
        text += &format!("content-length: {}\r\n", body.len());
    }
    text += "\r\n";
    text += body;
    text.into_bytes()
}

/// The registry's binary, killed when dropped.
pub struct Process {
    pub child: Child,
    pub at: SocketAddr,
}

impl Process {
    /// Starts it on a data directory and waits for its readiness line.
    pub fn start(dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_registry"));
        command.args(["--port", "0", "--data"]).arg(dir);
        Self::spawn(command)
    }

    pub fn spawn(command: Command) -> Self {
        Self::spawn_logging(command, "warn")
    }

    pub fn spawn_logging(mut command: Command, level: &str) -> Self {
        let child = command.env("RUST_LOG", level).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the registry's binary runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.trim_end().strip_prefix("registry listening on http://").and_then(|at| at.parse().ok());
        Self { child, at: at.unwrap_or_else(|| panic!("no readiness line: {line:?}")) }
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
