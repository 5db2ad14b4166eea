//! A real sshd with keys, a configuration and a port of its own, and the system's ssh, which comes in by it.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::programs::free_port;

/// sshd in the foreground, killed when dropped. It lets in whoever runs the tests, by a key that was made for that.
pub(crate) struct Sshd {
    child: Child,
    dir: TempDir,
    port: u16,
    user: String,
}

impl Sshd {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let about = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(about.stdout).unwrap().trim().to_owned();
        for key in ["host", "user"] {
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.path().join(key)).stdin(Stdio::null());
            assert!(make.status().unwrap_or_else(|error| panic!("ssh-keygen: {error}; {ADVICE}")).success());
        }
        fs::copy(dir.path().join("user.pub"), dir.path().join("authorized")).unwrap();
        fs::write(dir.path().join("config"), CONFIG.replace("HERE", dir.path().to_str().unwrap())).unwrap();
        if user == "root" && !Path::new(EMPTY).exists() {
            // Where root's sshd locks in what strangers talk to; a system that runs one has it already.
            let made = fs::DirBuilder::new().mode(0o755).create(EMPTY);
            assert!(made.is_ok() || Path::new(EMPTY).is_dir(), "{EMPTY}: {made:?}");
        }
        let sshd = program();
        // A port that was free may be somebody else's by now.
        for _ in 0..20 {
            let port = free_port();
            let log = fs::File::create(dir.path().join("log")).unwrap();
            let mut command = Command::new(&sshd);
            command.args(["-D", "-e", "-p", &port.to_string(), "-f"]).arg(dir.path().join("config"));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}; {ADVICE}", sshd.display()));
            if listens(&mut child, &dir.path().join("log")) {
                let known = fs::read_to_string(dir.path().join("host.pub")).unwrap();
                fs::write(dir.path().join("known"), format!("[127.0.0.1]:{port} {known}")).unwrap();
                return Self { child, dir, port, user };
            }
            let log = fs::read_to_string(dir.path().join("log")).unwrap();
            assert!(log.contains("Address already in use"), "sshd does not start: {log}");
        }
        panic!("no port stays free");
    }

    /// ssh that runs a program there, on a terminal. The program has the environment that was chosen for it, and of
    /// the terminal what ssh says.
    pub(crate) fn run(&self, command: &Command) -> Command {
        let mut words = vec!["exec env -i TERM=\"$TERM\"".to_owned()];
        let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        words.extend(variables.map(|(name, value)| quoted(&format!("{}={}", name.display(), value.display()))));
        words.push(quoted(&command.get_program().display().to_string()));
        words.extend(command.get_args().map(|argument| quoted(&argument.display().to_string())));
        if let Some(directory) = command.get_current_dir() {
            words.insert(0, format!("cd {} &&", quoted(&directory.display().to_string())));
        }
        let here = |name: &str| self.dir.path().join(name).display().to_string();
        let mut ssh = Command::new("ssh");
        ssh.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        ssh.args(["-tt", "-F", "/dev/null", "-p", &self.port.to_string(), "-l", &self.user, "-i", &here("user")]);
        for option in [
            &format!("UserKnownHostsFile={}", here("known")),
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "LogLevel=ERROR",
        ] {
            ssh.args(["-o", option]);
        }
        ssh.args(["127.0.0.1", &words.join(" ")]);
        ssh
    }

    /// Waits until nothing is left of any session, with what it ran.
    pub(crate) fn is_left(&self) {
        let deadline = Instant::now() + LONG;
        loop {
            let left = children(self.child.id());
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{left:?} are left; {}", self.log());
            thread::yield_now();
        }
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Sshd {
    #[allow(clippy::print_stdout, reason = "a test that failed")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            println!("what sshd said:\n{}", self.log());
        }
    }
}

/// The ids of all processes that have these words among their arguments.
pub(crate) fn processes(words: &[&str]) -> Vec<u32> {
    let about = |id: &u32| fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let has = |id: &u32| {
        let arguments = about(id);
        let arguments: Vec<_> = arguments.split(|byte| *byte == 0).collect();
        words.iter().all(|word| arguments.contains(&word.as_bytes()))
    };
    all().into_iter().filter(has).collect()
}

fn children(of: u32) -> Vec<u32> {
    // Behind the name, which may hold anything: its state, and whose child it is.
    let parent = |id: &u32| {
        let about = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        about.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    all().into_iter().filter(|id| parent(id) == Some(of)).collect()
}

fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Waits until it says that it listens; false when it ended. To try would take ports that others have just chosen.
fn listens(child: &mut Child, log: &Path) -> bool {
    let deadline = Instant::now() + LONG;
    while !fs::read_to_string(log).unwrap().contains("Server listening on 127.0.0.1") {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "sshd does not listen");
        thread::yield_now();
    }
    true
}

/// It starts itself again for each connection, so it must know its whole path; and where daemons are is not on everybody's.
fn program() -> PathBuf {
    let path = format!("{}:/usr/sbin:/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
    let found = std::env::split_paths(&path).map(|directory| directory.join("sshd")).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no sshd; {ADVICE}"))
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

const ADVICE: &str = "install it (apt-get install openssh-server openssh-client), or run scripts/test, which does";
const EMPTY: &str = "/run/sshd";
/// Far longer than anything here takes: what hangs fails instead.
const LONG: Duration = Duration::from_secs(60);
const CONFIG: &str = "\
ListenAddress 127.0.0.1
HostKey HERE/host
PidFile HERE/pid
AuthorizedKeysFile HERE/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintLastLog no
PrintMotd no
UseDNS no
LogLevel VERBOSE
";
