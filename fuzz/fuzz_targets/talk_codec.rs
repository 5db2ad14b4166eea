//! What a peer sends: any bytes are answered without a panic, and what is understood means the same when written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use talk::codec::talk::{Frame, decode, encode_ack, encode_v1, encode_v2};

const LIMIT: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    let Ok(frame) = decode(bytes, LIMIT) else { return };
    match &frame {
        Frame::Message(message, order) => {
            assert!(message.text.len() <= LIMIT);
            let v1 = encode_v1(message);
            assert!(!v1.contains(&b'\n') && !v1.contains(&b'\r'));
            let Ok(Frame::Message(plain, None)) = decode(&v1, LIMIT) else { panic!("version 1 came back as another") };
            assert_eq!((&plain.from, &plain.id), (&message.from, &None));
            if let Some(id) = &message.id {
                assert_eq!(decode(&encode_v2(message, id, order.as_ref()), LIMIT).as_ref(), Ok(&frame));
            }
        }
        Frame::Ack(id) => {
            let mut out = Vec::new();
            encode_ack(id, &mut out);
            assert_eq!(decode(&out, LIMIT), Ok(frame));
        }
        _ => {}
    }
});
