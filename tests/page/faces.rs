//! The same conversation, held once with each face: what comes of it is the same.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::browser::{Chromium, Look, Tab};
use crate::common::full_screen::FullScreen;
use crate::common::json_program::Program;
use crate::common::programs::{ClientProgram, Home};
use crate::common::wires_program::WiresProgram;

/// How Ann talks.
enum Face {
    /// A browser; the driver ends with it.
    Page(Tab, #[expect(dead_code, reason = "it is held, and ends the browser")] Chromium),
    /// The window that she is in is that of the room at first.
    FullScreen(FullScreen),
    Line(ClientProgram),
    Json(Program),
}

#[tokio::test]
async fn the_page_comes_to_the_same() {
    let (home, server) = start();
    let chromium = Chromium::start();
    let tab = chromium.open(server.rooms, Look::default()).await;
    tab.sign_in("ann").await;
    converse(home, server, Face::Page(tab, chromium)).await;
}

#[tokio::test]
async fn the_full_screen_comes_to_the_same() {
    let (home, server) = start();
    let screen = FullScreen::start(server.room(&home, "ann", "--tui"), 100, 30);
    screen.sees("● ann → global");
    converse(home, server, Face::FullScreen(screen)).await;
}

#[tokio::test]
async fn lines_come_to_the_same() {
    let (home, server) = start();
    let mut program = ClientProgram::start(server.room(&home, "ann", ""));
    program.line(|line| line == "* connected as ann");
    converse(home, server, Face::Line(program)).await;
}

#[tokio::test]
async fn objects_come_to_the_same() {
    let (home, server) = start();
    let (program, _) = Program::connected(server.room(&home, "ann", "--json"));
    converse(home, server, Face::Json(program)).await;
}

fn start() -> (Home, WiresProgram) {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    (home, server)
}

/// Ann talks with Bob, whose program is the same each time.
async fn converse(home: Home, mut server: WiresProgram, mut ann: Face) {
    let (mut bob, _) = Program::connected(server.room(&home, "bob", "--json"));
    // What is said before that he is told later, and there is no receipt for it.
    is_in_the_room(&mut bob);

    ann.says("hello, bob").await;
    hears(&mut bob, "room", "hello, bob");
    ann.sees_delivered("hello, bob").await;
    bob.tell(json!({"do": "say", "text": "hello yourself"}));
    ann.hears("hello yourself").await;
    bob.tell(json!({"do": "say", "text": HOSTILE}));
    ann.hears(HOSTILE).await;

    bob.tell(json!({"do": "say", "text": "psst", "to": "ann"}));
    ann.hears_alone("bob", "psst").await;
    ann.says_alone("bob", "what?").await;
    hears(&mut bob, "direct", "what?");

    server.kill();
    ann.says_to_nobody("are you there?").await;
    if let Face::FullScreen(screen) = &mut ann {
        // It is compared when its receipt is there, and there is one only if Bob is in the room when it is said.
        screen.signal(Signal::SIGSTOP);
        server.revive();
        bob.event("connected");
        is_in_the_room(&mut bob);
        screen.signal(Signal::SIGCONT);
    } else {
        server.revive();
    }
    hears(&mut bob, "room", "are you there?");
    bob.tell(json!({"do": "say", "text": "again"}));
    ann.hears("again").await;
    ann.finds("yourself", "hello yourself").await;
    ann.leaves().await;

    // Whoever asks later is told the same.
    let (mut eve, _) = Program::connected(server.room(&home, "eve", "--json"));
    eve.tell(json!({"do": "history", "limit": 50}));
    let mut said = Vec::new();
    loop {
        let event = eve.find(|event| event["event"] == "message" || event["event"] == "history_end");
        if event["event"] == "history_end" {
            break;
        }
        assert_eq!(event["place"], "room", "{event}");
        said.push(["from", "text"].map(|key| event[key].as_str().unwrap().to_owned()));
    }
    said.dedup();
    let wanted = [
        ["ann", "hello, bob"],
        ["bob", "hello yourself"],
        ["bob", HOSTILE],
        ["ann", "are you there?"],
        ["bob", "again"],
    ];
    assert_eq!(said, wanted);
}

/// Waits until Bob is in the room, whose users he asks for.
fn is_in_the_room(bob: &mut Program) {
    bob.tell(json!({"do": "users"}));
    bob.event("users");
}

/// Waits until Bob is told something by Ann.
fn hears(bob: &mut Program, place: &str, text: &str) {
    let heard = bob.find(|event| event["event"] == "message" && event["own"] == json!(false));
    assert_eq!([&heard["place"], &heard["from"], &heard["text"]], [place, "ann", text], "{heard}");
}

fn is_message(event: &Value, place: &str, text: &str) -> bool {
    event["event"] == "message" && event["place"] == place && event["text"] == text
}

impl Face {
    async fn says(&mut self, text: &str) {
        match self {
            Self::Page(tab, _) => tab.say(text).await,
            Self::FullScreen(screen) => screen.send(&format!("{text}\r")),
            Self::Line(program) => program.type_line(text),
            Self::Json(program) => program.tell(json!({"do": "say", "text": text})),
        }
    }

    /// Says it while there is nobody to say it to, and sees so.
    async fn says_to_nobody(&mut self, text: &str) {
        match self {
            Self::Page(tab, _) => tab.until_says("#banner:not([hidden])", "No connection").await,
            Self::FullScreen(screen) => screen.sees("lost the connection"),
            Self::Line(program) => drop(program.line(|line| line.starts_with("* lost the connection"))),
            Self::Json(program) => drop(program.event("lost")),
        }
        self.says(text).await;
        match self {
            Self::Page(tab, _) => tab.until_says("#waiting li", text).await,
            Self::FullScreen(screen) => drop(screen.row("what waits", |row| row.contains(&format!("ann │ {text}")))),
            Self::Line(program) => drop(program.line(|line| line.contains("queued") && line.contains(text))),
            Self::Json(program) => drop(program.find(|event| event["state"] == "queued")),
        }
    }

    async fn sees_delivered(&mut self, text: &str) {
        match self {
            Self::Page(tab, _) => {
                let own = format!(
                    "[...document.querySelectorAll('#messages .message')].find((one) => \
                     one.querySelector('.body')?.textContent === {}).querySelector('.state').textContent === 'delivered'",
                    json!(text)
                );
                tab.until(&own).await;
            }
            Self::FullScreen(screen) => {
                drop(screen.row("a receipt", |row| row.contains(&format!("ann │ {text}  ✓✓"))));
            }
            Self::Line(program) => drop(program.line(|line| line.starts_with("* delivered") && line.contains(text))),
            Self::Json(program) => drop(program.find(|event| event["state"] == "delivered")),
        }
    }

    /// Hears what Bob says to all.
    async fn hears(&mut self, text: &str) {
        match self {
            Self::Page(tab, _) => tab.until_says("#messages .body", text).await,
            Self::FullScreen(screen) => drop(screen.row("a text", |row| row.contains(&format!("│ {text}")))),
            Self::Line(program) => drop(program.line(|line| line == format!("bob: {text}"))),
            Self::Json(program) => drop(program.find(|event| is_message(event, "room", text))),
        }
    }

    async fn hears_alone(&mut self, from: &str, text: &str) {
        match self {
            Self::Page(tab, _) => {
                tab.until_says("#directs .place", from).await;
                tab.click("#directs .place").await;
                tab.until_says("#messages .body", text).await;
                tab.click("#rooms .place").await;
                tab.until_says("#messages .body", "hello, bob").await;
            }
            Self::FullScreen(screen) => {
                screen.sees("2:bob(1)");
                screen.send("\u{1b}2");
                screen.sees(&format!("{from} │ {text}"));
                screen.send("\u{1b}1");
                screen.sees("hello, bob");
            }
            Self::Line(program) => drop(program.line(|line| line == format!("#(direct) {from}: {text}"))),
            Self::Json(program) => drop(program.find(|event| is_message(event, "direct", text))),
        }
    }

    async fn says_alone(&mut self, to: &str, text: &str) {
        match self {
            Self::Page(tab, _) => {
                tab.click("#directs .place").await;
                tab.until_says("#title", to).await;
                tab.say(text).await;
                tab.until_says("#messages .state", "delivered").await;
                tab.click("#rooms .place").await;
                tab.until_says("#messages .body", "hello, bob").await;
            }
            Self::FullScreen(screen) => {
                screen.send(&format!(":msg {to} {text}\r"));
                screen.send("\u{1b}1");
                screen.sees("hello, bob");
            }
            Self::Line(program) => program.type_line(&format!(":msg {to} {text}")),
            Self::Json(program) => program.tell(json!({"do": "say", "to": to, "text": text})),
        }
    }

    async fn finds(&mut self, words: &str, text: &str) {
        match self {
            Self::Page(tab, _) => {
                tab.click("[data-open=found]").await;
                tab.type_in("#search", &format!("{words}\n")).await;
                tab.until_says("#search-status", "1 found.").await;
                assert_eq!(tab.texts("#results .body").await, [text]);
            }
            Self::FullScreen(screen) => {
                screen.send(&format!(":search {words}\r"));
                screen.sees(&format!("1 found in global with {words}"));
                screen.send("\u{1b}");
                // A key behind Esc may belong to it: the list closes a moment later.
                screen.until("an end of the list", |shown| (!shown.contents().contains("Esc closes")).then_some(()));
            }
            Self::Line(program) => {
                program.type_line(&format!(":search {words}"));
                program.line(|line| line == format!("* 1 found in global with {words}:"));
                program.line(|line| line.ends_with(text));
            }
            Self::Json(program) => {
                program.tell(json!({"do": "search", "text": words}));
                let found = program.event("found");
                assert_eq!(found["messages"].as_array().unwrap().len(), 1, "{found}");
                assert_eq!(found["messages"][0]["text"], text);
            }
        }
    }

    /// Leaves, with nothing undone.
    async fn leaves(self) {
        match self {
            Self::Page(tab, _) => {
                let bodies = ["hello, bob", "hello yourself", HOSTILE, "are you there?", "again"];
                assert_eq!(tab.bodies().await, bodies);
                tab.is_clean().await;
            }
            Self::FullScreen(mut screen) => {
                // What still changes cannot be compared.
                screen.sees("are you there?  ✓✓");
                screen.is_whole();
                screen.send("\u{4}");
                assert_eq!(screen.ends(), (0, String::new()));
            }
            Self::Line(program) => assert_eq!(program.finish().code(), Some(0)),
            Self::Json(program) => assert_eq!(program.0.finish().code(), Some(0)),
        }
    }
}

/// A text that would be obeyed by whatever took it for more than that.
const HOSTILE: &str = "<b onclick=alert(1)>&amp;</b> ;|`$(id)`";
