//! What is said, as a syslog receiver takes it: one of each kind made here, and a real one.
#![cfg(all(unix, feature = "net"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use common::raw::LONG;
use common::syslog::{Rsyslog, post, said};
use talk::Limits;
use talk::codec::syslog::Format;
use talk::gateway::syslog::{Builder, Counted, Syslog, Target};
use talk::hub::Hub;
use talk::message::{Command, RoomKey, UserId};
use talk::name::RoomName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener};
use tokio::time::timeout;

fn to(target: &str) -> Builder {
    Syslog::builder(target.parse().unwrap()).host("chat.example").process(7)
}

fn unix(path: &Path) -> Builder {
    Syslog::builder(Target::Unix(path.to_owned())).host("chat.example").process(7)
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("it happens")
}

/// Waits until what was counted is as wanted.
async fn until(syslog: &Syslog, wanted: impl Fn(&Counted) -> bool) -> Counted {
    within(async {
        loop {
            let counted = syslog.counted();
            if wanted(&counted) {
                return counted;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn dropped(counted: &Counted, reason: &str) -> u64 {
    counted.dropped.iter().find(|(of, _)| *of == reason).unwrap().1
}

/// The next record of a stream that has lengths.
async fn counted(stream: &mut (impl AsyncBufReadExt + Unpin)) -> String {
    within(async {
        let mut length = Vec::new();
        stream.read_until(b' ', &mut length).await.unwrap();
        let length: usize = std::str::from_utf8(&length).unwrap().strip_suffix(' ').unwrap().parse().unwrap();
        let mut record = vec![0; length];
        stream.read_exact(&mut record).await.unwrap();
        String::from_utf8(record).unwrap()
    })
    .await
}

const HEAD: &str = "<14>1 2026-11-21T08:20:00.123Z chat.example talk 7";

#[tokio::test]
async fn over_udp_each_text_is_a_datagram() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let syslog = to(&format!("udp:{}", receiver.local_addr().unwrap())).start();
    let direct = RoomKey::Direct(UserId::random());
    syslog.write(&said("bob", "hi"));
    syslog.write(&post(direct, "ann", "psst\nthere"));
    syslog.write(&said("bob", &"x".repeat(3000)));
    let mut datagram = [0; 4096];
    for expected in [format!("{HEAD} room - [bob] hi"), format!("{HEAD} direct - [ann] psst there")] {
        let length = within(receiver.recv(&mut datagram)).await.unwrap();
        assert_eq!(std::str::from_utf8(&datagram[..length]).unwrap(), expected);
    }
    let length = within(receiver.recv(&mut datagram)).await.unwrap();
    assert!(length == 2048 && datagram[..length].ends_with(b"xxx..."), "{length}");
    let counted = until(&syslog, |counted| counted.written == 3).await;
    assert_eq!((counted.connected, counted.waiting, counted.cut), (true, 0, 1));
    assert_eq!(counted.dropped, [("queue", 0), ("connection", 0), ("error", 0)]);
}

#[tokio::test]
async fn over_tcp_each_record_has_its_length_in_front() {
    for (format, expected) in [
        (Format::Rfc5424, format!("{HEAD} room - \u{feff}[bob] hä")),
        (Format::Rfc3164, "<14>Nov 21 09:20:00 chat talk[7]: [bob] hä".to_owned()),
    ] {
        let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = to(&format!("tcp:{}", receiver.local_addr().unwrap()));
        let syslog = to.format(format).local_time(|_| 3600).start();
        for _ in 0..3 {
            syslog.write(&said("bob", "hä"));
        }
        let (stream, _) = within(receiver.accept()).await.unwrap();
        let mut stream = BufReader::new(stream);
        for _ in 0..3 {
            assert_eq!(self::counted(&mut stream).await, expected);
        }
        syslog.finish().await;
        let mut rest = Vec::new();
        within(stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty());
    }
}

#[tokio::test]
async fn a_socket_of_this_machine_takes_datagrams_or_else_lines() {
    let dir = tempfile::tempdir().unwrap();
    let old = "<14>Nov 21 08:20:00 talk[7]: [bob] hi";
    let receiver = UnixDatagram::bind(dir.path().join("d")).unwrap();
    for (format, expected) in [(Format::Rfc5424, format!("{HEAD} room - [bob] hi")), (Format::Rfc3164, old.to_owned())]
    {
        let syslog = unix(&dir.path().join("d")).format(format).start();
        syslog.write(&said("bob", "hi"));
        let mut datagram = [0; 1024];
        let length = within(receiver.recv(&mut datagram)).await.unwrap();
        assert_eq!(std::str::from_utf8(&datagram[..length]).unwrap(), expected);
    }
    let receiver = UnixListener::bind(dir.path().join("s")).unwrap();
    let syslog = unix(&dir.path().join("s")).format(Format::Rfc3164).start();
    syslog.write(&said("bob", "hi"));
    syslog.write(&said("bob", "two\nlines"));
    let (stream, _) = within(receiver.accept()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert_eq!(within(lines.next_line()).await.unwrap().unwrap(), old);
    let next = within(lines.next_line()).await.unwrap().unwrap();
    assert_eq!(next, old.replace("hi", "two lines"));
    drop(syslog);
    assert_eq!(within(lines.next_line()).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_said_while_the_receiver_is_away_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let syslog = unix(&path).start();
    for i in 0..5 {
        syslog.write(&said("bob", &i.to_string()));
    }
    let mut datagram = [0; 1024];
    // Twice, since a receiver that restarts makes its socket anew.
    for round in 0..2 {
        let counted = until(&syslog, |counted| !counted.connected).await;
        assert_eq!((counted.waiting, counted.written), (5, 5 * round));
        let receiver = UnixDatagram::bind(&path).unwrap();
        for i in 0..5 {
            let length = within(receiver.recv(&mut datagram)).await.unwrap();
            assert!(datagram[..length].ends_with(format!("[bob] {i}").as_bytes()));
        }
        until(&syslog, |counted| counted.written == 5 * (round + 1)).await;
        drop(receiver);
        std::fs::remove_file(&path).unwrap();
        for i in 0..5 {
            syslog.write(&said("bob", &i.to_string()));
        }
    }
}

#[tokio::test]
async fn a_receiver_that_ends_the_connection_is_connected_to_again() {
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let syslog = to(&format!("tcp:{}", receiver.local_addr().unwrap())).start();
    for round in 0..3 {
        let (stream, _) = within(receiver.accept()).await.unwrap();
        until(&syslog, |counted| counted.connected).await;
        syslog.write(&said("bob", &round.to_string()));
        let mut stream = BufReader::new(stream);
        assert_eq!(counted(&mut stream).await, format!("{HEAD} room - [bob] {round}"));
        // What it says is nobody's business.
        stream.write_all(&[b'x'; 10_000]).await.unwrap();
        drop(stream);
        until(&syslog, |counted| !counted.connected).await;
    }
    assert_eq!(syslog.counted().written, 3);
}

#[tokio::test]
async fn a_record_that_was_cut_off_is_written_whole_on_the_next_connection() {
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut limits = Limits::default();
    limits.syslog_record = 1 << 24;
    let syslog = to(&format!("tcp:{}", receiver.local_addr().unwrap())).limits(&limits).start();
    // More than sockets hold.
    let long = "x".repeat(1 << 24);
    syslog.write(&said("bob", &long));
    let (mut stream, _) = within(receiver.accept()).await.unwrap();
    let mut begun = [0; 100];
    within(stream.read_exact(&mut begun)).await.unwrap();
    drop(stream);
    let (stream, _) = within(receiver.accept()).await.unwrap();
    let record = counted(&mut BufReader::new(stream)).await;
    assert!(record.starts_with(&format!("{HEAD} room - [bob] xx")) && record.ends_with("..."));
    assert_eq!(record.len(), 1 << 24);
    let counted = until(&syslog, |counted| counted.written == 1).await;
    assert_eq!((counted.cut, counted.waiting), (1, 0));
}

#[tokio::test]
async fn what_is_too_much_is_dropped_and_counted_by_reason() {
    let mut limits = Limits::default();
    limits.syslog_queue = 3;
    // Nobody there.
    let dir = tempfile::tempdir().unwrap();
    let nowhere = unix(&dir.path().join("nobody")).limits(&limits).start();
    for _ in 0..10 {
        nowhere.write(&said("bob", "hi"));
    }
    let counted = nowhere.counted();
    assert_eq!((counted.connected, counted.waiting, dropped(&counted, "connection")), (false, 3, 7));
    nowhere.finish().await;
    nowhere.write(&said("bob", "too late"));
    let counted = nowhere.counted();
    assert_eq!((counted.waiting, counted.written, dropped(&counted, "connection")), (0, 0, 11));

    // Somebody who does not read.
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    limits.syslog_record = 1 << 20;
    let syslog = to(&format!("tcp:{}", receiver.local_addr().unwrap())).limits(&limits).start();
    let (stream, _) = within(receiver.accept()).await.unwrap();
    until(&syslog, |counted| counted.connected).await;
    let long = "x".repeat(1 << 20);
    let mut told = 0;
    within(async {
        while dropped(&syslog.counted(), "queue") < 10 {
            syslog.write(&said("bob", &long));
            told += 1;
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Nothing is lost but what was counted.
    let reading = tokio::spawn(async move {
        let mut stream = BufReader::new(stream);
        let mut records = 0;
        while !stream.fill_buf().await.unwrap().is_empty() {
            self::counted(&mut stream).await;
            records += 1;
        }
        records
    });
    until(&syslog, |counted| counted.waiting == 0).await;
    syslog.finish().await;
    let counted = syslog.counted();
    assert_eq!(counted.written + dropped(&counted, "queue"), told);
    assert_eq!(within(reading).await.unwrap(), counted.written);
}

#[tokio::test]
async fn what_the_system_does_not_take_is_dropped_alone() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = UnixDatagram::bind(dir.path().join("log")).unwrap();
    let mut limits = Limits::default();
    limits.syslog_record = 1 << 24;
    let syslog = unix(&dir.path().join("log")).limits(&limits).start();
    syslog.write(&said("bob", &"x".repeat(1 << 24)));
    syslog.write(&said("bob", "hi"));
    let mut datagram = [0; 1024];
    let length = within(receiver.recv(&mut datagram)).await.unwrap();
    assert!(datagram[..length].ends_with(b"[bob] hi"));
    let counted = until(&syslog, |counted| counted.written == 1).await;
    assert_eq!((dropped(&counted, "error"), counted.waiting), (1, 0));
}

#[tokio::test]
async fn a_receiver_that_nobody_is_behind_over_udp_loses_little() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = receiver.local_addr().unwrap();
    drop(receiver);
    let syslog = to(&format!("udp:{at}")).start();
    until(&syslog, |counted| counted.connected).await;
    syslog.write(&said("bob", "lost"));
    // The system tells that the first one was refused.
    until(&syslog, |counted| !counted.connected && counted.written == 1).await;
    let receiver = UdpSocket::bind(at).await.unwrap();
    syslog.write(&said("bob", "heard"));
    let mut datagram = [0; 1024];
    let length = within(receiver.recv(&mut datagram)).await.unwrap();
    assert!(datagram[..length].ends_with(b"[bob] heard"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_a_second_at_most() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody there, and somebody who does not read.
    let nowhere = unix(&dir.path().join("nobody")).start();
    let receiver = UnixListener::bind(dir.path().join("log")).unwrap();
    let syslog = unix(&dir.path().join("log")).start();
    for _ in 0..1000 {
        nowhere.write(&said("bob", "hi"));
        syslog.write(&said("bob", &"x".repeat(7000)));
    }
    let (_stream, _) = receiver.accept().await.unwrap();
    let begun = tokio::time::Instant::now();
    tokio::join!(nowhere.finish(), syslog.finish());
    // The clock is paused: this is what was waited for, not how fast the machine is.
    assert!(begun.elapsed() <= Duration::from_millis(1001), "{:?}", begun.elapsed());
    assert_eq!(dropped(&nowhere.counted(), "connection"), 1000);
    let counted = syslog.counted();
    assert!(counted.written > 0 && counted.written + dropped(&counted, "connection") == 1000, "{counted:?}");
}

#[tokio::test]
async fn a_stop_writes_what_waits() {
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let syslog = to(&format!("tcp:{}", receiver.local_addr().unwrap())).start();
    for i in 0..4000 {
        syslog.write(&said("bob", &i.to_string()));
    }
    let reading = tokio::spawn(async move {
        let (stream, _) = receiver.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        for i in 0..4000 {
            assert_eq!(counted(&mut stream).await, format!("{HEAD} room - [bob] {i}"));
        }
        assert!(stream.fill_buf().await.unwrap().is_empty());
    });
    syslog.finish().await;
    within(reading).await.unwrap();
    assert_eq!((syslog.counted().written, syslog.counted().waiting), (4000, 0));
}

#[tokio::test]
async fn a_hub_tells_what_is_said_in_rooms_and_to_one_alone() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let syslog = std::sync::Arc::new(to(&format!("udp:{}", receiver.local_addr().unwrap())).start());
    let hub = Hub::builder().watch(syslog.clone()).build().await.unwrap();
    let (mut ann, _) = hub.sit("ann").await.unwrap();
    let (_bob, _heard) = hub.sit("bob").await.unwrap();
    ann.run(Command::Enter(RoomName::global())).await.unwrap();
    ann.run(Command::Say { room: None, body: "to all".into(), id: None }).await.unwrap();
    let direct = Command::Direct { to: "bob".into(), body: "to bob".into(), id: None };
    ann.run(direct).await.unwrap();
    let mut texts = Vec::new();
    let mut datagram = [0; 1024];
    for _ in 0..2 {
        let length = within(receiver.recv(&mut datagram)).await.unwrap();
        let (_, text) = std::str::from_utf8(&datagram[..length]).unwrap().split_once(" talk 7 ").unwrap();
        texts.push(text.to_owned());
    }
    texts.sort();
    assert_eq!(texts, ["direct - [ann] to bob", "room - [ann] to all"]);
    // Notices are no texts.
    drop(ann);
    hub.stop();
    hub.drained().await;
    syslog.finish().await;
    assert_eq!(syslog.counted().written, 2);
}

#[tokio::test]
async fn rsyslog_reads_every_field_by_every_way() {
    let mut rsyslog = Rsyslog::start().await;
    let (udp, tcp) = (format!("udp:127.0.0.1:{}", rsyslog.udp), format!("tcp:127.0.0.1:{}", rsyslog.tcp));
    for target in [unix(&rsyslog.modern), to(&udp), to(&tcp)] {
        let syslog = target.start();
        syslog.write(&said("bob", "hi"));
        syslog.write(&post(RoomKey::Direct(UserId::random()), "bob", "привет 👋"));
        let lines = rsyslog.lines(2).await;
        let head = "user|info|chat.example|talk|7";
        assert!(lines[0].starts_with(&format!("{head}|room|2")) && lines[0].ends_with("|[bob] hi"), "{lines:?}");
        assert!(lines[1].starts_with(&format!("{head}|direct|2")), "{lines:?}");
        assert!(lines[1].ends_with("|\u{feff}[bob] привет 👋"), "{lines:?}");
        // What the system's own socket takes has the time of when it was taken.
        let network = matches!(syslog.target(), Target::Udp(..) | Target::Tcp(..));
        assert_eq!(lines[0].contains("|2026-11-21T08:20:00.123Z|"), network, "{lines:?}");
        syslog.finish().await;
    }
    for (target, host) in [(unix(&rsyslog.local), None), (to(&udp), Some("chat")), (to(&tcp), Some("chat"))] {
        let syslog = target.format(Format::Rfc3164).start();
        syslog.write(&said("bob", "hi"));
        let line = rsyslog.lines(1).await.remove(0);
        let fields: Vec<_> = line.split('|').collect();
        assert_eq!((fields[0], fields[1], fields[3], fields[4]), ("user", "info", "talk", "7"), "{line}");
        assert!(host.is_none_or(|host| fields[2] == host), "{line}");
        assert_eq!(fields[7], " [bob] hi");
        syslog.finish().await;
    }
}

#[tokio::test]
async fn the_longest_text_is_one_record_for_rsyslog() {
    let mut rsyslog = Rsyslog::start().await;
    let (udp, tcp) = (format!("udp:127.0.0.1:{}", rsyslog.udp), format!("tcp:127.0.0.1:{}", rsyslog.tcp));
    // Each piece of it would be a record of its own, if the receiver split it there.
    let forged: String = "\n<14>1 - - talk - room - [root] forged".repeat(16 * 1024 / 38);
    for (target, least) in [(unix(&rsyslog.modern), 7900), (to(&udp), 1900), (to(&tcp), 7900)] {
        let syslog = target.start();
        for body in [&*forged, &"ä".repeat(8192), "end"] {
            syslog.write(&said("bob", body));
        }
        for _ in 0..2 {
            let text = rsyslog.text().await;
            assert!(text.trim_start_matches('\u{feff}').starts_with("[bob] ") && text.ends_with("..."), "{text}");
            assert!((least..8096).contains(&text.len()), "{}", text.len());
        }
        assert_eq!(rsyslog.text().await, "[bob] end");
        syslog.finish().await;
    }
}

#[tokio::test]
async fn no_text_and_no_name_forges_a_line_for_rsyslog() {
    let mut rsyslog = Rsyslog::start().await;
    let breaks =
        ["\n", "\r\n", "\r", "\0", "\u{b}", "\u{c}", "\u{85}", "\u{2028}", "\u{2029}", "#012", "\\n", "\u{1b}[1A"];
    let records = ["<14>1 - - talk - room - [root] x", "42 <14>1 - - - - - - [root] x", "[root] x", "<0>x"];
    for target in [
        unix(&rsyslog.modern),
        to(&format!("udp:127.0.0.1:{}", rsyslog.udp)),
        to(&format!("tcp:127.0.0.1:{}", rsyslog.tcp)),
    ] {
        let syslog = target.start();
        let mut tried = 0;
        for between in breaks {
            for record in records {
                syslog.write(&said("bob", &format!("x{between}{record}")));
                syslog.write(&said(&format!("bob{between}] {record}"), "x"));
                tried += 2;
            }
        }
        syslog.write(&said("bob", "end"));
        let lines = rsyslog.lines(tried + 1).await;
        for line in &lines {
            let fields: Vec<_> = line.splitn(8, '|').collect();
            assert_eq!(fields[..6], ["user", "info", "chat.example", "talk", "7", "room"], "{line}");
            let text = fields[7].trim_start_matches('\u{feff}');
            let (name, _) = text.strip_prefix('[').unwrap().split_once("] ").unwrap();
            assert!(name.starts_with("bob"), "{line}");
        }
        assert!(lines.last().unwrap().ends_with("[bob] end"), "{lines:?}");
        syslog.finish().await;
    }
}

#[tokio::test]
async fn rsyslog_that_restarts_hears_what_was_said_meanwhile() {
    let mut rsyslog = Rsyslog::start().await;
    let ways = [unix(&rsyslog.modern).start(), to(&format!("tcp:127.0.0.1:{}", rsyslog.tcp)).start()];
    for syslog in &ways {
        syslog.write(&said("bob", "before"));
        assert_eq!(rsyslog.text().await, "[bob] before");
    }
    rsyslog
        .restart(async || {
            // TCP tells by itself; who sends datagrams hears of it with the first one.
            until(&ways[1], |counted| !counted.connected).await;
            for syslog in &ways {
                syslog.write(&said("bob", "meanwhile"));
            }
            until(&ways[0], |counted| !counted.connected).await;
        })
        .await;
    for _ in &ways {
        assert_eq!(rsyslog.text().await, "[bob] meanwhile");
    }
    for syslog in &ways {
        let counted = until(syslog, |counted| counted.written == 2).await;
        assert_eq!((counted.waiting, counted.dropped.iter().map(|(_, count)| count).sum::<u64>()), (0, 0));
    }
}
