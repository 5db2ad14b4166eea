//! The name of a room among peers: what it is told as, and how it stands in the registry.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::route::Shared;
use crate::address::{Address, Entry, Features, Placement, Protocol, parse_port};
use crate::name::{RoomName, UserName, is_reserved};
use crate::secret::Secret;
use crate::store::{Claim, StoreError};

/// A room that peers can write to, as an option says it: `ROOM=NAME@http:PORT`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RoomEntry {
    /// The room.
    pub room: RoomName,
    /// The user that it is in the registry.
    pub name: UserName,
    /// How it listens: HTTP, WebSocket or UDP.
    pub protocol: Protocol,
    /// At which port; with 0 the system chooses one.
    pub port: u16,
}

/// The text does not say which room is whom where.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a room for peers is ROOM=NAME@PROTOCOL:PORT, such as lobby=lobby@http:8090, with http, websocket or udp")]
pub struct RoomEntryError;

impl FromStr for RoomEntry {
    type Err = RoomEntryError;

    fn from_str(text: &str) -> Result<Self, RoomEntryError> {
        let parse = || {
            let (room, rest) = text.split_once('=')?;
            let (name, rest) = rest.split_once('@')?;
            let (protocol, port) = rest.split_once(':')?;
            let name = UserName::new(name).ok().filter(|name| !is_reserved(name.as_str()))?;
            let protocol = Protocol::new(protocol).ok().filter(Protocol::is_standard)?;
            let port = if port == "0" { 0 } else { parse_port(port).ok()? };
            Some(Self { room: RoomName::new(room).ok()?, name, protocol, port })
        };
        parse().ok_or(RoomEntryError)
    }
}

impl fmt::Display for RoomEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, name, protocol, port } = self;
        write!(f, "{room}={name}@{}:{port}", protocol.as_str().to_ascii_lowercase())
    }
}

/// A room's name in the registry, held for as long as it listens.
#[derive(Debug)]
pub(super) struct Registered {
    name: UserName,
    entry: Entry,
    secret: Secret,
}

impl Registered {
    /// What a room listening at `address` registers.
    pub(super) fn new(name: UserName, address: Address) -> Self {
        Self { name, entry: Entry { address, features: Features::of_room() }, secret: Secret::random() }
    }

    /// Registers, or says who has the name.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another has the name, and what befalls the store.
    pub(super) async fn begin(&self, shared: &Shared) -> Result<(), StoreError> {
        match self.insert(shared).await {
            // A server that ended without taking its leave stood where this one listens now.
            Err(StoreError::Taken) if self.is_left_over(shared).await? => {
                shared.registry.evict(&self.name, &self.entry.address, shared.clock.now()).await?;
                self.insert(shared).await
            }
            done => done,
        }
    }

    /// Renews until `stop`, and then takes the entry back. While it does not stand it is tried more often.
    pub(super) async fn keep(&self, shared: &Shared, stands: bool, stop: &CancellationToken) {
        let mut stands = stands;
        let wait = |stands| sleep(if stands { RENEW } else { RETRY });
        while stop.run_until_cancelled(wait(stands)).await.is_some() {
            let renewed = self.begin(shared).await;
            if renewed.is_ok() != stands {
                stands = renewed.is_ok();
                match renewed {
                    Ok(()) => info!(name = %self.name, "the room stands in the registry"),
                    Err(error) => warn!(name = %self.name, %error, "the room does not stand in the registry"),
                }
            }
        }
        if let Err(error) = shared.registry.remove(&self.name, Some(&self.secret), shared.clock.now()).await {
            warn!(name = %self.name, %error, "the room stays in the registry until its lease ends");
        }
    }

    async fn insert(&self, shared: &Shared) -> Result<(), StoreError> {
        let placement = Placement::of(&self.entry);
        let claim = Claim { placement, secret: Some(self.secret.clone()), ttl: Some(TTL) };
        shared.registry.insert(&self.name, &claim, shared.clock.now()).await
    }

    async fn is_left_over(&self, shared: &Shared) -> Result<bool, StoreError> {
        Ok(shared.entry(&self.name).await?.is_some_and(|entry| entry == self.entry))
    }
}

/// Seconds for which the entry stands without being renewed.
const TTL: u32 = 60;
const RENEW: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_entry_is_read_as_it_is_written() {
        for text in ["lobby=lobby@http:8090", "dev.x=Dev-1@udp:0", "a=b@websocket:65535"] {
            assert_eq!(text.parse::<RoomEntry>().unwrap().to_string(), text);
        }
        let upper: RoomEntry = "a=b@WebSocket:1".parse().unwrap();
        assert_eq!(upper.protocol, Protocol::WEBSOCKET);
        for bad in [
            "",
            "lobby",
            "lobby@http:1",
            "a=b",
            "a=b@http",
            "a=b@http:",
            "a=b@http:65536",
            "a=b@http:+1",
            "a=b@tcp:1",
            "a=b@:1",
            "=b@http:1",
            "a=@http:1",
            "a b=c@http:1",
            "a=b c@http:1",
            "a=talk@http:1",
            "a=System@udp:1",
            "a=b@http:1:2",
            "a=b@http://x:1",
            "..=b@http:1",
        ] {
            assert_eq!(bad.parse::<RoomEntry>(), Err(RoomEntryError), "{bad}");
        }
    }
}
