//! What a turn gives its members: each event encoded once for each wire, and offered in one piece.

use std::sync::Arc;

use bytes::BytesMut;

use super::outbox::Outbox;
use super::sink::{Batch, Encoding};
use crate::message::Event;

/// The open events in one encoding.
pub(super) struct Lane {
    pub(super) encoding: Encoding,
    pub(super) members: usize,
    pub(super) bytes: BytesMut,
}

impl Lane {
    /// The events in this encoding, for all of its members.
    pub(super) fn batch(&mut self, events: &Arc<[Event]>) -> Batch {
        let mut ends = Vec::with_capacity(events.len());
        for event in events.iter() {
            if let Some(encoder) = self.encoding.encoder().filter(|_| self.members > 0) {
                encoder.encode(event, &mut self.bytes);
            }
            ends.push(self.bytes.len());
        }
        Batch::new(self.bytes.split().freeze(), ends.into(), events.clone())
    }
}

pub(super) fn offer(outbox: &Outbox, batch: &Batch) -> bool {
    let nothing = batch.len() == 0 || (batch.bytes().is_empty() && outbox.encoding() != Encoding::EVENTS);
    nothing || outbox.offer(batch)
}

/// Offers the slices from `from` on around the holes, which rise.
pub(super) fn offer_around(outbox: &Outbox, batch: &Batch, from: usize, holes: impl Iterator<Item = usize>) -> bool {
    let mut start = from;
    for hole in holes.filter(|hole| *hole >= from) {
        if !offer(outbox, &batch.slice(start, hole)) {
            return false;
        }
        start = hole + 1;
    }
    offer(outbox, &batch.slice(start, batch.len()))
}
