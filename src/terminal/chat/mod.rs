//! Line mode: one conversation over a [`Client`] and its [`Events`], whatever the protocol. Each thing is one flat line,
//! which a screen reader reads as it comes, and nothing is painted over.

mod json;
mod own;
mod talk;
mod tell;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::talk::{Outcome, Talk};
use super::commands::Commands;
use super::input::{Input, Typed};
use super::line::{Completer, Gate, Line, Restore, complete};
use super::look::{Look, complain};
use super::plain;
use super::screen::{Closed, Screen, Shown};
use super::signals::Signals;
use super::start::{self, Log};
use super::words::{Language, Word};
use crate::client::{Client, Events};

/// How a mode talks.
#[derive(Clone, Debug, Default)]
pub(super) struct Manner {
    /// What the mode is called.
    pub(super) mode: &'static str,
    pub(super) look: Look,
    pub(super) language: Language,
    /// Events as JSON objects instead of lines for people.
    pub(super) json: bool,
    /// The file for the lines that were typed.
    pub(super) typed: Option<PathBuf>,
    /// How many messages from before are shown at first.
    pub(super) history: usize,
    /// Texts that were not sent wait for the next start.
    pub(super) keeps: bool,
    /// Own lines stand behind one's own name, `ann > hi`.
    pub(super) named: bool,
    /// Whoever is not let in at first is asked again.
    pub(super) again: bool,
}

/// Why there is nothing to talk by.
#[derive(Debug)]
pub(super) enum NoClient {
    /// Something is wrong.
    Wrong(String),
    /// Whoever was asked went away.
    Left,
}

/// Talks until the user leaves. Every error was told when it ends.
pub(super) fn run(
    manner: Manner,
    connect: impl AsyncFnMut(&mut Front) -> Result<(Client, Events), NoClient>,
) -> ExitCode {
    let log = Log::default();
    start::run_with(log.clone(), to_the_end(manner, connect, log))
}

async fn to_the_end(
    manner: Manner,
    mut connect: impl AsyncFnMut(&mut Front) -> Result<(Client, Events), NoClient>,
    log: Log,
) -> ExitCode {
    let style = manner.look.style();
    let restore = Restore::new();
    let opened = Signals::listen().and_then(|signals| Ok((signals, Front::open(manner, &log)?)));
    let (mut signals, mut front) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            complain(style, &error.to_string());
            return ExitCode::FAILURE;
        }
    };
    let outcome = loop {
        let connected = tokio::select! {
            connected = connect(&mut front) => connected,
            () = signals.next() => Err(NoClient::Left),
        };
        let (client, events) = match connected {
            Ok(connected) => connected,
            Err(NoClient::Left) => break Outcome::Left { well: true },
            Err(NoClient::Wrong(reason)) => {
                // Nobody reading is no other error than this one.
                let _ = front.error(&reason).await;
                break Outcome::Left { well: false };
            }
        };
        let outcome = Talk::new(client, events, &mut front).run(&mut signals).await;
        match outcome {
            Outcome::Refused { at_once: true } if front.manner.again && front.person => {}
            outcome => break outcome,
        }
    };
    let person = front.person;
    front.gate.release();
    let aborted = tokio::select! {
        () = front.screen.finish() => false,
        () = signals.next() => true,
    };
    drop(restore);
    match outcome {
        _ if aborted => ExitCode::from(start::INTERRUPTED),
        Outcome::Aborted => ExitCode::from(start::INTERRUPTED),
        // A person has seen what failed; a script must be able to ask.
        Outcome::Left { well } if well || person => ExitCode::SUCCESS,
        Outcome::Left { .. } => ExitCode::FAILURE,
        Outcome::Refused { .. } => ExitCode::from(REFUSED),
        Outcome::Lost => ExitCode::from(LOST),
    }
}

/// Where a conversation is typed and shown.
pub(super) struct Front {
    manner: Manner,
    person: bool,
    input: Input,
    screen: Screen,
    gate: Arc<Gate>,
    known: Arc<Mutex<Known>>,
}

/// What is completed.
#[derive(Default)]
struct Known {
    commands: Option<Commands>,
    names: BTreeSet<String>,
}

impl Front {
    fn open(manner: Manner, log: &Log) -> io::Result<Self> {
        let (style, person) = (manner.look.style(), manner.look.person && !manner.json);
        let gate = Gate::new();
        let known = Arc::new(Mutex::new(Known::default()));
        let (input, screen) = if person {
            let known = known.clone();
            let completer: Completer = Arc::new(move |typed| {
                let known = lock(&known);
                let names = || known.names.iter().cloned().collect();
                known.commands.as_ref().map_or((typed.len(), Vec::new()), |commands| complete(typed, commands, names))
            });
            let mut line = Line::open(completer, manner.typed.clone(), gate.clone()).map_err(io::Error::other)?;
            let screen = Screen::new(style, line.printer().map_err(io::Error::other)?)?;
            log.show_on(&screen);
            (Input::new(move |prompt| line.read(prompt))?, screen)
        } else {
            (Input::new(|_| plain::read())?, Screen::new(style, plain::print)?)
        };
        Ok(Self { manner, person, input, screen, gate, known })
    }

    /// Asks for a line before there is anybody to talk to; `None` when there is none.
    ///
    /// # Errors
    /// [`NoClient`]: nobody answers.
    pub(super) async fn ask(&mut self, prompt: &str) -> Result<String, NoClient> {
        if !self.person && !self.manner.json {
            self.show(Shown::Out(prompt.trim_end().to_owned())).await.map_err(|Closed| NoClient::Left)?;
        }
        loop {
            self.input.ask(prompt.to_owned());
            match self.input.next().await {
                Typed::Line(line) if line.trim().is_empty() => {}
                Typed::Line(line) => return Ok(line.trim().to_owned()),
                Typed::Bad(reason) => self.error(&reason).await.map_err(|Closed| NoClient::Left)?,
                Typed::End | Typed::Interrupt => return Err(NoClient::Left),
            }
        }
    }

    /// Tells what went wrong.
    ///
    /// # Errors
    /// [`Closed`].
    pub(super) async fn error(&self, text: &str) -> Result<(), Closed> {
        if self.manner.json {
            return self.show(Shown::Out(json::error(text))).await;
        }
        self.show(self.screen.style().error(text)).await
    }

    /// What this front is to do.
    pub(super) fn manner(&self) -> &Manner {
        &self.manner
    }

    async fn show(&self, shown: Shown) -> Result<(), Closed> {
        self.screen.show(shown).await
    }

    fn say(&self, word: Word, places: &[&dyn std::fmt::Display]) -> String {
        self.manner.language.say(word, places)
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server does not let the user in.
const REFUSED: u8 = 3;
/// The connection is lost, or could not be made, and there was to be one only.
const LOST: u8 = 4;
