//! The way out of the write port: what its clients do not read is dropped.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use tokio::net::TcpStream;

use crate::codec::minechat::Write;
use crate::gateway::pump::Socket;
use crate::hub::{Batch, Encoding, Offered, Sink};
use crate::tape::Tape;

/// Some clients never read an answer, and are to be heard all the same. So nothing ever waits here for a socket that has
/// no room: answers are dropped, but for the rest of a line that was begun.
pub(super) struct Answers {
    socket: Socket,
    rest: Mutex<Bytes>,
}

impl Answers {
    pub(super) fn new(stream: TcpStream, tape: Option<Arc<dyn Tape>>) -> Self {
        Self { socket: Socket::new(stream, &WRITE, tape), rest: Mutex::default() }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        self.socket.stream()
    }

    pub(super) fn tape(&self) -> Option<&Arc<dyn Tape>> {
        self.socket.tape()
    }
}

impl Sink for Answers {
    fn encoding(&self) -> Encoding {
        WRITE
    }

    fn offer(&self, batch: &Batch) -> Offered {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if !rest.is_empty() {
            match self.socket.offer(&Batch::raw(rest.clone())) {
                Offered::All => rest.clear(),
                Offered::Part(written) => rest.advance(written),
                Offered::Full => {}
                gone => return gone,
            }
            if !rest.is_empty() {
                return Offered::All;
            }
        }
        match self.socket.offer(batch) {
            Offered::Part(written) => *rest = batch.bytes().slice(written..),
            Offered::All | Offered::Full => {}
            gone => return gone,
        }
        Offered::All
    }

    fn takes_direct(&self) -> bool {
        false
    }
}

static WRITE: Encoding = Encoding::new("minechat.write", &Write);
