//! Talk: one chat engine, many wires.
//!
//! A *peer* is a user who listens at an address of their own (over HTTP, UDP or WebSocket), is found by name through
//! a *registry*, and sends texts to others, whatever their protocol. The binaries `registry` and `talk-client` are
//! thin shells over what is here:
//!
#![cfg_attr(feature = "net", doc = "```")]
#![cfg_attr(not(feature = "net"), doc = "```text")]
//! use std::sync::Arc;
//! use talk::registry::{self, Registry, RegistryClient};
//! use talk::{Address, Event, Peer, Protocol};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), talk::Error> {
//!     // Usually another process: `registry --port 8088`.
//!     let users = Arc::new(talk::store::MemoryRegistry::default());
//!     let server = Registry::bind(&"127.0.0.1".parse()?, 0, registry::service(users)).await?;
//!     let registry = RegistryClient::new(&format!("http://{}", server.local_addr()))?;
//!     tokio::spawn(server.serve(std::future::pending()));
//!
//!     let bob = Peer::builder("bob".parse()?).registry(registry.clone());
//!     let (bob, mut heard) = bob.listen(Address::loopback(Protocol::UDP, 0)).start().await?;
//!     let alice = Peer::builder("alice".parse()?).registry(registry);
//!     let (alice, _events) = alice.listen(Address::loopback(Protocol::WEBSOCKET, 0)).start().await?;
//!
//!     alice.send(bob.name(), "hello").await?;
//!     while let Some(event) = heard.next().await {
//!         if let Event::Message(message) = event {
//!             assert_eq!((message.from.as_str(), &*message.text), ("alice", "hello"));
//!             break;
//!         }
//!     }
//!     alice.shutdown().await?;
//!     bob.shutdown().await?;
//!     Ok(())
//! }
//! ```
//!
//! # Where to look
//! - [`peer`]: the engine of the program above: [`Peer`], [`Event`].
//! - [`transport`]: the [`Transport`] trait, its three implementations, and what it takes to plug in an own one.
//! - [`registry`]: the REST service as a hyper `Service` to mount anywhere, its server, and a client that also works
//!   with registries of other makes.
//! - [`store`]: where a registry keeps its users, and rooms theirs with what was said and which rules hold: in memory, or
//!   in SQLite, where an answered write is on disk.
//! - [`hub`]: rooms: users, sessions, one order per room, and the fan-out to every member.
//! - [`gateway`]: sockets before a hub: sign-in over HTTP, and the room protocol over WebSocket; and what is said, to syslog.
//! - [`bot`]: bots that answer in rooms, and the trait for one's own.
//! - [`client`]: taking part in a chat that somebody else serves: texts that are not lost, connections that come back.
//! - `server` (feature `server`): rooms and the registry in one, as `talk-server` runs them.
//! - [`tape`]: what connections hear and write, for a recorder of one's own; `server` has one that writes files.
//! - [`codec`]: the wires as pure functions. [`text`]: what makes a stranger's text safe to show.
//! - [`limits`]: every bound, with its unit, default and reason.
//!
//! # Features
//! - `net` (default): sockets: transports, registry, peer.
//! - `sqlite` (default): the stores on SQLite.
//! - `server` (default): the message server that `talk-server` runs.
//! - `terminal` (default): what the binaries need besides.
//! - `testing`: the conformance suites for own transports and stores, in `talk::testing`.
//!
//! Without features there are names, addresses, messages, codecs, the traits, and the stores in memory.
//!
//! The library prints nothing, installs nothing, reads no environment and starts no runtime; it logs by `tracing`.

pub mod address;
#[cfg(feature = "net")]
pub mod bot;
#[cfg(feature = "net")]
pub mod client;
pub mod codec;
#[cfg(feature = "net")]
mod error;
#[cfg(any(feature = "net", feature = "sqlite"))]
mod files;
#[cfg(feature = "net")]
pub mod gateway;
pub mod hub;
pub mod limits;
pub mod measure;
pub mod message;
pub mod name;
#[cfg(feature = "net")]
mod net;
#[cfg(feature = "net")]
pub mod peer;
#[cfg(feature = "net")]
pub mod registry;
pub mod secret;
#[cfg(feature = "server")]
pub mod server;
pub mod store;
#[cfg(feature = "net")]
pub mod tape;
#[cfg(feature = "terminal")]
pub mod terminal;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;
pub mod transport;

pub use address::{Address, Entry, Host, Protocol};
pub use limits::Limits;
pub use message::Message;
pub use name::UserName;
pub use secret::Secret;
pub use transport::{Sent, Transport};

#[cfg(feature = "net")]
pub use error::Error;
#[cfg(feature = "net")]
pub use peer::{Event, Events, Peer};

#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;
