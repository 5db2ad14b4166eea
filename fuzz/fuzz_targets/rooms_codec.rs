//! What a session or a room server sends: any bytes are answered without a panic, and a command that is understood
//! means the same when it is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use talk::codec::rooms::{Mode, decode, encode_command, hear_plain, hear_rich};

const LIMIT: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    for mode in [Mode::Plain, Mode::Rich] {
        let Ok(command) = decode(bytes, mode, LIMIT) else { continue };
        let again = encode_command(&command);
        assert_eq!(decode(again.as_bytes(), mode, LIMIT).ok(), Some(command));
    }
    let _ = hear_plain(bytes);
    let _ = hear_rich(bytes);
});
