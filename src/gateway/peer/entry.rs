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
use crate::name::{NameError, RoomName, UserName, is_reserved};
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

/// The text does not say which room is whom where: which part of it is wrong, and what would be right.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum RoomEntryError {
    /// Something is missing, or is written otherwise.
    #[error("a room for peers is ROOM=NAME@PROTOCOL:PORT")]
    Form,
    /// No room can be called that.
    #[error("ROOM in ROOM=NAME@PROTOCOL:PORT: {0}")]
    Room(NameError),
    /// Nobody in a registry can be called that.
    #[error("NAME in ROOM=NAME@PROTOCOL:PORT: {0}")]
    Name(NameError),
    /// Rooms do not listen by it.
    #[error("PROTOCOL in ROOM=NAME@PROTOCOL:PORT is http, websocket or udp")]
    Protocol,
    /// It is none.
    #[error("PORT in ROOM=NAME@PROTOCOL:PORT is a number from 0 to 65535")]
    Port,
}

impl FromStr for RoomEntry {
    type Err = RoomEntryError;

    fn from_str(text: &str) -> Result<Self, RoomEntryError> {
        let parts = || {
            let (room, rest) = text.split_once('=')?;
            let (name, rest) = rest.split_once('@')?;
            let (protocol, port) = rest.split_once(':')?;
            Some((room, name, protocol, port))
        };
        let (room, name, protocol, port) = parts().ok_or(RoomEntryError::Form)?;
        let room = RoomName::new(room).map_err(RoomEntryError::Room)?;
        if is_reserved(name) {
            return Err(RoomEntryError::Name(NameError::Reserved));
        }
        let name = UserName::new(name).map_err(RoomEntryError::Name)?;
        let protocol = Protocol::new(protocol).ok().filter(Protocol::is_standard);
        let protocol = protocol.ok_or(RoomEntryError::Protocol)?;
        let port = if port == "0" { 0 } else { parse_port(port).map_err(|_| RoomEntryError::Port)? };
        Ok(Self { room, name, protocol, port })
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
        for (bad, why) in [
            ("", RoomEntryError::Form),
            ("lobby", RoomEntryError::Form),
            ("lobby@http:1", RoomEntryError::Form),
            ("a=b", RoomEntryError::Form),
            ("a=b@http", RoomEntryError::Form),
            ("a=b@http:", RoomEntryError::Port),
            ("a=b@http:65536", RoomEntryError::Port),
            ("a=b@http:+1", RoomEntryError::Port),
            ("a=b@tcp:1", RoomEntryError::Protocol),
            ("a=b@:1", RoomEntryError::Protocol),
            ("=b@http:1", RoomEntryError::Room(NameError::Empty)),
            ("a=@http:1", RoomEntryError::Name(NameError::Empty)),
            ("a b=c@http:1", RoomEntryError::Room(NameError::Character(' '))),
            ("a=b c@http:1", RoomEntryError::Name(NameError::Character(' '))),
            ("a=talk@http:1", RoomEntryError::Name(NameError::Reserved)),
            ("a=System@udp:1", RoomEntryError::Name(NameError::Reserved)),
            ("a=b@http:1:2", RoomEntryError::Port),
            ("a=b@http://x:1", RoomEntryError::Port),
            ("..=b@http:1", RoomEntryError::Room(NameError::Dots)),
        ] {
            assert_eq!(bad.parse::<RoomEntry>(), Err(why), "{bad}");
        }
    }
}
