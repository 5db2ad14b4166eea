//! `talk-server` with every wire, as a process that is killed and comes back at the same ports.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::programs::{Home, free_port};

/// The server.
pub(crate) struct WiresProgram {
    child: Option<Child>,
    command: Command,
    pub(crate) rooms: u16,
    pub(crate) pair: u16,
    pub(crate) console: u16,
    pub(crate) listen: u16,
    pub(crate) write: u16,
}

impl WiresProgram {
    /// Starts it, with its data in the home directory.
    pub(crate) fn start(home: &Home) -> Self {
        let mut server = Self::stopped(home);
        server.revive();
        server
    }

    /// The same in a home directory that is made for it.
    pub(crate) fn at_home() -> (Home, Self) {
        let home = Home::new();
        let server = Self::start(&home);
        (home, server)
    }

    /// The same with arguments of its own.
    pub(crate) fn start_with(home: &Home, arguments: &[&str]) -> Self {
        let mut server = Self::stopped(home);
        server.command.args(arguments);
        server.revive();
        server
    }

    /// Not running yet; its ports are chosen.
    pub(crate) fn stopped(home: &Home) -> Self {
        let [rooms, pair, console, listen, write] = ports();
        let mut command = home.command(env!("CARGO_BIN_EXE_talk-server"));
        command.arg("--data").arg(home.path().join("server"));
        for (option, port) in [
            ("--port", rooms),
            ("--pair-port", pair),
            ("--console-port", console),
            ("--minechat-listen-port", listen),
            ("--minechat-write-port", write),
        ] {
            command.args([option, &port.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self { child: None, command, rooms, pair, console, listen, write }
    }

    /// Starts it again, and waits until it listens.
    pub(crate) fn revive(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let mut child = self.command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.child = Some(child);
        assert!(line.starts_with("talk-server listening"), "{line}");
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The base of the rooms.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rooms)
    }

    /// `talk-client room` as that user, with these arguments besides.
    pub(crate) fn room(&self, home: &Home, nick: &str, arguments: &str) -> Command {
        home.client(&format!("room --server {} --nick {nick} {arguments}", self.url()))
    }
}

impl Drop for WiresProgram {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Free ports, no two the same.
fn ports() -> [u16; 5] {
    loop {
        let ports = [(); 5].map(|()| free_port());
        let mut sorted = ports;
        sorted.sort_unstable();
        if sorted.windows(2).all(|two| two[0] != two[1]) {
            return ports;
        }
    }
}
