use proptest::prelude::*;

use super::*;

const AT: Timestamp = Timestamp::from_millis(1_795_249_200_123);

fn said<'a>(from: &'a str, body: &'a str) -> Said<'a> {
    Said { at: AT, ahead: 0, from, body, direct: false }
}

/// One record without framing, and whether it is whole.
fn record(records: &Records, said: &Said<'_>) -> (String, bool) {
    let mut out = Vec::new();
    let whole = records.write(said, Framing::Bare, &mut out);
    (String::from_utf8(out).unwrap(), whole)
}

fn modern(from: &str, body: &str) -> String {
    record(&Records::new(Format::Rfc5424, Some("chat.example"), Some(7)), &said(from, body)).0
}

/// What RFC 5424, section 6, makes of a record: it is taken apart as its ABNF says, and by nothing of ours.
#[derive(Debug, Eq, PartialEq)]
struct Parsed {
    priority: u8,
    timestamp: String,
    host: String,
    app: String,
    process: String,
    kind: String,
    marked: bool,
    text: String,
}

fn parse(record: &[u8]) -> Result<Parsed, String> {
    let rest = record.strip_prefix(b"<").ok_or("no <")?;
    let end = rest.iter().position(|b| *b == b'>').ok_or("no >")?;
    let priority = std::str::from_utf8(&rest[..end]).map_err(|e| e.to_string())?;
    if !(1..=3).contains(&priority.len()) || (priority.len() > 1 && priority.starts_with('0')) {
        return Err(format!("PRIVAL {priority:?}"));
    }
    let priority: u8 = priority.parse().map_err(|_| "PRIVAL is no number")?;
    let mut rest = rest[end + 1..].strip_prefix(b"1 ").ok_or("not version 1")?;
    let mut field = |most: usize| {
        let end = rest.iter().position(|b| *b == b' ').ok_or("a field without an end")?;
        let (field, after) = rest.split_at(end);
        rest = &after[1..];
        match (1..=most).contains(&field.len()) && field.iter().all(|b| (33..=126).contains(b)) {
            true => Ok(String::from_utf8_lossy(field).into_owned()),
            false => Err("a field is too long, or not PRINTUSASCII"),
        }
    };
    let (timestamp, host, app) = (field(32)?, field(255)?, field(48)?);
    let (process, kind, structured) = (field(128)?, field(32)?, field(1)?);
    if timestamp != "-" && !is_timestamp(&timestamp) {
        return Err(format!("TIMESTAMP {timestamp:?}"));
    }
    if structured != "-" {
        return Err(format!("STRUCTURED-DATA {structured:?}"));
    }
    let marked = rest.starts_with(b"\xef\xbb\xbf");
    let text = std::str::from_utf8(if marked { &rest[3..] } else { rest }).map_err(|e| e.to_string())?;
    if !marked && !text.is_ascii() {
        return Err("UTF-8 that is not marked as such".into());
    }
    Ok(Parsed { priority, timestamp, host, app, process, kind, marked, text: text.to_owned() })
}

/// `FULL-DATE "T" TIME-HOUR ":" TIME-MINUTE ":" TIME-SECOND [TIME-SECFRAC] "Z"`, in ranges.
fn is_timestamp(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let part = |from: usize, most: u32| text[from..from + 2].parse().is_ok_and(|number: u32| number <= most);
    shape == "0000-00-00T00:00:00.000Z"
        && part(5, 12)
        && part(8, 31)
        && part(11, 23)
        && part(14, 59)
        && part(17, 59)
        && &text[5..7] != "00"
        && &text[8..10] != "00"
}

#[test]
fn rfc_5424_has_every_field() {
    let head = "<14>1 2026-11-21T08:20:00.123Z chat.example talk 7 room - ";
    assert_eq!(modern("bob", "hi"), format!("{head}[bob] hi"));
    let records = Records::new(Format::Rfc5424, None, None);
    let direct = Said { direct: true, ..said("bob", "hi") };
    assert_eq!(record(&records, &direct).0, "<14>1 2026-11-21T08:20:00.123Z - talk - direct - [bob] hi");
    // Local time is nothing to it, and its host is there in every place.
    let elsewhere = Said { ahead: 3600, ..said("bob", "hi") };
    let records = Records::new(Format::Rfc5424, Some("chat.example"), Some(7)).local();
    assert_eq!(record(&records, &elsewhere).0, format!("{head}[bob] hi"));
}

#[test]
fn rfc_3164_has_local_time_and_a_host_without_domain_or_none_at_all() {
    let old = |host: &str| Records::new(Format::Rfc3164, Some(host), Some(7));
    assert_eq!(record(&old("chat.example"), &said("bob", "hi")).0, "<14>Nov 21 08:20:00 chat talk[7]: [bob] hi");
    assert_eq!(record(&old("192.0.2.1"), &said("bob", "hi")).0, "<14>Nov 21 08:20:00 192.0.2.1 talk[7]: [bob] hi");
    assert_eq!(record(&old(""), &said("bob", "hi")).0, "<14>Nov 21 08:20:00 - talk[7]: [bob] hi");
    assert_eq!(record(&old("chat").local(), &said("bob", "hi")).0, "<14>Nov 21 08:20:00 talk[7]: [bob] hi");
    let at = |ahead| record(&old("c"), &Said { ahead, direct: true, ..said("bob", "hi") }).0;
    assert_eq!(at(3600), "<14>Nov 21 09:20:00 c talk[7]: [bob] hi");
    assert_eq!(at(-9 * 3600), "<14>Nov 20 23:20:00 c talk[7]: [bob] hi");
    let nobody = Records::new(Format::Rfc3164, Some("c"), None);
    assert_eq!(record(&nobody, &said("bob", "hi")).0, "<14>Nov 21 08:20:00 c talk: [bob] hi");
    let early = Said { at: Timestamp::from_millis(0), ahead: -3600, ..said("bob", "hi") };
    assert_eq!(record(&nobody, &early).0, "<14>Jan  1 00:00:00 c talk: [bob] hi");
}

#[test]
fn only_what_is_not_ascii_is_marked_as_utf_8() {
    assert!(!parse(modern("bob", "hi").as_bytes()).unwrap().marked);
    let parsed = parse(modern("bob", "привет 👋").as_bytes()).unwrap();
    assert!(parsed.marked);
    assert_eq!(parsed.text, "[bob] привет 👋");
    let old = record(&Records::new(Format::Rfc3164, Some("c"), None), &said("bob", "ä")).0;
    assert_eq!(old, "<14>Nov 21 08:20:00 c talk: [bob] ä");
}

#[test]
fn a_host_is_made_to_fit_its_field() {
    for (host, shown) in [
        ("a b\nc", "abc"),
        ("k\u{f6}ln.example", "kln.example"),
        ("\u{1b}[2J", "[2J"),
        ("\u{f6}", "-"),
        ("", "-"),
        (&"h".repeat(300), &"h".repeat(255)),
    ] {
        let records = Records::new(Format::Rfc5424, Some(host), Some(1));
        assert_eq!(parse(record(&records, &said("a", "b")).0.as_bytes()).unwrap().host, shown);
    }
}

#[test]
fn nobody_speaks_for_somebody_else() {
    let records = Records::new(Format::Rfc5424, None, None);
    for (from, body, shown) in [
        ("bob", "hi\n<14>1 - - - - - - [root] x", "[bob] hi <14>1 - - - - - - [root] x"),
        ("bob", "hi\r\n[root] x", "[bob] hi [root] x"),
        ("bob", "hi\0[root] x", "[bob] hi\u{fffd}[root] x"),
        ("bob", "a\tb\u{1b}[1A\u{85}c\u{2028}d", "[bob] a b\u{fffd}[1A c d"),
        ("bob", "\u{feff}x", "[bob] \u{fffd}x"),
        ("bob] [root] x", "y", "[bob\u{fffd} [root\u{fffd} x] y"),
        ("[root", "y", "[[root] y"),
        ("b\nob", "y", "[b ob] y"),
        ("b\u{202e}ob", "", "[b\u{fffd}ob] "),
    ] {
        assert_eq!(parse(record(&records, &said(from, body)).0.as_bytes()).unwrap().text, shown);
    }
}

#[test]
fn a_long_text_is_cut_at_a_character_and_says_so() {
    let records = Records::new(Format::Rfc5424, Some("c"), Some(7)).at_most(MOST_DATAGRAM);
    let head = record(&records, &said("bob", "")).0.len();
    let fits = "x".repeat(MOST_DATAGRAM - head);
    let (exact, whole) = record(&records, &said("bob", &fits));
    assert!(whole && exact.len() == MOST_DATAGRAM && exact.ends_with("xxxx"));
    let (cut, whole) = record(&records, &said("bob", &format!("{fits}y")));
    assert!(!whole && cut.len() == MOST_DATAGRAM && cut.ends_with("xx..."), "{cut}");
    for ahead in 0..4 {
        let body = format!("{}{}", "x".repeat(ahead), "👋".repeat(2048));
        let (cut, whole) = record(&records, &said("bob", &body));
        assert!(!whole && (MOST_DATAGRAM - 3..=MOST_DATAGRAM).contains(&cut.len()), "{}", cut.len());
        assert!(parse(cut.as_bytes()).unwrap().text.ends_with("👋..."));
    }
    let old = Records::new(Format::Rfc3164, Some("c"), Some(7));
    assert_eq!(record(&old, &said("bob", &"x".repeat(5000))).0.len(), 1024);
    let least = Records::new(Format::Rfc5424, Some("c"), Some(7)).at_most(0);
    assert_eq!(record(&least, &said("bob", &"x".repeat(5000))).0.len(), 480);
    let whole = Records::new(Format::Rfc5424, Some("c"), Some(7));
    assert_eq!(record(&whole, &said("bob", &"x".repeat(20_000))).0.len(), 8000);
}

#[test]
fn records_are_told_apart_by_their_length_or_by_line_feeds() {
    let records = Records::new(Format::Rfc3164, Some("c"), None).local();
    let mut out = Vec::new();
    for body in ["hi", "ä\nb"] {
        records.write(&said("bob", body), Framing::Counted, &mut out);
        records.write(&said("bob", body), Framing::Lines, &mut out);
    }
    let one = "<14>Nov 21 08:20:00 talk: [bob] hi";
    let two = "<14>Nov 21 08:20:00 talk: [bob] ä b";
    assert_eq!(String::from_utf8(out).unwrap(), format!("34 {one}{one}\n36 {two}{two}\n"));
}

#[test]
fn formats_are_read_as_they_are_written() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    assert_eq!("5424".parse::<Format>(), Err(FormatError));
}

proptest! {
    #[test]
    fn whatever_is_said_makes_one_record_of_the_grammar(
        from in any::<String>(),
        body in "(?s:.{0,900})",
        host in any::<Option<String>>(),
        process in any::<Option<u32>>(),
        millis in any::<u64>(),
        most in 0_usize..4000,
        direct in any::<bool>(),
    ) {
        let records = Records::new(Format::Rfc5424, host.as_deref(), process).at_most(most);
        let said = Said { at: Timestamp::from_millis(millis), ahead: 0, from: &from, body: &body, direct };
        let (text, whole) = record(&records, &said);
        prop_assert!(text.len() <= most.max(LEAST));
        prop_assert!(!text.chars().any(char::is_control));
        let parsed = parse(text.as_bytes()).map_err(TestCaseError::fail)?;
        prop_assert_eq!((parsed.priority, &*parsed.app), (14, "talk"));
        prop_assert_eq!(parsed.kind, if direct { "direct" } else { "room" });
        let (from, body) = (SafeText(&from).to_string().replace(']', "\u{fffd}"), SafeText(&body).to_string());
        let expected = format!("[{from}] {body}");
        match whole {
            true => prop_assert_eq!(parsed.text, expected),
            false => prop_assert!(expected.starts_with(parsed.text.strip_suffix("...").unwrap())),
        }
    }

    #[test]
    fn whatever_is_said_makes_one_old_record(
        from in any::<String>(),
        body in any::<String>(),
        host in any::<Option<String>>(),
        ahead in any::<i32>(),
        millis in any::<u64>(),
    ) {
        let records = Records::new(Format::Rfc3164, host.as_deref(), Some(1));
        let said = Said { at: Timestamp::from_millis(millis), ahead, from: &from, body: &body, direct: false };
        let (text, _) = record(&records, &said);
        prop_assert!(text.len() <= 1024 && !text.chars().any(char::is_control));
        let rest = text.strip_prefix("<14>").unwrap();
        let (_, after) = rest[16..].split_once(' ').unwrap();
        prop_assert!(after.starts_with("talk[1]: ["), "{}", text);
    }
}
