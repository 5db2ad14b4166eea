//! Whole, unmasked WebSocket frames (RFC 6455, section 5.2), as a server sends them.

use bytes::{BufMut, BytesMut};

/// Appends a text frame whose payload `write` appends.
pub fn text(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    message(out, TEXT, write);
}

/// Appends a binary frame whose payload `write` appends.
pub fn binary(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    message(out, BINARY, write);
}

fn message(out: &mut BytesMut, opcode: u8, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    // Most payloads need this much of a header; it is mended when the length is known.
    out.put_slice(&[FINAL | opcode, 126, 0, 0]);
    write(out);
    let length = out.len() - start - MIDDLE;
    match length {
        0..126 => {
            out.copy_within(start + MIDDLE.., start + SHORT);
            out.truncate(start + SHORT + length);
            out[start + 1] = length as u8;
        }
        126..0x1_0000 => out[start + SHORT..start + MIDDLE].copy_from_slice(&(length as u16).to_be_bytes()),
        _ => {
            out.put_bytes(0, LONG - MIDDLE);
            out.copy_within(start + MIDDLE..start + MIDDLE + length, start + LONG);
            out[start + 1] = 127;
            out[start + SHORT..start + LONG].copy_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Appends a Close frame. The reason is cut to the 123 bytes that it may have.
pub fn close(out: &mut BytesMut, code: u16, reason: &str) {
    let fits = reason.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MAX_REASON);
    let reason = &reason[..fits.last().unwrap_or(0)];
    out.put_slice(&[FINAL | CLOSE, (reason.len() + 2) as u8]);
    out.put_u16(code);
    out.put_slice(reason.as_bytes());
}

/// Appends a Ping frame. The payload is cut to the 125 bytes that it may have.
pub fn ping(out: &mut BytesMut, payload: &[u8]) {
    let payload = &payload[..payload.len().min(MAX_CONTROL)];
    out.put_slice(&[FINAL | PING, payload.len() as u8]);
    out.put_slice(payload);
}

/// Appends text as a JSON string.
pub(in crate::codec) fn push_json(out: &mut BytesMut, text: &str) {
    serde_json::to_writer(out.writer(), text).expect("text is always JSON, and a buffer always takes it");
}

const FINAL: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
/// Bytes of a header for lengths below 126, below 64 Ki, and above.
const SHORT: usize = 2;
const MIDDLE: usize = 4;
const LONG: usize = 10;
const MAX_CONTROL: usize = 125;
const MAX_REASON: usize = MAX_CONTROL - 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_length_of_its_payload_in_the_shortest_form() {
        for (length, header) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xff, 0xff]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = BytesMut::from(&b"before"[..]);
            let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
            text(&mut out, |out| out.put_slice(&payload));
            assert_eq!(out, [&b"before"[..], &header, &payload].concat(), "{length}");
            let mut out = BytesMut::new();
            binary(&mut out, |out| out.put_slice(&payload));
            assert_eq!((out[0], &out[1..]), (0x82, &[&header[1..], &payload].concat()[..]), "{length}");
        }
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        let mut out = BytesMut::new();
        close(&mut out, 1008, &"я".repeat(100));
        assert_eq!(&out[..4], [0x88, 124, 0x03, 0xf0]);
        assert_eq!(std::str::from_utf8(&out[4..]).unwrap(), "я".repeat(61));
    }

    #[test]
    fn a_ping_carries_what_a_control_frame_may() {
        for (length, carried) in [(0, 0), (7, 7), (125, 125), (126, 125), (1000, 125)] {
            let mut out = BytesMut::new();
            ping(&mut out, &vec![b'x'; length]);
            assert_eq!(out, [&[0x89, carried as u8][..], &vec![b'x'; carried]].concat(), "{length}");
        }
    }
}
