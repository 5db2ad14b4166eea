//! Every mode of `talk-client` on a terminal, by the same cases: typing, another size of the window, a way that is cut, a
//! server that is killed and comes back, hostile text, the end of the input.
//!
//! Which test is about which case of which mode. Tests without a file are of this one; those of `client_every_mode.rs` are
//! named by its pipes. A peer's server is its registry.
//!
//! | terminal            | typing | size        | way cut | server killed | hostile text | end of input        |
//! |---------------------|--------|-------------|---------|---------------|--------------|---------------------|
//! | peer                | peer   | peer        | peer    | peer          | strangers    | peer                |
//! | room                | line   | line, width | line    | line          | text         | line                |
//! | pair, console, chat | line   | line, width | line    | line          | text         | line, question      |
//! | register            | line   | line, width | line    | line          | text         | line, question, kept |
//! | listen              | ear    | ear, text   | ear     | ear           | text         | ear                 |
//! | write               | once   | once        | once    | once          | once         | once                |
//!
//! - line: `a_half_typed_line_stays_whole_whatever_happens_to_the_window_the_way_and_the_server`
//! - width: `windows_of_every_width_show_each_line_whole_and_once_and_what_is_typed_below`
//! - text: `nothing_that_a_server_says_is_more_than_text_to_the_terminal`
//! - ear: `who_only_listens_loses_no_line_whatever_is_typed_and_happens`
//! - once: `one_thing_is_said_on_a_terminal_whatever_is_typed_and_happens`
//! - peer: `a_peer_keeps_its_line_while_ways_are_cut_and_the_registry_is_killed`
//! - question: `the_end_of_the_input_at_a_question_leaves`
//! - kept: `the_end_of_the_input_behind_an_account_leaves_and_keeps_it`
//! - strangers: `escapes_bidi_overrides_and_false_lines_do_not_reach_the_terminal` in `client_pty.rs`
//!
//! `listen` and `write` read nothing: what is typed there, Ctrl-D too, must change nothing, and Ctrl-C ends them. More
//! about typing alone is in `client_pty.rs`, `client_modes_pty.rs` and `client_minechat_pty.rs`.
//!
//! | pipes, also `--json`               | typing         | way cut        | server killed  | hostile text    | end of input    |
//! |------------------------------------|----------------|----------------|----------------|-----------------|-----------------|
//! | peer                               | script, apart  | apart          | apart, back    | plain           | end             |
//! | room                               | typed, objects | typed, objects | typed, objects | said            | typed, objects  |
//! | pair, console                      | typed, objects | typed, objects | typed, objects | said            | the same, asked |
//! | register, chat                     | typed, objects | typed, objects | typed, objects | said, named     | the same, asked |
//! | listen                             | (reads none)   | heard          | heard          | said            | heard           |
//! | write                              | (reads none)   | quiet          | job            | named           | quiet           |
//!
//! - typed: `all_that_is_typed_arrives_although_the_way_is_cut_and_the_server_is_killed`
//! - objects: `programs_are_told_the_same_by_objects`
//! - heard: `who_only_listens_hears_on_when_the_way_was_cut_and_the_server_killed`
//! - apart: `a_peer_speaks_on_when_a_way_was_cut_and_the_registry_was_killed`
//! - said: `nothing_that_a_server_says_is_more_than_a_line_of_text`
//! - named: `what_a_server_calls_its_user_is_no_more_than_text_either`
//! - asked: `the_end_of_the_input_at_a_question_ends_the_program`
//! - script, end, back, plain: `a_script_that_sends_everything_ends_with_0_and_an_empty_stderr`,
//!   `the_end_of_input_is_an_exit_and_the_last_line_needs_no_line_break`,
//!   `a_registry_that_was_restarted_is_signed_off_from_too` and `what_strangers_say_is_shown_as_one_harmless_line` in
//!   `client_plain.rs`
//! - quiet: `write_is_quiet_and_succeeds_only_when_it_was_answered` in `client_minechat_modes.rs`
//! - job: `a_server_that_is_killed_and_comes_back_costs_nothing_that_was_typed` in `client_minechat_pty.rs`
#![cfg(all(feature = "server", feature = "terminal", unix))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::gate::Gate;
use common::json_program::Program;
use common::liars::{Liar, harmless, last_word, lies};
use common::modes::{HEARING, HISTORY, Mode, Stage, TALKING};
use common::originals::minechat::{Original, Quirk};
use common::programs::{Home, RegistryProgram, free_port, say};
use common::terminal::{Terminal, without_editing};
use common::window::Window;
use common::wires_program::WiresProgram;
use nix::sys::signal::Signal;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_typed_line_stays_whole_whatever_happens_to_the_window_the_way_and_the_server() {
    for mode in TALKING {
        println!("{mode:?}");
        let mut stage = Stage::open().await;
        let mut ann = mode.ann(stage.client(mode, ""), false);
        stage.until_heard(mode);
        let below = |typed: &str| format!("{}{typed}", mode.prompt());
        ann.send("half typed li");
        ann.sees("half typed li");
        for (n, columns) in [40, 100, 12, 80].into_iter().enumerate() {
            ann.resize(columns, 20);
            // Also one that is longer than the window is wide.
            let text = format!("message {n} {}", "word ".repeat(n * 40)).trim().to_owned();
            stage.bob.type_line(&text);
            ann.sees(&format!("bob: {text}\r\n"));
            ann.sees(&below("half typed li"));
        }
        stage.shut().await;
        ann.sees(mode.lost());
        // Behind a prompt that says so, where there is room for that.
        ann.sees("> half typed li");
        ann.send("ne\r");
        ann.sees("* queued: \u{201c}half typed line\u{201d}");
        ann.send("half ano");
        ann.sees("half ano");
        stage.let_through();
        ann.sees("* connected again");
        ann.sees(&below("half ano"));
        stage.hears("half typed line");
        stage.server.kill();
        ann.sees(mode.lost());
        ann.resize(60, 30);
        ann.send("ther\r");
        ann.sees("* queued: \u{201c}half another\u{201d}");
        ann.send("the la");
        ann.sees("the la");
        stage.revive();
        ann.sees("* connected again");
        ann.sees(&below("the la"));
        stage.hears("half another");
        ann.send("st\r");
        stage.hears("the last");
        ann.sees("st\r\n");
        ann.sees(mode.prompt());
        // Between two lines the terminal itself would take the end of input.
        ann.pty.send_control('d').unwrap();
        assert_eq!(ann.ends(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_of_every_width_show_each_line_whole_and_once_and_what_is_typed_below() {
    for mode in TALKING {
        println!("{mode:?}");
        let (home, mut liar) = (Home::new(), Liar::of(mode).await);
        let mut ann = mode.ann(home.client(&mode.arguments(liar.ports())), true);
        let below = format!("{}half a li", mode.prompt());
        let (mut window, mut said) = (Window::new(80), Vec::new());
        window.write(mode.prompt());
        ann.send("half a li");
        for columns in [80, below.len() + 1, below.len(), below.len() - 1, 9, 40] {
            ann.resize(columns.try_into().unwrap(), 24);
            window.resize(columns);
            let name = "eve: ".len();
            for long in [name + 1, columns, columns + 1, 3 * columns + 2] {
                let words = "x".repeat(long.saturating_sub(name + 1)) + ".";
                liar.say("eve", &words).await;
                said.push(format!("eve: {words}"));
                // The editor writes what it shows again in one go.
                for wanted in [format!("eve: {words}\r\n"), below.clone()] {
                    window.write(&ann.sees(&wanted));
                    window.write(&wanted);
                }
                let lines = window.lines();
                assert_eq!(lines.last(), Some(&below), "{columns} columns: {lines:#?}");
                assert_eq!(lines[..lines.len() - 1], said, "{columns} columns");
            }
        }
        ann.pty.send_control('c').unwrap();
        assert_eq!(ann.ends(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_server_says_is_more_than_text_to_the_terminal() {
    for mode in HEARING {
        println!("{mode:?}");
        let (home, mut liar) = (Home::new(), Liar::of(mode).await);
        let log = if mode == Mode::Listen { "-l" } else { "" };
        let mut ann = mode.ann(home.client(&format!("{} {log}", mode.arguments(liar.ports()))), true);
        let typed = if mode == Mode::Listen { String::new() } else { format!("{}half a li", mode.prompt()) };
        if mode != Mode::Listen {
            ann.send("half a li");
            ann.sees("half a li");
        }
        for (n, (from, words)) in lies().into_iter().enumerate() {
            ann.resize(if n % 2 == 0 { 37 } else { 120 }, 24);
            liar.say(from, &words).await;
            let last = last_word(&words);
            let before = ann.sees(&format!("{last}\r\n"));
            let shown = without_editing(&before).replace(&typed, "");
            harmless(&format!("{shown}{last}"));
            ann.sees(&typed);
        }
        // It goes on as if nothing had happened.
        ann.pty.send_control('c').unwrap();
        assert_eq!(ann.ends(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_listens_loses_no_line_whatever_is_typed_and_happens() {
    let mode = Mode::Listen;
    let mut stage = Stage::open().await;
    let mut ann = mode.ann(stage.client(mode, "-l"), false);
    let mut said = Vec::new();
    for round in ["at first", "cut", "killed"] {
        match round {
            "cut" => {
                stage.shut().await;
                ann.sees(mode.lost());
                stage.let_through();
                ann.sees("* connected again\r\n");
            }
            "killed" => {
                stage.server.kill();
                ann.sees(mode.lost());
                stage.revive_with_bob();
                ann.sees("* connected again\r\n");
            }
            _ => {}
        }
        stage.until_heard(mode);
        for (n, columns) in [40, 100, 12].into_iter().enumerate() {
            let text = format!("{round} {n} {}", "word ".repeat(n * 40)).trim().to_owned();
            // Nobody reads that, and nobody takes the end of the input for an end.
            ann.send("half a line\r:exit\r\u{4}");
            ann.resize(columns, 20);
            stage.bob.type_line(&text);
            let before = ann.sees(&format!("bob: {text}\r\n"));
            assert!(before.lines().all(|line| line.starts_with("bob: do you hear")), "{before:?}");
            said.push(text);
        }
    }
    ann.pty.send_control('c').unwrap();
    assert_eq!(ann.ends(), 0);
    let kept = std::fs::read_to_string(stage.home.path().join(HISTORY)).unwrap();
    let kept: Vec<_> = kept.lines().map(|line| line.split_once("] bob: ").unwrap().1).collect();
    let kept: Vec<_> = kept.into_iter().filter(|text| !text.starts_with("do you hear")).collect();
    assert_eq!(kept, said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_thing_is_said_on_a_terminal_whatever_is_typed_and_happens() {
    let (home, original) = (Home::new(), Original::start().await);
    original.know("key", "an\\u001b[2Jn\\u202e\\n* accepted");
    let gate = Gate::before(original.write).await;
    let write = |more: &str| {
        let mut command = home.client(&format!("write -p {} -t key -l {more}", gate.port));
        command.env("NO_COLOR", "1").args(["-m", "a\u{1b}[2J\u{202e}done"]);
        Terminal::start_with(command, true)
    };
    // Nobody is there at first; then it is heard, and the line drops before the answer.
    gate.shut();
    let mut ann = write("");
    let mut seen = ann.sees("* cannot reach ");
    ann.send("keys\r\u{4}");
    ann.resize(20, 10);
    original.next(&[Quirk::Drops, Quirk::Late]);
    gate.open();
    seen += &ann.sees("* connected as ");
    seen += &ann.sees("* lost the connection to ");
    original.until(|seen| seen.said.len() == 2).await;
    ann.resize(100, 40);
    ann.send("more keys");
    original.release();
    seen += &ann.sees("* accepted: ");
    assert_eq!(ann.ends(), 0);
    for line in without_editing(&seen).split(['\r', '\n']) {
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
    }
    // A server that is killed, as far as it can be: the program begins when it is gone, and is done when it is back.
    let mut server = WiresProgram::start(&home);
    server.kill();
    let mut ann = Terminal::start(home.client(&format!("write -p {} -u ann -cp ann.json -m hi -l", server.write)));
    ann.sees("* cannot reach ");
    ann.resize(30, 10);
    ann.send("keys");
    server.revive();
    ann.sees("* accepted: ");
    assert_eq!(ann.ends(), 0);
    // Ctrl-C does not wait.
    original.next(&[Quirk::Never]);
    let mut ann = write("");
    ann.sees("* sent: ");
    ann.pty.send_control('c').unwrap();
    assert_eq!(ann.ends(), 130);
}

#[test]
fn the_end_of_the_input_at_a_question_leaves() {
    let home = Home::new();
    for (arguments, asks) in [
        ("pair", "Enter your username "),
        ("pair --nick ann", "Enter destination username "),
        ("console", "Username: "),
        ("register --line", "your nickname: "),
        ("chat --line", "your nickname: "),
    ] {
        for key in ['d', 'c'] {
            let mut ann = Terminal::start(home.client(arguments));
            ann.sees(asks);
            ann.resize(30, 10);
            ann.pty.send_control(key).unwrap();
            assert_eq!(ann.ends(), 0, "{arguments}");
        }
        let mut ann = Terminal::start(home.client(arguments));
        ann.sees(asks);
        ann.send("half a na");
        ann.sees("half a na");
        ann.pty.process_mut().signal(Signal::SIGTERM).unwrap();
        assert_eq!(ann.ends(), 0, "{arguments}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_input_behind_an_account_leaves_and_keeps_it() {
    let (home, original) = (Home::new(), Original::start().await);
    let ports = format!("-lp {} -wp {} -cp ann.json", free_port(), original.write);
    let mut ann = Terminal::start(home.client(&format!("register --line {ports}")));
    ann.sees("your nickname: ");
    ann.send("ann\r");
    ann.sees("registered as ann");
    ann.sees("another nickname registers one more: ");
    ann.resize(200, 10);
    ann.pty.send_control('d').unwrap();
    assert_eq!(ann.ends(), 0);
    assert!(std::fs::read_to_string(home.path().join("ann.json")).unwrap().contains("\"ann\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_keeps_its_line_while_ways_are_cut_and_the_registry_is_killed() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let at = free_port();
    let way = Gate::before(at).await;
    let bob =
        format!("--name bob --json --port {at} --public-url http://127.0.0.1:{} --registry {}", way.port, registry.url);
    let (mut bob, _) = Program::connected(home.client(&bob));
    bob.event("users");
    let mut ann = Terminal::start(home.client(&format!("--name ann --port 0 --registry {}", registry.url)));
    let (_, own) = ann.pty.exp_regex("http://127.0.0.1:[0-9]+;").unwrap();
    let own = own.trim_end_matches(';').rsplit(':').next().unwrap().parse().unwrap();
    ann.sees("(you)");
    ann.send(":user bob\r");
    ann.sees("to bob> ");
    ann.send("half typed li");
    ann.sees("half typed li");
    for (n, columns) in [40, 100, 12, 80].into_iter().enumerate() {
        ann.resize(columns, 20);
        let text = format!("message {n} {}", "word ".repeat(n * 40)).trim().to_owned();
        say(own, "carol", &text);
        ann.sees(&format!("carol: {text}\r\n"));
        ann.sees("to bob> half typed li");
    }
    way.shut();
    ann.send("ne\r");
    ann.sees("! \u{201c}half typed line\u{201d} did not reach bob");
    way.open();
    ann.send("half ano");
    ann.sees("half ano");
    ann.send("ther\r");
    bob.find(|event| event["text"] == "half another");
    let port = registry.authority().rsplit(':').next().unwrap().parse().unwrap();
    drop(registry);
    // It is missed in its own time.
    ann.sees("! cannot reach the registry");
    ann.sees("; trying again");
    bob.find(|event| event["text"].as_str().is_some_and(|text| text.contains("; trying again")));
    ann.sees("to bob> ");
    // Others are heard and spoken to without it.
    say(own, "carol", "still here?");
    ann.sees("carol: still here?\r\n");
    ann.send("the la");
    ann.sees("the la");
    let registry = RegistryProgram::start_on(&home, port);
    ann.sees("* the registry answers again");
    bob.find(|event| event["text"] == "the registry answers again");
    ann.sees("to bob> the la");
    ann.send("st\r");
    bob.find(|event| event["text"] == "the last");
    ann.sees("st\r\n");
    ann.sees("to bob> ");
    ann.pty.send_control('d').unwrap();
    assert_eq!(ann.ends(), 0);
    assert!(registry.users().get("ann").is_none());
}

#[test]
fn the_tables_name_tests_that_there_are() {
    let files = [
        include_str!("client_every_mode_pty.rs"),
        include_str!("client_every_mode.rs"),
        include_str!("client_pty.rs"),
        include_str!("client_plain.rs"),
        include_str!("client_minechat_pty.rs"),
        include_str!("client_minechat_modes.rs"),
    ];
    let head = files[0].lines().take_while(|line| line.starts_with("//!"));
    let named: Vec<_> = head.flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
    let named: Vec<_> = named.into_iter().filter(|word| word.contains('_') && !word.contains('.')).collect();
    assert!(named.len() > 15, "{named:?}");
    for name in named {
        assert!(files.iter().any(|file| file.contains(&format!("fn {name}()"))), "{name}");
    }
}
