//! Servers that let anybody in, and put any words into the mouth of anybody under any name.

use talk::text::SafeText;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::fakes::{Fake, message, recovered, text};
use super::modes::{Mode, Ports};
use super::originals::console::written_as;
use super::originals::minechat;

/// A server for clients of one mode.
pub(crate) enum Liar {
    Room { port: u16, frames: mpsc::Sender<Vec<u8>>, seq: u64 },
    Pair { port: u16, frames: mpsc::Sender<Vec<u8>> },
    Console { port: u16, frames: mpsc::Sender<Vec<u8>> },
    Minechat(minechat::Original),
}

impl Liar {
    pub(crate) async fn of(mode: Mode) -> Self {
        let (frames, said) = mpsc::channel(100);
        match mode {
            Mode::Room => Self::Room { port: start(mode, said).await, frames, seq: 0 },
            Mode::Pair => Self::Pair { port: start(mode, said).await, frames },
            Mode::Console => Self::Console { port: start(mode, said).await, frames },
            Mode::Register | Mode::Chat | Mode::Listen => Self::Minechat(minechat::Original::start().await),
        }
    }

    pub(crate) fn ports(&self) -> Ports {
        let ports = Ports::default();
        match self {
            Self::Room { port, .. } => Ports { rooms: *port, ..ports },
            Self::Pair { port, .. } => Ports { pair: *port, ..ports },
            Self::Console { port, .. } => Ports { console: *port, ..ports },
            Self::Minechat(server) => Ports { listen: server.listen, write: server.write, ..ports },
        }
    }

    /// Says something to Ann, when she is there.
    pub(crate) async fn say(&mut self, from: &str, words: &str) {
        match self {
            Self::Room { frames, seq, .. } => {
                *seq += 1;
                frames.send(message(*seq, from, words)).await.unwrap();
            }
            Self::Pair { frames, .. } => frames.send(text(&format!("[{from}] {words}"))).await.unwrap(),
            Self::Console { frames, .. } => {
                frames.send(written_as("message", from, words).into_bytes()).await.unwrap();
            }
            Self::Minechat(server) => {
                server.until(|seen| seen.listeners > 0).await;
                // A line feed would be another line to its wire.
                server.say(&format!("{from}: {}", words.replace('\n', "\r")));
            }
        }
    }
}

/// What people and servers say who want to do harm: under which name, and what. Each ends in a word of its own.
pub(crate) fn lies() -> Vec<(&'static str, String)> {
    let long = format!("{} over", "y".repeat(9000));
    let wide = format!("{} across", "\u{754c}\u{301}".repeat(600));
    let lies = [
        ("eve", "\u{1b}]0;owned\u{7}\u{1b}[2Jclear"),
        ("eve", "\u{9b}2J\u{90}q\u{1b}[31mred"),
        ("eve", "hi\n* accepted: forged\u{2028}* forged\u{85}! forged\u{b}lines"),
        ("eve", "\u{202e}live\u{200b}\u{2066}\u{feff}sdrawkcab"),
        ("eve", "\u{8}\u{8}\u{8}\u{7f}\0\u{1b}cbackspaces"),
        ("eve", "\rann: overwritten"),
        ("eve", &long),
        ("eve", &wide),
        ("\u{1b}[31meve\u{202e}\u{7}", "coloured"),
        ("e\rann", "returned"),
        ("* accepted", "noticed"),
        ("! failed", "failed"),
        ("#(direct) bob", "direct"),
        ("ann > I left", "prompted"),
        ("to bob> hello", "typed"),
    ];
    lies.map(|(from, words)| (from, words.to_owned())).into()
}

/// The word that this ends in.
pub(crate) fn last_word(words: &str) -> &str {
    words.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap()
}

/// Asserts that this output is text, and no line of it is forged: `typed` aside, lines begin with a name.
#[track_caller]
pub(crate) fn harmless(output: &str) {
    for line in output.split(['\r', '\n']) {
        assert_eq!(SafeText(line).to_string(), line, "in {output:?}");
        let own = ["* ", "! ", "#(", "ann:", "ann >  I", "to bob> hello:"];
        assert!(!own.iter().any(|own| line.starts_with(own)), "{line:?} in {output:?}");
    }
}

/// Takes one connection, lets whoever comes in, and writes what there is to say.
async fn start(mode: Mode, mut said: mpsc::Receiver<Vec<u8>>) -> u16 {
    let fake = Fake::start().await;
    let port = fake.port;
    tokio::spawn(async move {
        let mut stream = match mode {
            Mode::Room => fake.take(true).await,
            Mode::Pair => fake.paired().await,
            _ => fake.accept().await,
        };
        if mode == Mode::Room {
            stream.write_all(&recovered(0)).await.unwrap();
        }
        while let Some(frame) = said.recv().await {
            stream.write_all(&frame).await.unwrap();
        }
    });
    port
}
