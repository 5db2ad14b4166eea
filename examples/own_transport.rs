//! A fourth transport, complete: messages over Unix sockets, plugged in without touching the crate.
//!
//! ```text
//! cargo run --example own_transport
//! ```
//!
//! An address is `unix:PATH`. Each message is one JSON line on a connection of its own, in the peers' format; the
//! listener answers one line, `{"ack":"<id>"}` when the inbox took it and `busy` when it is full. `tests/own_transport.rs`
//! runs the public suite of all transports against it.

#![allow(clippy::print_stdout)]

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use talk::address::{Address, Entry, Protocol};
use talk::codec::talk::{Frame, decode, encode_ack, encode_v2};
use talk::limits::Limits;
use talk::message::{Message, MessageId};
use talk::name::UserName;
use talk::registry::{Registry, RegistryClient, service};
use talk::store::MemoryRegistry;
use talk::transport::{Inbox, Incoming, Sent, Transport, TransportError};
use talk::{Event, Peer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Messages over Unix sockets.
#[derive(Debug)]
pub struct Unix {
    limits: Limits,
    /// One send at a time, in the order in which they were asked for.
    turn: Semaphore,
}

impl Unix {
    /// A transport that keeps `message`, `inbox` and `request_timeout` of these limits.
    pub fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), turn: Semaphore::new(1) }
    }

    /// The address of a path.
    pub fn address(path: &str) -> Result<Address, talk::address::AddressError> {
        Address::other(Protocol::new("unix")?, path)
    }
}

#[async_trait]
impl Transport for Unix {
    fn protocol(&self) -> Protocol {
        Protocol::new("unix").expect("a valid name")
    }

    async fn listen(&self, at: &Address) -> Result<Incoming, TransportError> {
        let path = path(at)?;
        let failed = |source| TransportError::Listen { at: at.clone(), source };
        // A path stays when its listener ends: where nobody answers it may be taken over.
        if UnixStream::connect(path).await.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
            std::fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let (inbox, incoming) = Incoming::channel(at.clone(), self.limits.inbox);
        tokio::spawn(serve(listener, inbox, self.limits.clone()));
        Ok(incoming)
    }

    async fn send(&self, to: &Entry, message: &Message) -> Result<Sent, TransportError> {
        let at = &to.address;
        let path = path(at)?;
        let (bytes, limit) = (message.text.len(), self.limits.message);
        if bytes > limit {
            return Err(TransportError::TooLong { bytes, limit });
        }
        let _turn = self.turn.acquire().await.map_err(|_| TransportError::Closed)?;
        let id = message.id.clone().unwrap_or_else(MessageId::random);
        let exchange = async {
            let mut stream = UnixStream::connect(path).await?;
            let mut line = encode_v2(message, &id, None);
            line.push(b'\n');
            stream.write_all(&line).await?;
            let mut answer = Vec::new();
            stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
            Ok(answer)
        };
        match tokio::time::timeout(self.limits.request_timeout, exchange).await {
            Err(_) => Err(TransportError::TimedOut { at: at.clone() }),
            Ok(Err(error)) => Err(unreachable(at, &error)),
            Ok(Ok(answer)) if answer == BUSY => Err(TransportError::Busy { at: at.clone() }),
            Ok(Ok(answer)) if decode(&answer, limit) == Ok(Frame::Ack(id)) => Ok(Sent::Delivered),
            Ok(Ok(_)) => Err(TransportError::TimedOut { at: at.clone() }),
        }
    }

    async fn probe(&self, to: &Entry) -> Result<(), TransportError> {
        let found = UnixStream::connect(path(&to.address)?).await;
        found.map(drop).map_err(|error| unreachable(&to.address, &error))
    }
}

fn path(address: &Address) -> Result<&str, TransportError> {
    match address {
        Address::Other { protocol, locator } if protocol.as_str() == "UNIX" => Ok(locator.as_str()),
        _ => Err(TransportError::WrongAddress(address.clone())),
    }
}

fn unreachable(at: &Address, error: &io::Error) -> TransportError {
    TransportError::Unreachable { at: at.clone(), reason: error.to_string() }
}

/// Takes connections until the inbox is no longer wanted; those in progress end with it.
async fn serve(listener: UnixListener, inbox: Inbox, limits: Limits) {
    let mut open = JoinSet::new();
    let known = Known::default();
    loop {
        tokio::select! {
            () = inbox.stopped().cancelled() => return,
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if open.len() < limits.connections_per_address => match accepted {
                Ok((stream, _)) => drop(open.spawn(hear(stream, inbox.clone(), limits.clone(), known.clone()))),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

/// Whose ids came before, newest first.
type Known = Arc<Mutex<VecDeque<(UserName, MessageId)>>>;

/// Hears one line and answers it. What is no message is counted and gets no answer; a probe only connects.
async fn hear(stream: UnixStream, inbox: Inbox, limits: Limits, known: Known) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    let mut read = BufReader::new(read.take(limits.frame as u64));
    tokio::time::timeout(limits.body_timeout, read.read_until(b'\n', &mut line)).await??;
    let Ok(Frame::Message(message, _)) = decode(&line, limits.message) else {
        if !line.is_empty() {
            inbox.count_lost();
        }
        return Ok(());
    };
    let mut answer = Vec::new();
    if let Some(id) = &message.id {
        encode_ack(id, &mut answer);
    }
    if !taken(message, &inbox, &known) {
        answer = BUSY.to_vec();
    }
    write.write_all(&answer).await
}

/// Whether the inbox has the message, now or since it came before.
fn taken(message: Message, inbox: &Inbox, known: &Known) -> bool {
    let name = message.id.clone().map(|id| (message.from.clone(), id));
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let again = name.as_ref().is_some_and(|name| known.contains(name));
    if again || inbox.offer(message).is_err() {
        return again;
    }
    name.into_iter().for_each(|name| known.push_front(name));
    known.truncate(MOST_KNOWN);
    true
}

const BUSY: &[u8] = b"busy";
const LONGEST_ANSWER: u64 = 1024;
const MOST_KNOWN: usize = 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Registry::bind(&"127.0.0.1".parse()?, 0, service(Arc::new(MemoryRegistry::default()))).await?;
    let registry = RegistryClient::new(&format!("http://{}", server.local_addr()))?;
    tokio::spawn(server.serve(std::future::pending()));
    let directory = std::env::temp_dir().join(format!("talk-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let start = async |name: &str| {
        let at = Unix::address(&directory.join(name).display().to_string())?;
        let peer = Peer::builder(name.parse()?).registry(registry.clone());
        Ok::<_, Box<dyn Error>>(peer.transport(Arc::new(Unix::new(&Limits::default()))).listen(at).start().await?)
    };
    let ((ann, _), (bob, mut heard)) = (start("ann").await?, start("bob").await?);
    println!("ann sends: {:?}", ann.send(bob.name(), "hello over a Unix socket").await?);
    while let Some(event) = heard.next().await {
        if let Event::Message(message) = event {
            println!("bob hears {}: {}", message.from, message.text);
            break;
        }
    }
    for peer in [ann, bob] {
        peer.shutdown().await?;
    }
    Ok(std::fs::remove_dir_all(directory)?)
}
