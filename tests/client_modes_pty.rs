//! `talk-client room`, `pair` and `console` on a terminal: the line being typed stays whole, whatever happens.
#![cfg(all(feature = "server", feature = "terminal", unix))]
#![allow(clippy::unwrap_used)]

mod common;

use common::programs::{ClientProgram, Home};
use common::terminal::Terminal;
use common::wires_program::WiresProgram;

/// A client on pipes that is connected.
fn bob(home: &Home, server: &WiresProgram) -> ClientProgram {
    let mut bob = ClientProgram::start(server.room(home, "bob", ""));
    bob.line(|line| line == "* connected as bob");
    bob
}

/// Ann on a terminal, in the room.
fn ann(home: &Home, server: &WiresProgram, arguments: &str) -> Terminal {
    let mut ann = Terminal::start(server.room(home, "ann", arguments));
    ann.sees("* connected as ann");
    ann.sees("* your texts go to global");
    ann
}

#[test]
fn the_prompt_names_no_room_that_could_not_be_entered() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let mut ann = ann(&home, &server, "");
    ann.send(":enter nowhere\r");
    let seen = ann.sees("! room nowhere does not exist") + &ann.sees("to global> ");
    assert!(!seen.contains("to nowhere>"), "{seen}");
    ann.send(":exit\r");
    assert_eq!(ann.ends(), 0);
}

#[test]
fn a_half_typed_line_stays_whole_while_others_speak_and_the_window_changes() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let mut bob = bob(&home, &server);
    let mut ann = ann(&home, &server, "");
    ann.send(":status\r");
    ann.sees("to global> ");
    ann.send("half typed li");
    ann.sees("half typed li");
    for n in 0..10 {
        bob.type_line(&format!("message {n}"));
        ann.sees(&format!("bob: message {n}\r\n"));
        ann.sees("to global> half typed li");
        ann.resize(if n % 2 == 0 { 40 } else { 100 }, 30);
    }
    ann.send("ne\r");
    bob.line(|line| line == "ann: half typed line");
    ann.sees("* delivered to 1 of 1: \u{201c}half typed line\u{201d}");
    ann.send(":exit\r");
    assert_eq!(ann.ends(), 0);
}

#[test]
fn a_server_that_is_killed_and_comes_back_does_not_break_the_line() {
    let home = Home::new();
    let mut server = WiresProgram::start(&home);
    let mut bob = bob(&home, &server);
    let mut ann = ann(&home, &server, "");
    ann.send("one\r");
    ann.sees("* delivered to 1 of 1: \u{201c}one\u{201d}");
    ann.send("half a li");
    ann.sees("half a li");
    server.kill();
    ann.sees("* lost the connection to 127.0.0.1:");
    ann.sees("half a li");
    ann.send("ne\r");
    ann.sees("* queued: \u{201c}half a line\u{201d}");
    ann.send(":status\r");
    ann.sees("* texts that wait: 1");
    ann.send("half ano");
    ann.sees("half ano");
    server.revive();
    ann.sees("* connected again; nothing was missed");
    ann.sees("half ano");
    bob.line(|line| line.ends_with("ann: half a line"));
    ann.send("ther\r");
    bob.line(|line| line.ends_with("ann: half another"));
    // Between two lines the terminal itself would take the end of input.
    ann.sees("* delivered to 1 of 1: \u{201c}half another\u{201d}");
    ann.sees("to global> ");
    ann.pty.send_control('d').unwrap();
    assert_eq!(ann.ends(), 0);
}

#[test]
fn commands_and_names_are_completed() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let mut bob = bob(&home, &server);
    let mut ann = ann(&home, &server, "");
    bob.type_line("hi");
    ann.sees("bob: hi");
    ann.send(":us\t");
    ann.sees(":user ");
    ann.send("b\t");
    ann.sees("bob");
    ann.send("\r");
    ann.sees("to bob> ");
    ann.send("psst\r");
    bob.line(|line| line == "#(direct) ann: psst");
    // A paste is one text, whatever is in it.
    ann.send("\u{1b}[200~first\n:exit\u{1b}[201~\r");
    bob.line(|line| line == "#(direct) ann: first :exit");
    ann.send(":help\r");
    ann.sees(":search TEXT");
    ann.pty.send_control('c').unwrap();
    assert_eq!(ann.ends(), 0);
}

#[test]
fn what_was_said_before_is_shown_at_first() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let mut bob = bob(&home, &server);
    bob.type_line("before ann came");
    bob.line(|line| line.starts_with("* accepted"));
    let mut ann = Terminal::start(server.room(&home, "ann", ""));
    ann.sees(") bob: before ann came\r\n");
    ann.send(":exit\r");
    assert_eq!(ann.ends(), 0);
}

#[test]
fn a_secret_is_asked_for_and_not_shown() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    for (secret, code) in [("correct horse", 0), ("battery staple", 3), ("short", 2)] {
        // The terminals of these tests show nothing of what is typed, unless they are told to.
        let mut command = home.command("sh");
        let program = server.room(&home, "ann", "--account --forget");
        command.args(["-c", "stty echo && \"$@\" && stty -a | grep -qw echo", "sh"]);
        command.arg(program.get_program()).args(program.get_args());
        let mut ann = Terminal::start(command);
        ann.sees("secret of ann: ");
        ann.send(&format!("{secret}\r"));
        let (wanted, then) = match code {
            0 => ("* connected as ann", "\u{4}"),
            3 => ("! not let in: ", ""),
            _ => ("characters", ""),
        };
        let before = ann.sees(wanted);
        assert!(!before.contains(secret), "{before:?}");
        if code == 0 {
            // Before there is a prompt, the terminal would take the key for the end of a line.
            ann.sees("to global> ");
        }
        ann.send(then);
        // The last word is of `grep`: what is typed then is shown again.
        assert_eq!(ann.ends(), code);
    }
}

#[test]
fn escapes_bidi_overrides_and_false_lines_do_not_reach_the_terminal() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let mut mallory = ClientProgram::start(server.room(&home, "mallory", "--json"));
    mallory.line(|line| line.contains("\"connected\""));
    let mut command = server.room(&home, "ann", "");
    command.env("NO_COLOR", "1");
    let mut ann = Terminal::start_with(command, true);
    ann.sees("* your texts go to global");
    for (text, shown) in [
        ("\\u001b]0;owned\\u0007\\u001b[2Jx", "mallory: ]0;owned[2Jx"),
        ("\\u009b2J\\u0090q", "mallory: 2Jq"),
        ("hi\\nann: forged\\u2028again", "mallory: hi ann: forged again"),
        ("\\u202elive", "mallory: \u{fffd}live"),
    ] {
        mallory.type_line(&format!("{{\"do\":\"say\",\"text\":\"{text}\"}}"));
        let before = ann.sees(&format!("{shown}\r\n"));
        for bad in ["\u{1b}]", "\u{1b}[2J", "owned"] {
            assert!(!before.contains(bad), "{before:?}");
        }
    }
    ann.send(":exit\r");
    assert_eq!(ann.ends(), 0);
}

#[test]
fn a_nickname_that_is_taken_in_pair_chat_is_asked_for_again() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let mut bobby = ClientProgram::start(home.client(&format!("pair --port {} --nick bobby --to global", server.pair)));
    bobby.line(|line| line == "* your texts go to global");
    let mut alice = Terminal::start(home.client(&format!("pair --port {}", server.pair)));
    alice.sees("Enter your username ");
    alice.send("1a\r");
    alice.sees("is no nickname here");
    alice.sees("Enter your username ");
    alice.send("bobby\r");
    alice.sees("Enter destination username ");
    alice.send("bobby\r");
    alice.sees("! not let in: somebody is called bobby already");
    alice.sees("Enter your username ");
    alice.send("alice\r");
    alice.sees("* your texts go to bobby");
    alice.send("hello\r");
    bobby.line(|line| line == "alice: hello");
    alice.sees("* delivered to 1 of 1: \u{201c}hello\u{201d}");
    bobby.type_line(":user alice");
    bobby.type_line("hello yourself");
    alice.sees("bobby: hello yourself\r\n");
    alice.resize(50, 20);
    alice.send(":quit:\r");
    assert_eq!(alice.ends(), 0);
}

#[test]
fn console_lines_stand_behind_one_s_own_name() {
    let home = Home::new();
    let mut server = WiresProgram::start(&home);
    let mut bob = bob(&home, &server);
    let mut alice = Terminal::start(home.client(&format!("console --port {}", server.console)));
    alice.sees("Username: ");
    alice.send("alice\r");
    alice.sees("* connected as alice");
    alice.send("hello\r");
    bob.line(|line| line == "alice: hello");
    alice.send("cmd!participants_count\r");
    alice.sees("* Participants count: 2");
    alice.sees("alice > ");
    alice.send("half a li");
    alice.sees("half a li");
    alice.resize(40, 20);
    server.kill();
    alice.sees("* Connection closed by the server (");
    alice.sees("alice > half a li");
    server.revive();
    alice.sees("* connected again");
    bob.line(|line| line.starts_with("* connected again"));
    alice.send("ne\r");
    bob.line(|line| line == "alice: half a line");
    alice.sees("ne\r\n");
    alice.sees("alice > ");
    alice.pty.send_control('d').unwrap();
    assert_eq!(alice.ends(), 0);
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let home = Home::new();
    let server = WiresProgram::stopped(&home);
    let mut ann = Terminal::start(server.room(&home, "ann", ""));
    ann.sees("* cannot reach 127.0.0.1:");
    ann.send("anybody there?\r");
    ann.sees("* queued: \u{201c}anybody there?\u{201d}");
    ann.pty.send_control('c').unwrap();
    ann.sees("* waiting for 1 of your messages; Ctrl-C leaves at once");
    ann.pty.send_control('c').unwrap();
    assert_eq!(ann.ends(), 130);
}

#[test]
fn the_prompt_says_that_what_is_typed_waits_for_a_connection() {
    for (language, offline, to) in [("en", "offline", "to"), ("ru", "нет связи", "для")] {
        let home = Home::new();
        let mut server = WiresProgram::stopped(&home);
        let mut ann = Terminal::start(server.room(&home, "ann", &format!("--lang {language}")));
        ann.sees(&format!("{offline}> "));
        ann.send("half a li");
        ann.sees("half a li");
        server.revive();
        // What is half typed stands behind the other prompt, which is as wide.
        ann.sees(&format!("\n{}> half a li", " ".repeat(offline.chars().count())));
        ann.send("ne\r");
        ann.sees(&format!("{to} global> "));
        ann.send("and ano");
        ann.sees("and ano");
        server.kill();
        ann.sees(&format!("{offline}> and ano"));
        ann.send("ther\r");
        ann.sees(&format!("{offline}, {to} global> "));
        server.revive();
        ann.sees(&format!("\n{}  {to} global> ", " ".repeat(offline.chars().count())));
        ann.pty.send_control('c').unwrap();
        assert_eq!(ann.ends(), 0);
    }
}
