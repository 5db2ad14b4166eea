//! `talk-server` as a process on a data directory, and what is asked of it over the wire.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use super::raw::{LONG, exchange, request};
use super::raw_websocket;
use super::rooms::{Client, status, token_in};

/// A server that listens, killed when dropped.
pub(crate) struct Durable {
    pub(crate) child: Child,
    pub(crate) at: SocketAddr,
    pub(crate) port: u16,
    /// What is printed after the readiness line.
    pub(crate) out: BufReader<ChildStdout>,
}

/// No bound on commands: these clients are many, and fast.
pub(crate) const UNLIMITED: &str = "limits.commands_per_second=0";

impl Durable {
    /// Starts it, with these settings besides the defaults, and waits for its readiness line.
    pub(crate) fn start(dir: &Path, settings: &[&str]) -> Self {
        Self::spawn(Self::command(Command::new(PROGRAM), dir, settings))
    }

    /// The arguments for `command`, which ends with the program.
    pub(crate) fn command(mut command: Command, dir: &Path, settings: &[&str]) -> Command {
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("RUST_LOG", "error");
        command.args(["--port", "0", "--data"]).arg(dir);
        for setting in settings {
            command.args(["--set", setting]);
        }
        command
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        command.envs(NO_WIRES.map(|variable| (variable, "off")));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let at = line.strip_suffix('\n').and_then(|line| line.strip_prefix("talk-server listening on http://"));
        let at: Option<SocketAddr> = at.and_then(|at| at.parse().ok());
        let at = at.unwrap_or_else(|| panic!("no readiness line: {line:?}"));
        Self { child, at, port: at.port(), out }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn ask(&self, line: &str, headers: &str, body: &str) -> String {
        exchange(self.port, request(line, headers, body)).await
    }

    /// `POST /auth` with this as JSON: the whole answer.
    pub(crate) async fn auth(&self, body: &str) -> String {
        self.ask("POST /auth", "content-type: application/json\r\n", body).await
    }

    /// The token of a guest.
    pub(crate) async fn guest(&self, nickname: &str) -> String {
        self.try_guest(nickname).await.unwrap_or_else(|| panic!("{nickname} is taken"))
    }

    /// The token of a guest, if the name is free.
    pub(crate) async fn try_guest(&self, nickname: &str) -> Option<String> {
        let answer = self.auth(&serde_json::json!({ "nickname": nickname }).to_string()).await;
        (status(&answer) != 403).then(|| token(&answer))
    }

    /// A token of an account, which is made if there is none.
    pub(crate) async fn account(&self, nickname: &str) -> String {
        token(&self.try_account(nickname, SECRET).await)
    }

    pub(crate) async fn try_account(&self, nickname: &str, secret: &str) -> String {
        self.auth(&serde_json::json!({ "nickname": nickname, "secret": secret }).to_string()).await
    }

    /// Whether somebody could sign up by that name now, without a secret.
    pub(crate) async fn try_name(&self, nickname: &str) -> u16 {
        status(&self.auth(&serde_json::json!({ "nickname": nickname }).to_string()).await)
    }

    /// Asks until nobody has a name any more, and takes it.
    pub(crate) async fn until_free(&self, nickname: &str) {
        let deadline = Instant::now() + LONG;
        while self.try_name(nickname).await != 201 {
            assert!(Instant::now() < deadline, "{nickname} is never free");
            tokio::task::yield_now().await;
        }
    }

    /// `DELETE /auth` with a token.
    pub(crate) async fn sign_out(&self, token: &str) -> u16 {
        status(&self.ask("DELETE /auth", &format!("authorization: Bearer {token}\r\n"), "").await)
    }

    /// A rich session, in no room.
    pub(crate) async fn rich(&self, token: &str) -> Client {
        self.open(&format!("talk.v2, {token}"), token).await
    }

    /// A plain session, which has heard nothing yet.
    pub(crate) async fn plain(&self, token: &str) -> Client {
        self.open(token, token).await
    }

    /// What an upgrade with that token is answered, when it is refused.
    pub(crate) async fn refused(&self, token: &str) -> u16 {
        let headers = format!("sec-websocket-protocol: talk.v2, {token}\r\nconnection: close\r\n");
        status(&exchange(self.port, raw_websocket::upgrade("/ws", &headers)).await)
    }

    async fn open(&self, protocols: &str, token: &str) -> Client {
        let headers = format!("sec-websocket-protocol: {protocols}\r\n");
        let (stream, head) = raw_websocket::open(self.port, "/ws", &headers).await;
        Client { stream, head, token: token.to_owned() }
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn token(answer: &str) -> String {
    assert_eq!(status(answer), 201, "{answer}");
    token_in(answer)
}

/// What closes the ports of other chat systems, of which there is one each on a machine, and many servers here.
pub(crate) const NO_WIRES: [&str; 4] =
    ["TALK_PAIR_PORT", "TALK_MINECHAT_LISTEN_PORT", "TALK_MINECHAT_WRITE_PORT", "TALK_CONSOLE_PORT"];
/// The secret of every account here.
pub(crate) const SECRET: &str = "correct horse battery";
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_talk-server");
