//! Bytes to lines, however they arrive.

use thiserror::Error;

use super::MAX_LINE;

/// Bytes that came and are not read yet, as lines. It holds one line and what came with its end.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Where what is not read begins.
    start: usize,
    /// Up to where there is no line feed.
    searched: usize,
}

/// A line has more than [`MAX_LINE`] bytes: nothing behind it can be understood.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a line has at most {MAX_LINE} bytes")]
pub struct LineTooLong;

impl Lines {
    /// Adds what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line, without its line feed and one carriage return before it.
    ///
    /// # Errors
    /// [`LineTooLong`], as soon as it is certain, and then each time.
    pub fn read(&mut self) -> Result<Option<&[u8]>, LineTooLong> {
        let found = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n');
        let end = found.map_or(self.bytes.len(), |at| self.searched + at);
        if end - self.start > MAX_LINE {
            return Err(LineTooLong);
        }
        let start = self.start;
        if found.is_none() {
            self.searched = end;
            if start == end && self.bytes.capacity() > KEPT {
                *self = Self::default();
            }
            return Ok(None);
        }
        (self.start, self.searched) = (end + 1, end + 1);
        let line = &self.bytes[start..end];
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }
}

/// Bytes of memory that a connection keeps between two lines.
const KEPT: usize = 1024;
