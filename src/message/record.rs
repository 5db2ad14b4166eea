//! What a room keeps: records in one order.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use super::{MessageId, Timestamp};
use crate::name::RoomName;

/// Who somebody is, whatever they are called at the moment: a UUIDv7 (RFC 9562). Everything durable is kept under it.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UserId(Uuid);

impl UserId {
    /// Makes a new id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }

    /// Takes the 16 bytes of a stored id.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// Where records go: a room, or one user's direct messages, which are a room of their own with an order of their own.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RoomKey {
    /// A room that many may enter.
    Room(RoomName),
    /// What was said to one user alone.
    Direct(UserId),
}

impl RoomKey {
    /// Reads what its display text says.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        match key.strip_prefix('@') {
            // Of a UUID's many spellings the one that is written here.
            Some(user) if user.len() == 32 && !user.bytes().any(|b| b.is_ascii_uppercase()) => {
                Uuid::try_parse(user).ok().map(|user| Self::Direct(UserId(user)))
            }
            Some(_) => None,
            None => RoomName::new(key).ok().map(Self::Room),
        }
    }
}

impl fmt::Display for RoomKey {
    /// The room's name, or `@` and the user's id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(name) => f.pad(name.as_str()),
            Self::Direct(user) => write!(f, "@{user}"),
        }
    }
}

/// Which life of a history a position belongs to. Positions of different epochs cannot be compared.
///
/// Opaque: 1 to 64 bytes without control characters.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(Arc<str>);

/// The text is no epoch: empty, too long, or with a control character.
#[derive(Clone, Copy, Debug, Error, Eq, PartialEq)]
#[error("an epoch is 1 to {MAX_EPOCH} bytes without control characters")]
pub struct EpochError;

const MAX_EPOCH: usize = 64;

impl Epoch {
    /// Takes an epoch that was made before.
    ///
    /// # Errors
    /// [`EpochError`].
    pub fn new(epoch: &str) -> Result<Self, EpochError> {
        if epoch.is_empty() || epoch.len() > MAX_EPOCH || epoch.chars().any(char::is_control) {
            return Err(EpochError);
        }
        Ok(Self(epoch.into()))
    }

    /// Makes a new epoch.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7().simple().to_string().into())
    }

    /// The epoch as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a room's order.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Position {
    /// Which life of the history.
    pub epoch: Epoch,
    /// Rises with every message of the room within the epoch, and need not be dense; 0 is before the first.
    pub seq: u64,
}

/// One message as a room keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Where it was said.
    pub room: RoomKey,
    /// Its place in the room's order, from 1.
    pub seq: u64,
    /// The room's previous seq, 0 for the first: a reader who last saw another has a gap.
    pub prev: u64,
    /// When the server took it.
    pub at: Timestamp,
    /// Who said it.
    pub user: UserId,
    /// What they were called then; stamped by the server.
    pub from: Arc<str>,
    /// The sender's own id for it, by which a repetition is recognised.
    pub id: Option<MessageId>,
    /// What was said.
    pub body: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_survive_their_bytes_and_rise_with_time() {
        let (one, two) = (UserId::random(), UserId::random());
        assert_eq!(UserId::from_bytes(*one.as_bytes()), one);
        assert!(one < two);
        assert_eq!(one.to_string().len(), 32);
    }

    #[test]
    fn a_direct_room_cannot_be_mistaken_for_a_named_one() {
        let direct = RoomKey::Direct(UserId::random()).to_string();
        assert!(direct.starts_with('@') && RoomName::new(&direct).is_err());
        assert_eq!(RoomKey::Room(RoomName::global()).to_string(), "global");
    }

    #[test]
    fn a_room_is_read_as_it_is_written_and_in_no_other_spelling() {
        let user = UserId::from_bytes([0xab; 16]);
        for key in [RoomKey::Direct(user), RoomKey::Room(RoomName::global())] {
            assert_eq!(RoomKey::parse(&key.to_string()), Some(key));
        }
        let hyphens = Uuid::from_bytes(*user.as_bytes()).hyphenated();
        for other in [
            format!("@{hyphens}"),
            format!("@{{{hyphens}}}"),
            format!("@urn:uuid:{hyphens}"),
            format!("@{:X}", hyphens),
        ] {
            assert_eq!(RoomKey::parse(&other), None, "{other}");
        }
        for bad in ["", "@", "@bob", "a b", "..", &format!("@@{user}"), &format!("{user}@"), &"x".repeat(65)] {
            assert_eq!(RoomKey::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn epochs_are_opaque_and_bounded() {
        assert_ne!(Epoch::random(), Epoch::random());
        assert!(Epoch::new(&"e".repeat(64)).is_ok());
        for bad in ["", "a\nb", &"e".repeat(65)] {
            assert_eq!(Epoch::new(bad), Err(EpochError));
        }
    }
}
