//! What a console client sends, and what it hears: any bytes are cut the same way however they come, nothing panics, what
//! is understood means the same when it is written again, and no object that goes out is longer than a client takes.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use talk::codec::console::{
    MAX_HEARD, MAX_SENT, Objects, Said, encode_hello, encode_message, encode_said, first_object, hear, hello, message,
    said,
};
use tokio_util::codec::Decoder;

const LIMIT: usize = 1024;

fuzz_target!(|input: &[u8]| {
    let Some((size, bytes)) = input.split_first() else { return };
    let whole = split([bytes]);
    assert_eq!(whole, split(bytes.chunks(usize::from(*size).max(1))));
    for object in &whole.0 {
        if let Ok(first) = hello(object) {
            assert_eq!(hello(encode_hello(first.name.as_str(), None).as_bytes()).unwrap().name, first.name);
        }
        let _ = hear(object);
        let Ok(read) = said(object, LIMIT) else { continue };
        assert_eq!(said(encode_said(&read).as_bytes(), usize::MAX).as_ref(), Ok(&read));
        let _ = (read.command(), read.leaves());
        if let Said::Message(text) = read {
            for object in encode_message(&text) {
                assert!(object.len() <= MAX_SENT && said(object.as_bytes(), MAX_SENT).is_ok());
            }
            let mut out = BytesMut::new();
            message(&mut out, "o\"neil", &text);
            let mut rest = &out[..];
            while !rest.is_empty() {
                let (object, behind) = rest.split_at(first_object(rest));
                assert!(object.len() <= MAX_HEARD && hear(object).unwrap().sender == "o\"neil");
                rest = behind;
            }
        }
    }
});

/// The objects in bytes that come in pieces, and the error that ends them.
fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<String>) {
    let (mut objects, mut buffer, mut found) = (Objects::new(LIMIT), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match objects.decode(&mut buffer) {
                Ok(Some(object)) => found.push(object.to_vec()),
                Ok(None) => break,
                Err(error) => return (found, Some(error.to_string())),
            }
        }
    }
    (found, None)
}
