//! `talk-client` by each of its modes, before one server to which the ways are cut, and that is killed and comes back.

use std::process::Command;

use super::gate::Gate;
use super::programs::{ClientProgram, Home};
use super::terminal::Terminal;
use super::wires_program::WiresProgram;

/// A mode that has a server. A peer has none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Room,
    Pair,
    Console,
    Register,
    Chat,
    Listen,
}

/// All of them in which others are heard.
pub(crate) const HEARING: [Mode; 6] = [Mode::Room, Mode::Pair, Mode::Console, Mode::Register, Mode::Chat, Mode::Listen];

/// Those in which somebody types.
pub(crate) const TALKING: [Mode; 5] = [Mode::Room, Mode::Pair, Mode::Console, Mode::Register, Mode::Chat];

/// Where a server listens; only those ports count that the mode needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ports {
    pub(crate) rooms: u16,
    pub(crate) pair: u16,
    pub(crate) console: u16,
    pub(crate) listen: u16,
    pub(crate) write: u16,
}

impl Mode {
    /// The arguments by which Ann goes to `global`.
    pub(crate) fn arguments(self, at: Ports) -> String {
        let Ports { rooms, pair, console, listen, write } = at;
        match self {
            Self::Room => format!("room --server http://127.0.0.1:{rooms} --nick ann --history 0"),
            Self::Pair => format!("pair --port {pair} --nick ann --to global"),
            Self::Console => format!("console --port {console} --username ann"),
            Self::Register => format!("register --line -lp {listen} -wp {write} -u ann -cp ann.json -hp {HISTORY}"),
            Self::Chat => format!("chat --line -lp {listen} -wp {write} -u ann -cp ann.json -hp {HISTORY}"),
            Self::Listen => format!("listen -p {listen} -hp {HISTORY}"),
        }
    }

    /// The prompt when Ann is there.
    pub(crate) fn prompt(self) -> &'static str {
        match self {
            Self::Room | Self::Pair => "to global> ",
            Self::Console => "ann > ",
            Self::Register | Self::Chat | Self::Listen => "> ",
        }
    }

    /// How it begins to tell that the connection is lost.
    pub(crate) fn lost(self) -> &'static str {
        match self {
            Self::Pair | Self::Console => "* Connection closed by the server (",
            _ => "* lost the connection to ",
        }
    }

    /// Whether it hears by a port of minechat, where nothing tells from when on.
    fn has_ear(self) -> bool {
        matches!(self, Self::Register | Self::Chat | Self::Listen)
    }

    /// Ann on a terminal, at her prompt.
    pub(crate) fn ann(self, command: Command, raw: bool) -> Terminal {
        let mut command = command;
        command.env("NO_COLOR", "1");
        let mut ann = Terminal::start_with(command, raw);
        if self == Self::Listen {
            // Where it was asked to say so.
            ann.sees("* connected\r\n");
            return ann;
        }
        if self == Self::Register {
            ann.sees("another nickname registers one more: ");
            ann.send("\r");
        }
        ann.sees("* connected as ann");
        if matches!(self, Self::Room | Self::Pair) {
            ann.sees("* your texts go to global");
        }
        // What was asked before all that was known has another prompt.
        ann.send(":status\r");
        ann.sees("* texts that wait: 0");
        ann.sees(self.prompt());
        ann
    }

    /// Ann on pipes, connected.
    pub(crate) fn ann_on_pipes(self, command: Command, json: bool) -> ClientProgram {
        let mut ann = ClientProgram::start(command);
        if self == Self::Register {
            ann.line(|line| line.contains("registered as ann"));
            ann.type_line("");
        }
        ann.line(|line| if json { line.contains("\"connected\"") } else { line == "* connected as ann" });
        if matches!(self, Self::Room | Self::Pair) {
            ann.line(|line| if json { line.contains("\"selected\"") } else { line == "* your texts go to global" });
        }
        ann
    }
}

/// A server, the ways to it, and Bob, who is in its room by a way of his own.
pub(crate) struct Stage {
    pub(crate) home: Home,
    pub(crate) server: WiresProgram,
    pub(crate) bob: ClientProgram,
    gates: [Gate; 5],
    probes: usize,
}

impl Stage {
    pub(crate) async fn open() -> Self {
        let home = Home::new();
        let server = WiresProgram::start(&home);
        let gates = [
            Gate::before(server.rooms).await,
            Gate::before(server.pair).await,
            Gate::before(server.console).await,
            Gate::before(server.listen).await,
            Gate::before(server.write).await,
        ];
        let mut bob = ClientProgram::start(server.room(&home, "bob", ""));
        bob.line(|line| line == "* connected as bob");
        Self { home, server, bob, gates, probes: 0 }
    }

    /// A client of that mode behind the gates.
    pub(crate) fn client(&self, mode: Mode, more: &str) -> Command {
        self.home.client(&format!("{} {more}", mode.arguments(self.ports())))
    }

    /// Where the gates are.
    pub(crate) fn ports(&self) -> Ports {
        let [rooms, pair, console, listen, write] = self.gates.each_ref().map(|gate| gate.port);
        Ports { rooms, pair, console, listen, write }
    }

    /// Cuts every connection through the gates, and lets none through; there is none when this returns.
    pub(crate) async fn shut(&self) {
        for gate in &self.gates {
            gate.shut();
            gate.carries_nothing().await;
        }
    }

    pub(crate) fn let_through(&self) {
        self.gates.iter().for_each(Gate::open);
    }

    /// Starts the server that was killed again. What Bob missed he hears before he is told that he is back.
    pub(crate) fn revive(&mut self) {
        self.server.revive();
    }

    /// The same, and waits for Bob, to whom nothing was said.
    pub(crate) fn revive_with_bob(&mut self) {
        self.server.revive();
        self.bob.line(|line| line.starts_with("* connected again"));
    }

    /// Waits until Bob hears this from Ann, whenever she said it.
    pub(crate) fn hears(&mut self, text: &str) {
        self.bob.line(|line| line.ends_with(&format!("ann: {text}")));
    }

    /// Waits until Ann, who has just come, hears. Where nothing tells of it Bob asks her until then.
    pub(crate) fn until_heard(&mut self, mode: Mode) {
        if !mode.has_ear() {
            self.bob.line(|line| line == "* ann joined");
            return;
        }
        for _ in 0..100 {
            self.probes += 1;
            let probe = format!("do you hear {}?", self.probes);
            self.bob.type_line(&probe);
            // It takes its time until the state that stays is shown, and others hear it before.
            self.bob.line(|line| line.starts_with("* ") && line.contains(&probe));
            let kept = std::fs::read_to_string(self.home.path().join(HISTORY)).unwrap_or_default();
            if kept.contains(&probe) {
                return;
            }
        }
        panic!("nobody hears");
    }
}

/// The file that minechat's modes keep.
pub(crate) const HISTORY: &str = "chat.txt";
