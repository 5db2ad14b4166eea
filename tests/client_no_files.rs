//! `talk-client` where the files that it keeps are pipes or directories: it says so, and waits for nobody.
#![cfg(all(feature = "server", feature = "terminal", unix))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;

use common::programs::{ClientProgram, Finished, Home, free_port};
use common::terminal::Terminal;
use common::wires_program::WiresProgram;

fn run(command: Command, input: &str) -> Finished {
    let mut client = ClientProgram::start(command);
    client.type_text(input);
    client.finish()
}

/// A pipe at whose other end there is nobody.
fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_pipe_in_the_place_of_an_account_or_a_history_is_refused() {
    let home = Home::new();
    pipe(&home.path().join("pipe"));
    std::fs::create_dir(home.path().join("directory")).unwrap();
    let port = free_port();
    for name in ["pipe", "directory"] {
        for arguments in [
            format!("write -p {port} -m hi -cp {name}"),
            format!("chat -lp {port} -wp {port} --once -cp {name}"),
            format!("listen -p {port} --once --history-path {name}"),
        ] {
            let done = run(home.client(&arguments), "");
            assert_eq!(done.code(), Some(1), "{arguments}: {done:?}");
            assert!(done.err.contains(&format!("{name}: it is no file")), "{arguments}: {done:?}");
        }
    }
    // Whoever chats does so without a history, too; here without a server.
    let done = run(home.client(&format!("chat --once -t key -lp {port} -wp {port} -hp pipe")), "");
    assert_eq!(done.code(), Some(4), "{done:?}");
    assert!(done.err.contains("the history cannot be kept: pipe: it is no file"), "{done:?}");
}

#[test]
fn a_room_is_tried_also_where_the_files_for_the_next_start_are_pipes() {
    let home = Home::new();
    let mut server = WiresProgram::start(&home);
    let done = run(server.room(&home, "ann", ""), "hello\n");
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    server.kill();
    let data = home.path().join(".local/share/talk/client");
    for kind in ["journal", "session"] {
        let files = std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().path());
        let path = files.into_iter().find(|path| path.extension().is_some_and(|is| is == kind)).unwrap();
        std::fs::remove_file(&path).unwrap();
        pipe(&path);
        let done = run(server.room(&home, "ann", "--once"), "and again\n");
        assert_eq!(done.code(), Some(4), "{done:?}");
        let why = "nothing can be kept for the next start: it is no file";
        assert!(done.err.contains(why), "{kind}: {done:?}");
        assert!(std::fs::metadata(&path).unwrap().file_type().is_fifo(), "it is left alone");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn lines_are_typed_also_where_the_file_for_them_is_a_pipe() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let data = home.path().join(".local/share/talk/client");
    std::fs::create_dir_all(&data).unwrap();
    pipe(&data.join("history"));
    let mut ann = Terminal::start(server.room(&home, "ann", ""));
    ann.sees("! the lines that are typed cannot be kept: it is no file");
    ann.sees("* connected as ann");
    ann.send("hello\r");
    ann.sees("* accepted: \u{201c}hello\u{201d}");
    ann.sees("to global> ");
    ann.pty.send_control('c').unwrap();
    assert_eq!(ann.ends(), 0);
}
