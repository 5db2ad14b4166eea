//! `talk-client` on a terminal is left while others speak without a pause, and when the terminal takes nothing more.
#![cfg(all(feature = "server", feature = "terminal", unix))]
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use common::full_screen::FullScreen;
use common::programs::{ClientProgram, Home, RegistryProgram, say};
use common::terminal::Terminal;
use common::wires_program::WiresProgram;
#[cfg(target_os = "linux")]
use nix::sys::signal::Signal;

#[test]
fn whoever_leaves_while_others_speak_does_not_wait_for_them() {
    let (home, server) = WiresProgram::at_home();
    let mut bob = ClientProgram::start(server.room(&home, "bob", ""));
    bob.line(|line| line == "* connected as bob");
    for (round, keys) in ["\u{3}", "\u{4}", ":exit\r", "\u{3}"].into_iter().enumerate() {
        let mut ann = Terminal::start(server.room(&home, &format!("ann{round}"), "--history 0"));
        ann.sees("* your texts go to global");
        ann.send(":status\r");
        ann.sees("to global> ");
        let said: String = (0..40).map(|n| format!("round {round}, message {n}\n")).collect();
        bob.type_text(&said);
        ann.sees(&format!("round {round}, message 3"));
        ann.send(keys);
        assert_eq!(ann.ends(), 0);
        bob.line(|line| line.contains(&format!("round {round}, message 39")));
    }
}

#[cfg(target_os = "linux")]
fn on_a_terminal(mut command: std::process::Command) -> FullScreen {
    command.env("TERM", "xterm");
    FullScreen::start_as_it_is(&command, 80, 24)
}

/// As Ctrl-S does it, or a window that hangs.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_takes_nothing_keeps_nobody_for_longer_than_one_signal() {
    let home = Home::new();
    let server = WiresProgram::start_with(&home, &["--set", "limits.commands_per_second=0"]);
    let mut bob = ClientProgram::start(server.room(&home, "bob", ""));
    bob.line(|line| line == "* connected as bob");
    // None waits, some do, and more than there is room for.
    for (round, count) in [0, 3, 600].into_iter().enumerate() {
        let mut ann = on_a_terminal(server.room(&home, "ann", "--forget"));
        ann.sees("* your texts go to global");
        bob.line(|line| line == "* ann joined");
        // The first prompt may have come before it was known where texts go.
        ann.send("\r");
        ann.sees("to global>");
        ann.send("half a li");
        ann.sees("to global> half a li");
        ann.freeze();
        bob.type_text(&(0..count).map(|n| format!("round {round}, number {n}\n")).collect::<String>());
        if count > 0 {
            let last = format!("round {round}, number {}", count - 1);
            bob.line(|line| line.starts_with("* ") && line.contains(&last));
        }
        ann.signal(Signal::SIGTERM);
        // Whoever leaves is gone, whatever is still to be shown.
        bob.line(|line| line == "* ann left");
        assert_eq!(ann.code(), 0);
    }
}

/// As where only the way to it was cut: not every terminal has a session to which it says so.
#[cfg(target_os = "linux")]
#[test]
fn whoever_has_a_full_screen_on_a_terminal_that_goes_without_a_signal_is_gone_with_it() {
    let (home, server) = WiresProgram::at_home();
    let mut bob = ClientProgram::start(server.room(&home, "bob", ""));
    bob.line(|line| line == "* connected as bob");
    let pty = nix::pty::openpty(None, None).unwrap();
    // Unlike what was opened, its copy is nothing that a child has, too.
    let terminal = pty.master.try_clone().unwrap();
    drop(pty.master);
    let [input, output, errors] = [(); 3].map(|()| pty.slave.try_clone().unwrap());
    let mut ann = server.room(&home, "ann", "--tui");
    let mut ann = ann.env("TERM", "xterm").stdin(input).stdout(output).stderr(errors).spawn().unwrap();
    drop(pty.slave);
    bob.line(|line| line == "* ann joined");
    // Nobody says anything, so that nothing has to be drawn.
    drop(terminal);
    bob.line(|line| line == "* ann left");
    assert_eq!(ann.wait().unwrap().code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_takes_nothing_keeps_no_peer_for_longer_than_one_signal() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let mut ann = on_a_terminal(home.client(&format!("--name ann --port 0 --registry {}", registry.url)));
    let at = ann.row("a greeting", |row| row.contains("you are ann at http://127.0.0.1:") && row.contains(';'));
    let port = at.split("127.0.0.1:").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    ann.sees("(you)");
    ann.send("half a li");
    ann.sees("> half a li");
    ann.freeze();
    for text in ["one", "two", "three"] {
        say(port, "carol", text);
    }
    ann.signal(Signal::SIGTERM);
    let deadline = Instant::now() + Duration::from_secs(60);
    while registry.users().get("ann").is_some() {
        assert!(Instant::now() < deadline, "she does not sign off");
    }
    assert_eq!(ann.code(), 0);
}
