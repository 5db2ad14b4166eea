//! The README's tour, run as it is written: each command in its terminal, each line that it shows awaited.
#![cfg(all(unix, feature = "terminal", feature = "sqlite"))]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn the_tour_in_the_readme_works_as_it_is_written() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let mut steps = steps(&readme);
    assert!(steps.len() > 15, "only {} steps were found", steps.len());
    let ports = free_ports(&steps);
    let (registry, rooms) = (ports["8088"], ports["7000"]);
    let wires = WIRES.iter().filter_map(|(wire, _)| Some((*wire, *ports.get(*wire)?))).collect();
    for step in &mut steps {
        for line in step.lines_mut() {
            *line = rewrite(line, &ports);
        }
    }
    let data = tempfile::tempdir().unwrap();
    let mut tour = Tour { data: data.path(), registry, rooms, wires, terminals: BTreeMap::new(), last: None };
    for step in &steps {
        tour.take(step);
    }
}

#[test]
fn the_tour_leads_through_every_mode_of_the_client() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let commands: Vec<_> = steps(&readme)
        .into_iter()
        .filter_map(|step| match step {
            Step::Start { command, .. } | Step::Run { command, fails: false } => Some(command),
            _ => None,
        })
        .collect();
    for mode in ["--name", "room", "pair", "console", "listen", "write", "register", "chat"] {
        let shown = commands.iter().any(|command| command.contains(&format!("talk-client {mode} ")));
        assert!(shown, "talk-client {mode} is in no step");
    }
}

#[test]
fn steps_are_the_blocks_marked_for_the_tour_in_their_order() {
    let text = "\
# A page
```sh
not part of it
```
```sh tour=ann
cargo run --bin talk-client -- --name ann
```
words
```text tour=ann
* hello
to bob> hi > there
> :exit
```
```sh tour=ann again
cargo run --bin talk-client
```
```sh tour fails
false
```
```text tour
why
```
";
    let steps = steps(text);
    assert_eq!(
        steps,
        [
            Step::Start { terminal: "ann".into(), command: "talk-client --name ann".into(), again: false },
            Step::Talk {
                terminal: "ann".into(),
                lines: vec![
                    Line::Shown("* hello".into()),
                    Line::Typed("hi > there".into()),
                    Line::Typed(":exit".into())
                ]
            },
            Step::Start { terminal: "ann".into(), command: "talk-client".into(), again: true },
            Step::Run { command: "false".into(), fails: true },
            Step::Printed { lines: vec!["why".into()] },
        ]
    );
}

#[test]
fn commands_are_run_from_the_path_and_on_free_ports() {
    let ports = BTreeMap::from([("8088".to_owned(), 40_001), ("8081".to_owned(), 40_002)]);
    let line = r#"curl http://127.0.0.1:8088/v1/users "port":8081, 80881 18088 8089"#;
    assert_eq!(rewrite(line, &ports), r#"curl http://127.0.0.1:40001/v1/users "port":40002, 80881 18088 8089"#);
    let command = "printf 'hi\\n' | cargo run --bin talk-client -- --name ann && cargo run --bin registry";
    assert_eq!(from_path(command), "printf 'hi\\n' | talk-client --name ann && registry");
}

/// One marked block.
#[derive(Debug, Eq, PartialEq)]
enum Step {
    /// `sh tour=NAME`: starts a command in a terminal of that name; `sh tour=NAME again` stops what runs there first.
    Start { terminal: String, command: String, again: bool },
    /// `text tour=NAME`: what the terminal shows, and what is typed behind its prompt.
    Talk { terminal: String, lines: Vec<Line> },
    /// `sh tour` and `sh tour fails`: runs a command to its end.
    Run { command: String, fails: bool },
    /// `text tour`: what the last command printed.
    Printed { lines: Vec<String> },
}

#[derive(Debug, Eq, PartialEq)]
enum Line {
    Shown(String),
    Typed(String),
}

impl Step {
    fn lines_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Start { command, .. } | Self::Run { command, .. } => vec![command],
            Self::Printed { lines } => lines.iter_mut().collect(),
            Self::Talk { lines, .. } => lines.iter_mut().map(|(Line::Shown(line) | Line::Typed(line))| line).collect(),
        }
    }
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (language, marks) = info.split_once(' ').unwrap_or((info, ""));
        let step = match (language, marks, marks.strip_prefix("tour=")) {
            ("sh", _, Some(name)) => {
                let (terminal, again) = name.strip_suffix(" again").map_or((name, false), |name| (name, true));
                Step::Start { terminal: terminal.into(), command: from_path(&block.join("\n")), again }
            }
            ("text", _, Some(name)) => {
                Step::Talk { terminal: name.into(), lines: block.into_iter().map(talk).collect() }
            }
            ("sh", "tour" | "tour fails", _) => {
                Step::Run { command: from_path(&block.join("\n")), fails: marks.ends_with("fails") }
            }
            ("text", "tour", _) => Step::Printed { lines: block.into_iter().map(Into::into).collect() },
            (_, "", _) => continue,
            _ => panic!("a block that nobody understands: {line}"),
        };
        steps.push(step);
    }
    steps
}

/// A line behind a prompt (`> ` or `to NAME> `) is typed, any other is shown.
fn talk(line: &str) -> Line {
    match line.split_once("> ") {
        Some((prompt, typed)) if prompt.is_empty() || (prompt.starts_with("to ") && prompt.split(' ').count() == 2) => {
            Line::Typed(typed.into())
        }
        _ => Line::Shown(line.into()),
    }
}

fn from_path(command: &str) -> String {
    let with_options = |command: String, name: &str| command.replace(&format!("{name} -- "), &format!("{name} "));
    let command = command.replace("cargo run --bin ", "");
    ["talk-client", "talk-server", "registry"].into_iter().fold(command, with_options)
}

/// Puts free ports in the place of those of the page.
fn rewrite(line: &str, ports: &BTreeMap<String, u16>) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    // One more character ends a number at the end of the line.
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        match ports.get(&digits) {
            Some(port) => out.push_str(&port.to_string()),
            None => out.push_str(&digits),
        }
        digits.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// A free port for each that the steps name: all of them begin with 80 or 70, or are those of wires.
fn free_ports(steps: &[Step]) -> BTreeMap<String, u16> {
    let text = format!("{steps:?} 8088");
    let is_wire = |n: &str| WIRES.iter().any(|(wire, _)| *wire == n);
    let is_port = |n: &&str| n.len() == 4 && (n.starts_with("80") || n.starts_with("70") || is_wire(n));
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(is_port);
    // Held until all are chosen, so that no two are the same.
    let mut held = Vec::new();
    let mut ports = BTreeMap::new();
    for number in numbers {
        ports.entry(number.to_owned()).or_insert_with(|| {
            loop {
                let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
                let port = tcp.local_addr().unwrap().port();
                let udp = UdpSocket::bind(("127.0.0.1", port));
                let free = udp.is_ok();
                held.push((tcp, udp));
                if free {
                    return port;
                }
            }
        });
    }
    ports
}

struct Tour<'a> {
    data: &'a Path,
    registry: u16,
    rooms: u16,
    wires: BTreeMap<&'static str, u16>,
    terminals: BTreeMap<String, Terminal>,
    /// What the last command that ended had printed.
    last: Option<String>,
}

impl Tour<'_> {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Start { terminal, command, again } => {
                let before = self.terminals.remove(terminal);
                assert_eq!(before.is_some(), *again, "{terminal} is started twice, or was never started");
                if let Some(before) = before {
                    before.interrupt();
                }
                // By `env`, as a command may begin with a variable.
                let started = Terminal::start(terminal, self.shell(&format!("exec env {command}")));
                self.terminals.insert(terminal.clone(), started);
            }
            Step::Talk { terminal, lines } => {
                let terminal = self.terminals.get_mut(terminal).expect("a terminal that was started");
                for line in lines {
                    match line {
                        Line::Shown(line) => terminal.await_line(line),
                        Line::Typed(line) => terminal.type_line(line),
                    }
                }
            }
            Step::Run { command, fails } => {
                let output = self.shell(command).stdin(Stdio::null()).output().unwrap();
                let printed = [output.stdout, output.stderr].concat();
                let printed = String::from_utf8(printed).unwrap();
                assert_eq!(output.status.success(), !fails, "{command}\n{printed}");
                self.last = Some(printed);
            }
            Step::Printed { lines } => {
                let printed = self.last.as_deref().expect("a command before what it prints");
                let mut rest = printed.lines();
                for line in lines {
                    assert!(rest.any(|printed| printed == line), "{line:?} is missing in {printed:?}");
                }
            }
        }
    }

    /// A shell in which the binaries of this build come first, and everything is kept in a directory of the test.
    fn shell(&self, command: &str) -> Command {
        let binaries = Path::new(env!("CARGO_BIN_EXE_talk-client")).parent().unwrap();
        assert_eq!(Path::new(env!("CARGO_BIN_EXE_registry")).parent(), Some(binaries));
        let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", command]);
        shell.env_clear().env("PATH", path).env("HOME", self.data).env("TALK_DATA", self.data);
        let port = if command.contains("talk-server") { self.rooms } else { self.registry };
        shell.env("PORT", port.to_string());
        for (wire, variable) in WIRES {
            shell.env(variable, self.wires.get(wire).map_or_else(|| "off".to_owned(), u16::to_string));
        }
        shell.env("TALK_REGISTRY", format!("http://127.0.0.1:{}", self.registry));
        shell
    }
}

/// A program that runs through several steps.
struct Terminal {
    name: String,
    child: Child,
    stdin: ChildStdin,
    shown: Receiver<String>,
    /// What was shown so far, for whoever reads a failure.
    seen: Vec<String>,
}

impl Terminal {
    fn start(name: &str, mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, shown) = channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let stdin = child.stdin.take().unwrap();
        Self { name: name.into(), child, stdin, shown, seen: Vec::new() }
    }

    /// Types a line; `:exit` is waited for, as what follows may depend on it.
    fn type_line(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
        if line == ":exit" {
            let deadline = Instant::now() + PATIENCE;
            while let Ok(line) = self.shown.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                self.seen.push(line);
            }
            assert!(Instant::now() < deadline, "{} did not leave:\n{}", self.name, self.seen.join("\n"));
            assert!(self.child.wait().unwrap().success(), "{}:\n{}", self.name, self.seen.join("\n"));
        }
    }

    /// Ctrl-C, and its end.
    fn interrupt(mut self) {
        let kill = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success(), "{}", self.name);
        assert!(self.child.wait().unwrap().success(), "{}:\n{}", self.name, self.seen.join("\n"));
    }

    fn await_line(&mut self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.shown.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = line == wanted;
                    self.seen.push(line);
                    if found {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{} did not show {wanted:?}, but:\n{}", self.name, self.seen.join("\n"))
                }
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The ports of other wires, and what moves them; those that the page does not name are off.
const WIRES: [(&str, &str); 4] = [
    ("6078", "TALK_PAIR_PORT"),
    ("5000", "TALK_MINECHAT_LISTEN_PORT"),
    ("5050", "TALK_MINECHAT_WRITE_PORT"),
    ("9009", "TALK_CONSOLE_PORT"),
];
/// How long a line may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
