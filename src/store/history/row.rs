//! A record as a row of the database, with its checksum.

use std::sync::Arc;

use rusqlite::{Row, Statement, params};

use crate::message::{MessageId, Record, RoomKey, Timestamp, UserId};
use crate::store::StoreError;
use crate::store::sqlite::Checksum;

/// The columns that [`read`] takes, in its order.
pub(super) const COLUMNS: &str = "seq, prev, at, user, name, client, body, checksum";

/// Takes what [`insert`] has to say.
pub(super) const INSERT: &str = "INSERT INTO records (room, seq, prev, at, user, name, client, body, checksum)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// 64 bits over all that a record says, its room and its `prev` among them.
pub(super) fn checksum(record: &Record) -> i64 {
    let mut sum = Checksum::new();
    sum.text(&record.room.to_string());
    sum.text(&record.from);
    sum.text(&record.body);
    // An id is never empty.
    sum.text(record.id.as_ref().map_or("", MessageId::as_str));
    for number in [record.seq, record.prev, record.at.as_millis()] {
        sum.number(number);
    }
    sum.user(record.user);
    sum.finish()
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

/// Runs [`INSERT`].
pub(super) fn insert(
    insert: &mut Statement<'_>,
    number: i64,
    record: &Record,
    checksum: i64,
) -> rusqlite::Result<usize> {
    insert.execute(params![
        number,
        stored(record.seq),
        stored(record.prev),
        stored(record.at.as_millis()),
        record.user.as_bytes(),
        &*record.from,
        record.id.as_ref().map(MessageId::as_str),
        &*record.body,
        checksum,
    ])
}

/// As SQLite counts. Nothing is stored that does not fit.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The room that a key in the database means.
pub(super) fn room(key: &str) -> Result<RoomKey, StoreError> {
    RoomKey::parse(key).ok_or_else(|| StoreError::Damaged(format!("{key:?} is no room")))
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
