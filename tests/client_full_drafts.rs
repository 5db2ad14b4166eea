//! What is half typed on the full screen of `talk-client room` outlives the program, as what was sent does.
#![cfg(all(feature = "server", feature = "terminal", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use common::full_screen::FullScreen;
use common::programs::{ClientProgram, Home};
use common::wires_program::WiresProgram;
use nix::sys::signal::Signal;

/// The files in which drafts are.
fn files(home: &Home) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(home.path().join(".local/share/talk/client")).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "drafts")).collect()
}

/// Waits until this is on disk.
fn kept(home: &Home, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let texts: Vec<_> = files(home).iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
        if texts == [wanted] {
            return;
        }
        assert!(Instant::now() < deadline, "{texts:?} is not {wanted}");
        thread::yield_now();
    }
}

#[test]
fn what_was_half_typed_when_the_program_was_killed_is_typed_on_where_it_was() {
    let (home, server) = WiresProgram::at_home();
    let mut bob = ClientProgram::start(server.room(&home, "bob", ""));
    bob.line(|line| line == "* connected as bob");
    let mut first = FullScreen::in_room(&server, &home, "ann", "");
    first.send("полстро");
    first.sees("global› полстро");
    first.send("\u{1b}[200~:user bob\u{1b}[201~");
    kept(&home, "{\"#global\":\"полстро:user bob\"}");
    first.send(&"\u{7f}".repeat(":user bob".len()));
    kept(&home, "{\"#global\":\"полстро\"}");
    // In the window of somebody to whom nothing was said yet.
    bob.type_line(":msg ann psst");
    first.sees("2:bob(1)");
    first.send("\u{1b}2");
    first.row("a title", |row| row.starts_with(" @bob"));
    first.send("wh");
    kept(&home, "{\"#global\":\"полстро\",\"@bob\":\"wh\"}");
    let [file] = files(&home).try_into().unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // `kill -9`.
    drop(first);
    bob.line(|line| line == "* ann left");
    let mut second = FullScreen::in_room(&server, &home, "ann", "");
    second.sees("global› полстро");
    second.send("ки\r");
    bob.line(|line| line == "ann: полстроки");
    kept(&home, "{\"@bob\":\"wh\"}");
    second.send("\u{1b}2");
    second.sees("bob› wh");
    second.send("at?\r");
    bob.line(|line| line == "#(direct) ann: what?");
    kept(&home, "{}");
    second.row("delivered", |row| row.contains("what?  ✓✓"));
    second.is_whole();
    second.send("\u{4}");
    assert_eq!(second.ends().0, 0);
    let third = FullScreen::in_room(&server, &home, "ann", "");
    third.row("an empty line", |row| row == "global›");
}

#[test]
fn what_was_half_typed_stays_however_one_leaves_and_not_where_nothing_is_to_be_kept() {
    let (home, server) = WiresProgram::at_home();
    for (round, signal) in [None, Some(Signal::SIGTERM), Some(Signal::SIGHUP)].into_iter().enumerate() {
        let mut first = FullScreen::in_room(&server, &home, "ann", "");
        // At once, before it would be written by itself.
        first.send(&format!("\u{15}round {round}"));
        first.sees(&format!("global› round {round}"));
        match signal {
            Some(signal) => first.signal(signal),
            None => first.send("\u{3}\u{3}"),
        }
        assert_eq!(first.ends().0, 0);
        kept(&home, &format!("{{\"#global\":\"round {round}\"}}"));
        // Who is to keep nothing does not.
        let mut again = FullScreen::in_room(&server, &home, "ann", "");
        again.sees(&format!("global› round {round}"));
        let mut forgets = FullScreen::in_room(&server, &home, "eve", "--forget");
        forgets.row("an empty line", |row| row == "global›");
        forgets.send("secret");
        forgets.sees("global› secret");
        forgets.send("\u{3}\u{3}");
        assert_eq!(forgets.ends().0, 0);
        again.send("\u{3}\u{3}");
        assert_eq!(again.ends().0, 0);
        kept(&home, &format!("{{\"#global\":\"round {round}\"}}"));
    }
}

#[test]
fn a_second_client_of_the_same_nickname_has_drafts_of_its_own_in_its_own_run() {
    let (home, server) = WiresProgram::at_home();
    let mut first = FullScreen::in_room(&server, &home, "ann", "");
    first.send("of the first");
    kept(&home, "{\"#global\":\"of the first\"}");
    let mut second = FullScreen::start(server.room(&home, "ann", "--tui"), 80, 24);
    second.row("a bar", |row| row.starts_with(" ○ "));
    second.send("of the second");
    second.sees("› of the second");
    second.send("\u{3}\u{3}");
    second.ends();
    kept(&home, "{\"#global\":\"of the first\"}");
    first.send(", still");
    kept(&home, "{\"#global\":\"of the first, still\"}");
}
