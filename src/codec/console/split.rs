//! Where one object ends and the next begins, however the bytes come.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use tokio_util::codec::Decoder;

use crate::limits::JSON_DEPTH;

/// Cuts a stream into JSON objects by their braces and quotes. Each byte is looked at once, however few come at a time;
/// whether what stands between the braces is JSON, its reader finds out.
#[derive(Clone, Debug)]
pub struct Objects {
    limit: usize,
    /// Bytes of the object at the front of the buffer that were looked at.
    seen: usize,
    scan: Scan,
}

/// Why a stream cannot be cut into objects; nothing behind such a place can be understood.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SplitError {
    /// What should be an object begins with something else.
    #[error("a JSON object begins with '{{', not with the byte {0:#04x}")]
    NotAnObject(u8),
    /// An object is longer than the limit.
    #[error("an object has at most {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// An object nests deeper than [`JSON_DEPTH`].
    #[error("an object nests at most {JSON_DEPTH} levels deep")]
    TooDeep,
    /// The stream broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Objects {
    /// For objects of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, seen: 0, scan: Scan::default() }
    }
}

impl Decoder for Objects {
    type Item = Bytes;
    type Error = SplitError;

    /// The next object, from its brace to its brace. Space around it is passed over.
    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Bytes>, SplitError> {
        if self.seen == 0 {
            let space = bytes.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
            bytes.advance(space);
            match bytes.first() {
                None => return Ok(None),
                Some(b'{') => {}
                Some(other) => return Err(SplitError::NotAnObject(*other)),
            }
        }
        let most = bytes.len().min(self.limit);
        let end = self.scan.end(&bytes[self.seen..most])?.map(|end| self.seen + end);
        let Some(end) = end else {
            if bytes.len() >= self.limit {
                return Err(SplitError::TooLong { limit: self.limit });
            }
            self.seen = bytes.len();
            return Ok(None);
        };
        self.seen = 0;
        Ok(Some(bytes.split_to(end).freeze()))
    }

    /// As [`Objects::decode`]; an object that was not finished is none.
    fn decode_eof(&mut self, bytes: &mut BytesMut) -> Result<Option<Bytes>, SplitError> {
        let object = self.decode(bytes)?;
        if object.is_none() {
            bytes.clear();
            (self.seen, self.scan) = (0, Scan::default());
        }
        Ok(object)
    }
}

/// The length of the object at the front of bytes that were written as objects; of all of them when there is no end.
#[must_use]
pub fn first_object(bytes: &[u8]) -> usize {
    Scan::default().end(bytes).ok().flatten().unwrap_or(bytes.len())
}

/// What was open where looking stopped.
#[derive(Clone, Debug, Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Looks on, and tells behind which of these bytes the object ends.
    fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, SplitError> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' if self.depth == JSON_DEPTH => return Err(SplitError::TooDeep),
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Ok(Some(at + 1));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }
}
