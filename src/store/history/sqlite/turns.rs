//! What the thread that writes does: all that waits, in one transaction.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rusqlite::{Transaction, params};

use super::Index;
use super::finder::Bell;
use crate::message::{Record, RoomKey, Timestamp};
use crate::store::StoreError;
use crate::store::history::Retention;
use crate::store::history::index::Tally;
use crate::store::history::row::{self, stored};
use crate::store::sqlite::{Database, Reply};

pub(super) struct Job {
    pub(super) work: Work,
    /// How many records went, where some did.
    pub(super) reply: Reply<u64>,
}

pub(super) enum Work {
    Append(Vec<(Record, i64)>),
    Retain { room: RoomKey, keep: Retention, now: Timestamp },
    Forget(RoomKey),
}

/// What the thread that writes keeps from one transaction to the next.
pub(super) struct Turns {
    pub(super) index: Arc<RwLock<Index>>,
    /// What each room is called in the rows of its records.
    pub(super) numbers: HashMap<RoomKey, i64>,
    pub(super) next: i64,
    pub(super) window: Duration,
    pub(super) bell: Option<Bell>,
}

/// What a transaction leaves; dropped when it fails.
#[derive(Default)]
struct Plan {
    /// `None`: the room is forgotten.
    rooms: HashMap<RoomKey, Option<Tally>>,
    numbers: HashMap<RoomKey, i64>,
    next: i64,
}

impl Turns {
    /// Everything that waits, in one transaction.
    pub(super) fn turn(&mut self, database: &mut Database, jobs: Vec<Job>) {
        let mut plan = Plan { next: self.next, ..Plan::default() };
        let mut outcomes = Vec::with_capacity(jobs.len());
        let written = database.write(|transaction| {
            for job in &jobs {
                outcomes.push(match &job.work {
                    Work::Append(records) => self.append(&mut plan, transaction, records)?,
                    Work::Retain { room, keep, now } => Ok(self.cut(&mut plan, transaction, room, keep, *now)?),
                    Work::Forget(room) => Ok(self.forget(&mut plan, transaction, room)?),
                });
            }
            Ok(())
        });
        if let Err(error) = written {
            // Even a refusal may have been decided by a record that now never came.
            jobs.into_iter().for_each(|job| drop(job.reply.send(Err(error.clone()))));
            return;
        }
        self.apply(plan, jobs.iter().zip(&outcomes));
        jobs.into_iter().zip(outcomes).for_each(|(job, outcome)| drop(job.reply.send(outcome)));
    }

    fn apply<'a>(&mut self, plan: Plan, done: impl Iterator<Item = (&'a Job, &'a Result<u64, StoreError>)>) {
        self.next = plan.next;
        self.numbers.extend(plan.numbers);
        let mut came = 0;
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for (job, outcome) in done {
            if let (Work::Append(records), Ok(_)) = (&job.work, outcome) {
                records.iter().for_each(|(record, _)| index.ids.learn(record));
                came += records.len() as u64;
            } else if let (Work::Retain { .. }, Ok(gone)) = (&job.work, outcome) {
                came += gone;
            }
        }
        for (room, tally) in plan.rooms {
            match tally {
                Some(tally) => drop(index.rooms.insert(room, tally)),
                None => {
                    index.rooms.remove(&room);
                    self.numbers.remove(&room);
                    self.bell.iter().for_each(|bell| bell.forgotten(&room));
                }
            }
        }
        drop(index);
        self.bell.iter().for_each(|bell| bell.came(came));
    }

    /// The outer error is the whole transaction's, the inner one these records'.
    fn append(
        &self,
        plan: &mut Plan,
        transaction: &Transaction<'_>,
        records: &[(Record, i64)],
    ) -> rusqlite::Result<Result<u64, StoreError>> {
        let mut tallies: Vec<(&RoomKey, Tally)> = Vec::new();
        for (record, _) in records {
            let at = tallies.iter().position(|(room, _)| **room == record.room);
            let at = at.unwrap_or_else(|| {
                tallies.push((&record.room, self.tally(plan, &record.room).unwrap_or_default()));
                tallies.len() - 1
            });
            if let Err(error) = tallies[at].1.take(record) {
                return Ok(Err(error));
            }
        }
        let mut insert = transaction.prepare_cached(row::INSERT)?;
        for (record, checksum) in records {
            row::insert(&mut insert, self.number(plan, transaction, &record.room)?, record, *checksum)?;
        }
        plan.rooms.extend(tallies.into_iter().map(|(room, tally)| (room.clone(), Some(tally))));
        Ok(Ok(0))
    }

    /// Cuts up to [`STEP`] records.
    fn cut(
        &self,
        plan: &mut Plan,
        transaction: &Transaction<'_>,
        room: &RoomKey,
        keep: &Retention,
        now: Timestamp,
    ) -> rusqlite::Result<u64> {
        let Some(mut tally) = self.tally(plan, room) else { return Ok(0) };
        let number = self.number(plan, transaction, room)?;
        let mut gone = 0;
        {
            let mut oldest = transaction.prepare_cached(OLDEST)?;
            let mut rows = oldest.query(params![number, stored(STEP)])?;
            while let Some(row) = rows.next()? {
                let [seq, at, size] = [row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?].map(i64::cast_unsigned);
                if !tally.must_cut(Timestamp::from_millis(at), keep, self.window, now) {
                    break;
                }
                tally.cut(seq, size);
                gone += 1;
            }
        }
        if gone > 0 {
            let cut = stored(tally.cut);
            transaction.prepare_cached("DELETE FROM records WHERE room = ?1 AND seq <= ?2")?.execute([number, cut])?;
            transaction.prepare_cached("UPDATE rooms SET cut = ?2 WHERE number = ?1")?.execute([number, cut])?;
            plan.rooms.insert(room.clone(), Some(tally));
        }
        Ok(gone)
    }

    fn forget(&self, plan: &mut Plan, transaction: &Transaction<'_>, room: &RoomKey) -> rusqlite::Result<u64> {
        let Some(tally) = self.tally(plan, room) else { return Ok(0) };
        let number = self.number(plan, transaction, room)?;
        transaction.execute("DELETE FROM records WHERE room = ?1", [number])?;
        transaction.execute("DELETE FROM rooms WHERE number = ?1", [number])?;
        plan.numbers.remove(room);
        plan.rooms.insert(room.clone(), None);
        Ok(tally.count)
    }

    fn tally(&self, plan: &Plan, room: &RoomKey) -> Option<Tally> {
        match plan.rooms.get(room) {
            Some(planned) => *planned,
            None => self.index.read().unwrap_or_else(PoisonError::into_inner).rooms.get(room).copied(),
        }
    }

    /// What the room is called in rows; a new one gets its row first.
    fn number(&self, plan: &mut Plan, transaction: &Transaction<'_>, room: &RoomKey) -> rusqlite::Result<i64> {
        if let Some(number) = plan.numbers.get(room) {
            return Ok(*number);
        }
        let forgotten = matches!(plan.rooms.get(room), Some(None));
        if let Some(number) = self.numbers.get(room).filter(|_| !forgotten) {
            return Ok(*number);
        }
        let number = plan.next;
        let mut insert = transaction.prepare_cached("INSERT INTO rooms (number, key, cut) VALUES (?1, ?2, 0)")?;
        insert.execute(params![number, room.to_string()])?;
        plan.next += 1;
        plan.numbers.insert(room.clone(), number);
        Ok(number)
    }
}

/// Records that one transaction cuts at most from a room, so that nobody waits long behind it.
pub(super) const STEP: u64 = 1000;
/// What a record counts is said in [`Retention::size`].
pub(super) const OLDEST: &str =
    "SELECT seq, at, 96 + octet_length(body) + octet_length(name) + ifnull(octet_length(client), 0)
    FROM records WHERE room = ?1 ORDER BY seq LIMIT ?2";
