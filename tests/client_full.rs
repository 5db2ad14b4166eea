//! `talk-client room --tui` on a terminal, as somebody would see it: never a torn or stale screen, whatever happens.
#![cfg(all(feature = "server", feature = "terminal", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

use common::full_screen::{FullScreen, text};
use common::programs::{ClientProgram, Home};
use common::wires_program::WiresProgram;

/// A client on pipes that is connected.
fn client(home: &Home, server: &WiresProgram, name: &str, arguments: &str) -> ClientProgram {
    let mut client = ClientProgram::start(server.room(home, name, arguments));
    client.line(|line| line == format!("* connected as {name}") || line.contains("\"connected\""));
    client
}

/// The numbers behind a name, in the order in which they stand on the screen.
fn numbers(screen: &vt100::Screen, before: &str) -> Vec<usize> {
    let rows = text(screen);
    let number = |row: &str| row.split_once(before)?.1.split_whitespace().next()?.parse().ok();
    rows.lines().filter_map(number).collect()
}

#[test]
fn a_room_is_talked_in_and_everything_that_comes_of_a_text_is_shown_behind_it() {
    let (home, server) = WiresProgram::at_home();
    let mut bob = client(&home, &server, "bob", "");
    let mut ann = FullScreen::in_room(&server, &home, "ann", "");
    ann.send("hello, bob");
    ann.sees("global› hello, bob");
    ann.send("\r");
    ann.row("delivered", |row| row.contains("ann │ hello, bob  ✓✓"));
    bob.line(|line| line == "ann: hello, bob");
    bob.type_line("hello yourself");
    ann.row("an answer", |row| row.contains("bob │ hello yourself"));
    // Somebody alone, in a window of his own.
    bob.type_line(":msg ann psst");
    ann.sees("2:bob(1)");
    ann.send("\u{1b}2");
    ann.row("a title", |row| row.starts_with(" @bob"));
    ann.sees("bob │ psst");
    ann.send("yes?\r");
    bob.line(|line| line == "#(direct) ann: yes?");
    ann.row("delivered", |row| row.contains("ann │ yes?  ✓✓"));
    ann.is_whole();
    // Somebody who is not there, from another window.
    ann.send(":msg ghost hi\r");
    ann.row("a notice", |row| row.contains("! │ not delivered to @ghost: user ghost"));
    ann.sees("3:ghost(1)");
    ann.send("\u{1b}3:leave\r");
    ann.sees_no("3 @ghost");
    // Another room, and back.
    ann.send(":create tea\r");
    ann.row("a title", |row| row.starts_with(" #tea"));
    ann.sees("3 #tea");
    ann.send("\u{1b}1to global\r");
    bob.line(|line| line == "ann: to global");
    ann.send("\u{1b}OQ");
    ann.sees_no("3 #tea");
    ann.send("\u{1b}OR");
    ann.row("the users", |row| row.ends_with("│ bob"));
    ann.row("delivered", |row| row.contains("to global  ✓✓"));
    ann.is_whole();
    ann.send("\u{4}");
    assert_eq!(ann.ends(), (0, String::new()));
}

#[test]
fn a_half_typed_line_stays_whole_while_others_speak_and_the_window_changes() {
    let (home, server) = WiresProgram::at_home();
    let mut bob = client(&home, &server, "bob", "");
    let mut ann = FullScreen::in_room(&server, &home, "ann", "");
    ann.send("half typed 漢字 li");
    ann.sees("global› half typed 漢字 li");
    let sizes = [(120, 40), (40, 12), (20, 5), (100, 30), (80, 24)];
    for (round, (columns, rows)) in sizes.into_iter().enumerate() {
        for n in 0..20 {
            bob.type_line(&format!("number {}", round * 20 + n));
        }
        ann.resize(columns, rows);
        let last = round * 20 + 19;
        ann.until(&format!("number {last}"), |screen| (numbers(screen, "number").last() == Some(&last)).then_some(()));
        ann.is_whole();
    }
    let seen = numbers(&ann.screen(), "bob │ number");
    assert_eq!(seen, (100 - seen.len()..100).collect::<Vec<_>>(), "{}", ann.text());
    assert!(seen.len() > 15 && ann.text().contains("global› half typed 漢字 li"), "{}", ann.text());
    ann.send("ne\r");
    bob.line(|line| line == "ann: half typed 漢字 line");
    ann.row("delivered", |row| row.contains("line  ✓✓"));
    ann.send(":exit\r");
    assert_eq!(ann.ends().0, 0);
}

#[test]
fn a_server_that_is_killed_and_comes_back_costs_nothing_that_was_typed() {
    let (home, mut server) = WiresProgram::at_home();
    let mut bob = client(&home, &server, "bob", "");
    let mut ann = FullScreen::in_room(&server, &home, "ann", "");
    for round in 0..2 {
        ann.send("half a li");
        ann.sees("› half a li");
        server.kill();
        ann.sees("○ no connection");
        ann.sees("› half a li");
        ann.send(&format!("ne {round}\r"));
        ann.row("queued", |row| row.contains(&format!("half a line {round}  … queued")));
        ann.sees("1 waiting");
        ann.is_whole_but_for_the_time();
        ann.send("half ano");
        server.revive();
        ann.sees("● ann → global");
        ann.row("delivered", |row| row.contains(&format!("half a line {round}  ✓")));
        ann.sees("› half ano");
        bob.line(|line| line.starts_with("* connected again"));
        ann.send(&format!("ther {round}\r"));
        bob.line(|line| line.ends_with(&format!("ann: half another {round}")));
        ann.row("delivered", |row| row.contains(&format!("half another {round}  ✓✓")));
        ann.sees("nothing was missed");
    }
    let seen = ann.text();
    let texts = ["half a line 0", "half another 0", "half a line 1", "half another 1"].map(|text| seen.find(text));
    assert!(texts.iter().all(Option::is_some) && texts.is_sorted(), "{seen}");
    ann.is_whole();
    ann.send("\u{3}");
    assert_eq!(ann.ends().0, 0);
}

#[test]
fn hostile_names_and_texts_stay_in_their_cells() {
    let (home, server) = WiresProgram::at_home();
    let mut mallory = client(&home, &server, "mallory", "--json");
    let mut ann = FullScreen::in_room(&server, &home, "ann", "");
    for (said, shown) in [
        // The emulator shows nothing for what is shown for them.
        ("\\u001b]0;owned\\u0007\\u001b[2Jx", "│ ]0;owned[2Jx"),
        ("\\u009b2J\\u0090q", "│ 2Jq"),
        ("hi\\nann │ forged\\u2028again", "│ ann │ forged again"),
        ("\\u202elive", "│  live"),
        ("👨‍👩‍👧 and 漢字", "│ 👨👩👧 and 漢字"),
        ("z\\u0301\\u0301\\u0301\\u0301\\u0301\\u0301", "│ z\u{301}\u{301}\u{301}\u{301}"),
        ("❤️ 👍🏽 🇩🇪 ｱ ﷽ कि", "│ ❤ 👍"),
    ] {
        mallory.type_line(&format!("{{\"do\":\"say\",\"text\":\"{said}\"}}"));
        ann.row(shown, |row| row.contains(shown));
        ann.is_whole();
    }
    let seen = ann.text();
    assert!(seen.lines().filter(|row| row.contains("mallory │")).count() >= 6, "{seen}");
    for row in seen.lines().skip(1).take(21) {
        assert_eq!(row.chars().nth(17), Some('│'), "{row}");
    }
    ann.send("\u{4}");
    assert_eq!(ann.ends(), (0, String::new()));
}

#[test]
fn two_hundred_messages_a_second_leave_a_whole_screen_and_do_not_keep_anybody_from_typing() {
    let home = Home::new();
    let server = WiresProgram::start_with(&home, &["--set", "limits.commands_per_second=0"]);
    let mut bob = client(&home, &server, "bob", "");
    let mut ann = FullScreen::in_room(&server, &home, "ann", "");
    let began = (Instant::now(), ann.lock().frames);
    let flood = std::thread::spawn({
        let port = server.write;
        move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
            stream.write_all(b"\nflood\n").unwrap();
            while !answers.next().unwrap().unwrap().contains("account_hash") {}
            for n in 0..MESSAGES {
                stream.write_all(format!("number {n}\n\n").as_bytes()).unwrap();
                while !answers.next().unwrap().unwrap().contains("Message send") {}
            }
        }
    });
    ann.sees("flood │ number");
    ann.send("typed mean");
    ann.sees("› typed mean");
    ann.resize(100, 30);
    ann.send("while\r");
    bob.line(|line| line == "ann: typed meanwhile");
    flood.join().unwrap();
    // That is told behind the last message.
    ann.row("the end", |row| row.ends_with(" * │ flood left"));
    ann.until("the last", |screen| (numbers(screen, "number").last() == Some(&(MESSAGES - 1))).then_some(()));
    let (took, frames) = (began.0.elapsed(), ann.lock().frames - began.1);
    println!("{:.0} messages a second, {frames} frames", MESSAGES as f64 / took.as_secs_f64());
    assert!(frames as u128 <= took.as_millis() / 33 + 3, "{frames} frames in {took:?}");
    let seen = numbers(&ann.screen(), "flood │ number");
    assert_eq!(seen, (MESSAGES - seen.len()..MESSAGES).collect::<Vec<_>>(), "{}", ann.text());
    assert!(seen.len() > 20, "{}", ann.text());
    ann.is_whole();
    ann.send("\u{4}");
    assert_eq!(ann.ends().0, 0);
}

#[test]
fn what_was_said_before_is_fetched_by_scrolling_and_found_by_a_search() {
    let home = Home::new();
    let server = WiresProgram::start_with(&home, &["--set", "limits.commands_per_second=0"]);
    let mut bob = client(&home, &server, "bob", "");
    for n in 0..150 {
        bob.type_line(&if n == 20 { "a needle".to_owned() } else { format!("number {n}") });
    }
    bob.line(|line| line.starts_with("* accepted: ") && line.contains("number 149"));
    let mut ann = FullScreen::in_room(&server, &home, "ann", "");
    ann.sees("number 149");
    // Twenty were asked for at first; the others come when one looks for them.
    let deadline = Instant::now() + std::time::Duration::from_secs(30);
    while !ann.text().contains("that is all that global keeps") {
        assert!(Instant::now() < deadline, "{}", ann.text());
        let before = ann.screen();
        ann.send("\u{1b}[5~");
        ann.until("something else", |screen| (text(screen) != text(&before)).then_some(()));
    }
    ann.sees("number 0");
    let seen = numbers(&ann.screen(), "bob │ number");
    assert!(seen.starts_with(&[0, 1, 2]) && seen.is_sorted(), "{}", ann.text());
    ann.sees("↓ more");
    ann.send("\u{1b}");
    ann.sees("number 149");
    ann.send("/needle");
    ann.sees("a needle");
    ann.sees("1/1");
    ann.is_whole();
    ann.send("\u{1b}");
    ann.sees_no("1/1");
    ann.send("\u{1b}");
    ann.sees("number 149");
    ann.send(":search needle\r");
    ann.sees("1 found in global with needle");
    ann.row("what was found", |row| row.contains("▸ ") && row.contains("bob: a needle"));
    ann.send("\u{1b}OP");
    ann.sees("Keys");
    ann.send("\u{1b}");
    ann.sees("1 found in global with needle");
    ann.is_whole();
    ann.send("\r");
    ann.row("where it was said", |row| row.ends_with("bob │ a needle"));
    ann.sees_no("1 found in global with needle");
    ann.send(":search needle\r");
    ann.sees("1 found in global with needle");
    ann.send("\u{4}");
    assert_eq!(ann.ends().0, 0);
    // One key goes to the oldest.
    let mut eve = FullScreen::start(server.room(&home, "eve", "--tui"), 80, 24);
    eve.sees("number 149");
    eve.send("\u{1b}[1;5H");
    eve.sees("that is all that global keeps");
    eve.row("the oldest", |row| row.ends_with("bob │ number 0"));
}

#[test]
fn lines_that_are_pasted_into_an_old_terminal_stay_lines() {
    let home = Home::new();
    let server = WiresProgram::start_with(&home, &["--set", "limits.commands_per_second=0"]);
    let mut bob = client(&home, &server, "bob", "");
    let mut ann = FullScreen::in_room(&server, &home, "ann", "");
    // It puts no marks around what is pasted, so each line ends with the Enter key.
    ann.send(&(0..100).map(|n| format!("line {n}\r")).collect::<String>());
    for n in 0..100 {
        assert_eq!(bob.line(|line| line.starts_with("ann: ")), format!("ann: line {n}"));
    }
    ann.row("the last", |row| row.contains("line 99  ✓✓"));
    ann.send("\u{4}");
    assert_eq!(ann.ends().0, 0);
}

#[test]
fn a_long_paste_without_marks_waits_for_no_other_key() {
    let home = Home::new();
    let server = WiresProgram::start_with(&home, &["--set", "limits.commands_per_second=0"]);
    let mut bob = client(&home, &server, "bob", "");
    let mut ann = FullScreen::in_room(&server, &home, "ann", "");
    // More than is read from a terminal at once, and more than it holds; letters of two bytes lie across each edge.
    for letters in [600, 1500, 2000] {
        let text = format!("<{}>", "ж".repeat(letters));
        ann.send(&format!("{text}\r"));
        assert_eq!(bob.line(|line| line.starts_with("ann: ")), format!("ann: {text}"));
    }
    ann.send(&(0..100).map(|n| format!("line {n} and some more words\r")).collect::<String>());
    for n in 0..100 {
        assert_eq!(bob.line(|line| line.starts_with("ann: ")), format!("ann: line {n} and some more words"));
    }
    ann.row("the last", |row| row.contains("line 99 and some more words  ✓✓"));
    ann.is_whole();
    ann.send("\u{4}");
    assert_eq!(ann.ends().0, 0);
}

/// Some seconds of a flood.
const MESSAGES: usize = 1500;
