//! What a socket took, cut into the frames that it was.

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::Decoder;

use crate::codec::console::Objects;
use crate::tape::{Frame, Framing};

/// Cuts what one connection wrote, however it comes.
pub(super) struct Cutter {
    framing: Framing,
    buffer: BytesMut,
    objects: Objects,
}

/// Bytes that are no frames of the wire.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct NoFrames;

impl Cutter {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, buffer: BytesMut::new(), objects: Objects::new(MOST) }
    }

    /// Takes what came next.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if it is whole.
    pub(super) fn next(&mut self) -> Result<Option<(Frame, Bytes)>, NoFrames> {
        let frame = match self.framing {
            Framing::WebSocket => self.websocket()?,
            Framing::Lines => self.line(),
            Framing::Objects => self.objects.decode(&mut self.buffer).map_err(|_| NoFrames)?.map(|o| (Frame::Text, o)),
        };
        match frame {
            None if self.buffer.len() > MOST => Err(NoFrames),
            None if self.buffer.is_empty() => {
                self.buffer = BytesMut::new();
                Ok(None)
            }
            frame => Ok(frame),
        }
    }

    fn line(&mut self) -> Option<(Frame, Bytes)> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let line = self.buffer.split_to(end).freeze();
        self.buffer.advance(1);
        Some((Frame::Text, line))
    }

    fn websocket(&mut self) -> Result<Option<(Frame, Bytes)>, NoFrames> {
        let [first, length, rest @ ..] = &*self.buffer else { return Ok(None) };
        let (header, length) = match (length, rest) {
            (126, [a, b, ..]) => (4, u64::from(u16::from_be_bytes([*a, *b]))),
            (127, [a, b, c, d, e, f, g, h, ..]) => (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
            (126 | 127, _) => return Ok(None),
            (length, _) => (2, u64::from(*length)),
        };
        let opcode = *first;
        let length = usize::try_from(length).ok().filter(|length| *length <= MOST).ok_or(NoFrames)?;
        if self.buffer.len() < header + length {
            return Ok(None);
        }
        self.buffer.advance(header);
        let mut payload = self.buffer.split_to(length).freeze();
        let frame = match opcode {
            0x81 => Frame::Text,
            0x82 => Frame::Binary,
            0x88 => Frame::Close((payload.len() >= 2).then(|| payload.get_u16())),
            0x89 => Frame::Ping,
            0x8a => Frame::Pong,
            _ => return Err(NoFrames),
        };
        Ok(Some((frame, payload)))
    }
}

/// Bytes of a frame, and of what waits for its end.
const MOST: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::rooms::frame;

    fn cut(framing: Framing, bytes: &[u8], at_once: usize) -> Result<Vec<(Frame, Bytes)>, NoFrames> {
        let (mut cutter, mut frames) = (Cutter::new(framing), Vec::new());
        for part in bytes.chunks(at_once) {
            cutter.put(part);
            while let Some(frame) = cutter.next()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_found_however_the_bytes_come() {
        let long = "x".repeat(70_000);
        let mut bytes = BytesMut::new();
        for text in ["", "hi", &long[..200], &long] {
            frame::text(&mut bytes, |out| out.extend_from_slice(text.as_bytes()));
        }
        frame::ping(&mut bytes, b"p");
        frame::close(&mut bytes, 1008, "no");
        let expected: Vec<(Frame, Bytes)> = vec![
            (Frame::Text, Bytes::new()),
            (Frame::Text, "hi".into()),
            (Frame::Text, "x".repeat(200).into()),
            (Frame::Text, long.into()),
            (Frame::Ping, "p".into()),
            (Frame::Close(Some(1008)), "no".into()),
        ];
        for at_once in [1, 3, 100, 1 << 20] {
            assert_eq!(cut(Framing::WebSocket, &bytes, at_once).unwrap(), expected, "{at_once}");
            let lines = cut(Framing::Lines, b"a\n\nbc\nd", at_once).unwrap();
            assert_eq!(lines, [(Frame::Text, "a".into()), (Frame::Text, "".into()), (Frame::Text, "bc".into())]);
            let objects = cut(Framing::Objects, br#"{"a":"}"}{"b":{}}{"#, at_once).unwrap();
            assert_eq!(objects, [(Frame::Text, r#"{"a":"}"}"#.into()), (Frame::Text, r#"{"b":{}}"#.into())]);
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        assert_eq!(cut(Framing::WebSocket, &[0x83, 0], 1), Err(NoFrames));
        assert_eq!(cut(Framing::WebSocket, &[0x81, 127, 255, 0, 0, 0, 0, 0, 0, 0], 10), Err(NoFrames));
        assert_eq!(cut(Framing::Objects, b"x", 1), Err(NoFrames));
    }
}
