//! The full screen of `talk-client` over ssh: a real sshd, the system's ssh, and a terminal of 80 by 24 before it.
#![cfg(all(feature = "server", feature = "terminal", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::full_screen::{FullScreen, text};
use common::programs::{ClientProgram, Home};
use common::ssh::{Sshd, processes};
use common::wires_program::WiresProgram;

/// A server, an sshd on its machine, and Bob, who is in the room without it.
struct Stage {
    home: Home,
    server: WiresProgram,
    sshd: Sshd,
    bob: ClientProgram,
}

impl Stage {
    fn open() -> Self {
        let (home, server) = WiresProgram::at_home();
        let mut bob = ClientProgram::start(server.room(&home, "bob", ""));
        bob.line(|line| line == "* connected as bob");
        Self { home, server, sshd: Sshd::start(), bob }
    }

    /// Ann, who comes in by ssh and is on a full screen in the room.
    fn ann(&self) -> FullScreen {
        let client = self.server.room(&self.home, "ann", "--tui");
        let ann = FullScreen::start(self.sshd.run(&client), 80, 24);
        ann.sees("● ann → global");
        // What is asked for at the start has come.
        ann.sees("2 here");
        ann.sees("that is all that global keeps");
        ann
    }

    /// The processes of Ann's client, without ssh and the shells that have its words as one.
    fn clients(&self) -> Vec<u32> {
        processes(&["--nick", "ann", "--server", &self.server.url()])
    }

    /// Waits until nothing is left of Ann: neither her session nor her client, which may outlive it by a moment.
    fn is_left(&self) {
        self.sshd.is_left();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.clients().is_empty() {
            assert!(Instant::now() < deadline, "{:?} is left", self.clients());
            thread::yield_now();
        }
    }
}

#[test]
fn a_room_is_talked_in_over_ssh_at_80_by_24() {
    let mut stage = Stage::open();
    let mut ann = stage.ann();
    assert_eq!(stage.clients().len(), 1);
    ann.is_whole();
    ann.send("hello, bob\r");
    ann.row("delivered", |row| row.contains("ann │ hello, bob  ✓✓"));
    stage.bob.line(|line| line == "ann: hello, bob");
    ann.send("привет, ёж");
    ann.sees("global› привет, ёж");
    // One letter of two bytes at a time goes.
    ann.send("\u{7f}\u{7f}Боб");
    ann.sees("global› привет, Боб");
    ann.send("\r");
    ann.row("delivered", |row| row.contains("ann │ привет, Боб  ✓✓"));
    stage.bob.line(|line| line == "ann: привет, Боб");
    stage.bob.type_line("и тебе 漢字 👋");
    ann.row("an answer", |row| row.contains("bob │ и тебе 漢字 👋"));
    // Marks around what is pasted come through, and so do keys that are sequences.
    ann.send("\u{1b}[200~two\rlines\u{1b}[201~");
    ann.sees("global› two↵lines");
    ann.send("\u{1b}[D\u{1b}[1;5D\u{1b}[3~");
    ann.sees("global› two↵ines");
    ann.send("\u{5}\u{15}\u{1b}OP");
    ann.sees("Keys");
    ann.send("\u{1b}");
    ann.sees_no("Keys");
    ann.is_whole();
    ann.send("\u{4}");
    assert_eq!(ann.ends(), (0, String::new()));
    stage.bob.line(|line| line == "* ann left");
    stage.is_left();
}

#[test]
fn the_window_changes_over_ssh_while_others_speak_and_what_is_typed_stays() {
    let mut stage = Stage::open();
    let mut ann = stage.ann();
    ann.send("полстро");
    ann.sees("global› полстро");
    for (round, (columns, rows)) in [(120, 40), (40, 12), (20, 5), (80, 24)].into_iter().enumerate() {
        for n in 0..10 {
            stage.bob.type_line(&format!("round {round}, number {n}"));
        }
        ann.resize(columns, rows);
        // In a narrow window it takes two rows.
        let last = format!("round{round},number9");
        ann.until("the last", |screen| text(screen).replace(['\n', ' ', '│'], "").contains(&last).then_some(()));
        ann.is_whole();
    }
    ann.send("ки\r");
    stage.bob.line(|line| line == "ann: полстроки");
    ann.row("delivered", |row| row.contains("ann │ полстроки  ✓✓"));
    ann.send("\u{3}");
    assert_eq!(ann.ends().0, 0);
    stage.is_left();
}

#[test]
fn a_client_whose_ssh_is_killed_leaves_the_room_and_no_process() {
    let mut stage = Stage::open();
    for round in 0..2 {
        let mut ann = stage.ann();
        stage.bob.line(|line| line == "* ann joined");
        if round == 0 {
            ann.send("half a li");
        }
        // The second time as it was left.
        ann.sees("global› half a li");
        assert_eq!(stage.clients().len(), 1);
        // As a machine that is closed, or a way that breaks.
        drop(ann);
        stage.bob.line(|line| line == "* ann left");
        stage.is_left();
    }
    let mut ann = stage.ann();
    ann.sees("global› half a li");
    ann.send("ne\r");
    stage.bob.line(|line| line == "ann: half a line");
    ann.send("\u{4}");
    assert_eq!(ann.ends().0, 0);
}
