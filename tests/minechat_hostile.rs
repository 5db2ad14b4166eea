//! Minechat before clients that mean no good, or do not look after themselves: they cost themselves and nobody else.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::minechat::{Client, HELLO, LONG, NICKNAME, SENT, WELCOME, Wire};
use socket2::SockRef;
use talk::codec::minechat::{HeardLine, hear_line};
use talk::name::Nickname;
use talk::secret::Password;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};

#[tokio::test]
async fn a_line_that_does_not_end_is_cut_at_every_prompt() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let (_bob, hash) = wire.registered("bob").await;
    for before in [String::new(), "\n".into(), "unknown\n".into(), format!("{hash}\n"), format!("{hash}\nbegun\n")] {
        let mut writer = wire.writer().await;
        writer.write(&before).await;
        let (piece, mut written) = (vec![b'x'; 1 << 16], 0);
        while written < 64 << 20 && writer.0.write_all(&piece).await.is_ok() {
            written += piece.len();
        }
        assert!(written < 64 << 20, "all of it was read after {} bytes", before.len());
    }
    let next = wire.probe().await;
    listener.expect(&next).await;
}

#[tokio::test]
async fn a_page_that_makes_a_browser_speak_here_is_not_taken_for_a_user() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    for head in ["POST / HTTP/1.1", "GET /ws HTTP/1.1", "OPTIONS * HTTP/1.0"] {
        let mut writer = wire.writer().await;
        writer.write(&format!("{head}\r\nHost: 127.0.0.1\r\n\r\nhello\n\nhello\n\n")).await;
        writer.expect(HELLO).await;
        assert!(writer.ends().await, "{head}");
    }
    let next = wire.probe().await;
    listener.expect(&next).await;
}

#[tokio::test]
async fn a_line_may_be_64_kib_long_and_not_more() {
    let wire = Wire::start().await;
    let longest = "x".repeat(64 * 1024);
    let mut writer = wire.writer().await;
    writer.write(&format!("{longest}\n")).await;
    writer.expect(HELLO).await;
    writer.expect("null\n").await;
    writer.expect(NICKNAME).await;
    writer.write(&format!("{longest}\n")).await;
    assert_eq!(writer.account().await.0, "x".repeat(64));
    writer.expect(WELCOME).await;
    writer.write(&format!("{longest}\n\n")).await;
    let refused = "Message not send: a message has at most 16384 bytes. Write more, end message with an empty line.\n";
    writer.expect(refused).await;
    writer.write(&format!("kept\n\n{longest}y")).await;
    // What came before counts.
    writer.expect(SENT).await;
    assert!(writer.ends().await);
}

#[tokio::test]
async fn what_listeners_send_is_ignored_until_it_is_too_much() {
    let mut wire = Wire::start().await;
    let (mut noisy, mut quiet) = (wire.listener().await, wire.listener().await);
    let piece: Vec<u8> = (0..64 * 1024).map(|n| n as u8).collect();
    noisy.0.write_all(&piece).await.unwrap();
    let next = wire.probe().await;
    for listener in [&mut noisy, &mut quiet] {
        while listener.line().await != next {}
    }
    noisy.write("x").await;
    assert!(noisy.ends().await);
    let mut flood = wire.listener().await;
    let mut written = 0;
    while written < 64 << 20 && flood.0.write_all(&piece).await.is_ok() {
        written += piece.len();
    }
    assert!(written < 64 << 20, "all of it was read");
    let next = wire.probe().await;
    while quiet.line().await != next {}
}

#[tokio::test]
async fn garbage_is_text_or_nothing_and_hurts_nobody() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let mut chance = 7u64;
    let mut noise = |length: usize| -> Vec<u8> {
        let byte = |()| {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (chance >> 56) as u8
        };
        std::iter::repeat_n((), length).map(byte).collect()
    };
    let mut pieces = vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\0\0\0\0\n\0\n\0\n\n".to_vec(),
        b"\xff\xfe\n\xc0\x80\n\xed\xa0\x80\n\n\n".to_vec(),
        b"\r\r\r\n\r\n\r\n".to_vec(),
        "\u{202e}\n\u{feff}\n\u{2028}\n\n".as_bytes().to_vec(),
        b"{\"username\":\"x\"}{\"message_type\":\"message\",\"data\":\"y\"}".to_vec(),
    ];
    pieces.extend((1..30).map(|n| noise(n * 211)));
    for (n, piece) in pieces.iter().enumerate() {
        for to in [wire.write, wire.listen] {
            let mut client = Client::connect(to).await;
            client.0.write_all(piece).await.unwrap();
            client.0.get_mut().shutdown().await.unwrap();
            assert!(client.ends().await, "piece {n}");
        }
        // Whatever was said of it were lines of somebody's.
        let next = wire.probe().await;
        loop {
            let line = listener.line().await;
            if line == next {
                break;
            }
            assert!(hear_line(line.strip_suffix('\n').unwrap()).is_some(), "{line:?}");
        }
    }
}

#[tokio::test]
async fn nobody_forges_a_line_a_sender_or_a_notice() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let (victim, _) = wire.registered("victim").await;
    drop(victim);
    let texts = [
        "hi\nvictim: forged",
        "hi\r\nvictim: forged",
        "hi\rvictim: forged",
        "hi\u{2028}victim: forged",
        "hi\u{2029}victim: forged",
        "hi\u{85}victim: forged",
        "hi\u{b}victim: forged",
        "hi\u{c}victim: forged",
        "hi\0\nvictim: forged",
        "\nvictim: forged",
        "Server: # к чату присоединился victim",
        "\u{1b}[1A\u{1b}[2Kvictim: forged",
        "\u{8}\u{8}\u{8}\u{8}\u{8}victim: forged",
        "hi\u{202e}degrof :mitciv",
        "null",
        "{\"nickname\": \"victim\", \"account_hash\": \"x\"}",
        "Message send. Write more, end message with an empty line.",
        "hi\n\u{200b}\nvictim: forged",
        "hi\\nvictim: forged",
        "victim: forged",
    ];
    let nicknames = [
        "Server",
        "SERVER",
        "Ser\u{200b}ver",
        "Server\u{200b}",
        "talk",
        "system",
        "healthCheck",
        "victim",
        "victim\u{feff}",
        "victim ",
        " victim",
        "vic\u{ad}tim",
        "victim: forged\rvictim",
        "Server: # к чату присоединился victim",
        "x: victim",
        "x\rvictim",
        "x\u{2028}victim",
        "victim#2",
        "#victim",
        "\u{202e}mitciv",
    ];
    for (n, text) in texts.iter().enumerate() {
        let (mut writer, _) = wire.registered(&format!("eve{n}")).await;
        writer.write(&format!("{text}\n\n")).await;
        loop {
            let line = listener.line().await;
            if line == format!("Server: # к чату присоединился eve{n}\n") {
                continue;
            }
            assert!(line.starts_with(&format!("eve{n}: ")), "{text:?} came out as {line:?}");
            assert_eq!(line.chars().filter(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')).count(), 1);
            break;
        }
        let next = wire.probe().await;
        loop {
            let line = listener.line().await;
            if line == next {
                break;
            }
            assert!(line.starts_with(&format!("eve{n}: ")), "{text:?} came out as {line:?}");
        }
    }
    for nickname in nicknames {
        let mut writer = wire.writer().await;
        writer.write(&format!("\n{nickname}\nhi\n\n")).await;
        writer.expect(HELLO).await;
        writer.expect(NICKNAME).await;
        let (given, _) = writer.account().await;
        for taken in ["victim", "server", "talk", "system", "healthcheck"] {
            assert_ne!(given.to_lowercase(), taken, "{nickname:?}");
        }
        listener.expect(&format!("Server: # к чату присоединился {given}\n")).await;
        let line = listener.line().await;
        let heard = hear_line(line.strip_suffix('\n').unwrap());
        assert_eq!(heard, Some(HeardLine::Said { from: given, body: "hi".into() }), "{nickname:?}");
    }
}

#[tokio::test]
async fn hundreds_of_silent_connections_leave_others_alone() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let mut silent = Vec::new();
    for n in 0..500 {
        silent.push(Client::connect(if n % 2 == 0 { wire.write } else { wire.listen }).await);
    }
    let (mut writer, _) = wire.registered("bob").await;
    writer.write("hello\n\n").await;
    writer.expect(SENT).await;
    listener.expect("Server: # к чату присоединился bob\n").await;
    listener.expect("bob: hello\n").await;
    // They were not cut either: whoever wakes up is served.
    for client in silent.iter_mut().step_by(2) {
        client.expect(HELLO).await;
    }
}

#[tokio::test]
async fn from_elsewhere_the_oldest_that_do_not_sign_in_make_room() {
    let limited = Wire::limited(|limits| (limits.unsigned_per_address, limits.loopback_exempt) = (3, false));
    let mut wire = limited.await;
    let mut listener = wire.listener().await;
    let (mut bob, _) = wire.registered("bob").await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        let mut client = wire.writer().await;
        client.expect(HELLO).await;
        silent.push(client);
    }
    let mut left = silent.split_off(3);
    for mut oldest in silent {
        assert!(oldest.ends().await);
    }
    left[0].write("\neve\n").await;
    left[0].expect(NICKNAME).await;
    assert_eq!(left[0].account().await.0, "eve");
    // Listeners have nothing to sign in to, and whoever has signed in stays.
    bob.write("hello\n\n").await;
    bob.expect(SENT).await;
    listener.expect("Server: # к чату присоединился bob\n").await;
    listener.expect("bob: hello\n").await;
}

#[tokio::test]
async fn one_address_does_not_fill_the_server_with_accounts() {
    let wire = Wire::limited(|limits| (limits.users, limits.loopback_exempt) = (100, false)).await;
    let (mut kept, mut refused) = (0, 0);
    for n in 0..40 {
        let mut writer = wire.writer().await;
        // With a nickname, or without one and stored with the first message.
        let nickname = if n % 2 == 0 { format!("bob{n}") } else { String::new() };
        writer.write(&format!("\n{nickname}\nhello\n\n")).await;
        writer.0.get_mut().shutdown().await.unwrap();
        let told = writer.rest().await;
        kept += usize::from(told.ends_with(SENT));
        let full = "Message not send: the server is full. Write more, end message with an empty line.\n";
        // Whoever asked for a nickname is not told why.
        refused += usize::from(told.ends_with(full) || told.ends_with(NICKNAME));
    }
    assert_eq!(kept + refused, 40);
    assert!((1..20).contains(&kept), "{kept} of 40 accounts");
}

#[tokio::test]
async fn a_right_secret_that_finds_no_place_is_no_wrong_one() {
    let wire = Wire::limited(|limits| limits.sessions_per_user = 1).await;
    let (name, secret) = (Nickname::new("carol").unwrap(), Password::new("long enough").unwrap());
    wire.hub.sign_in(&name, &secret).await.unwrap();
    let mut first = wire.writer().await;
    first.write("carol:long enough\n").await;
    first.expect(HELLO).await;
    first.account().await;
    for _ in 0..15 {
        let mut more = wire.writer().await;
        more.write("carol:long enough\n").await;
        more.expect(HELLO).await;
        // The end, and not that it is wrong.
        more.expect("").await;
    }
    first.0.get_mut().shutdown().await.unwrap();
    assert!(first.ends().await);
    let mut again = wire.writer().await;
    again.write("carol:long enough\n").await;
    again.expect(HELLO).await;
    assert_eq!(again.account().await.0, "carol");
}

#[tokio::test]
async fn storms_of_resets_leave_nothing_behind() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let (bob, hash) = wire.registered("bob").await;
    drop(bob);
    let before = ["", "\n", "unk", "unknown\n", "\n\n", "\neve", &format!("{hash}\n"), &format!("{hash}\nbegun\n")]
        .map(str::to_owned);
    for n in 0..400 {
        let mut client = Client::connect(if n % 5 == 0 { wire.listen } else { wire.write }).await;
        // It may be gone already.
        let _ = client.0.write_all(before[n % before.len()].as_bytes()).await;
        SockRef::from(client.0.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    }
    let mut writer = wire.writer().await;
    writer.write(&format!("{hash}\nhello\n\n")).await;
    writer.expect(HELLO).await;
    writer.account().await;
    writer.expect(WELCOME).await;
    writer.expect(SENT).await;
    loop {
        let line = listener.line().await;
        if line == "bob: hello\n" {
            break;
        }
        assert!(line.starts_with("Server: # к чату присоединился "), "{line}");
    }
    drop(writer);
    let left = async {
        while wire.hub.gauges().sessions > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, left).await.expect("only the probe is left");
}

#[tokio::test]
async fn a_writer_that_never_reads_is_heard_and_blocks_nobody() {
    let mut wire = Wire::limited(|limits| limits.commands_per_second = 0).await;
    let mut listener = wire.listener().await;
    let (bob, hash) = wire.registered("bob").await;
    drop(bob);
    // Both ends hold little, so that answers have no room soon.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = socket.connect(wire.write).await.unwrap();
    let (count, filler) = (5000, "x".repeat(200));
    let write = async {
        deaf.write_all(format!("{hash}\n").as_bytes()).await.unwrap();
        for n in 0..count {
            // Between the messages there is much to answer.
            deaf.write_all(format!("{n} {filler}\n{}", "\n".repeat(20)).as_bytes()).await.unwrap();
        }
    };
    let hear = async {
        listener.expect("Server: # к чату присоединился bob\n").await;
        for n in 0..count {
            listener.expect(&format!("bob: {n} {filler}\n")).await;
        }
    };
    timeout(2 * LONG, async { tokio::join!(write, hear) }).await.expect("all of it is heard");
    let (mut eve, _) = wire.registered("eve").await;
    eve.write("hello\n\n").await;
    eve.expect(SENT).await;
    deaf.write_all(b"still here\n\n").await.unwrap();
    let mut last = [listener.line().await, listener.line().await, listener.line().await];
    last.sort_unstable();
    assert_eq!(last, ["Server: # к чату присоединился eve\n", "bob: still here\n", "eve: hello\n"]);
    // What it was told is whole lines as far as it goes, however many are missing.
    let (mut told, mut typed) = deaf.into_split();
    let read = async {
        let mut all = Vec::new();
        // A reset ends it like everything else.
        let _ = told.read_to_end(&mut all).await;
        String::from_utf8(all).unwrap()
    };
    let type_on = async {
        for _ in 0..1000 {
            typed.write_all(b"\n").await.unwrap();
            tokio::task::yield_now().await;
        }
        typed.shutdown().await.unwrap();
    };
    let (all, ()) = timeout(LONG, async { tokio::join!(read, type_on) }).await.expect("an end in time");
    let mut lines: Vec<_> = all.split_inclusive('\n').collect();
    if lines.last().is_some_and(|line| !line.ends_with('\n')) {
        lines.pop();
    }
    assert_eq!((lines[0], lines[2]), (HELLO, WELCOME));
    assert!(lines[3..].iter().all(|line| *line == SENT), "a line was torn");
    assert!((1000..count * 21).contains(&lines.len()), "{} lines of {}", lines.len(), count * 21);
}

#[tokio::test]
async fn a_listener_that_stops_reading_is_cut_and_slows_nobody() {
    let limited = Wire::limited(|limits| {
        (limits.commands_per_second, limits.member_bytes, limits.member_messages) = (0, 64 * 1024, 256);
    });
    let mut wire = limited.await;
    let mut listener = wire.listener().await;
    let stalled = stalled_listener(wire.listen).await;
    let (mut writer, _) = wire.registered("bob").await;
    let filler = "x".repeat(8 * 1024);
    let mut cut = false;
    for n in 0..4000 {
        writer.write(&format!("{n} {filler}\n\n")).await;
        writer.expect(SENT).await;
        if n == 0 {
            listener.expect("Server: # к чату присоединился bob\n").await;
        }
        listener.expect(&format!("bob: {n} {filler}\n")).await;
        if wire.hub.counters().snapshot().cuts.iter().any(|(cut, count)| *cut == talk::hub::Cut::TooSlow && *count > 0)
        {
            cut = true;
            break;
        }
    }
    assert!(cut, "32 MB wait for somebody who reads nothing");
    drop(stalled);
}

/// The logs of everything in this process are looked at, so it is the only one here that cares what they hold.
#[tokio::test]
async fn no_hash_and_no_message_reaches_the_log() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let (mut bob, hash) = wire.registered("bob").await;
    bob.write("a private matter\n\n").await;
    bob.expect(SENT).await;
    listener.expect("Server: # к чату присоединился bob\n").await;
    listener.expect("bob: a private matter\n").await;
    drop(bob);
    let guessed = "6f9d8a52-1f2b-4a1e-9d2c-0a5f4cf3b1de";
    for typed in [&hash, guessed, "bob:guessed password", "carol:guessed password"] {
        let mut writer = wire.writer().await;
        writer.write(&format!("{typed}\n")).await;
        writer.expect(HELLO).await;
        writer.line().await;
        writer.0.write_all(&vec![b'x'; 70_000]).await.unwrap();
        assert!(writer.ends().await);
    }
    let log = log.0.lock().unwrap();
    assert!(log.contains("minechat-write"), "the look finds what is there");
    for secret in [&*hash, guessed, "guessed password", "a private matter"] {
        assert!(!log.contains(secret), "{secret}");
    }
}

/// Connects, and does not read.
async fn stalled_listener(to: SocketAddr) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(to).await.unwrap();
    assert_eq!(stream.try_read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    stream
}

/// Everything that is logged, at whatever level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Writing(&mut self.0.lock().unwrap()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Writing(&mut self.0.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Writing(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Writing<'a>(&'a mut String);

impl Visit for Writing<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = writeln!(self.0, "{}={value:?}", field.name());
    }
}
