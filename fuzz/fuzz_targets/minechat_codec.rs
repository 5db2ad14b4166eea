//! What somebody types at minechat's write port: any bytes are read without a panic and the same however they are cut;
//! what comes of them is one line for everybody, under a name that is one.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use talk::codec::minechat::{
    Answer, Dialog, LineTooLong, Lines, Typed, account, clean_nickname, hear_answer, hear_line, nicknames, not_sent,
    typed_line, typed_message,
};
use tokio_util::codec::Decoder;

const LIMIT: usize = 1024;

fuzz_target!(|input: &[u8]| {
    let Some((size, bytes)) = input.split_first() else { return };
    let whole = read(bytes, usize::MAX);
    assert_eq!(read(bytes, usize::from(*size)), whole);
    for typed in whole.0 {
        match typed {
            Typed::Nickname(typed) => {
                let clean = clean_nickname(&typed);
                assert_eq!(clean_nickname(&clean), clean);
                let name = nicknames(&clean, u64::from(*size)).next().expect("there is always a name");
                let line = account(name.as_str(), &typed);
                let heard = hear_answer(line.strip_suffix('\n').expect("it is a line"));
                assert_eq!(heard, Some(Answer::Account { nickname: name.to_string(), hash: typed }));
            }
            Typed::Message(body) => {
                assert!(!body.is_empty() && body.len() <= LIMIT && !body.contains(['\n', '\r']));
                assert_eq!(typed_message(&body).matches('\n').count(), 2);
                assert_eq!(not_sent(&body).matches('\n').count(), 1);
            }
            Typed::Hash(hash) => assert_eq!(typed_line(&hash).matches('\n').count(), 1),
            Typed::New | Typed::Nothing | Typed::TooLong | Typed::Http => {}
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (hear_line(text), hear_answer(text));
    }
});

/// What is read of pieces of a size, with hashes of an even length being known.
fn read(bytes: &[u8], size: usize) -> (Vec<Typed>, Result<(), LineTooLong>) {
    let (mut lines, mut buffer) = (Lines::default(), BytesMut::new());
    let (mut dialog, mut typed) = (Dialog::new(LIMIT), Vec::new());
    let read = bytes.chunks(size.max(1)).try_for_each(|piece| {
        buffer.extend_from_slice(piece);
        while let Some(line) = lines.decode(&mut buffer)? {
            let Some(next) = dialog.read(line) else { continue };
            match &next {
                Typed::Hash(hash) if hash.len() % 2 == 0 => dialog.welcome(),
                Typed::Nickname(_) => dialog.welcome(),
                _ => {}
            }
            typed.push(next);
        }
        Ok(())
    });
    (typed, read)
}
