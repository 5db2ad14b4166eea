//! Every mode of `talk-client` through pipes, for people and for programs, by the same cases: typing, a way that is cut, a
//! server that is killed and comes back, hostile text, the end of the input. Which test is about which case of which mode
//! stands in `client_every_mode_pty.rs`.
#![cfg(all(feature = "server", feature = "terminal", unix))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::gate::Gate;
use common::json_program::Program;
use common::liars::{Liar, harmless, last_word, lies};
use common::modes::{HEARING, HISTORY, Mode, Stage, TALKING};
use common::originals::minechat::Original;
use common::programs::{ClientProgram, Home, RegistryProgram, free_port};
use serde_json::{Value, json};
use talk::text::SafeText;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_is_typed_arrives_although_the_way_is_cut_and_the_server_is_killed() {
    for mode in TALKING {
        println!("{mode:?}");
        let mut stage = Stage::open().await;
        let mut ann = mode.ann_on_pipes(stage.client(mode, ""), false);
        stage.until_heard(mode);
        stage.bob.type_line("hello, ann");
        ann.line(|line| line == "bob: hello, ann");
        ann.type_line("hello, bob");
        stage.hears("hello, bob");
        for round in ["cut", "killed"] {
            if round == "cut" {
                stage.shut().await
            } else {
                stage.server.kill()
            }
            ann.line(|line| line.starts_with(mode.lost()));
            for n in 0..3 {
                ann.type_line(&format!("{round} {n}"));
                ann.line(|line| line == format!("* queued: \u{201c}{round} {n}\u{201d}"));
            }
            if round == "cut" {
                stage.let_through()
            } else {
                stage.revive()
            }
            ann.line(|line| line.starts_with("* connected again"));
            for n in 0..3 {
                stage.hears(&format!("{round} {n}"));
            }
        }
        // The last words, and the end of the input at once.
        ann.type_line("bye");
        let done = ann.finish();
        assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
        stage.hears("bye");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_are_told_the_same_by_objects() {
    for mode in TALKING {
        println!("{mode:?}");
        let mut stage = Stage::open().await;
        let mut ann = Program(mode.ann_on_pipes(stage.client(mode, "--json"), true));
        stage.until_heard(mode);
        stage.bob.type_line("hello, ann");
        let heard = ann.find(|event| event["event"] == "message" && event["text"] == "hello, ann");
        assert_eq!((&heard["from"], &heard["own"]), (&"bob".into(), &false.into()), "{heard}");
        for round in ["as it is", "cut", "killed"] {
            match round {
                "cut" => stage.shut().await,
                "killed" => stage.server.kill(),
                _ => {}
            }
            if round != "as it is" {
                ann.find(|event| event["event"] == "lost" && event["retry_ms"].is_u64());
            }
            ann.tell(json!({"do": "say", "text": round, "ref": round}));
            let taken = ann.event("taken");
            assert_eq!(taken["ref"], round);
            match round {
                "cut" => stage.let_through(),
                "killed" => stage.revive(),
                _ => {}
            }
            if round != "as it is" {
                ann.find(|event| event["event"] == "connected" && event["name"] == "ann");
            }
            ann.find(|event| event["id"] == taken["id"] && event["state"] == "sent");
            stage.hears(round);
        }
        let done = ann.0.finish();
        let last: Value = serde_json::from_str(done.out.last().unwrap()).unwrap();
        assert_eq!(last, json!({"event": "ended", "how": "left", "unsettled": 0}));
        assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_listens_hears_on_when_the_way_was_cut_and_the_server_killed() {
    for json in [false, true] {
        let mode = Mode::Listen;
        let mut stage = Stage::open().await;
        let mut ann = ClientProgram::start_deaf(stage.client(mode, if json { "--json" } else { "" }));
        let mut said = Vec::new();
        for round in ["at first", "cut", "killed"] {
            match round {
                "cut" => {
                    stage.shut().await;
                    stage.let_through();
                }
                "killed" => {
                    stage.server.kill();
                    stage.revive_with_bob();
                }
                _ => {}
            }
            stage.until_heard(mode);
            for n in 0..3 {
                let text = format!("{round} {n}");
                stage.bob.type_line(&text);
                ann.line(|line| line.contains(&text));
                said.push(text);
            }
        }
        ann.signal("TERM");
        let done = ann.wait();
        assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
        let texts: Vec<String> = done
            .out
            .iter()
            .filter_map(|line| match json {
                true => {
                    let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                    (event["event"] == "message").then(|| event["text"].as_str().unwrap().to_owned())
                }
                false => line.strip_prefix("bob: ").map(str::to_owned),
            })
            .collect();
        let kept = std::fs::read_to_string(stage.home.path().join(HISTORY)).unwrap();
        let kept: Vec<_> = kept.lines().map(|line| line.split_once("] bob: ").unwrap().1).collect();
        assert_eq!(texts, kept, "the file holds what was shown");
        let whole: Vec<_> = kept.into_iter().filter(|text| !text.starts_with("do you hear")).collect();
        assert_eq!(whole, said, "each once, and in order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_calls_its_user_is_no_more_than_text_either() {
    let (home, original) = (Home::new(), Original::start().await);
    let Original { listen, write, .. } = original;
    // It is named in the server's own notation, and so the server names it otherwise.
    let name = "an\\u001b[2Jn\\u202e\\n*\\u0007accepted\\u009b";
    original.know("key", name);
    for (arguments, named) in [
        (format!("write -p {write} -t key -m hi -l"), ["-cp", "none.json"]),
        (format!("write -p {write} -t key -m hi --json"), ["-cp", "none.json"]),
        (format!("write -p {write} -cp new.json -m hi -l"), ["-u", &format!("{name}1")]),
        (format!("register -lp {listen} -wp {write} -cp register.json"), ["-u", &format!("{name}2")]),
        (format!("register -lp {listen} -wp {write} -cp register.json --json"), ["-u", &format!("{name}3")]),
        (format!("chat -lp {listen} -wp {write} -cp chat.json"), ["-u", &format!("{name}4")]),
        (format!("chat -lp {listen} -wp {write} -cp chat.json --json"), ["-u", &format!("{name}5")]),
    ] {
        let mut command = home.client(&arguments);
        command.args(named);
        let done = ClientProgram::start_deaf(command).finish();
        assert_eq!(done.code(), Some(0), "{arguments}: {done:?}");
        let told: Vec<_> = done.out.iter().map(String::as_str).chain(done.err.lines()).collect();
        assert!(told.iter().any(|line| line.contains("[2Jn")), "{arguments}: {done:?}");
        for line in told {
            assert_eq!(SafeText(line).to_string(), line, "{arguments}");
            assert!(!line.starts_with("*\u{fffd}accepted"), "{arguments}: {line:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_speaks_on_when_a_way_was_cut_and_the_registry_was_killed() {
    for json in [false, true] {
        let home = Home::new();
        let registry = RegistryProgram::start(&home);
        let at = free_port();
        let way = Gate::before(at).await;
        let bob = format!("--name bob --port {at} --public-url http://127.0.0.1:{}", way.port);
        let bob = home.client(&format!("{bob} --json --registry {}", registry.url));
        let (mut bob, _) = Program::connected(bob);
        bob.event("users");
        let option = if json { "--json" } else { "" };
        let arguments = format!("--name ann --port 0 {option} --registry {}", registry.url);
        let mut ann = ClientProgram::start(home.client(&arguments));
        ann.type_line(":user bob");
        ann.type_line("hello");
        bob.find(|event| event["text"] == "hello");
        way.shut();
        ann.type_line("nobody hears this");
        if json {
            ann.line(|line| line.contains(r#""state":"failed""#));
            way.open();
            let port = registry.authority().rsplit(':').next().unwrap().parse().unwrap();
            drop(registry);
            ann.type_line("is anybody there?");
            bob.find(|event| event["text"] == "is anybody there?");
            // Each misses it in its own time.
            ann.line(|line| line.contains("; trying again"));
            bob.find(|event| event["text"].as_str().is_some_and(|text| text.contains("; trying again")));
            let _registry = RegistryProgram::start_on(&home, port);
            ann.line(|line| line.contains("the registry answers again"));
            bob.find(|event| event["text"] == "the registry answers again");
            ann.type_line("bye");
            let done = ann.finish();
            assert_eq!((done.code(), done.err.as_str()), (Some(1), ""), "{done:?}");
        } else {
            // It is told on stderr, and by the exit code.
            let done = ann.finish();
            assert!(done.code() == Some(1) && done.err.contains("did not reach bob"), "{done:?}");
            way.open();
            let mut ann = ClientProgram::start(home.client(&arguments));
            ann.type_text(":user bob\nbye");
            let done = ann.finish();
            assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
        }
        bob.find(|event| event["text"] == "bye");
    }
}

#[test]
fn the_end_of_the_input_at_a_question_ends_the_program() {
    let home = Home::new();
    for (arguments, code) in [
        ("pair", 0),
        ("pair --nick ann", 0),
        ("pair --json", 0),
        ("console", 0),
        ("console --json", 0),
        ("register", 0),
        ("register --json", 0),
        // An account comes by the options, where nobody is asked.
        ("chat", 1),
        ("chat --json", 1),
    ] {
        let done = ClientProgram::start_deaf(home.client(arguments)).finish();
        assert_eq!(done.code(), Some(code), "{arguments}: {done:?}");
        assert!(!done.err.contains("panicked"), "{done:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_server_says_is_more_than_a_line_of_text() {
    for (mode, json) in HEARING.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
        println!("{mode:?}, {json}");
        let (home, mut liar) = (Home::new(), Liar::of(mode).await);
        let option = if json { "--json" } else { "" };
        let command = home.client(&format!("{} {option}", mode.arguments(liar.ports())));
        let mut ann =
            if mode == Mode::Listen { ClientProgram::start(command) } else { mode.ann_on_pipes(command, json) };
        for (from, words) in lies() {
            liar.say(from, &words).await;
            let line = ann.line(|line| line.contains(last_word(&words)));
            if json {
                let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                assert_eq!(event["event"], "message", "{line}");
                assert!(event["text"].as_str().unwrap().ends_with(last_word(&words)), "{line}");
            } else {
                assert!(line.ends_with(last_word(&words)), "{line}");
            }
            harmless(&line);
        }
        // Where there is nothing to read, the end of it is no end.
        let done = if mode == Mode::Listen {
            ann.signal("TERM");
            ann.wait()
        } else {
            ann.finish()
        };
        assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    }
}
