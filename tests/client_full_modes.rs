//! The full screen in every mode of `talk-client`, and how it begins and ends.
#![cfg(all(feature = "server", feature = "terminal", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::process::Command;

use common::full_screen::FullScreen;
use common::programs::{ClientProgram, Home, RegistryProgram, say};
use common::wires_program::WiresProgram;
use nix::sys::signal::Signal;

fn full(command: Command) -> FullScreen {
    FullScreen::start(command, 80, 24)
}

#[test]
fn somebody_registers_by_a_form_and_chats() {
    let (home, server) = WiresProgram::at_home();
    let chat = |mode: &str| home.client(&format!("{mode} -lp {} -wp {}", server.listen, server.write));
    let mut ann = full(chat("register"));
    ann.sees("your nickname:");
    ann.send("##\r");
    ann.sees("a nickname needs at least one letter");
    ann.send("zoë\r");
    ann.sees("registered as zoë; the account is kept in");
    ann.sees("▸ go to the chat");
    ann.is_whole();
    ann.send("\u{1b}[B");
    ann.sees("▸ register one more");
    ann.send("\r");
    ann.sees("your nickname: type a name first");
    ann.send("ann\r");
    ann.sees("registered as ann; the account is kept in");
    ann.send("\r");
    ann.sees("● ann");
    ann.send("hello\r");
    ann.row("accepted", |row| row.contains("ann │ hello  ✓"));
    // She is told by another socket than the one that she speaks by.
    ann.sees("* │ ann joined");
    ann.is_whole();
    ann.send("\u{4}");
    assert_eq!(ann.ends().0, 0);
    // The account is there the next time; and one that nobody knows is asked for again.
    let ann = full(chat("chat"));
    ann.sees("● ann");
    let mut bob = full(chat("chat --token unknown"));
    bob.sees("not let in: the server knows no account with this token");
    bob.sees("your nickname:");
    bob.send("bob\r");
    bob.sees("● bob");
    bob.send("hello, ann\r");
    ann.row("a message", |row| row.contains("bob │ hello, ann"));
    bob.send("\u{3}");
    assert_eq!(bob.ends().0, 0);
    // Lines, where they are wanted, and where nothing else can be shown.
    for (arguments, term) in [("chat --line", "xterm"), ("chat", "dumb"), ("chat --tui", "dumb")] {
        let mut command = chat(arguments);
        command.env("TERM", term);
        let mut carol = FullScreen::start_as_it_is(&command, 80, 24);
        carol.sees("* connected as bob");
        assert!(!carol.screen().alternate_screen(), "{arguments}");
        carol.send(":exit\n");
        assert_eq!(carol.ends().0, 0, "{arguments}");
    }
}

#[test]
fn a_listener_reads_and_a_writer_writes() {
    let (home, server) = WiresProgram::at_home();
    let mut listener = full(home.client(&format!("listen --tui -p {}", server.listen)));
    listener.sees("● connected");
    let mut writer = full(home.client(&format!("write --tui -p {}", server.write)));
    writer.sees("your nickname:");
    writer.send("cron\r");
    writer.sees("● cron");
    writer.send("the backup is done\r");
    writer.row("accepted", |row| row.contains("cron │ the backup is done  ✓"));
    listener.row("a message", |row| row.contains("cron │ the backup is done"));
    listener.is_whole();
    listener.send("q");
    assert_eq!(listener.ends().0, 0);
    writer.send("\u{4}");
    assert_eq!(writer.ends().0, 0);
}

#[test]
fn pairs_talk_and_a_nickname_that_is_taken_is_asked_for_again() {
    let (home, server) = WiresProgram::at_home();
    let mut bobby = ClientProgram::start(home.client(&format!("pair --port {} --nick bobby --to global", server.pair)));
    bobby.line(|line| line == "* your texts go to global");
    let mut alice = full(home.client(&format!("pair --tui --port {}", server.pair)));
    alice.sees("Enter your username");
    alice.send("a'\r");
    alice.sees("is no nickname here");
    alice.send("bobby\r");
    alice.sees("Enter destination username");
    alice.send("bobby\r");
    alice.sees("not let in: somebody is called bobby already");
    alice.sees("Enter your username");
    alice.send("alice\r");
    alice.sees("bobby›");
    alice.send("hello\r");
    bobby.line(|line| line == "alice: hello");
    alice.row("delivered", |row| row.contains("alice │ hello  ✓✓"));
    bobby.type_line(":user alice");
    bobby.type_line("hello yourself");
    alice.sees("bobby │ hello yourself");
    alice.resize(50, 15);
    alice.is_whole();
    alice.send(":quit:\r");
    assert_eq!(alice.ends().0, 0);
}

#[test]
fn the_console_keeps_its_words_and_comes_back() {
    let (home, mut server) = WiresProgram::at_home();
    let mut bob = ClientProgram::start(server.room(&home, "bob", ""));
    bob.line(|line| line == "* connected as bob");
    let mut alice = full(home.client(&format!("console --tui --port {}", server.console)));
    alice.sees("Username:");
    alice.send("alice\r");
    alice.sees("● alice");
    alice.send("hello\r");
    bob.line(|line| line == "alice: hello");
    alice.send("cmd!participants_count\r");
    alice.sees("Participants count: 2");
    alice.sees("alice›");
    alice.send("half a li");
    server.kill();
    alice.sees("Connection closed by the server (");
    alice.sees("alice› half a li");
    server.revive();
    alice.sees("connected again");
    bob.line(|line| line.starts_with("* connected again"));
    alice.send("ne\r");
    bob.line(|line| line == "alice: half a line");
    alice.row("sent", |row| row.contains("half a line  › sent"));
    alice.is_whole();
    alice.send("\u{4}");
    assert_eq!(alice.ends().0, 0);
}

#[test]
fn peers_have_a_window_each() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let peer =
        |name: &str, more: &str| home.client(&format!("--name {name} --port 0 --registry {} {more}", registry.url));
    let (mut bob, _) = ClientProgram::start_and_greet(peer("bob", ""));
    let mut ann = full(peer("ann", "--tui"));
    let at = ann.row("a greeting", |row| row.contains("you are ann at http://127.0.0.1:"));
    let port = at.split("127.0.0.1:").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    say(port, "carol", "hi, ann");
    ann.row("a message", |row| row.contains("carol │ hi, ann"));
    ann.send(":user bob\r");
    ann.row("a title", |row| row.starts_with(" @bob"));
    ann.send("hello, bob\r");
    bob.line(|line| line == "ann: hello, bob");
    ann.row("delivered", |row| row.contains("ann │ hello, bob  ✓✓"));
    bob.kill();
    ann.send("are you there?\r");
    ann.row("failed", |row| row.contains("✗ not delivered: "));
    say(port, "carol", "\u{1b}[2Jhi\nann │ forged");
    ann.sees("1:carol(1)");
    ann.send("\u{1b}1");
    ann.sees("carol │ [2Jhi");
    ann.sees("there is no user carol");
    ann.is_whole();
    ann.send(":exit\r");
    assert_eq!(ann.ends().0, 0);
    assert!(registry.users().get("ann").is_none());
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    let (home, server) = WiresProgram::at_home();
    let start = || FullScreen::in_room(&server, &home, "ann", "--forget");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut ann = start();
        ann.signal(signal);
        assert_eq!(ann.ends().0, 0, "{signal}");
    }
    // What was wrong is told where it stays.
    let again = full(home.client("room --nick ann --tui --once --server http://127.0.0.1:1"));
    let (code, text) = again.ends();
    assert!(code == 4 && text.contains("! cannot reach 127.0.0.1:1: "), "{code} {text}");
    // Stopped, the terminal is the shell's.
    let mut ann = start();
    ann.send("half a li");
    ann.sees("› half a li");
    ann.send("\u{1a}");
    ann.until("the shell", |screen| (!screen.alternate_screen() && !screen.hide_cursor()).then_some(()));
    ann.stopped();
    ann.signal(Signal::SIGCONT);
    ann.sees("› half a li");
    assert!(ann.screen().alternate_screen());
    ann.is_whole();
    ann.send("\u{15}\u{4}");
    assert_eq!(ann.ends().0, 0);
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let home = Home::new();
    let server = WiresProgram::stopped(&home);
    let mut ann = full(server.room(&home, "ann", "--tui"));
    ann.sees("○ no connection");
    ann.send("anybody there?\r");
    ann.sees("anybody there?  … queued");
    ann.send("\u{3}");
    ann.sees("waiting for 1 of your messages;");
    ann.send("\u{3}");
    let (code, told) = ann.ends();
    assert!(code == 130 && told.contains("! 1 of your messages wait for the next start"), "{code} {told}");
    // It is there the next time.
    let mut ann = full(server.room(&home, "ann", "--tui"));
    ann.sees("anybody there?  … queued");
    ann.send("\u{3}\u{3}");
    ann.ends();
    // Where nothing is kept, it is lost.
    let mut bob = full(server.room(&home, "bob", "--tui --forget --lang ru"));
    bob.sees("○ нет соединения");
    bob.send("anybody there?\r");
    bob.sees("anybody there?  … в очереди");
    bob.send("\u{3}");
    bob.sees("жду отправки ваших сообщений (1)");
    bob.send("\u{3}");
    let (code, told) = bob.ends();
    assert!(code == 130 && told.contains("! не отправлено ваших сообщений: 1"), "{code} {told}");
}

#[test]
fn a_name_that_is_taken_is_told_as_such_with_what_to_do() {
    let (home, other) = (Home::new(), Home::new());
    let server = WiresProgram::start(&home);
    let mut ann = ClientProgram::start(server.room(&home, "ann", ""));
    ann.line(|line| line == "* connected as ann");
    let mut second = full(server.room(&other, "ann", "--tui"));
    second.row("a notice", |row| row.contains(" * │ the name ann is taken; take another"));
    second.sees("○ the name ann is taken; the next try is in ");
    assert!(!second.text().contains("cannot reach") && !second.text().contains("no connection"), "{}", second.text());
    second.send("\u{3}");
    second.ends();
    for arguments in ["--tui --once", "--once"] {
        let (code, told) = full(server.room(&other, "ann", arguments)).ends();
        let wanted = "! not let in: the name ann is taken; take another with --nick";
        assert!(code == 3 && told.contains(wanted), "{arguments}: {code} {told}");
    }
}

#[test]
fn a_log_does_not_tear_the_screen() {
    let (home, server) = WiresProgram::at_home();
    let mut command = server.room(&home, "ann", "--tui");
    command.env("RUST_LOG", "talk=trace,hyper_util=trace");
    let mut ann = full(command);
    ann.sees("● ann → global");
    ann.send("hello\r");
    ann.row("a text", |row| row.contains("ann │ hello"));
    ann.row("an entry", |row| row.contains(" ! │ ") && row.contains("TRACE") || row.contains("DEBUG"));
    for row in ann.text().lines().skip(1).take(21) {
        assert_eq!(row.chars().nth(17), Some('│'), "{row}");
    }
    ann.send("\u{4}");
    assert_eq!(ann.ends().0, 0);
}

#[test]
fn colours_are_shown_where_they_are_wanted_and_what_makes_no_sense_is_refused() {
    let (home, server) = WiresProgram::at_home();
    let coloured = |arguments: &str, variable: (&str, &str)| {
        let mut command = server.room(&home, "ann", &format!("--tui --forget {arguments}"));
        command.env(variable.0, variable.1);
        let mut ann = full(command);
        ann.sees("● ann → global");
        let screen = ann.screen();
        let cells = (0..24).flat_map(|row| (0..80).map(move |column| (row, column)));
        let mut cells = cells.filter_map(|(row, column)| screen.cell(row, column));
        let coloured =
            cells.any(|cell| cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default);
        let bar = screen.cell(0, 0).unwrap().bgcolor();
        ann.send("\u{4}");
        assert_eq!(ann.ends().0, 0);
        (coloured, bar)
    };
    assert_eq!(coloured("", ("NO_COLOR", "1")), (false, vt100::Color::Default));
    assert_eq!(coloured("--theme plain", ("X", "1")), (false, vt100::Color::Default));
    assert_eq!(coloured("", ("X", "1")), (true, vt100::Color::Idx(236)));
    assert_eq!(coloured("--theme dark", ("NO_COLOR", "1")), (true, vt100::Color::Idx(236)));
    assert_eq!(coloured("", ("TALK_THEME", "light")), (true, vt100::Color::Idx(254)));
    for (arguments, wanted) in [
        ("room --nick ann --tui", "--tui needs a terminal"),
        ("room --nick ann --tui --json", "--json"),
        ("room --nick ann --theme blue", "dark, light or plain"),
        ("chat --tui --line", "--line"),
    ] {
        let output = home.client(arguments).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && told.contains(wanted), "{arguments}: {told}");
    }
}

#[test]
fn a_terminal_that_does_not_know_its_size_is_taken_for_a_usual_one() {
    let (home, server) = WiresProgram::at_home();
    let ann = server.room(&home, "ann", "--tui");
    let mut command = Command::new("sh");
    command.args(["-c", "stty cols 0 rows 0 && exec \"$@\"", "sh"]).arg(ann.get_program()).args(ann.get_args());
    command.envs(ann.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut ann = full(command);
    ann.sees("● ann → global");
    ann.send("hello\r");
    ann.row("accepted", |row| row.contains("ann │ hello  ✓"));
    ann.send("\u{4}");
    assert_eq!(ann.ends().0, 0);
}

#[test]
fn what_was_typed_is_remembered_by_lines_and_screen_alike() {
    let (home, server) = WiresProgram::at_home();
    let mut ann = FullScreen::in_room(&server, &home, "ann", "");
    ann.send("said on the screen\r");
    ann.row("accepted", |row| row.contains("said on the screen  ✓"));
    ann.send("\u{4}");
    assert_eq!(ann.ends().0, 0);
    let mut ann = full(server.room(&home, "ann", ""));
    ann.sees("to global>");
    ann.send("said in a line\r");
    ann.sees("* accepted: ");
    ann.send("\u{1b}[A\u{1b}[A");
    ann.sees("to global> said on the screen");
    ann.send("\u{15}\u{4}");
    assert_eq!(ann.ends().0, 0);
    let mut ann = FullScreen::in_room(&server, &home, "ann", "");
    ann.send("\u{1b}[A");
    ann.sees("global› said in a line");
    ann.send("\u{15}\u{4}");
    assert_eq!(ann.ends().0, 0);
}

#[test]
fn a_terminal_that_takes_nothing_keeps_nobody_from_leaving() {
    let (home, server) = WiresProgram::at_home();
    let mut ann = FullScreen::in_room(&server, &home, "ann", "");
    ann.freeze();
    ann.send("half");
    ann.signal(Signal::SIGTERM);
    assert_eq!(ann.code(), 0);
}
