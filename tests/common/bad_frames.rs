//! Frames that no client sends, and how each is answered.

use super::raw_websocket::{CLOSE, PING, PONG, TEXT, frame, header};

const FIN: u8 = 0x80;
const BINARY: u8 = 2;

/// What each is, its bytes, and the code of the Close that comes. `hi` is what could stand in a text frame.
pub(crate) fn bad_frames(hi: &[u8]) -> Vec<(String, Vec<u8>, u16)> {
    let mut cases = vec![
        ("an unmasked text".into(), unmasked(FIN | TEXT, hi), 1002),
        ("an unmasked ping".into(), unmasked(FIN | PING, b"x"), 1002),
        ("an unmasked close".into(), unmasked(FIN | CLOSE, &[3, 0xe8]), 1002),
        ("a binary frame".into(), frame(FIN | BINARY, hi), 1003),
        ("an empty binary frame".into(), frame(FIN | BINARY, b""), 1003),
        ("a binary message in fragments".into(), [frame(BINARY, b"a"), frame(FIN, b"b")].concat(), 1003),
        ("text that is not UTF-8".into(), frame(FIN | TEXT, b"\xff\xfe"), 1007),
        ("an overlong encoding".into(), frame(FIN | TEXT, b"\xc0\xaf"), 1007),
        ("a surrogate".into(), frame(FIN | TEXT, b"\xed\xa0\x80"), 1007),
        ("a code point too high".into(), frame(FIN | TEXT, b"\xf4\x90\x80\x80"), 1007),
        ("text that ends amid a character".into(), frame(FIN | TEXT, b"a\xe2\x82"), 1007),
        ("bad UTF-8 in a second fragment".into(), [frame(TEXT, b"ok"), frame(FIN, b"\xff")].concat(), 1007),
        ("a frame just too long".into(), declared(FIN | TEXT, 65_537), 1009),
        ("a declared length of 4 GiB".into(), declared(FIN | TEXT, 1 << 32), 1009),
        ("a declared length of 2^63 - 1".into(), declared(FIN | TEXT, (1 << 63) - 1), 1009),
        ("a long binary frame".into(), declared(FIN | BINARY, 1 << 20), 1009),
        ("a long fragment".into(), declared(TEXT, 1 << 20), 1009),
        (
            "fragments too long together".into(),
            [frame(TEXT, &[b'a'; 40_000]), frame(FIN, &[b'a'; 40_000])].concat(),
            1009,
        ),
        ("a continuation of nothing".into(), frame(FIN, b"x"), 1002),
        ("an unfinished continuation of nothing".into(), frame(0, b"x"), 1002),
        ("a text amid fragments".into(), [frame(TEXT, b"a"), frame(FIN | TEXT, b"b")].concat(), 1002),
        ("a ping in fragments".into(), frame(PING, b"x"), 1002),
        ("a close in fragments".into(), frame(CLOSE, &[3, 0xe8]), 1002),
        ("a ping of 126 bytes".into(), frame(FIN | PING, &[0; 126]), 1002),
        ("a pong of 126 bytes".into(), frame(FIN | PONG, &[0; 126]), 1002),
        ("a close of 126 bytes".into(), frame(FIN | CLOSE, &[3; 126]), 1002),
        ("a close of one byte".into(), frame(FIN | CLOSE, &[3]), 1002),
        ("a close whose reason is not UTF-8".into(), close(1000, b"\xff"), 1007),
        ("a close without a code".into(), frame(FIN | CLOSE, b""), 1005),
        ("an ordinary close".into(), close(1000, b"bye"), 1000),
        ("a close with a code of one's own".into(), close(4000, b""), 4000),
    ];
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        cases.push((format!("opcode {opcode}"), frame(FIN | opcode, b""), 1002));
    }
    for bit in [0x40, 0x20, 0x10] {
        cases.push((format!("reserved bit {bit:#x} on a text"), frame(FIN | bit | TEXT, hi), 1002));
        cases.push((format!("reserved bit {bit:#x} on a ping"), frame(FIN | bit | PING, b""), 1002));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535] {
        cases.push((format!("close code {code}"), close(code, b""), 1002));
    }
    cases
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// The head of a frame whose payload never comes.
fn declared(first: u8, length: u64) -> Vec<u8> {
    [&header(first, length)[..], &[7; 4]].concat()
}

fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, payload.len() as u8], payload].concat()
}
