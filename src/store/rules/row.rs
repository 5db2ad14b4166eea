//! Rules as rows of the database: under whom they are kept, as JSON, with a checksum.

use std::net::IpAddr;
use std::sync::Arc;

use rusqlite::Row as SqlRow;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Ban, Mute, RoomRules, UserRules};
use crate::message::{RoomKey, Timestamp, UserId};
use crate::store::StoreError;
use crate::store::sqlite::Checksum;

/// A row to write.
pub(super) struct Row {
    pub(super) value: String,
    pub(super) checksum: i64,
}

/// What a row says: of a room under its key, of a user under that of their direct room.
#[derive(Debug)]
pub(super) enum Rules {
    Room(RoomRules),
    User(UserRules),
}

impl Rules {
    pub(super) fn entries(&self) -> usize {
        match self {
            Self::Room(rules) => rules.entries(),
            Self::User(rules) => rules.blocked.len(),
        }
    }
}

pub(super) fn of_room(key: &RoomKey, rules: &RoomRules) -> Result<Row, StoreError> {
    row(
        key,
        &StoredRoom {
            maker: rules.maker.map(Id),
            closed: rules.closed,
            bans: rules.bans.iter().map(StoredBan::from).collect(),
            mutes: rules.mutes.iter().map(StoredMute::from).collect(),
        },
    )
}

pub(super) fn of_user(key: &RoomKey, rules: &UserRules) -> Result<Row, StoreError> {
    let blocked = rules.blocked.iter().map(|(user, name)| (Id(*user), name.to_string()));
    row(key, &StoredUser { blocked: blocked.collect(), delivered: rules.delivered })
}

/// Reads and checks a row of key, value and checksum; an error names whose it is.
pub(super) fn read(row: &SqlRow<'_>) -> Result<(RoomKey, Rules), StoreError> {
    let key =
        row.get::<_, String>(0).map_err(|e| StoreError::Damaged(format!("a key of rules makes no sense: {e}")))?;
    parse(&key, row).map_err(|e| StoreError::Damaged(format!("the rules of {key}: {e}")))
}

fn parse(key: &str, row: &SqlRow<'_>) -> Result<(RoomKey, Rules), Box<dyn std::error::Error>> {
    let value: String = row.get(1)?;
    if row.get::<_, i64>(2)? != checksum(key, &value) {
        return Err("the checksum is wrong".into());
    }
    let key = RoomKey::parse(key).ok_or("it is neither a room nor a user")?;
    let rules = match &key {
        RoomKey::Room(_) => Rules::Room(serde_json::from_str::<StoredRoom>(&value)?.into()),
        RoomKey::Direct(_) => Rules::User(serde_json::from_str::<StoredUser>(&value)?.into()),
    };
    Ok((key, rules))
}

fn row(key: &RoomKey, value: &impl Serialize) -> Result<Row, StoreError> {
    let unwritable = |e| StoreError::Unavailable(format!("the rules of {key} cannot be written: {e}"));
    let value = serde_json::to_string(value).map_err(unwritable)?;
    Ok(Row { checksum: checksum(&key.to_string(), &value), value })
}

/// Over the key, too: a value under another's key is damage.
fn checksum(key: &str, value: &str) -> i64 {
    let mut sum = Checksum::new();
    sum.text(key);
    sum.text(value);
    sum.finish()
}

// A field that is not known is one that the next write would lose.

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRoom {
    maker: Option<Id>,
    closed: bool,
    bans: Vec<StoredBan>,
    mutes: Vec<StoredMute>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredBan {
    user: Id,
    name: String,
    address: Option<IpAddr>,
    /// In milliseconds since the Unix epoch.
    until: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredMute {
    user: Id,
    name: String,
    /// Absent in what was written when only users were muted.
    #[serde(default)]
    address: Option<IpAddr>,
    /// In milliseconds since the Unix epoch.
    until: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredUser {
    blocked: Vec<(Id, String)>,
    delivered: u64,
}

/// In hexadecimal digits, as it is shown.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
struct Id(UserId);

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0.to_string()
    }
}

impl TryFrom<String> for Id {
    type Error = uuid::Error;
    fn try_from(id: String) -> Result<Self, uuid::Error> {
        Ok(Self(UserId::from_bytes(Uuid::try_parse(&id)?.into_bytes())))
    }
}

impl From<&Ban> for StoredBan {
    fn from(ban: &Ban) -> Self {
        let until = ban.until.map(Timestamp::as_millis);
        Self { user: Id(ban.user), name: ban.name.to_string(), address: ban.address, until }
    }
}

impl From<&Mute> for StoredMute {
    fn from(mute: &Mute) -> Self {
        Self {
            user: Id(mute.user),
            name: mute.name.to_string(),
            address: mute.address,
            until: mute.until.map(Timestamp::as_millis),
        }
    }
}

impl From<StoredRoom> for RoomRules {
    fn from(stored: StoredRoom) -> Self {
        let ban = |ban: StoredBan| Ban {
            user: ban.user.0,
            name: ban.name.into(),
            address: ban.address,
            until: ban.until.map(Timestamp::from_millis),
        };
        let mute = |mute: StoredMute| Mute {
            user: mute.user.0,
            name: mute.name.into(),
            address: mute.address,
            until: mute.until.map(Timestamp::from_millis),
        };
        Self {
            maker: stored.maker.map(|id| id.0),
            closed: stored.closed,
            bans: stored.bans.into_iter().map(ban).collect(),
            mutes: stored.mutes.into_iter().map(mute).collect(),
        }
    }
}

impl From<StoredUser> for UserRules {
    fn from(stored: StoredUser) -> Self {
        let blocked = stored.blocked.into_iter().map(|(id, name)| (id.0, Arc::from(name)));
        Self { blocked: blocked.collect(), delivered: stored.delivered }
    }
}
