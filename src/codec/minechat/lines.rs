//! Bytes to lines, however they arrive.

use std::io;

use bytes::{Buf, BytesMut};
use thiserror::Error;
use tokio_util::codec::Decoder;

use super::MAX_LINE;

/// Cuts bytes into lines, without their line feed and one carriage return before it. What is no UTF-8 becomes U+FFFD. A
/// line that has no end yet when the bytes end is none.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// Up to where there is no line feed.
    searched: usize,
}

/// A line has more than [`MAX_LINE`] bytes: nothing behind it can be understood.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a line has at most {MAX_LINE} bytes")]
pub struct LineTooLong;

impl Decoder for Lines {
    type Item = String;
    type Error = LineTooLong;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<String>, LineTooLong> {
        let found = bytes[self.searched..].iter().position(|byte| *byte == b'\n');
        let end = found.map_or(bytes.len(), |at| self.searched + at);
        if end > MAX_LINE {
            return Err(LineTooLong);
        }
        if found.is_none() {
            self.searched = end;
            return Ok(None);
        }
        self.searched = 0;
        let line = &bytes[..end];
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
        bytes.advance(end + 1);
        Ok(Some(line))
    }

    fn decode_eof(&mut self, bytes: &mut BytesMut) -> Result<Option<String>, LineTooLong> {
        let line = self.decode(bytes)?;
        if line.is_none() {
            (self.searched, *bytes) = (0, BytesMut::new());
        }
        Ok(line)
    }
}

/// What a [`Decoder`] needs, although nothing is read here.
impl From<io::Error> for LineTooLong {
    fn from(_: io::Error) -> Self {
        Self
    }
}
