//! Minechat's two ports in front of a hub, and clients that are no more than sockets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use talk::gateway::{Context, Gateway, MinechatListen, MinechatWrite};
use talk::hub::{Hub, Seat};
use talk::limits::Limits;
use talk::message::Command;
use talk::name::RoomName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) const HELLO: &str = "Hello %username%! Enter your personal hash or leave it empty to create new account.\n";
pub(crate) const NICKNAME: &str = "Enter preferred nickname below:\n";
pub(crate) const WELCOME: &str = "Welcome to chat! Post your message below. End it with an empty line.\n";
pub(crate) const SENT: &str = "Message send. Write more, end message with an empty line.\n";
/// Far longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Both ports, as long as this is held.
pub(crate) struct Wire {
    pub(crate) hub: Hub,
    pub(crate) listen: SocketAddr,
    pub(crate) write: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinSet<()>,
    probe: Seat,
    probed: AtomicUsize,
}

impl Wire {
    pub(crate) async fn start() -> Self {
        Self::with(Hub::new(), None).await
    }

    pub(crate) async fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::with(Hub::with_limits(&limits), None).await
    }

    pub(crate) async fn with(hub: Hub, heartbeat: Option<Duration>) -> Self {
        let host = "127.0.0.1".parse().unwrap();
        let mut listen = MinechatListen::bind(&host, 0).await.unwrap();
        if let Some(silence) = heartbeat {
            listen = listen.heartbeat(silence);
        }
        let write = MinechatWrite::bind(&host, 0).await.unwrap();
        let stop = CancellationToken::new();
        let context = Context::new(hub.clone(), stop.clone());
        let (at, to) = (listen.local_addr(), write.local_addr());
        let mut serving = JoinSet::new();
        serving.spawn(Box::new(listen).serve(context.clone()));
        serving.spawn(Box::new(write).serve(context));
        let (mut probe, _) = hub.sit("probe").await.unwrap();
        probe.run(Command::Enter(RoomName::global())).await.unwrap();
        Self { hub, listen: at, write: to, stop, serving, probe, probed: AtomicUsize::new(0) }
    }

    /// A connection to the write port, which has read nothing.
    pub(crate) async fn writer(&self) -> Client {
        Client::connect(self.write).await
    }

    /// A connection to the listen port that hears what is said from now on.
    pub(crate) async fn listener(&mut self) -> Client {
        let mut client = Client::connect(self.listen).await;
        let first = self.probed.load(Ordering::SeqCst) + 1;
        // Nothing tells when a listener is there, but that it hears something.
        for _ in 0..1000 {
            self.probe().await;
            tokio::select! {
                biased;
                _ = client.0.fill_buf() => break,
                () = a_while() => {}
            }
        }
        let last = self.probed.load(Ordering::SeqCst);
        let heard = client.line().await;
        let n: usize = heard.strip_prefix("probe: ").unwrap().trim_end().parse().unwrap();
        assert!((first..=last).contains(&n), "what was said before is not heard: {heard}");
        for n in n + 1..=last {
            assert_eq!(client.line().await, format!("probe: {n}\n"));
        }
        client
    }

    /// Says something that every listener hears.
    pub(crate) async fn probe(&mut self) -> String {
        let n = self.probed.fetch_add(1, Ordering::SeqCst) + 1;
        self.probe.run(Command::Say { room: None, body: n.to_string().into(), id: None }).await.unwrap();
        format!("probe: {n}\n")
    }

    /// A writer with a new account of that name, and the account's hash.
    pub(crate) async fn registered(&self, nickname: &str) -> (Client, String) {
        let mut writer = self.writer().await;
        writer.write(&format!("\n{nickname}\n")).await;
        writer.expect(HELLO).await;
        writer.expect(NICKNAME).await;
        let (named, hash) = writer.account().await;
        assert_eq!(named, nickname);
        writer.expect(WELCOME).await;
        (writer, hash)
    }
}

pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next line with its end; empty at the end of all.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(LONG, self.0.read_line(&mut line)).await.expect("a line in time").unwrap();
        line
    }

    pub(crate) async fn expect(&mut self, line: &str) {
        assert_eq!(self.line().await, line);
    }

    /// Reads the line that tells whose account it is, byte by byte as it must be.
    pub(crate) async fn account(&mut self) -> (String, String) {
        let line = self.line().await;
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        let (nickname, hash) = (text("nickname"), text("account_hash"));
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let (name, key) = (quoted(&nickname), quoted(&hash));
        assert_eq!(line, format!("{{\"nickname\": {name}, \"account_hash\": {key}}}\n"));
        (nickname, hash)
    }

    /// What comes until the server closes.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = String::new();
        timeout(LONG, self.0.read_to_string(&mut rest)).await.expect("an end in time").unwrap();
        rest
    }

    /// Whether the server closes the connection, by whatever way.
    pub(crate) async fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        timeout(LONG, self.0.read_to_end(&mut rest)).await.is_ok()
    }
}

/// Lets everybody else do what there is to do. No clock has a part in it.
async fn a_while() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Lets paused time pass step by step, with all that happens meanwhile.
pub(crate) async fn pass(time: Duration) {
    let steps = time.as_millis().div_ceil(STEP.as_millis());
    for _ in 0..steps {
        tokio::time::advance(STEP).await;
        a_while().await;
    }
}

/// Shorter than notices wait for company.
const STEP: Duration = Duration::from_millis(100);

/// Keeps paused time from running by itself while a socket is waited for.
pub(crate) fn hold_the_clock() {
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
}
