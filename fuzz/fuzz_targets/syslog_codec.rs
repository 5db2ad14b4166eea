//! Syslog records: whatever is said by whomever is one record of one line, and never longer than it may be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use talk::codec::syslog::{Format, Framing, Records, Said};
use talk::message::Timestamp;

fuzz_target!(|bytes: &[u8]| {
    let Some((numbers, text)) = bytes.split_first_chunk::<8>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let number = u64::from_le_bytes(*numbers);
    let (most, ahead) = ((number % 3000) as usize, (number % 200_000) as i32 - 100_000);
    let (from, body) = text.split_once('\0').unwrap_or(("bob", text));
    let said = Said { at: Timestamp::from_millis(number), ahead, from, body, direct: number % 2 == 0 };
    for (format, bound) in [(Format::Rfc5424, most.max(480)), (Format::Rfc3164, most.clamp(480, 1024))] {
        let records = Records::new(format, None, Some(most as u32)).at_most(most);
        let [bare, counted, line] = [Framing::Bare, Framing::Counted, Framing::Lines].map(|framing| {
            let mut out = Vec::new();
            let whole = records.write(&said, framing, &mut out);
            (String::from_utf8(out).unwrap(), whole)
        });
        let (record, whole) = bare;
        assert!(record.starts_with("<14>") && record.len() <= bound);
        assert!(!record.chars().any(char::is_control));
        assert_eq!(counted, (format!("{} {record}", record.len()), whole));
        assert_eq!(line, (format!("{record}\n"), whole));
        // The name ends where its bracket does: a long one may not end at all.
        let head = match (format, said.direct) {
            (Format::Rfc3164, _) => "]: ",
            (_, false) => " room - ",
            (_, true) => " direct - ",
        };
        let (_, said) = record.split_once(head).unwrap();
        let name = said.trim_start_matches('\u{feff}').strip_prefix('[').unwrap().split(']').next().unwrap();
        assert!(!whole || name.chars().count() <= from.chars().count());
        assert!(whole || record.ends_with("..."));
    }
});
