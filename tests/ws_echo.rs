//! The echoing example against what RFC 6455 asks of a server, byte by byte: framing, control frames, reserved bits,
//! fragments, UTF-8, closing. It stands on the gateway's own accept code, so what holds here holds for rooms.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;
#[allow(dead_code)]
#[path = "../examples/ws_echo.rs"]
mod example;

use common::raw::{LONG, connect, exchange, status};
use common::raw_websocket::{CLOSE, TEXT, frame, header, open, upgrade};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const FIN: u8 = 0x80;
const MORE: u8 = 0;
const BINARY: u8 = 2;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The example, on a port of its own.
struct Echo {
    port: u16,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Echo {
    async fn start(options: &[&str]) -> Self {
        let arguments = ["--port", "0"].iter().chain(options).map(|option| (*option).to_owned());
        let server = example::listen(arguments.collect::<Vec<_>>().into_iter()).await.unwrap();
        let port = server.local_addr().port();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        Self { port, stop, task: tokio::spawn(server.serve(example::echo, stopped)) }
    }

    async fn open(&self) -> TcpStream {
        open(self.port, "/", "").await.0
    }

    /// What comes back until the connection ends, after these bytes.
    async fn all(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.open().await;
        // It may be closed before all of it was taken.
        let _ = stream.write_all(bytes).await;
        rest(&mut stream).await
    }
}

async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let read = async { while matches!(stream.read_buf(&mut all).await, Ok(read) if read > 0) {} };
    tokio::time::timeout(LONG, read).await.expect("the connection ends");
    all
}

/// A frame as a server sends it.
fn back(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64);
    bytes[1] &= 0x7f;
    bytes.extend(payload);
    bytes
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// Whether the last of these frames, all short, is a Close with this code.
fn ends_with_close(bytes: &[u8], code: u16) -> bool {
    let mut rest = bytes;
    while let [first, length, more @ ..] = rest {
        let Some((payload, behind)) = more.split_at_checked(usize::from(*length)) else { return false };
        if *first == FIN | CLOSE {
            return behind.is_empty() && payload.first_chunk() == Some(&code.to_be_bytes());
        }
        rest = behind;
    }
    false
}

#[track_caller]
fn check_closed(answer: &[u8], code: u16, what: &str) {
    assert!(ends_with_close(answer, code), "{what}: {answer:?} does not end with a Close of {code}");
}

#[tokio::test]
async fn messages_of_every_form_of_length_come_back() {
    let echo = Echo::start(&[]).await;
    let mut stream = echo.open().await;
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 1 << 20, 16 << 20] {
        for kind in [TEXT, BINARY] {
            let payload = vec![if kind == TEXT { b'*' } else { 0xfe }; length];
            let expected = back(FIN | kind, &payload);
            let mut heard = vec![0; expected.len()];
            let (mut read, mut write) = stream.split();
            let sent = frame(FIN | kind, &payload);
            let exchange = async { tokio::try_join!(write.write_all(&sent), read.read_exact(&mut heard)) };
            tokio::time::timeout(LONG, exchange).await.expect("it comes back").unwrap();
            assert!(heard == expected, "{length} bytes of kind {kind}");
        }
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_by_its_header() {
    let echo = Echo::start(&["--max", "1000"]).await;
    let whole = [frame(FIN | TEXT, &[b'a'; 1000]), close(1000, b"")].concat();
    assert_eq!(echo.all(&whole).await, [back(FIN | TEXT, &[b'a'; 1000]), back(FIN | CLOSE, &[3, 0xe8])].concat());
    let declared = [header(FIN | BINARY, 1001), vec![0; 4]].concat();
    check_closed(&echo.all(&declared).await, 1009, "one byte more");
    let pieces = [frame(TEXT, &[b'a'; 600]), frame(FIN | MORE, &[b'a'; 600])].concat();
    check_closed(&echo.all(&pieces).await, 1009, "pieces too long together");
}

#[tokio::test]
async fn pings_are_answered_with_their_payload_in_order() {
    let echo = Echo::start(&[]).await;
    let bye = close(1000, b"");
    let end = back(FIN | CLOSE, &[3, 0xe8]);
    let mut sent = Vec::new();
    let mut expected = Vec::new();
    for payload in [&b""[..], b"hi", &[0, 0xff, 0xfe], &[0xfe; 125]] {
        sent.extend(frame(FIN | PING, payload));
        expected.extend(back(FIN | PONG, payload));
        // Between what was said before and what is said after.
        sent.extend(frame(FIN | TEXT, payload.len().to_string().as_bytes()));
        expected.extend(back(FIN | TEXT, payload.len().to_string().as_bytes()));
        // Nobody asked for this one, so nobody answers it.
        sent.extend(frame(FIN | PONG, payload));
    }
    sent.extend(&bye);
    expected.extend(&end);
    assert_eq!(echo.all(&sent).await, expected);

    let ten: Vec<u8> = (0..10).flat_map(|n| frame(FIN | PING, &[n])).chain(bye).collect();
    assert_eq!(echo.all(&ten).await, (0..10).flat_map(|n| back(FIN | PONG, &[n])).chain(end).collect::<Vec<_>>());
    for kind in [PING, PONG, CLOSE] {
        check_closed(&echo.all(&frame(FIN | kind, &[3; 126])).await, 1002, "126 bytes in a control frame");
        check_closed(&echo.all(&frame(kind, b"")).await, 1002, "a control frame in fragments");
    }
}

#[tokio::test]
async fn reserved_bits_opcodes_and_missing_masks_fail_what_is_behind_them_unheard() {
    let echo = Echo::start(&[]).await;
    let before = frame(FIN | TEXT, b"before");
    for bits in 1..8 {
        for kind in [TEXT, BINARY, PING, CLOSE] {
            let bytes = [before.clone(), frame(FIN | bits << 4 | kind, &[3, 0xe8]), frame(FIN | PING, b"")].concat();
            let answer = echo.all(&bytes).await;
            assert!(answer.starts_with(&back(FIN | TEXT, b"before")), "{answer:?}");
            check_closed(&answer[8..], 1002, &format!("reserved bits {bits} on {kind}"));
            assert_eq!(answer[8], FIN | CLOSE, "nothing comes between");
        }
    }
    for kind in (3..8).chain(11..16) {
        for payload in [&b""[..], b"x"] {
            let bytes = [before.clone(), frame(FIN | kind, payload), frame(FIN | PING, b"")].concat();
            let answer = echo.all(&bytes).await;
            check_closed(&answer, 1002, &format!("opcode {kind}"));
            assert_eq!(answer[8], FIN | CLOSE, "nothing comes between");
        }
    }
    check_closed(&echo.all(&back(FIN | TEXT, b"x")).await, 1002, "no mask");
}

#[tokio::test]
async fn fragments_become_one_message_around_control_frames() {
    let echo = Echo::start(&[]).await;
    for (what, pieces, expected) in [
        ("two", vec![frame(TEXT, b"frag"), frame(FIN | MORE, b"ment")], back(FIN | TEXT, b"fragment")),
        ("empty ones", vec![frame(BINARY, b""), frame(MORE, b"x"), frame(FIN | MORE, b"")], back(FIN | BINARY, b"x")),
        ("only empty ones", vec![frame(TEXT, b""), frame(MORE, b""), frame(FIN | MORE, b"")], back(FIN | TEXT, b"")),
        (
            "around a ping",
            vec![frame(TEXT, b"a"), frame(FIN | PING, b"p"), frame(FIN | MORE, b"b")],
            [back(FIN | PONG, b"p"), back(FIN | TEXT, b"ab")].concat(),
        ),
        (
            "around pings and pongs",
            vec![
                frame(TEXT, b"a"),
                frame(FIN | PING, b"1"),
                frame(MORE, b"b"),
                frame(FIN | PONG, b"?"),
                frame(FIN | PING, b"2"),
                frame(FIN | MORE, b"c"),
            ],
            [back(FIN | PONG, b"1"), back(FIN | PONG, b"2"), back(FIN | TEXT, b"abc")].concat(),
        ),
    ] {
        let mut bytes = pieces.concat();
        bytes.extend(close(1000, b""));
        assert_eq!(echo.all(&bytes).await, [expected.clone(), back(FIN | CLOSE, &[3, 0xe8])].concat(), "{what}");
        // The same, a byte at a time.
        let mut stream = echo.open().await;
        stream.set_nodelay(true).unwrap();
        for byte in bytes {
            stream.write_all(&[byte]).await.unwrap();
        }
        assert!(rest(&mut stream).await.starts_with(&expected), "{what}, a byte at a time");
    }
    for (what, pieces) in [
        ("a continuation of nothing", vec![frame(FIN | MORE, b"x")]),
        ("an unfinished continuation of nothing", vec![frame(MORE, b"x"), frame(FIN | TEXT, b"y")]),
        ("one behind a whole message", vec![frame(TEXT, b"a"), frame(FIN | MORE, b"b"), frame(FIN | MORE, b"c")]),
        ("a text amid fragments", vec![frame(TEXT, b"a"), frame(FIN | TEXT, b"b")]),
        ("a second beginning", vec![frame(TEXT, b"a"), frame(BINARY, b"b"), frame(FIN | MORE, b"c")]),
    ] {
        check_closed(&echo.all(&pieces.concat()).await, 1002, what);
    }
}

#[tokio::test]
async fn text_is_utf_8_and_bytes_need_not_be() {
    let echo = Echo::start(&[]).await;
    let end = [close(1000, b""), back(FIN | CLOSE, &[3, 0xe8])];
    for good in [
        "κόσμε",
        "\0",
        "\u{7f}",
        "\u{80}",
        "\u{7ff}",
        "\u{800}",
        "\u{fffd}\u{fffe}\u{ffff}",
        "\u{10000}",
        "\u{10ffff}",
        "\u{feff}",
    ] {
        let bytes = good.as_bytes();
        let whole = [frame(FIN | TEXT, bytes), end[0].clone()].concat();
        assert_eq!(echo.all(&whole).await, [back(FIN | TEXT, bytes), end[1].clone()].concat(), "{good:?}");
        // Cut inside each of its characters.
        for at in 0..bytes.len() {
            let pieces = [frame(TEXT, &bytes[..at]), frame(FIN | MORE, &bytes[at..]), end[0].clone()].concat();
            let answer = echo.all(&pieces).await;
            assert_eq!(answer, [back(FIN | TEXT, bytes), end[1].clone()].concat(), "{good:?} cut at {at}");
        }
    }
    for bad in [
        &b"\x80"[..],
        b"\xbf",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xc3",
        b"\xe0\x80\xaf",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xed\xad\xbf\xed\xb0\x80",
        b"\xf0\x80\x80\xaf",
        b"\xf0\x9f\x91",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xce\xba\xed\xa0\x80edited",
    ] {
        check_closed(&echo.all(&frame(FIN | TEXT, bad)).await, 1007, &format!("{bad:x?}"));
        let pieces = [frame(TEXT, b"good "), frame(MORE, bad), frame(FIN | MORE, b"!")].concat();
        check_closed(&echo.all(&pieces).await, 1007, &format!("{bad:x?} amid fragments"));
        let bytes = [frame(FIN | BINARY, bad), end[0].clone()].concat();
        assert_eq!(echo.all(&bytes).await, [back(FIN | BINARY, bad), end[1].clone()].concat(), "{bad:x?} as bytes");
    }
    // What can never become text fails with the fragment that holds it.
    let mut stream = echo.open().await;
    stream.write_all(&frame(TEXT, b"\xce\xba\xf4\x90\x80\x80")).await.unwrap();
    check_closed(&rest(&mut stream).await, 1007, "before the message is whole");
}

#[tokio::test]
async fn a_close_is_answered_with_its_code_and_nothing_follows() {
    let echo = Echo::start(&[]).await;
    let longest = vec![b'r'; 123];
    for (code, reason) in [(1000, &b""[..]), (1000, b"bye"), (1000, "прощай".as_bytes()), (1001, &longest)] {
        check_closed(&echo.all(&close(code, reason)).await, code, "with a reason");
    }
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        check_closed(&echo.all(&close(code, b"")).await, code, "a code that may be sent");
    }
    for code in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999] {
        check_closed(&echo.all(&close(code, b"")).await, 1002, &format!("{code}, which may not"));
    }
    assert_eq!(echo.all(&frame(FIN | CLOSE, b"")).await, back(FIN | CLOSE, b""));
    check_closed(&echo.all(&frame(FIN | CLOSE, &[3])).await, 1002, "half a code");
    check_closed(&echo.all(&close(1000, b"\xce\xba\xed\xa0\x80")).await, 1007, "a reason that is not UTF-8");
    check_closed(&echo.all(&close(1000, &[b'r'; 124])).await, 1002, "a reason too long");
    for behind in [frame(FIN | TEXT, b"late"), frame(FIN | PING, b"late"), close(1001, b"again")] {
        let answer = echo.all(&[close(1000, b""), behind].concat()).await;
        assert_eq!(answer, back(FIN | CLOSE, &[3, 0xe8]), "frames behind a Close are not heard");
    }
    let unfinished = [frame(TEXT, b"half"), close(1000, b""), frame(FIN | MORE, b"late")].concat();
    assert_eq!(echo.all(&unfinished).await, back(FIN | CLOSE, &[3, 0xe8]));
}

#[tokio::test]
async fn only_upgrades_are_answered_and_a_stop_says_goodbye() {
    let echo = Echo::start(&[]).await;
    let plain = "HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(status(&exchange(echo.port, format!("GET / {plain}")).await), "426");
    assert_eq!(status(&exchange(echo.port, format!("POST / {plain}")).await), "405");
    for header in ["origin: http://elsewhere.example\r\n", "host: elsewhere.example\r\n"] {
        let mut stream = connect(echo.port).await;
        let request = match header.starts_with("host") {
            true => upgrade("/", "").replace("host: localhost\r\n", header),
            false => upgrade("/", header),
        };
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        tokio::time::timeout(LONG, stream.read_exact(&mut head)).await.unwrap().unwrap();
        assert_eq!(&head[9..], b"403", "{header}");
    }
    // What came right behind the upgrade, before it was answered.
    let mut early = connect(echo.port).await;
    early.write_all(&[upgrade("/any/path", "").as_bytes(), &frame(FIN | TEXT, b"early")].concat()).await.unwrap();
    early.write_all(&close(1000, b"")).await.unwrap();
    let answer = rest(&mut early).await;
    assert!(answer.ends_with(&[back(FIN | TEXT, b"early"), back(FIN | CLOSE, &[3, 0xe8])].concat()));

    let mut stream = echo.open().await;
    echo.stop.send(()).unwrap();
    check_closed(&rest(&mut stream).await, 1001, "the stop");
    drop(stream);
    tokio::time::timeout(LONG, echo.task).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn the_example_says_how_it_is_used() {
    for arguments in [&["--port"][..], &["--port", "x"], &["--max", "-1"], &["--fast", "1"]] {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        assert!(example::listen(arguments.clone().into_iter()).await.is_err(), "{arguments:?}");
    }
}
