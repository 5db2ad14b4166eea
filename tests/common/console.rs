//! A console port, and clients of it that know nothing but the wire.

use std::time::Duration;

use serde_json::{Value, json};
use talk::bot::Bots;
use talk::gateway::{Console, ConsoleEvents, Context, Gateway};
use talk::hub::Hub;
use talk::limits::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A console port of its own, stopped by [`Server::stop`] or by being dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) hub: Hub,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// Without a rate, and where time flies.
    pub(crate) async fn start() -> Self {
        let mut limits = Limits::default();
        limits.commands_per_second = 0;
        Self::with(&limits).await
    }

    /// Where time flies.
    pub(crate) async fn with(limits: &Limits) -> Self {
        time_flies();
        Self::over(Hub::with_limits(limits)).await
    }

    pub(crate) async fn over(hub: Hub) -> Self {
        Self::of(bind().await, hub)
    }

    /// The same with what happens there.
    pub(crate) async fn telling(hub: Hub, texts: bool) -> (Self, ConsoleEvents) {
        let mut port = bind().await;
        let events = port.events(hub.limits(), texts);
        (Self::of(port, hub), events)
    }

    pub(crate) fn of(port: Console, hub: Hub) -> Self {
        let stop = CancellationToken::new();
        let context = Context::new(hub.clone(), stop.clone());
        let local = port.local_addr().port();
        Self { port: local, hub, stop, task: tokio::spawn(Box::new(port).serve(context)) }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(LONG, self.task).await.unwrap().unwrap();
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::over(super::raw::connect(self.port).await)
    }

    /// A client who has said its name, and is in the room: asking for the count is answered when it is.
    pub(crate) async fn join(&self, name: &str) -> Client {
        let mut client = self.connect().await;
        client.write(json!({ "username": name }).to_string()).await;
        client.command("cmd!participants_count").await;
        loop {
            let heard = client.hear().await;
            if heard["data"].as_str().unwrap().starts_with("Participants count: ") {
                assert_eq!(heard["message_type"], "system_message");
                return client;
            }
        }
    }
}

/// A port with the bots that every server has.
async fn bind() -> Console {
    let port = Console::bind(&"127.0.0.1".parse().unwrap(), 0).await.unwrap();
    port.bots(Bots::standard())
}

/// One client.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// What was read and not heard yet.
    read: Vec<u8>,
}

impl Client {
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.write(object("message", text)).await;
    }

    pub(crate) async fn command(&mut self, typed: &str) {
        self.write(object("command", typed)).await;
    }

    /// The next object, as it was written.
    pub(crate) async fn raw(&mut self) -> String {
        self.next().await.expect("an object")
    }

    pub(crate) async fn hear(&mut self) -> Value {
        serde_json::from_str(&self.raw().await).unwrap()
    }

    /// What the next object says, and who.
    pub(crate) async fn heard(&mut self) -> (String, String) {
        let heard = self.hear().await;
        let text = |key: &str| heard[key].as_str().unwrap().to_owned();
        (text("sender"), text("data"))
    }

    /// Whether it is closed without another byte.
    pub(crate) async fn ends(&mut self) -> bool {
        self.next().await.is_none()
    }

    /// How many objects have come that were not heard.
    pub(crate) fn waiting(&self) -> usize {
        serde_json::Deserializer::from_slice(&self.read).into_iter::<Value>().filter(Result::is_ok).count()
    }

    /// The next object; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            let mut objects = serde_json::Deserializer::from_slice(&self.read).into_iter::<Value>();
            match objects.next() {
                Some(Ok(_)) => {
                    let rest = self.read.split_off(objects.byte_offset());
                    let object = std::mem::replace(&mut self.read, rest);
                    return Some(String::from_utf8(object).unwrap());
                }
                Some(Err(error)) => assert!(error.is_eof(), "{error}"),
                None => {}
            }
            let read = timeout(LONG, self.stream.read_buf(&mut self.read)).await.expect("something in time");
            if !read.is_ok_and(|read| read > 0) {
                assert!(self.read.is_empty(), "the end came amid an object");
                return None;
            }
        }
    }
}

pub(crate) fn object(kind: &str, data: &str) -> String {
    json!({ "message_type": kind, "data": data }).to_string()
}

pub(crate) fn message(sender: &str, data: &str) -> String {
    heard("message", sender, data)
}

pub(crate) fn system(sender: &str, data: &str) -> String {
    heard("system_message", sender, data)
}

/// The bytes of an object that a client hears: in this order, without spaces.
fn heard(kind: &str, sender: &str, data: &str) -> String {
    let (sender, data) = (Value::from(sender), Value::from(data));
    format!(r#"{{"message_type":"{kind}","sender":{sender},"data":{data}}}"#)
}

/// From here on time passes faster than on the wall, but no faster than what happens on the sockets of this thread: a
/// clock that is merely paused would skip what is on its way there.
pub(crate) fn time_flies() {
    tokio::time::pause();
    tokio::spawn(async {
        loop {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            tokio::time::advance(STEP).await;
        }
    });
}

/// Far longer than anything here takes: what hangs fails instead.
const LONG: Duration = Duration::from_secs(300);
/// How far time goes at once, and how often everybody has a turn before.
const STEP: Duration = Duration::from_millis(10);
const TURNS: usize = 130;
/// The time from one object to the next.
pub(crate) const PACE: Duration = Duration::from_millis(250);
