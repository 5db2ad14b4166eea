//! Recordings of every wire: what stands in them, what never does, and that they can be played back.
#![cfg(all(unix, feature = "server"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[allow(dead_code, reason = "the example uses all of it")]
#[path = "../examples/replay/main.rs"]
mod replay;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::raw::{LONG, exchange, request};
use common::raw_websocket::{self, TEXT, read_frame, text};
use replay::player::{self, Pace, Report, Targets};
use serde_json::{Value, json};
use talk::server::{Config, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

#[tokio::test]
async fn golden_recordings_of_every_wire_are_what_a_fresh_server_says() {
    for wire in WIRES {
        let dir = golden(wire);
        if std::env::var_os(REWRITE).is_some() {
            let recorded = Recorded::of(wire).await;
            let _ = std::fs::remove_dir_all(&dir);
            std::fs::create_dir_all(&dir).unwrap();
            for (at, file) in recorded.files().iter().enumerate() {
                // Without time and number: the wire is enough.
                let by = file.file_name().unwrap().to_str().unwrap().splitn(4, '-').last().unwrap();
                std::fs::copy(file, dir.join(format!("golden-0-{at:02}-{by}"))).unwrap();
            }
        }
        let report = replayed(&dir, Pace::Fast).await;
        assert!(report.differences.is_empty() && report.cut == 0, "{wire}: {}", shown(&report));
        assert!(report.frames >= 8, "{wire}: {report:?}");
    }
}

#[tokio::test]
async fn what_a_server_records_can_be_played_back_and_holds_no_secret() {
    for wire in WIRES {
        let recorded = Recorded::of(wire).await;
        assert!(recorded.secrets.len() >= if wire == "pair" { 0 } else { 1 }, "{wire}");
        let all = recorded.all();
        for secret in &recorded.secrets {
            assert!(!all.contains(secret.as_str()), "{wire}: {secret} in {all}");
            // Nor a half of it.
            assert!(!all.contains(&secret[..secret.len() / 2]), "{wire}: {secret} in {all}");
        }
        let report = replayed(&recorded.records(), Pace::Fast).await;
        assert!(report.differences.is_empty() && report.cut == 0, "{wire}: {}\n{all}", shown(&report));
    }
}

#[tokio::test]
async fn a_recording_is_played_at_its_own_pace() {
    let report = replayed(&golden("pair"), Pace::Recorded).await;
    assert!(report.differences.is_empty(), "{}", shown(&report));
}

#[tokio::test]
async fn what_comes_otherwise_is_told_by_file_and_line() {
    let (from, dir) = (golden("pair"), tempfile::tempdir().unwrap());
    for file in files(&from) {
        let changed = std::fs::read_to_string(&file).unwrap().replace("hello, bobby", "hallo, bobby");
        std::fs::write(dir.path().join(file.file_name().unwrap()), changed).unwrap();
    }
    // The text was changed on its way in and on its way out: so it is the same.
    assert!(replayed(dir.path(), Pace::Fast).await.differences.is_empty());
    for file in files(dir.path()) {
        let changed = std::fs::read_to_string(&file).unwrap().replace("[alice] hallo", "[alice] hello");
        std::fs::write(&file, changed).unwrap();
    }
    let report = replayed(dir.path(), Pace::Fast).await;
    let told = shown(&report);
    assert_eq!(report.differences.len(), 1, "{told}");
    for words in [".jsonl:", "recorded text \"[alice] hello, bobby\"", "heard    text \"[alice] hallo, bobby\""] {
        assert!(told.contains(words), "{words} in {told}");
    }
}

#[tokio::test]
async fn the_program_that_replays_tells_by_its_exit_whether_all_came_as_recorded() {
    let run = async |arguments: &[&str]| replay::run(arguments.iter().map(|&argument| argument.to_owned())).await;
    let (pair, console) = (golden("pair"), golden("console"));
    let (pair, console) = (pair.to_str().unwrap(), console.to_str().unwrap());
    let talk = Talk::start(None, 1).await;
    let at = |wire: &str| format!("127.0.0.1:{}", talk.at(wire));
    assert_eq!(run(&["--http", &at("http"), "--console", &at("console"), "--fast", console]).await, Ok(true));
    // Another wire answers otherwise.
    assert_eq!(run(&[pair, "--fast", "--pair", &at("console")]).await, Ok(false));
    talk.stop().await;
    for wrong in [&[][..], &["--fast"], &[pair, console], &[pair, "--pair"], &[pair, "--pigeon", "x"]] {
        assert!(run(wrong).await.unwrap_err().starts_with("usage: replay PATH "), "{wrong:?}");
    }
    assert!(run(&["/nonexistent"]).await.unwrap_err().starts_with("/nonexistent: "));
}

#[test]
fn recordings_have_256_mib_unless_told_otherwise() {
    assert_eq!(Config::default().limits.recordings, 256 << 20);
}

#[tokio::test]
async fn recordings_are_for_the_eyes_of_their_owner_and_say_what_they_are() {
    let recorded = Recorded::of("console").await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&recorded.records()), 0o700);
    for file in recorded.files() {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        let lines = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let head = &lines[0];
        assert_eq!((&head["talk"], &head["version"]), (&json!("recording"), &json!(1)), "{head}");
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.ends_with(&format!("-{}.jsonl", head["wire"].as_str().unwrap())), "{name}");
        assert!(head["time"].as_str().unwrap().ends_with('Z'), "{head}");
        assert_eq!(lines.last().unwrap()["end"], "over");
        assert!(lines.windows(2).all(|two| two[0]["n"].as_u64() <= two[1]["n"].as_u64()), "{lines:?}");
        assert!(lines.windows(2).all(|two| two[0]["at"].as_u64() <= two[1]["at"].as_u64()), "{lines:?}");
    }
}

#[tokio::test]
async fn a_directory_that_others_may_look_into_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = Config::default();
    (config.port, config.record) = (0, Some(dir.path().into()));
    let error = Server::bind(config).await.unwrap_err().to_string();
    assert!(error.contains("chmod 700") && error.contains(dir.path().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn recordings_stay_within_their_bound_and_say_when_they_reach_it() {
    let dir = tempfile::tempdir().unwrap();
    let talk = Talk::start(Some(&dir.path().join("r")), 3000).await;
    let mut line = Lines::connect(talk.at("minechat-write")).await;
    line.hear(1).await;
    line.say("").await;
    line.hear(1).await;
    line.say("sasha").await;
    line.hear(2).await;
    for _ in 0..100 {
        line.say("so it goes on").await;
        line.say("").await;
        line.hear(1).await;
    }
    // Nobody comes into a full directory.
    let mut late = Lines::connect(talk.at("minechat-write")).await;
    late.hear(1).await;
    let metrics = exchange(talk.port(), request("GET /metrics", "", "")).await;
    assert!(metrics.contains("talk_recordings_ended_total{reason=\"full\"}"), "{metrics}");
    drop((line, late));
    talk.stop().await;
    let all = read_all(&dir.path().join("r"));
    assert!(all.len() <= 3000 && all.len() > 2500, "{}", all.len());
    let last: Value = serde_json::from_str(all.lines().last().unwrap()).unwrap();
    assert_eq!(last["end"], "full", "{all}");

    // What an earlier run left counts too.
    let talk = Talk::start(Some(&dir.path().join("r")), 3000).await;
    Lines::connect(talk.at("minechat-write")).await.hear(1).await;
    talk.stop().await;
    assert_eq!(read_all(&dir.path().join("r")), all);
}

/// The wires of which there are golden recordings.
const WIRES: [&str; 5] = ["rooms", "registry", "pair", "minechat", "console"];
/// With this variable set, golden recordings are made anew.
const REWRITE: &str = "TALK_REWRITE_GOLDEN";

fn golden(wire: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(wire)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read_all(dir: &Path) -> String {
    files(dir).iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

fn shown(report: &Report) -> String {
    report.differences.iter().map(|difference| format!("\n{difference}")).collect()
}

async fn replayed(path: &Path, pace: Pace) -> Report {
    let steps = player::read(path).unwrap();
    let talk = Talk::start(None, 1).await;
    let report = player::play(&steps, &talk.targets(), pace).await;
    talk.stop().await;
    report
}

/// A recording, and every secret that was told meanwhile.
struct Recorded {
    dir: tempfile::TempDir,
    secrets: Vec<String>,
}

impl Recorded {
    async fn of(wire: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let talk = Talk::start(Some(&dir.path().join("r")), 1 << 20).await;
        let secrets = match wire {
            "rooms" => rooms(&talk).await,
            "registry" => registry(&talk).await,
            "pair" => pair(&talk).await,
            "minechat" => minechat(&talk).await,
            _ => console(&talk).await,
        };
        talk.stop().await;
        Self { dir, secrets }
    }

    fn records(&self) -> PathBuf {
        self.dir.path().join("r")
    }

    fn files(&self) -> Vec<PathBuf> {
        files(&self.records())
    }

    fn all(&self) -> String {
        read_all(&self.records())
    }
}

async fn rooms(talk: &Talk) -> Vec<String> {
    let port = talk.port();
    let token = |answer: &str| {
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        body["token"].as_str().unwrap().to_owned()
    };
    let json = "content-type: application/json\r\n";
    let own = "say \"friend\" & enter";
    let asked = json!({ "nickname": "bob", "secret": own, "more": "is passed over" }).to_string();
    let ann = token(&exchange(port, request("POST /auth?nickname=ann", "", "")).await);
    let bob = token(&exchange(port, request("POST /auth", json, &asked)).await);
    let wrong = json!({ "nickname": "bob", "secret": "wrong-wrong-wrong" }).to_string();
    assert!(exchange(port, request("POST /auth", json, &wrong)).await.contains(" 403 "));
    let torn = "{\"nickname\":\"bob\",\"secret\":\"torn-torn-torn";
    assert!(exchange(port, request("POST /auth", json, torn)).await.contains(" 400 "));
    let stray = "stray-stray-stray";
    let query = format!("POST /auth?nickname=eve&secret={stray}&token={ann}");
    assert!(exchange(port, request(&query, "", "")).await.contains(" 400 "));
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let eve = token(&exchange(port, request("POST /auth", form, "nickname=eve")).await);
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    assert!(exchange(port, request("DELETE /auth", &bearer(&eve), "")).await.contains(" 204 "));
    assert!(exchange(port, request("DELETE /auth", &bearer(&eve), "")).await.contains(" 401 "));

    let mut ann_socket = Socket::open(port, "/ws", &format!("sec-websocket-protocol: {ann}\r\n")).await;
    ann_socket.hear("ann joined").await;
    let both = format!("sec-websocket-protocol: talk.v2, {bob}\r\n");
    let mut bob_socket = Socket::open(port, "/ws", &both).await;
    bob_socket.say(json!({ "type": "enter", "args": { "room": "global" } })).await;
    bob_socket.hear("\"presence\"").await;
    ann_socket.hear("bob joined").await;
    ann_socket.say(json!({ "type": "message", "args": { "from": "ann", "body": "{{hello}} \u{1f642}" } })).await;
    ann_socket.hear("hello").await;
    bob_socket.hear("hello").await;
    ann_socket.say(json!({ "type": "message", "args": { "body": format!("my token is {ann}, his is {bob}") } })).await;
    ann_socket.hear("my token is").await;
    bob_socket.hear("my token is").await;
    ann_socket.say(json!({ "type": "message", "args": { "body": format!("and he says {own}") } })).await;
    ann_socket.hear("and he says").await;
    bob_socket.hear("and he says").await;
    ann_socket.say(json!({ "type": "listusers" })).await;
    ann_socket.hear("ann\\nbob").await;
    ann_socket.say(json!({ "type": "nonsense" })).await;
    ann_socket.hear("unknown command 'nonsense'").await;
    bob_socket.say(json!({ "type": "history", "args": { "room": "global", "limit": 2 } })).await;
    bob_socket.hear("\"history\"").await;
    bob_socket.say(json!({ "type": "sessions" })).await;
    bob_socket.hear("\"sessions\"").await;
    bob_socket.say(json!({ "type": "direct", "args": { "to": "ann", "body": "psst", "id": "d1" } })).await;
    ann_socket.hear("psst").await;
    ann_socket.pong().await;
    bob_socket.hear("\"delivered\"").await;
    ann_socket.say(json!({ "type": "exit" })).await;
    ann_socket.closed().await;
    bob_socket.hear("left").await;
    bob_socket.close().await;
    vec![ann, bob, own.into(), "wrong-wrong-wrong".into(), "torn-torn-torn".into(), stray.into(), eve]
}

async fn registry(talk: &Talk) -> Vec<String> {
    let (own, other) = ("hunter2-hunter2", "nobody-knows");
    let json = "content-type: application/json\r\n";
    let bearer = |secret: &str| format!("{json}authorization: Bearer {secret}\r\n");
    let address = |port: u16| json!({ "protocol": "HTTP", "host": "127.0.0.1", "port": port });
    let post = json!({ "name": "bob", "address": address(8080) }).to_string();
    let put = address(8081).to_string();
    for (line, headers, body, status) in [
        ("GET /v1/health", String::new(), "", 200),
        ("POST /v1/users?ttl=60", bearer(own), &*post, 200),
        ("POST /v1/users", bearer(other), &post, 409),
        ("PUT /v1/users/bob", bearer(other), &put, 403),
        ("PUT /v1/users/bob?ttl=90", bearer(own), &put, 200),
        ("GET /v1/users", String::new(), "", 200),
        ("GET /v1/users/bob", "accept: application/vnd.talk.v2+json\r\n".into(), "", 200),
        ("POST /v1/users", json.into(), "{", 400),
        ("POST /v1/users", "authorization: Basic c2VjcmV0LXNlY3JldA==\r\n".into(), "x", 400),
        ("PATCH /v1/users", String::new(), "", 405),
        ("DELETE /v1/users/bob", bearer(own), "", 200),
        ("GET /v1/users", String::new(), "", 200),
    ] {
        let answer = exchange(talk.port(), request(line, &headers, body)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
    }
    // Several on one connection are one recording.
    let kept = |line: &str| format!("{line} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let both = kept("HEAD /v1/users") + &kept("GET /v1/users") + &request("GET /v1/health", "", "");
    assert_eq!(exchange(talk.port(), both).await.matches("HTTP/1.1 200 ").count(), 3);
    vec![own.into(), other.into(), "c2VjcmV0LXNlY3JldA==".into()]
}

async fn pair(talk: &Talk) -> Vec<String> {
    let port = talk.at("pair");
    let (mut alice, mut bobby) = (Socket::open(port, "/", "").await, Socket::open(port, "/chat", "").await);
    for (who, text, answer) in [(&mut bobby, "x", "0"), (&mut alice, "alice", "1")] {
        who.text(text).await;
        who.hear(answer).await;
    }
    bobby.text("bobby").await;
    bobby.hear("1").await;
    alice.text("nobody").await;
    alice.hear("0").await;
    alice.text("bobby").await;
    alice.hear("1").await;
    bobby.text("alice").await;
    bobby.hear("1").await;
    alice.text("hello, bobby").await;
    bobby.hear("[alice] hello, bobby").await;
    bobby.pong().await;
    alice.hear("[server] Message sent to user bobby").await;
    alice.hear("[server] Message delivered to user bobby").await;
    bobby.text("hi").await;
    alice.hear("[bobby] hi").await;
    alice.pong().await;
    bobby.hear("sent").await;
    bobby.hear("delivered").await;
    bobby.text(":quit:").await;
    bobby.closed().await;
    alice.hear("[server] User bobby left").await;
    alice.close().await;
    Vec::new()
}

async fn minechat(talk: &Talk) -> Vec<String> {
    let (mut ears, write) = (Lines::connect(talk.at("minechat-listen")).await, talk.at("minechat-write"));
    // The listen port says nothing: that the ears are there, nobody hears but by a message.
    let mut sasha = Lines::connect(write).await;
    sasha.hear(1).await;
    sasha.say("").await;
    sasha.hear(1).await;
    sasha.say("sasha").await;
    let account = sasha.hear(2).await;
    let account: Value = serde_json::from_str(&account[0]).unwrap();
    let hash = account["account_hash"].as_str().unwrap().to_owned();
    for text in ["hello", &format!("my hash is {hash}")] {
        sasha.say(text).await;
        sasha.say("").await;
        sasha.hear(1).await;
    }
    let heard = ears.hear(3).await;
    assert_eq!((&*heard[0], &*heard[1]), ("Server: # к чату присоединился sasha", "sasha: hello"));
    drop(sasha);
    let mut again = Lines::connect(write).await;
    again.hear(1).await;
    again.say(&hash).await;
    assert!(again.hear(2).await[0].contains("sasha"));
    again.say("I am back").await;
    again.say("").await;
    again.hear(1).await;
    ears.hear(1).await;
    drop(again);
    let mut wrong = Lines::connect(write).await;
    wrong.hear(1).await;
    wrong.say("who-knows-what-this-is").await;
    assert_eq!(wrong.hear(2).await[0], "null");
    drop((wrong, ears));
    // An account that was made elsewhere.
    let secret = "not my hash";
    let body = json!({ "nickname": "olga", "secret": secret }).to_string();
    let answer = exchange(talk.port(), request("POST /auth", "content-type: application/json\r\n", &body)).await;
    let token = answer.split('"').rev().nth(1).unwrap().to_owned();
    let mut olga = Lines::connect(write).await;
    olga.hear(1).await;
    olga.say(&format!("olga:{secret}")).await;
    assert!(olga.hear(2).await[0].contains("olga"));
    vec![hash, "who-knows-what-this-is".into(), secret.into(), token]
}

async fn console(talk: &Talk) -> Vec<String> {
    let secret = "correct horse \"battery\" staple";
    let body = json!({ "nickname": "carol", "secret": secret }).to_string();
    let answer = exchange(talk.port(), request("POST /auth", "content-type: application/json\r\n", &body)).await;
    let token = answer.split('"').rev().nth(1).unwrap().to_owned();
    let at = talk.at("console");
    let said = |kind: &str, data: &str| json!({ "message_type": kind, "data": data });
    let mut alice = Objects::connect(at).await;
    alice.say(json!({ "username": "alice" })).await;
    for (command, answer) in [
        ("cmd!participants_count", "Participants count: 1"),
        ("cmd!current_time", "Current time: "),
        ("cmd!start_game:well", "Incorrect command format"),
        ("cmd!nope", "not supported by the server"),
    ] {
        alice.say(said("command", command)).await;
        alice.hear(answer).await;
    }
    let mut carol = Objects::connect(at).await;
    carol.say(json!({ "username": "carol", "secret": secret, "password": secret })).await;
    carol.say(said("command", "cmd!participants_count")).await;
    carol.hear("Participants count: 2").await;
    carol.say(said("message", &format!("hello, {secret}"))).await;
    alice.hear("hello, ").await;
    carol.say(said("command", "cmd!client_exit")).await;
    alice.hear("Client 'carol' left the chat").await;
    carol.over().await;
    for wrong in [json!({ "username": "carol", "secret": "wrong-wrong" }), json!({ "secret": "short" })] {
        let mut refused = Objects::connect(at).await;
        refused.say(wrong).await;
        refused.over().await;
    }
    vec![
        secret.into(),
        serde_json::to_string(secret).unwrap().trim_matches('"').to_owned(),
        token,
        "wrong-wrong".into(),
    ]
}

/// A server with every wire open.
struct Talk {
    wires: Vec<(&'static str, u16)>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Talk {
    async fn start(record: Option<&Path>, most: u64) -> Self {
        let mut config = Config::default();
        for key in ["pair.port", "minechat.listen_port", "minechat.write_port", "console.port", "server.port"] {
            config.set("the test", key, "0").unwrap();
        }
        config.limits.commands_per_second = 0;
        config.limits.recordings = most;
        config.record = record.map(Path::to_owned);
        let server = Server::bind(config).await.unwrap();
        let mut wires: Vec<_> = server.wires().map(|(wire, at)| (wire, at.port())).collect();
        wires.push(("http", server.local_addr().port()));
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run_until(async { stopped.await.unwrap_or(()) }));
        Self { wires, stop, running }
    }

    fn at(&self, wire: &str) -> u16 {
        self.wires.iter().find(|(name, _)| *name == wire).unwrap().1
    }

    fn port(&self) -> u16 {
        self.at("http")
    }

    fn targets(&self) -> Targets {
        let mut targets = Targets::usual();
        for (wire, port) in &self.wires {
            targets.set(wire, &format!("127.0.0.1:{port}")).unwrap();
        }
        targets
    }

    async fn stop(self) {
        drop(self.stop);
        timeout(LONG, self.running).await.unwrap().unwrap();
    }
}

/// A WebSocket.
struct Socket(TcpStream);

impl Socket {
    async fn open(port: u16, path: &str, headers: &str) -> Self {
        Self(raw_websocket::open(port, path, headers).await.0)
    }

    async fn text(&mut self, payload: &str) {
        self.0.write_all(&text(payload)).await.unwrap();
    }

    async fn say(&mut self, command: Value) {
        self.text(&command.to_string()).await;
    }

    /// Answers the ping that comes next.
    async fn pong(&mut self) {
        let (opcode, payload) = read_frame(&mut self.0).await.unwrap();
        assert_eq!(opcode, 9);
        self.0.write_all(&raw_websocket::frame(0x8a, &payload)).await.unwrap();
    }

    /// Reads up to a text that holds this.
    async fn hear(&mut self, words: &str) {
        let mut heard = Vec::new();
        loop {
            let next = timeout(LONG / 2, read_frame(&mut self.0)).await;
            let Ok(Some((opcode, payload))) = next else { panic!("{words} in {heard:?}") };
            assert_eq!(opcode, TEXT, "{words} in {heard:?}");
            heard.push(String::from_utf8(payload).unwrap());
            if heard.last().unwrap().contains(words) {
                return;
            }
        }
    }

    /// Reads up to a Close, and answers it.
    async fn closed(&mut self) {
        while let Some((opcode, payload)) = read_frame(&mut self.0).await {
            if opcode == 8 {
                self.0.write_all(&raw_websocket::frame(0x88, &payload)).await.unwrap();
            }
        }
    }

    async fn close(mut self) {
        self.0.write_all(&raw_websocket::frame(0x88, &1000_u16.to_be_bytes())).await.unwrap();
        while read_frame(&mut self.0).await.is_some() {}
    }
}

struct Lines(TcpStream);

impl Lines {
    async fn connect(port: u16) -> Self {
        Self(common::raw::connect(port).await)
    }

    async fn say(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn hear(&mut self, count: usize) -> Vec<String> {
        let read = async {
            let mut lines = Vec::new();
            let mut line = Vec::new();
            while lines.len() < count {
                match self.0.read_u8().await.unwrap() {
                    b'\n' => lines.push(String::from_utf8(std::mem::take(&mut line)).unwrap()),
                    byte => line.push(byte),
                }
            }
            lines
        };
        timeout(LONG, read).await.unwrap()
    }
}

struct Objects(TcpStream);

impl Objects {
    async fn connect(port: u16) -> Self {
        Self(common::raw::connect(port).await)
    }

    async fn say(&mut self, object: Value) {
        self.0.write_all(object.to_string().as_bytes()).await.unwrap();
    }

    /// The next object, which holds this.
    async fn hear(&mut self, words: &str) {
        let mut object = Vec::new();
        let read = async {
            while serde_json::from_slice::<Value>(&object).is_err() {
                object.push(self.0.read_u8().await.unwrap());
            }
        };
        timeout(LONG, read).await.unwrap();
        let object: Value = serde_json::from_slice(&object).unwrap();
        assert!(object["data"].as_str().unwrap().contains(words), "{words} in {object}");
    }

    async fn over(mut self) {
        let mut rest = Vec::new();
        timeout(LONG, self.0.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert_eq!(rest, b"");
    }
}

#[cfg(feature = "terminal")]
mod program {
    use super::common::durable::Durable;
    use super::common::programs::Home;
    use super::*;

    #[tokio::test]
    async fn talk_server_records_where_it_is_told_and_counts_it() {
        let home = Home::new();
        let mut server = home.start(&["--memory", "--record", "tapes"]);
        let mut ann = server.join("ann").await;
        ann.command("message", json!({ "body": "for the record" })).await;
        ann.hear().await;
        // What is written is counted when it is.
        let counted = async {
            for line in ["talk_recordings_open 1\n", "talk_recordings_ended_total{reason=\"over\"} 1\n"] {
                while !server.get("/metrics").await.1.contains(line) {
                    tokio::task::yield_now().await;
                }
            }
        };
        timeout(LONG, counted).await.unwrap();
        let token = ann.token.clone();
        terminate(&mut server);
        let all = read_all(&home.path().join("tapes"));
        assert!(all.contains("for the record") && all.contains("\"code\":1001") && !all.contains(&token), "{all}");
        assert_eq!(all.matches("\"end\":\"over\"").count(), 2, "{all}");
        // What is not asked for leaves nothing.
        let mut silent = home.start(&["--memory", "--record", "off"]);
        let metrics = silent.get("/metrics").await.1;
        assert!(!metrics.contains("talk_record"), "{metrics}");
        terminate(&mut silent);
    }

    fn terminate(server: &mut Durable) {
        let id = server.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(server.child.wait().unwrap().success());
    }
}
