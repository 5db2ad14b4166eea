//! What else `talk-server` is asked as a program: settings, its own paths, signals, its end.

use std::io::Read;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;

use super::durable::{Durable, PROGRAM};
use super::programs::Home;
use super::raw::LONG;
use super::rooms::{Client, said, status};

impl Home {
    pub(crate) fn write(&self, file: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn server(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(PROGRAM);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs what ends by itself.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = self.server(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || tell.send(child.wait_with_output().unwrap()));
        match told.recv_timeout(LONG) {
            Ok(output) => Ended::of(output),
            Err(_) => {
                kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
                panic!("{arguments:?} does not end");
            }
        }
    }

    /// Starts it on a port that the system chooses.
    pub(crate) fn start(&self, arguments: &[&str]) -> Durable {
        Durable::spawn(self.server(&[&["--port", "0"], arguments].concat()))
    }
}

/// What a program that has ended left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Asserts a usage error that says all of this.
    #[track_caller]
    pub(crate) fn refused(&self, says: &[&str]) {
        self.failed(2, says);
    }

    /// Asserts an error that says all of this, and nothing on stdout.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        // Before it there may be warnings of wires whose usual port somebody else has.
        let told = self.err.lines().any(|line| line.starts_with("talk-server: "));
        assert!(self.out.is_empty() && told, "{self:?}");
        for words in says {
            assert!(self.err.contains(words), "{words:?} in {self:?}");
        }
    }
}

impl Durable {
    /// A GET: the status and the body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.ask(&format!("GET {path}"), "", "").await;
        (status(&answer), answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// A plain session in `global`, past its own greeting.
    pub(crate) async fn join(&self, nickname: &str) -> Client {
        let mut client = self.plain(&self.guest(nickname).await).await;
        assert_eq!(client.hear().await, said("system", &format!("{nickname} joined")));
        client
    }

    /// Asks until a GET has that status.
    pub(crate) async fn until(&self, path: &str, status: u16) {
        let deadline = Instant::now() + LONG;
        while self.get(path).await.0 != status {
            assert!(Instant::now() < deadline, "{path} never said {status}");
            tokio::task::yield_now().await;
        }
    }

    /// Waits until nobody is let in any more.
    pub(crate) async fn until_closed(&self) {
        let deadline = Instant::now() + LONG;
        while TcpStream::connect(self.at).await.is_ok() {
            assert!(Instant::now() < deadline, "it still listens");
            tokio::task::yield_now().await;
        }
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end by itself, and gives what else was printed to stdout.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let ended = tokio::task::spawn_blocking(move || {
            let mut rest = String::new();
            self.out.read_to_string(&mut rest).unwrap();
            (self.child.wait().unwrap(), rest)
        });
        tokio::time::timeout(LONG, ended).await.expect("it ends").unwrap()
    }
}
