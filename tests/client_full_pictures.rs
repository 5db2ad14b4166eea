//! A conversation on full screens of the usual sizes, as the documentation shows it: with `TALK_SCREENSHOTS=docs/images`
//! this writes the pictures anew.
#![cfg(all(feature = "server", feature = "terminal", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;

use common::full_screen::FullScreen;
use common::programs::{ClientProgram, Home};
use common::svg::{DARK, LIGHT, Look, svg};
use common::wires_program::WiresProgram;

fn picture(screen: &FullScreen, name: &str, look: Look, about: &str) {
    let drawn = svg(&screen.screen(), look, about);
    assert!(drawn.contains("</svg>") && drawn.contains("talk"), "{drawn}");
    if let Some(directory) = std::env::var_os("TALK_SCREENSHOTS") {
        std::fs::write(Path::new(&directory).join(name), drawn).unwrap();
    }
}

#[test]
fn a_conversation_looks_as_the_documentation_shows_it() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let mut others = ["bob", "zoe", "wei", "mike"].map(|name| {
        let mut other = ClientProgram::start(server.room(&home, name, "--forget"));
        other.line(|line| line == format!("* connected as {name}"));
        other
    });
    let mut say = |who: usize, text: &str| {
        others[who].type_line(text);
        others[who].line(|line| line.starts_with("* accepted") || line.starts_with("* delivered"));
    };
    say(0, "morning, all");
    say(1, "hi bob! did the night build go through?");
    say(
        0,
        "it did: 1,204 tests, 11 minutes. The slow one is the crash test again, the one that kills the server while messages are under way",
    );
    say(3, "that one found something every time I thought it would not");
    say(2, "доброе утро! I am looking at the search now");
    let mut ann = FullScreen::start(server.room(&home, "ann", "--tui --theme dark"), 80, 24);
    ann.sees("● ann → global");
    ann.sees("looking at the search");
    ann.send("good morning. Is the backup from tonight restored somewhere?\r");
    ann.row("delivered", |row| row.contains("somewhere?") || row.contains("✓✓ 4"));
    ann.sees("✓✓ 4");
    let mut say = |who: usize, lines: &[&str]| {
        for line in lines {
            others[who].type_line(line);
        }
    };
    say(0, &["ann: yes, on the second machine; the checksums are the same"]);
    ann.sees("checksums");
    say(1, &[":create tea", "who is in for tea at four?", ":msg ann do you have a minute?"]);
    ann.sees("2:zoe(1)");
    ann.send(":enter tea\r");
    ann.row("a title", |row| row.starts_with(" #tea"));
    ann.send("I am, with biscuits\r");
    ann.sees("I am, with biscuits  ✓");
    say(1, &["then bring the good ones"]);
    ann.sees("good ones");
    ann.send("\u{1b}1");
    ann.row("a title", |row| row.starts_with(" #global"));
    say(3, &["and the export reads back, message for message"]);
    ann.sees("the export reads back");
    say(1, &[":user tea", "the kettle is on, ann"]);
    ann.sees("3:tea(1)");
    ann.send("thank you both! I will write it down, then com");
    ann.sees("then com");
    ann.is_whole();
    picture(&ann, "terminal-80x24.svg", DARK, "talk-client room --tui on a terminal of 80 by 24");
    ann.resize(120, 40);
    ann.row("the users", |row| row.ends_with("│ wei"));
    ann.is_whole();
    picture(&ann, "terminal-120x40.svg", DARK, "talk-client room --tui on a terminal of 120 by 40");
    ann.send("\u{15}\u{1b}OP");
    ann.sees("Keys");
    picture(&ann, "terminal-help.svg", DARK, "talk-client room --tui shows its help");
    ann.send("\u{1b}");
    ann.sees_no("Keys");
    ann.send("\u{4}");
    assert_eq!(ann.ends().0, 0);

    let mut light = FullScreen::start(server.room(&home, "ann", "--tui --theme light"), 80, 24);
    // Where she was last; before that is known, the first room is shown.
    light.sees("● ann → tea");
    light.row("two rooms", |row| row.starts_with(" 2 #tea"));
    light.send("\u{1b}1");
    light.row("a title", |row| row.starts_with(" #global"));
    light.sees("looking at the search");
    light.send("/the");
    light.sees("search: the");
    picture(&light, "terminal-light.svg", LIGHT, "talk-client room --tui --theme light, with a search");
    light.send("\u{3}");
    assert_eq!(light.ends().0, 0);
    let command = home.client(&format!("register -lp {} -wp {}", server.listen, server.write));
    let mut form = FullScreen::start(command, 80, 24);
    form.sees("your nickname:");
    form.send("zoe");
    form.sees("zoe");
    form.is_whole();
    picture(&form, "terminal-register.svg", DARK, "talk-client register asks for a nickname");
    form.send("\u{3}");
    assert_eq!(form.ends().0, 0);
}
