//! `talk-client` on a terminal: the line being typed stays whole while others speak.
#![cfg(all(feature = "sqlite", feature = "terminal", unix))]
#![allow(clippy::unwrap_used)]

mod common;

use std::net::TcpListener;

use common::programs::{ClientProgram, Home, RegistryProgram, say};
use common::terminal::Terminal;

/// Ann on a terminal at her first prompt, and the port where she listens. `raw`: escape sequences are seen, not filtered out.
fn terminal(home: &Home, registry: &RegistryProgram, raw: bool, variables: &[(&str, &str)]) -> (Terminal, u16) {
    let mut command = home.client(&format!("--name ann --port 0 --registry {}", registry.url));
    command.envs(variables.iter().copied());
    let mut ann = Terminal::start_with(command, raw);
    let (_, port) = ann.pty.exp_regex("http://127.0.0.1:[0-9]+;").unwrap();
    let port = port.trim_end_matches(';').rsplit(':').next().unwrap().parse().unwrap();
    ann.sees("(you)");
    ann.sees("> ");
    (ann, port)
}

fn bob(home: &Home, registry: &RegistryProgram) -> ClientProgram {
    let arguments = format!("--name bob --port 0 --registry {}", registry.url);
    ClientProgram::start_and_greet(home.client(&arguments)).0
}

#[test]
fn a_half_typed_line_stays_whole_while_messages_arrive() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let mut bob = bob(&home, &registry);
    let (mut ann, port) = terminal(&home, &registry, false, &[]);
    ann.send(":user bob\r");
    ann.sees("to bob> ");
    ann.send("half typed li");
    ann.sees("half typed li");
    for n in 0..20 {
        say(port, "carol", &format!("message {n}"));
        ann.sees(&format!("carol: message {n}\r\n"));
        // The prompt and what was typed appear again below.
        ann.sees("to bob> half typed li");
    }
    ann.send("ne\r");
    assert_eq!(bob.line(|_| true), "ann: half typed line");
    ann.sees("to bob> ");
    ann.send(":exit\r");
    assert_eq!(ann.ends(), 0);
    assert!(registry.users().get("ann").is_none());
}

#[test]
fn log_output_does_not_break_the_line_either() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let (mut ann, port) = terminal(&home, &registry, false, &[("RUST_LOG", "talk=trace,hyper_util=trace")]);
    ann.send("half typed li");
    ann.sees("half typed li");
    say(port, "carol", "hi");
    ann.sees("> half typed li");
    // What is sent opens a connection, which is logged.
    ann.send("\u{15}:user ann\r");
    ann.sees("to ann> ");
    ann.send("to myself\r");
    ann.sees("ann: to myself\r\n");
    ann.sees("to ann> ");
    ann.send(":exit\r");
    assert_eq!(ann.ends(), 0);
}

#[test]
fn many_messages_at_once_come_in_order_while_lines_are_sent() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let mut bob = bob(&home, &registry);
    let (mut ann, port) = terminal(&home, &registry, false, &[]);
    ann.send(":user bob\r");
    ann.sees("to bob> ");
    let speaker = std::thread::spawn(move || (0..100).for_each(|n| drop(say(port, "carol", &format!("<{n}>")))));
    for n in 0..50 {
        ann.send(&format!("line {n}\r"));
        assert_eq!(bob.line(|_| true), format!("ann: line {n}"));
    }
    speaker.join().unwrap();
    for n in 0..100 {
        ann.sees(&format!("carol: <{n}>\r\n"));
    }
    // Between two lines the terminal itself would take the end of input, and nobody would hear of it.
    ann.send("and last\r");
    ann.sees("and last\r\n");
    ann.sees("to bob> ");
    ann.pty.send_control('d').unwrap();
    assert_eq!(ann.ends(), 0);
}

#[test]
fn lines_that_were_typed_ahead_are_all_sent() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let mut bob = bob(&home, &registry);
    let (mut ann, _) = terminal(&home, &registry, false, &[]);
    ann.send(":user bob\rone\rtwo\rthree\r");
    for text in ["one", "two", "three"] {
        assert_eq!(bob.line(|_| true), format!("ann: {text}"));
    }
    // A paste is one text, whatever is in it.
    ann.send("\u{1b}[200~first\n:exit\u{1b}[201~\r");
    assert_eq!(bob.line(|_| true), "ann: first :exit");
}

#[test]
fn tab_completes_commands_and_names() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    registry.register("bartholomew", "UDP", 9);
    let (mut ann, port) = terminal(&home, &registry, false, &[]);
    ann.send(":us\t");
    ann.sees(":user ");
    ann.send("ba\t");
    ann.sees("bartholomew");
    ann.send("\r");
    ann.sees("to bartholomew> ");
    // Who writes can be answered before the registry's list is fetched again.
    let _bob = bob(&home, &registry);
    say(port, "bob", "hi");
    ann.sees("bob: hi");
    ann.send(":user b\t");
    ann.send("o\t\r");
    ann.sees("to bob> ");
}

#[test]
fn a_prompt_never_names_somebody_whom_the_next_line_does_not_go_to() {
    use nix::sys::signal::{Signal, kill};
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let mut bob = bob(&home, &registry);
    let (mut ann, _) = terminal(&home, &registry, false, &[]);
    ann.send(":user bob\r");
    ann.sees("to bob> ");
    ann.send(":user dora");
    ann.sees(":user dora");
    // A registry that takes its time.
    let process = nix::unistd::Pid::from_raw(registry.id().try_into().unwrap());
    kill(process, Signal::SIGSTOP).unwrap();
    ann.send("\r");
    let before = ann.sees("> ");
    assert!(!before.ends_with("to bob"), "{before:?}");
    kill(process, Signal::SIGCONT).unwrap();
    ann.sees("there is no user dora");
    ann.send("to nobody\r");
    ann.sees("nobody is chosen");
    ann.send(":user bob\r");
    ann.sees("to bob> ");
    ann.send("to bob\r");
    assert_eq!(bob.line(|_| true), "ann: to bob");
}

#[test]
fn the_history_outlives_the_program_and_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let (mut ann, _) = terminal(&home, &registry, false, &[]);
    ann.send("remember me\r");
    ann.sees("nobody is chosen");
    ann.sees("> ");
    ann.send(":exit\r");
    assert_eq!(ann.ends(), 0);
    let file = home.path().join(".local/share/talk/client/history");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let (mut ann, _) = terminal(&home, &registry, false, &[]);
    ann.send("\u{1b}[A\u{1b}[A");
    ann.sees("remember me");
}

#[test]
fn ctrl_c_signs_off() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let (mut ann, _) = terminal(&home, &registry, false, &[]);
    assert!(registry.users().get("ann").is_some());
    ann.send("half a li");
    ann.sees("half a li");
    ann.pty.send_control('c').unwrap();
    assert_eq!(ann.ends(), 0);
    assert_eq!(registry.users(), serde_json::json!({}));
}

#[test]
fn a_request_to_terminate_signs_off_and_gives_the_terminal_back() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    for signal in [nix::sys::signal::Signal::SIGTERM, nix::sys::signal::Signal::SIGINT] {
        let (mut ann, _) = terminal(&home, &registry, false, &[]);
        ann.send("half a li");
        ann.sees("half a li");
        ann.pty.process_mut().signal(signal).unwrap();
        assert_eq!(ann.ends(), 0);
        assert_eq!(registry.users(), serde_json::json!({}));
    }
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_what_is_under_way() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    registry.register("silent", "HTTP", silent.local_addr().unwrap().port());
    let (mut ann, _) = terminal(&home, &registry, false, &[]);
    ann.send(":user silent\r");
    ann.sees("to silent> ");
    ann.send("anybody there?\r");
    // The prompt is back while the text is under way.
    ann.sees("to silent> ");
    let _connection = silent.accept().unwrap();
    ann.pty.send_control('c').unwrap();
    ann.sees("* waiting for 1 of your messages");
    ann.pty.send_control('c').unwrap();
    assert_eq!(ann.ends(), 130);
}

#[test]
fn escapes_bidi_overrides_and_false_lines_do_not_reach_the_terminal() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let (mut ann, port) = terminal(&home, &registry, true, &[("NO_COLOR", "1")]);
    let long = "y".repeat(9000);
    for (text, shown) in [
        (&*long, &*long),
        ("\u{1b}]0;owned\u{7}\u{1b}[2Jx", "]0;owned[2Jx"),
        ("\u{9b}2J\u{90}q", "2Jq"),
        ("hi\nann: forged\u{2028}again", "hi ann: forged again"),
        ("\u{202e}live", "\u{fffd}live"),
    ] {
        say(port, "mallory", text);
        let before = ann.sees(&format!("mallory: {shown}\r\n"));
        for bad in ["\u{1b}]", "\u{1b}[2J", "owned"] {
            assert!(!before.contains(bad), "{before:?}");
        }
    }
    ann.send(":exit\r");
    assert_eq!(ann.ends(), 0);
}

#[test]
fn colours_are_for_terminals_unless_they_are_not_wanted() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    for (variables, coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false), (&[("NO_COLOR", "")], true)] {
        let (mut ann, port) = terminal(&home, &registry, true, variables);
        say(port, "bob", "hi");
        ann.sees(if coloured { "\u{1b}[1;36mbob:\u{1b}[0m hi\r\n" } else { "bob: hi\r\n" });
        ann.send("\u{4}");
        assert_eq!(ann.ends(), 0);
    }
}
