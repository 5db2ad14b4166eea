//! What a registry is sent and what it answers: read without a panic, and the same when written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use talk::codec::registry::{
    Version, decode_entry, decode_post, decode_put, decode_users, encode_post, encode_put, entry_value,
};

fuzz_target!(|bytes: &[u8]| {
    for version in [Version::V1, Version::V2] {
        if let Ok((name, placement)) = decode_post(bytes, version) {
            let entry = placement.apply(None);
            let again = encode_post(&name, &entry, version).expect("what a version can say, it can write");
            let (same, placement) = decode_post(&again, version).expect("our own POST is read");
            assert_eq!((same, placement.apply(None)), (name, entry));
        }
        if let Ok(placement) = decode_put(bytes, version) {
            let entry = placement.apply(None);
            if let Some(again) = encode_put(&entry, version) {
                assert_eq!(decode_put(&again, version).expect("our own PUT is read").apply(None), entry);
            }
            // Said twice, a placement changes nothing the second time.
            assert_eq!(placement.apply(Some(&entry)), entry);
        }
    }
    if let Ok(entry) = decode_entry(bytes) {
        let value = entry_value(&entry, Some(None), Version::V2).expect("version 2 has a form for everything");
        assert_eq!(decode_entry(value.to_string().as_bytes()), Ok(entry));
    }
    if let Ok(users) = decode_users(bytes, usize::MAX) {
        let written: serde_json::Map<_, _> = users
            .iter()
            .filter_map(|(name, entry)| Some((name.as_str().to_owned(), entry_value(entry, None, Version::V2)?)))
            .collect();
        let again = serde_json::Value::Object(written).to_string();
        assert_eq!(decode_users(again.as_bytes(), usize::MAX), Ok(users));
    }
});
