//! What is told to a syslog receiver, and a real one: rsyslog, with a configuration and sockets of its own.

use std::io::Read;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use talk::message::{Epoch, Post, Record, RoomKey, Timestamp, UserId};
use talk::name::RoomName;
use tempfile::TempDir;

use super::programs::free_port;
use super::raw::LONG;

/// When everything here was said.
pub(crate) const AT: Timestamp = Timestamp::from_millis(1_795_249_200_123);

/// A text in `global`.
pub(crate) fn said(from: &str, body: &str) -> Arc<Post> {
    post(RoomKey::Room(RoomName::global()), from, body)
}

pub(crate) fn post(room: RoomKey, from: &str, body: &str) -> Arc<Post> {
    let user = UserId::from_bytes([1; 16]);
    let record = Record { room, seq: 1, prev: 0, at: AT, user, from: from.into(), id: None, body: body.into() };
    Arc::new(Post { epoch: Epoch::random(), record })
}

/// rsyslog in the foreground, killed when dropped. It writes each record as one line:
/// `facility|severity|host|program|process|kind|time|text`.
pub(crate) struct Rsyslog {
    child: Child,
    dir: TempDir,
    /// Takes datagrams, and records of any form.
    pub(crate) modern: PathBuf,
    /// Takes datagrams as a machine's own socket does: RFC 3164 without a host.
    pub(crate) local: PathBuf,
    pub(crate) udp: u16,
    pub(crate) tcp: u16,
    /// Lines of the file that were read already.
    read: usize,
}

impl Rsyslog {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // It cannot tell which port the system chose for UDP, so that is chosen before.
        let udp = free_port();
        let (modern, local) = (dir.path().join("modern.sock"), dir.path().join("local.sock"));
        let child = spawn(dir.path(), udp, 0);
        let mut rsyslog = Self { child, dir, modern, local, udp, tcp: 0, read: 0 };
        rsyslog.tcp = rsyslog.port().await;
        rsyslog.probe().await;
        rsyslog
    }

    /// Ends it, and starts it again at the same places.
    pub(crate) async fn restart(&mut self, between: impl AsyncFnOnce()) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        between().await;
        self.child = spawn(self.dir.path(), self.udp, self.tcp);
    }

    /// The next lines, so many of them.
    pub(crate) async fn lines(&mut self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + LONG;
        loop {
            let all = self.all();
            if all.len() >= self.read + count {
                let next = all[self.read..self.read + count].to_vec();
                self.read += count;
                return next;
            }
            let errors = std::fs::read_to_string(self.dir.path().join("errors")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{:#?} is all that comes; {errors}", &all[self.read..]);
            tokio::task::yield_now().await;
        }
    }

    /// The text of the next line.
    pub(crate) async fn text(&mut self) -> String {
        self.lines(1).await.remove(0).splitn(8, '|').last().unwrap().to_owned()
    }

    fn all(&self) -> Vec<String> {
        let mut bytes = Vec::new();
        if let Ok(mut file) = std::fs::File::open(self.dir.path().join("out")) {
            file.read_to_end(&mut bytes).unwrap();
        }
        // Whatever has no end yet is not written whole.
        let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        let text = String::from_utf8(bytes[..end].to_vec()).unwrap();
        text.lines().filter(|line| !line.contains("|probe|")).map(ToOwned::to_owned).collect()
    }

    /// Waits until it has its sockets, and tells the port that the system chose.
    async fn port(&mut self) -> u16 {
        let deadline = Instant::now() + LONG;
        loop {
            let port = std::fs::read_to_string(self.dir.path().join("port")).ok();
            let port = port.and_then(|port| port.trim().parse().ok());
            if let Some(port) = port.filter(|_| self.modern.exists() && self.local.exists()) {
                return port;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "rsyslogd does not listen: {ended:?}");
            tokio::task::yield_now().await;
        }
    }

    /// Waits until it reads datagrams: nobody tells when that is.
    async fn probe(&mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let deadline = Instant::now() + LONG;
        let out = self.dir.path().join("out");
        while !std::fs::read_to_string(&out).is_ok_and(|text| text.contains("|probe|")) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "rsyslogd does not read: {ended:?}");
            // Refused for as long as nobody listens.
            let _ = socket.send_to(b"<14>1 - - probe - - - x", ("127.0.0.1", self.udp));
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(dir: &Path, udp: u16, tcp: u16) -> Child {
    let here = dir.to_str().unwrap();
    let config = dir.join("rsyslog.conf");
    std::fs::write(
        &config,
        CONFIG.replace("HERE", here).replace("UDP", &udp.to_string()).replace("TCP", &tcp.to_string()),
    )
    .unwrap();
    let errors = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("errors")).unwrap();
    // Where daemons are is not on everybody's path.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("rsyslogd");
    command.args(["-n", "-i", "NONE", "-f"]).arg(&config).env("PATH", path);
    command.stdin(Stdio::null()).stdout(errors.try_clone().unwrap()).stderr(errors);
    let advice = "install it (apt-get install rsyslog), or run scripts/test, which does";
    command.spawn().unwrap_or_else(|error| panic!("rsyslogd: {error}; {advice}"))
}

const CONFIG: &str = r#"
global(workDirectory="HERE")
module(load="imuxsock" SysSock.Use="off")
module(load="imudp")
module(load="imtcp")
template(name="line" type="list") {
    property(name="syslogfacility-text") constant(value="|")
    property(name="syslogseverity-text") constant(value="|")
    property(name="hostname") constant(value="|")
    property(name="app-name") constant(value="|")
    property(name="procid") constant(value="|")
    property(name="msgid") constant(value="|")
    property(name="timereported" dateFormat="rfc3339") constant(value="|")
    property(name="msg") constant(value="\n")
}
input(type="imuxsock" Socket="HERE/modern.sock" UseSpecialParser="off" ParseHostname="on")
input(type="imuxsock" Socket="HERE/local.sock")
input(type="imudp" Address="127.0.0.1" Port="UDP")
input(type="imtcp" Address="127.0.0.1" Port="TCP" ListenPortFileName="HERE/port")
action(type="omfile" File="HERE/out" Template="line")
"#;
