//! The full screen of `talk-client` while only the way to the server is cut: the server lives on, and so do the others.
#![cfg(all(feature = "server", feature = "terminal", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::full_screen::FullScreen;
use common::gate::Gate;
use common::modes::{Mode, Stage, TALKING};
use common::programs::ClientProgram;
use common::wires_program::WiresProgram;

/// Ann on a full screen in that mode, behind the gates.
fn ann(stage: &Stage, mode: Mode) -> FullScreen {
    let arguments = mode.arguments(stage.ports()).replace(" --line", "");
    let mut ann = FullScreen::start(stage.home.client(&format!("{arguments} --tui")), 80, 40);
    if mode == Mode::Register {
        ann.sees("▸ go to the chat");
        ann.send("\r");
    }
    ann.row("the bar", |row| row.starts_with(" ● ann"));
    ann.sees("›");
    ann
}

/// How often something is on the screen.
fn count(ann: &FullScreen, text: &str) -> usize {
    ann.text().matches(text).count()
}

/// What Bob hears from Ann, up to her last word.
fn heard(bob: &mut ClientProgram, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    while heard.last().is_none_or(|text| text != last) {
        let line = bob.line(|line| line.starts_with("ann: "));
        heard.push(line.trim_start_matches("ann: ").to_owned());
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_typed_while_the_way_is_cut_waits_and_arrives_once() {
    for mode in TALKING {
        println!("{mode:?}");
        let mut stage = Stage::open().await;
        let mut ann = ann(&stage, mode);
        stage.until_heard(mode);
        // Nothing confirms a text of the console's, so what was said just before the second cut would be said again.
        for round in 0..if mode == Mode::Console { 1 } else { 2 } {
            ann.send("half a li");
            ann.sees("› half a li");
            stage.shut().await;
            ann.row("the bar", |row| row.starts_with(" ○ ") && row.contains("the next try is in"));
            ann.sees("› half a li");
            stage.bob.type_line(&format!("meanwhile {round}"));
            ann.send(&format!("ne {round}\r"));
            ann.row("queued", |row| row.contains(&format!("half a line {round}  … queued")));
            ann.send(&format!("another {round}\r"));
            ann.row("queued", |row| row.contains(&format!("another {round}  … queued")));
            ann.sees("2 waiting");
            ann.send("the la");
            ann.sees("› the la");
            ann.is_whole_but_for_the_time();
            stage.let_through();
            ann.row("the bar", |row| row.starts_with(" ● ann"));
            ann.sees("› the la");
            ann.sees_no("queued");
            ann.sees_no("waiting");
            ann.send(&format!("st {round}\r"));
            let texts = ["half a line", "another", "the last"].map(|text| format!("{text} {round}"));
            assert_eq!(heard(&mut stage.bob, &texts[2]), texts, "{mode:?}");
            let done = match mode {
                Mode::Room => "✓✓",
                Mode::Console => "› sent",
                _ => "✓",
            };
            for text in &texts {
                ann.row("done", |row| row.ends_with(&format!("{text}  {done}")));
                assert_eq!(count(&ann, text), 1, "{mode:?} {}", ann.text());
            }
            stage.bob.type_line(&format!("hello again {round}"));
            ann.row("a message", |row| row.ends_with(&format!("bob │ hello again {round}")));
            if mode == Mode::Room {
                // The server kept what was said, and only here it can be asked for.
                ann.sees("nothing was missed");
                assert_eq!(count(&ann, &format!("bob │ meanwhile {round}")), 1, "{}", ann.text());
            }
            assert!(!ann.text().contains('○') && !ann.text().contains("next try"), "{}", ann.text());
            ann.is_whole();
        }
        ann.send("\u{4}");
        assert_eq!(ann.ends().0, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_whose_answer_is_lost_on_the_way_is_said_once_and_shown_as_accepted() {
    let (home, server) = WiresProgram::at_home();
    let mut bob = ClientProgram::start(server.room(&home, "bob", ""));
    bob.line(|line| line == "* connected as bob");
    let gate = Gate::before(server.rooms).await;
    let url = format!("http://127.0.0.1:{}", gate.port);
    let mut ann = FullScreen::start(home.client(&format!("room --server {url} --nick ann --tui")), 80, 24);
    ann.sees("● ann → global");
    gate.swallow();
    ann.send("into the dark\r");
    ann.row("sent", |row| row.ends_with("into the dark  › sent"));
    bob.line(|line| line == "ann: into the dark");
    bob.type_line("do you hear me?");
    bob.line(|line| line.starts_with("* ") && line.contains("do you hear me?"));
    assert!(!ann.text().contains("do you hear me?"));
    gate.cut();
    // That it was delivered is told once, which may be before she is back.
    ann.row("accepted", |row| row.contains("into the dark  ✓"));
    ann.row("what was missed", |row| row.ends_with("bob │ do you hear me?"));
    ann.send("here I am\r");
    assert_eq!(heard(&mut bob, "here I am"), ["here I am"]);
    ann.row("delivered", |row| row.ends_with("here I am  ✓✓"));
    assert_eq!((count(&ann, "into the dark"), count(&ann, "do you hear me?")), (1, 1), "{}", ann.text());
    ann.is_whole();
    ann.send("\u{4}");
    assert_eq!(ann.ends().0, 0);
}
