//! A fourth transport, complete: messages over Unix sockets, plugged in without touching the crate.
//!
//! ```text
//! cargo run --example own_transport
//! ```
//!
//! An address is `unix:PATH`. Each message is one JSON line on a connection of its own, in the peers' format; the
//! listener answers one line, `{"ack":"<id>"}` when the inbox took it and `busy` when it is full. `tests/own_transport.rs`
//! runs the public suite of all transports against it.

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
use talk::transport::{Inbox, Incoming, Sent, Transport, TransportError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Messages over Unix sockets. Cloning is not needed: share it in an `Arc`.
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
        let taken = || failed(io::ErrorKind::AddrInUse.into());
        // A path stays when its listener ends: where nobody answers it may be taken over.
        match UnixStream::connect(path).await {
            Ok(_) => return Err(taken()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed)?;
            }
            Err(_) => {}
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
            Ok::<_, io::Error>(answer)
        };
        match tokio::time::timeout(self.limits.request_timeout, exchange).await {
            Err(_) => Err(TransportError::TimedOut { at: at.clone() }),
            Ok(Err(error)) => Err(unreachable(at, &error)),
            Ok(Ok(answer)) => match decode(&answer, limit) {
                Ok(Frame::Ack(acknowledged)) if acknowledged == id => Ok(Sent::Delivered),
                _ if answer == BUSY => Err(TransportError::Busy { at: at.clone() }),
                _ => Err(TransportError::TimedOut { at: at.clone() }),
            },
        }
    }

    async fn probe(&self, to: &Entry) -> Result<(), TransportError> {
        let connected = UnixStream::connect(path(&to.address)?).await;
        connected.map(drop).map_err(|error| unreachable(&to.address, &error))
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
    let known = Arc::new(Mutex::new(Vec::new()));
    loop {
        tokio::select! {
            () = inbox.stopped().cancelled() => return,
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if open.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    let work = hear(stream, inbox.clone(), limits.clone(), known.clone());
                    open.spawn(tokio::time::timeout(limits.body_timeout, work));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

/// Hears one line and answers it. What is no message is counted and gets no answer.
async fn hear(stream: UnixStream, inbox: Inbox, limits: Limits, known: Arc<Mutex<Vec<MessageId>>>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    let most = limits.frame as u64;
    BufReader::new(read.take(most)).read_until(b'\n', &mut line).await?;
    let message = match decode(&line, limits.message) {
        Ok(Frame::Message(message, _)) => message,
        // A probe only connects.
        _ if line.is_empty() => return Ok(()),
        _ => {
            inbox.count_lost();
            return Ok(());
        }
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
fn taken(message: Message, inbox: &Inbox, known: &Mutex<Vec<MessageId>>) -> bool {
    let id = message.id.clone();
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if id.as_ref().is_some_and(|id| known.contains(id)) {
        return true;
    }
    if inbox.offer(message).is_err() {
        return false;
    }
    if known.len() == MOST_KNOWN {
        known.remove(0);
    }
    known.extend(id);
    true
}

const BUSY: &[u8] = b"busy";
const LONGEST_ANSWER: u64 = 1024;
const MOST_CONNECTIONS: usize = 256;
const MOST_KNOWN: usize = 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir();
    let path = |name: &str| directory.join(format!("talk-{name}-{}.sock", std::process::id())).display().to_string();
    let (ann, bob) = (Unix::new(&Limits::default()), Unix::new(&Limits::default()));
    let (at_ann, at_bob) = (Unix::address(&path("ann"))?, Unix::address(&path("bob"))?);
    let (mut to_ann, mut to_bob) = (ann.listen(&at_ann).await?, bob.listen(&at_bob).await?);
    let hello = Message::new(UserName::new("ann")?, "hello over a Unix socket");
    println!("ann sends: {:?}", ann.send(&Entry::acknowledging(at_bob), &hello).await?);
    if let Some(heard) = to_bob.next().await {
        println!("bob hears {}: {}", heard.from, heard.text);
        let answer = Message::new(UserName::new("bob")?, "and hello back");
        println!("bob sends: {:?}", bob.send(&Entry::acknowledging(at_ann), &answer).await?);
    }
    if let Some(heard) = to_ann.next().await {
        println!("ann hears {}: {}", heard.from, heard.text);
    }
    for name in ["ann", "bob"] {
        std::fs::remove_file(path(name))?;
    }
    Ok(())
}
