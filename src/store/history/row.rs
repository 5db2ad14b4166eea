//! A record as a row of the database, with its checksum.

use std::sync::Arc;

use rusqlite::Row;
use uuid::Uuid;

use crate::message::{MessageId, Record, RoomKey, Timestamp, UserId};
use crate::name::RoomName;
use crate::store::StoreError;

/// The columns that [`read`] takes, in its order.
pub(super) const COLUMNS: &str = "seq, prev, at, user, name, client, body, checksum";

/// 64 bits over all that a record says, its room and its `prev` among them.
pub(super) fn checksum(record: &Record) -> i64 {
    let mut hasher = blake3::Hasher::new();
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text(&record.room.to_string());
    text(&record.from);
    text(&record.body);
    // An id is never empty.
    text(record.id.as_ref().map_or("", MessageId::as_str));
    for number in [record.seq, record.prev, record.at.as_millis()] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(record.user.as_bytes());
    let mut sum = [0; 8];
    hasher.finalize_xof().fill(&mut sum);
    i64::from_le_bytes(sum)
}

/// Reads and checks a record; an error names room and seq.
pub(super) fn read(room: &RoomKey, row: &Row<'_>) -> Result<Record, StoreError> {
    let damaged = |what: &str| {
        let seq = row.get::<_, i64>(0).map_or("unknown".into(), |seq| seq.to_string());
        StoreError::Damaged(format!("room {room}, seq {seq}: {what}"))
    };
    let (record, sum) = parse(room, row).map_err(|e| damaged(&e.to_string()))?;
    if checksum(&record) != sum {
        return Err(damaged("the checksum is wrong"));
    }
    Ok(record)
}

/// The room that a key in the database means.
pub(super) fn room(key: &str) -> Result<RoomKey, StoreError> {
    let room = match key.strip_prefix('@') {
        Some(user) => Uuid::try_parse(user).ok().map(|user| RoomKey::Direct(UserId::from_bytes(user.into_bytes()))),
        None => RoomName::new(key).ok().map(RoomKey::Room),
    };
    room.ok_or_else(|| StoreError::Damaged(format!("{key:?} is no room")))
}

fn parse(room: &RoomKey, row: &Row<'_>) -> Result<(Record, i64), Box<dyn std::error::Error>> {
    let number = |column| -> Result<u64, Box<dyn std::error::Error>> { Ok(row.get::<_, i64>(column)?.try_into()?) };
    let id = row.get::<_, Option<String>>(5)?;
    let record = Record {
        room: room.clone(),
        seq: number(0)?,
        prev: number(1)?,
        at: Timestamp::from_millis(number(2)?),
        user: UserId::from_bytes(row.get(3)?),
        from: row.get::<_, Arc<str>>(4)?,
        id: id.as_deref().map(MessageId::new).transpose()?,
        body: row.get::<_, Arc<str>>(6)?,
    };
    Ok((record, row.get(7)?))
}
