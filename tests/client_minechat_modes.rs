//! `talk-client listen`, `write`, `register` and `chat`: as jobs of a script, killed in the midst of writing, and on pipes.
#![cfg(all(feature = "sqlite", feature = "terminal", unix))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::gate::Gate;
use common::minechat::Wire;
use common::originals::minechat::{Original, Quirk};
use common::programs::{ClientProgram, Home, free_port};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_is_quiet_and_succeeds_only_when_it_was_answered() {
    let (home, original) = (Home::new(), Original::start().await);
    original.know("key", "ann");
    let write = |arguments: &str, message: &str| {
        let mut command = home.client(&format!("write --port {} {arguments}", original.write));
        run(command.args(["--message", message]))
    };
    silent(&write("--token key", "the backup\nis done"), 0);
    original.next(&[Quirk::Drops, Quirk::Loses]);
    silent(&write("--token key", "twice"), 0);
    original.next(&[Quirk::Never]);
    failed(&write("--token key --timeout 5", "never"), 4, "no answer within 5 s");
    let said = ["ann: the backup is done", "ann: twice", "ann: twice", "ann: never"];
    assert_eq!(original.until(|_| true).await.said, said, "once for each time that it was not answered");

    failed(&write("--token other", "x"), 3, "not let in: the server knows no account with this token");
    failed(&write("--token key", &"x".repeat(17 * 1024)), 1, "a text has 1 to 16384 bytes");
    failed(&write("--token key", " \n"), 2, "a message is needed");
    failed(&write("--token n\u{e4}h", "x"), 2, "--token: a secret is");
    failed(&write("--username ###", "x"), 2, "a nickname needs");
    failed(&write("--timeout 0", "x"), 2, "a time is 1 to");
    let refused = run(home.client(&format!("write -t key -m x --timeout 1 -p {}", free_port())).stdin(Stdio::null()));
    failed(&refused, 4, "no connection to speak at 127.0.0.1:");
    assert_eq!(original.until(|_| true).await.said.len(), said.len());

    let mut logged = home.client(&format!("write -host localhost -p {} -m hello -l", original.write));
    let logged = run(logged.env("TALK_TOKEN", "key"));
    assert_eq!((logged.status.code(), text(&logged.stdout).as_str()), (Some(0), ""));
    let steps = ["queued", "connected as ann", "sent", "accepted"];
    let log = text(&logged.stderr);
    let at: Vec<_> = steps.iter().map(|step| log.find(step)).collect();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{log}");
    assert!(!log.contains("key"), "{log}");
    let events = run(home.client(&format!("write -t key --json -m hello -p {}", original.write)).stdin(Stdio::null()));
    let events: Vec<serde_json::Value> =
        text(&events.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.last().unwrap()["state"], "accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_takes_the_token_or_the_account_that_is_kept_or_a_new_one() {
    let (home, original) = (Home::new(), Original::start().await);
    original.know("key", "ann");
    let port = original.write;
    let write = |arguments: &str| run(&mut home.client(&format!("write -p {port} -m hello {arguments}")));
    // A new one, then the one that is kept, whatever name is wished; the token wins.
    silent(&write("-u bob -cp account.json"), 0);
    let account = home.path().join("account.json");
    let kept = fs::read_to_string(&account).unwrap();
    assert!(kept.starts_with("{\"nickname\": \"bob\", \"account_hash\": \""), "{kept}");
    assert_eq!(mode(&account), 0o600);
    silent(&write("-u eve --credential_path=account.json"), 0);
    silent(&write("--token key -cp account.json"), 0);
    assert_eq!(fs::read_to_string(&account).unwrap(), kept);
    // Without a file one of the program's own, for each server.
    for _ in 0..2 {
        silent(&write("-u carol"), 0);
    }
    let said = original.until(|_| true).await.said;
    assert_eq!(said, ["bob: hello", "bob: hello", "ann: hello", "carol: hello", "carol: hello"]);
    let data = home.path().join(".local/share/talk/client");
    let files: Vec<_> = fs::read_dir(&data).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!((files.len(), mode(&files[0]), mode(&data)), (1, 0o600, 0o700), "{files:?}");

    // Others' files: the bare hash, and readable by all until now. What is no account is not overwritten.
    fs::write(home.path().join("bare"), "key\n").unwrap();
    fs::set_permissions(home.path().join("bare"), fs::Permissions::from_mode(0o644)).unwrap();
    silent(&write("-cp bare"), 0);
    assert_eq!(mode(&home.path().join("bare")), 0o600);
    fs::write(home.path().join("letter"), "dear aunt").unwrap();
    failed(&write("-cp letter"), 1, "letter: there is no account in it");
    assert_eq!(fs::read_to_string(home.path().join("letter")).unwrap(), "dear aunt");
    // It was said, but the account is lost.
    failed(&write("-u dora -cp no/such/directory"), 1, "the account of dora could not be kept");
    assert_eq!(original.until(|_| true).await.said.last().unwrap(), "dora: hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listen_needs_no_terminal_says_nothing_of_its_own_and_appends_to_its_history() {
    let (home, original) = (Home::new(), Original::noisy().await);
    let gate = Gate::before(original.listen).await;
    let listen = |arguments: &str| home.client(&format!("listen -host 127.0.0.1 -p {} {arguments}", gate.port));
    for run in 1..=2 {
        // At the end of its input before it began, as in a cron job.
        let mut listener = ClientProgram::start_deaf(listen("--history_path=chat.txt"));
        original.until(|seen| seen.listeners == 2 * run - 1).await;
        original.say("ann: hello");
        listener.line(|line| line == "ann: hello");
        gate.cut();
        original.until(|seen| seen.listeners == 2 * run).await;
        original.say("bob: \u{1b}[2Jhow are you?");
        listener.line(|line| line == "bob: \u{fffd}[2Jhow are you?");
        listener.signal("TERM");
        let done = listener.wait();
        assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
        assert_eq!(done.out.iter().filter(|line| line.starts_with("* ")).count(), 2, "a banner on each connection");
        assert_eq!(history(&home, "chat.txt").len(), 2 * run);
    }
    assert_eq!(history(&home, "chat.txt")[1..3], ["bob: \u{fffd}[2Jhow are you?", "ann: hello"]);

    // What was said before is shown when it is asked for; a second program leaves the file alone.
    let mut listener = ClientProgram::start_deaf(listen("-hp chat.txt --history 3 -l"));
    for said in ["bob: \u{fffd}[2Jhow are you?", "ann: hello", "bob: \u{fffd}[2Jhow are you?"] {
        let line = listener.line(|_| true);
        assert!(line.starts_with("#(") && line.ends_with(said), "{line}");
    }
    original.until(|seen| seen.listeners == 5).await;
    failed(&run(&mut listen("-hp chat.txt")), 1, "chat.txt: another program writes it");
    listener.line(|line| line.starts_with("* --"));
    listener.signal("INT");
    let done = listener.wait();
    assert_eq!((done.code(), done.err.as_str()), (Some(0), "* connected\n"), "news of the connection");
    failed(&run(&mut listen("-hp .")), 1, ".: ");
    failed(&run(&mut listen("--history x")), 2, "a count is 0 to 1000");
    // For programs.
    let mut listener = ClientProgram::start_deaf(listen("--json --history 1 -hp chat.txt"));
    let past: serde_json::Value = serde_json::from_str(&listener.line(|line| line.contains("\"message\""))).unwrap();
    assert_eq!((&past["from"], &past["past"]), (&"bob".into(), &true.into()));
    listener.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_survives_kill_9_in_the_midst_of_writing() {
    let (home, original) = (Home::new(), Original::start().await);
    let path = home.path().join("chat.txt");
    let long = ["word"; 400].join(" ");
    let mut whole = 0;
    for run in 1..=6 {
        let mut listener =
            ClientProgram::start_deaf(home.client(&format!("listen -p {} -hp chat.txt", original.listen)));
        original.until(|seen| seen.listeners == run).await;
        for n in 0..90 {
            original.say(&format!("ann: {run} {n} {long}"));
        }
        // It is amid all that.
        listener.line(|line| line.starts_with(&format!("ann: {run} {} ", 5 * run)));
        listener.kill();
        // A machine that failed leaves less than a process that was killed.
        let length = fs::metadata(&path).unwrap().len();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 17 * run as u64).unwrap();
        let mut next = ClientProgram::start_deaf(home.client(&format!("listen -p {} -hp chat.txt", free_port())));
        wait_for(|| fs::read(&path).unwrap().ends_with(b"\n"));
        next.signal("TERM");
        next.wait();
        let lines = history(&home, "chat.txt");
        assert!(lines.len() > whole && lines.iter().all(|line| line.ends_with(&long)), "{run}");
        whole = lines.len();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn register_makes_accounts_and_goes_to_the_chat_with_the_last() {
    let (home, wire) = (Home::new(), Wire::start().await);
    let at = format!("--listen_port {} -wp {} -lh localhost -wh=127.0.0.1", wire.listen.port(), wire.write.port());
    let mut client = ClientProgram::start(home.client(&format!("register {at} -cp account.json -hp chat.txt")));
    client.line(|line| line == "your nickname:");
    client.type_line("###");
    let refused = client.finish();
    assert_eq!((refused.code(), refused.err.contains("a nickname needs")), (Some(1), true), "{refused:?}");

    let mut client = ClientProgram::start(home.client(&format!("register {at} -cp account.json -hp chat.txt")));
    client.type_line("ann");
    client.line(|line| line == "* registered as ann; the account is kept in account.json");
    let ann = fs::read_to_string(home.path().join("account.json")).unwrap();
    client.type_line("bob");
    client.line(|line| line == "* registered as bob; the account is kept in account.json");
    assert_eq!(fs::read_to_string(home.path().join("account.json.old")).unwrap(), ann, "no account is lost");
    client.type_line("");
    client.line(|line| line == "* connected as bob");
    client.type_line("hello");
    client.line(|line| line.contains("hello") && line.starts_with("* accepted"));
    client.type_line(":status");
    client.line(|line| line == format!("* reading at localhost:{}", wire.listen.port()));
    client.line(|line| line == format!("* sending at 127.0.0.1:{}", wire.write.port()));
    let done = client.finish();
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");

    let mut again = home.client(&format!("register {at} --username carol"));
    let again = run(again.env("LANG", "ru_RU.UTF-8"));
    assert_eq!(again.status.code(), Some(0), "the end of the input ends it");
    assert!(text(&again.stdout).starts_with("* вы зарегистрированы, ваше имя carol"), "{again:?}");
    let nowhere = format!("register -wp {} -u dora", free_port());
    failed(&run(&mut home.client(&nowhere)), 1, "no connection to speak");
    let unkept = run(&mut home.client(&format!("register {at} -u emma -cp no-such-directory/account.json")));
    let told = text(&unkept.stderr);
    assert!(told.contains("the account of emma could not be kept: no-such-directory/account.json: "), "{told}");
    assert_eq!(unkept.status.code(), Some(1), "{unkept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_goes_on_when_the_server_comes_back_and_loses_nothing_typed() {
    let (home, original) = (Home::new(), Original::start().await);
    original.know("key", "ann");
    let (listen, write) = (Gate::before(original.listen).await, Gate::before(original.write).await);
    let chat = |arguments: &str| home.client(&format!("chat -lp {} -wp {} {arguments}", listen.port, write.port));
    fs::write(home.path().join("account"), "key").unwrap();
    fs::write(home.path().join("chat.txt"), "[2026-11-20 10:00:00] eve: before\n[2026-11-20 10:00").unwrap();
    let mut ann = ClientProgram::start(chat("-cp account -hp chat.txt --history 9"));
    assert_eq!(ann.line(|_| true), "#(2026-11-20 10:00) eve: before");
    ann.line(|line| line == "* connected as ann");
    original.say("bob: hi, ann");
    ann.line(|line| line == "bob: hi, ann");
    listen.shut();
    write.shut();
    ann.type_line("are you there?");
    // It notices in its own time.
    let offline = (0..1000).any(|_| {
        ann.type_line(":status");
        let how = ann.line(|line| line.starts_with("* connected as") || line.starts_with("* no connection"));
        how.starts_with("* no connection; the next try is in")
    });
    assert!(offline);
    listen.open();
    write.open();
    ann.line(|line| line == "* connected again");
    ann.line(|line| line.starts_with("* accepted"));
    original.until(|seen| seen.said == ["bob: hi, ann", "ann: are you there?"]).await;
    wait_for(|| history(&home, "chat.txt").len() == 3);
    let done = ann.finish();
    assert_eq!(done.code(), Some(0), "{done:?}");
    assert_eq!(history(&home, "chat.txt"), ["eve: before", "bob: hi, ann", "ann: are you there?"]);

    let refused = run(&mut chat("-t other -cp account"));
    failed(&refused, 3, "not let in: the server knows no account with this token");
    failed(&run(&mut chat("-cp none")), 1, "an account is needed");
    for mode in [format!("listen --once -p {}", free_port()), format!("chat --once -t key -lp {}", free_port())] {
        failed(&run(&mut home.client(&mode)), 4, ": no connection to hear");
    }
    let new = run(&mut chat("-cp none -u carol"));
    assert!(new.status.success() && text(&new.stdout).contains("* connected as carol"), "{new:?}");
    assert_eq!(mode(&home.path().join("none")), 0o600);
    for (wrong, says) in
        [("-lp 0", "--listen-port \"0\": a port"), ("--write_host a..b", "--write-host \"a..b\": a host")]
    {
        failed(&run(&mut home.client(&format!("chat {wrong}"))), 2, says);
    }
}

/// Runs what ends by itself, without input.
fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn silent(output: &Output, code: i32) {
    let all = (output.status.code(), text(&output.stdout), text(&output.stderr));
    assert_eq!(all, (Some(code), String::new(), String::new()));
}

#[track_caller]
fn failed(output: &Output, code: i32, says: &str) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(text(&output.stderr).contains(says), "{says:?} in {output:?}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// What a history file holds; each line must be whole.
#[track_caller]
fn history(home: &Home, file: &str) -> Vec<String> {
    let text = fs::read_to_string(home.path().join(file)).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{:?}", &text[text.len().saturating_sub(99)..]);
    let said = text.lines().map(|line| {
        let (at, said) =
            line.strip_prefix('[').and_then(|line| line.split_once("] ")).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(at.len(), "2026-11-20 10:00:00".len(), "{line}");
        said.to_owned()
    });
    said.collect()
}

/// Waits for what another process does, of which nothing tells.
#[track_caller]
fn wait_for(done: impl Fn() -> bool) {
    let until = std::time::Instant::now() + common::minechat::LONG;
    while !done() {
        assert!(std::time::Instant::now() < until, "it never happened");
        std::thread::yield_now();
    }
}
