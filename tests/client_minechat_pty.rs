//! `talk-client register` and `chat` on a terminal, and before a server that is killed and comes back.
#![cfg(all(feature = "server", feature = "terminal", unix))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::process::Command;

use common::programs::{ClientProgram, Home};
use common::terminal::Terminal;
use common::wires_program::WiresProgram;

fn chat(home: &Home, server: &WiresProgram, mode: &str) -> Command {
    home.client(&format!("{mode} -lp {} -wp {} -hp chat.txt", server.listen, server.write))
}

#[test]
fn somebody_at_a_terminal_registers_chats_and_is_asked_again_when_the_token_is_unknown() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let mut ann = Terminal::start(chat(&home, &server, "register --line"));
    ann.sees("your nickname: ");
    ann.send("##\r");
    ann.sees("a nickname needs");
    ann.sees("your nickname: ");
    ann.send("ann\r");
    ann.sees("registered as ann; the account is kept in ");
    ann.sees("another nickname registers one more: ");
    ann.send("\r");
    ann.sees("* connected as ann");
    ann.send("half a li");
    ann.sees("half a li");
    let said = home.client(&format!("write -p {} -u backup -cp backup.json -m done", server.write)).status();
    assert!(said.unwrap().success());
    ann.sees("backup: done\r\n");
    // What was typed stands below again.
    ann.sees("half a li");
    ann.send("ne\r");
    ann.sees("* accepted: ");
    ann.send(":status\r");
    ann.sees(&format!("* reading at 127.0.0.1:{}", server.listen));
    ann.sees(&format!("* sending at 127.0.0.1:{}", server.write));
    ann.send("\u{4}");
    assert_eq!(ann.ends(), 0);

    let mut ann = Terminal::start(chat(&home, &server, "chat --line --token unknown"));
    // The last lines of the history.
    ann.sees("backup: done");
    ann.sees("ann: half a line");
    ann.sees("! not let in: the server knows no account with this token");
    ann.sees("your nickname:");
    ann.send("carol\r");
    ann.sees("* connected as carol");
    ann.send(":exit\r");
    assert_eq!(ann.ends(), 0);

    let mut listener = Terminal::start(home.client(&format!("listen -p {} -l -hp chat.txt", server.listen)));
    listener.sees("ann: half a line");
    listener.sees("* connected");
    listener.send("\u{3}");
    assert_eq!(listener.ends(), 0);
}

#[test]
fn a_server_that_is_killed_and_comes_back_costs_nothing_that_was_typed() {
    let home = Home::new();
    let mut server = WiresProgram::start(&home);
    let mut ann = ClientProgram::start(chat(&home, &server, "chat -u ann"));
    ann.line(|line| line == "* connected as ann");
    for round in 0..2 {
        server.kill();
        for n in 0..3 {
            ann.type_line(&format!("text {round}{n}"));
        }
        // A job that begins while nobody is there.
        let write = format!("write -p {} -u cron -cp cron.json -m job{round} --timeout 30", server.write);
        let mut job = ClientProgram::start_deaf(home.client(&write));
        server.revive();
        ann.line(|line| line.starts_with("* connected again"));
        for n in 0..3 {
            ann.line(|line| line == format!("* accepted: \u{201c}text {round}{n}\u{201d}"));
        }
        let done = job.wait();
        assert_eq!((done.code(), done.out.len(), done.err.as_str()), (Some(0), 0, ""), "{done:?}");
    }
    let done = ann.finish();
    assert_eq!(done.code(), Some(0), "{done:?}");
}
