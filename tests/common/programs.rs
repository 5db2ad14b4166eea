//! The programs themselves, started as processes in a home directory of their own, and ended with the test.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Far longer than anything here takes: what hangs fails instead.
const LONG: Duration = Duration::from_secs(30);

/// A home directory without any settings, and nothing of the environment of whoever runs the tests.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LANG", "C.UTF-8").current_dir(self.path());
        command
    }

    /// `talk-client` with its arguments, split at spaces.
    pub(crate) fn client(&self, arguments: &str) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_talk-client"));
        command.args(arguments.split_whitespace());
        command
    }
}

/// The registry, in memory, on a port that the system chose.
pub(crate) struct RegistryProgram {
    child: Child,
    pub(crate) url: String,
}

impl RegistryProgram {
    pub(crate) fn start(home: &Home) -> Self {
        Self::start_on(home, 0)
    }

    pub(crate) fn start_on(home: &Home, port: u16) -> Self {
        let mut command = home.command(env!("CARGO_BIN_EXE_registry"));
        command.args(["--memory", "--port", &port.to_string()]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(url.starts_with("http://"), "{line}");
        Self { child, url }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn authority(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// What `GET /v1/users` says.
    pub(crate) fn users(&self) -> serde_json::Value {
        let answer = http(self.authority(), "GET", "/v1/users", "");
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    }

    /// Registers somebody, as any program could.
    pub(crate) fn register(&self, name: &str, protocol: &str, port: u16) {
        let address = serde_json::json!({"protocol": protocol, "host": "127.0.0.1", "port": port});
        let body = serde_json::json!({"user": name, "address": address}).to_string();
        let answer = http(self.authority(), "POST", "/v1/users", &body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for RegistryProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client on pipes.
pub(crate) struct ClientProgram {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
    errors: Option<JoinHandle<String>>,
}

impl ClientProgram {
    pub(crate) fn start(command: Command) -> Self {
        Self::start_with(command, Stdio::piped())
    }

    /// Starts it with nothing to read.
    pub(crate) fn start_deaf(command: Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    fn start_with(mut command: Command, input: Stdio) -> Self {
        let child = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let (sender, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut err = child.stderr.take().unwrap();
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = err.read_to_end(&mut text);
            String::from_utf8(text).expect("stderr is UTF-8")
        });
        Self { stdin: child.stdin.take(), child, lines, seen: Vec::new(), errors: Some(errors) }
    }

    /// Starts, and waits until it is registered and listens; its port.
    pub(crate) fn start_and_greet(command: Command) -> (Self, u16) {
        let mut client = Self::start(command);
        let greeting = client.line(|line| line.starts_with("* you are "));
        let at = greeting.split(" at ").nth(1).unwrap().split(';').next().unwrap();
        let port = at.rsplit(':').next().unwrap().parse().unwrap();
        let count = client.line(|line| line.contains(" user"));
        for _ in 0..count.split(' ').next().unwrap().parse().unwrap() {
            client.line(|_| true);
        }
        (client, port)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Types as it is.
    pub(crate) fn type_text(&mut self, text: &str) {
        // Whoever ended before the last of it says why.
        let _ = self.stdin.as_mut().unwrap().write_all(text.as_bytes());
    }

    /// The next line of stdout for which `wanted` says yes.
    pub(crate) fn line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + LONG;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(error) => {
                    if error == RecvTimeoutError::Timeout {
                        let _ = self.child.kill();
                    }
                    let errors = self.errors.take().map(|errors| errors.join().unwrap());
                    panic!("{error}; stdout: {:#?}; stderr: {errors:?}", self.seen);
                }
            }
        }
    }

    /// Ends the input, waits for the end, and gives what is left: the exit status, stdout and stderr.
    pub(crate) fn finish(mut self) -> Finished {
        drop(self.stdin.take());
        self.wait()
    }

    /// Waits for the end by itself.
    pub(crate) fn wait(&mut self) -> Finished {
        let mut out = std::mem::take(&mut self.seen);
        let deadline = Instant::now() + LONG;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => out.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the client does not end; stdout: {out:#?}"),
            }
        }
        let status = self.child.wait().unwrap();
        Finished { status, out, err: self.errors.take().unwrap().join().unwrap() }
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for ClientProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) out: Vec<String>,
    pub(crate) err: String,
}

impl Finished {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// One request with JSON, and the whole answer.
pub(crate) fn http(authority: &str, method: &str, path: &str, body: &str) -> String {
    send(authority, method, path, "application/json", body)
}

/// One request, and the whole answer.
pub(crate) fn send(authority: &str, method: &str, path: &str, media_type: &str, body: &str) -> String {
    try_send(authority, method, path, media_type, body).unwrap()
}

/// One request to somebody who may be gone.
pub(crate) fn try_send(
    authority: &str,
    method: &str,
    path: &str,
    media_type: &str,
    body: &str,
) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(LONG))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\
         content-type: {media_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Says something to a client that listens by HTTP, as any program could.
pub(crate) fn say(port: u16, from: &str, text: &str) -> String {
    let body = serde_json::json!({"user": from, "text": text}).to_string();
    http(&format!("127.0.0.1:{port}"), "POST", "/v1/message", &body)
}

/// A port at which nobody listens. Systems give none like it to those that connect, so nobody has it by chance when it is
/// needed, and nobody who tries it again and again meets himself there.
pub(crate) fn free_port() -> u16 {
    loop {
        let chosen = RandomState::new().build_hasher().finish() % 20_000;
        let port = 10_000 + u16::try_from(chosen).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
