//! Line mode: one conversation over a [`Client`] and its [`Events`], whatever the protocol. Each thing is one flat line,
//! which a screen reader reads as it comes, and nothing is painted over.

pub(super) mod json;
mod own;
mod talk;
pub(super) mod tell;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::talk::{Outcome, Talk};
use self::tell::Here;
use super::commands::Commands;
use super::full::{self, Theme, Told};
use super::history::{self, HistoryFile};
use super::input::{Input, Prompt, Typed};
use super::line::{Completer, Gate, Line, Restore, complete};
use super::look::{Look, complain};
use super::options::USAGE;
use super::plain;
use super::screen::{Closed, LAST, Screen, Shown, Style};
use super::signals::Signals;
use super::start::{self, Log};
use super::words::{Language, Word};
use crate::client::{Client, Event, Events, Heard};

/// How a mode talks.
#[derive(Clone, Debug, Default)]
pub(super) struct Manner {
    /// What the mode is called.
    pub(super) mode: &'static str,
    pub(super) look: Look,
    pub(super) language: Language,
    /// Events as JSON objects instead of lines for people.
    pub(super) json: bool,
    /// On a full screen, which looks like this.
    pub(super) full: Option<Theme>,
    /// The file for the lines that were typed.
    pub(super) typed: Option<PathBuf>,
    /// How many messages from before are shown at first.
    pub(super) history: usize,
    /// Texts that were not sent wait for the next start.
    pub(super) keeps: bool,
    /// Own lines stand behind one's own name, `ann > hi`.
    pub(super) named: bool,
    /// The words of the programs that people of the protocol know.
    pub(super) familiar: bool,
    /// The protocol confirms nothing: what was sent is done.
    pub(super) unconfirmed: bool,
    /// Whoever is not let in is asked again.
    pub(super) again: bool,
    /// Nothing is typed: the input is left alone, and the program runs until it is told to end.
    pub(super) deaf: bool,
    /// How the connection is: told, kept to itself, or logged.
    pub(super) steps: Steps,
    /// Where the talk is, for the status.
    pub(super) place: Vec<String>,
    /// The server, as its users know it: `chat.example:7000`.
    pub(super) server: String,
}

/// What becomes of news of the connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Steps {
    /// They stand among all else.
    #[default]
    Shown,
    /// They go to stderr.
    Logged,
    Hidden,
}

/// Why there is nothing to talk by.
#[derive(Debug)]
pub(super) enum NoClient {
    /// Something is wrong.
    Wrong(String),
    /// An option is wrong, which only the client could say.
    Usage(String),
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
    // What runs by itself may outlive the terminal that it was started from.
    let by_itself = manner.deaf && manner.full.is_none();
    let signals = if by_itself { Signals::without_hangup() } else { Signals::listen() };
    let opened = signals.and_then(|signals| Ok((signals, Front::open(manner, &log)?)));
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
            () = signals.next() => {
                front.screen.hurry();
                Err(NoClient::Left)
            }
        };
        let (reason, outcome) = match connected {
            Ok((client, events)) => match Talk::new(client, events, &mut front).run(&mut signals).await {
                Outcome::Refused if front.manner.again && front.person => continue,
                outcome => break outcome,
            },
            Err(NoClient::Left) => break Outcome::Left { well: true },
            Err(NoClient::Wrong(reason)) => (reason, Outcome::Left { well: false }),
            Err(NoClient::Usage(reason)) => (reason, Outcome::Usage),
        };
        // Nobody reading is no other error than this one.
        let _ = front.error(&reason).await;
        break outcome;
    };
    let (person, failed) = (front.person, front.failed);
    front.gate.release();
    let aborted = tokio::select! {
        () = front.screen.finish() => false,
        () = signals.next() => true,
        () = tokio::time::sleep(LAST), if outcome == Outcome::Aborted => true,
    };
    drop(restore);
    match outcome {
        _ if aborted => ExitCode::from(start::INTERRUPTED),
        Outcome::Aborted => ExitCode::from(start::INTERRUPTED),
        // A person has seen what failed; a script must be able to ask.
        Outcome::Left { well } if well && !failed || person => ExitCode::SUCCESS,
        Outcome::Left { .. } => ExitCode::FAILURE,
        Outcome::Usage => ExitCode::from(USAGE),
        Outcome::Refused => ExitCode::from(REFUSED),
        Outcome::Lost => ExitCode::from(LOST),
    }
}

/// An event for programs.
pub(super) fn as_json(event: &Event) -> String {
    json::event(event)
}

/// Where a conversation is typed and shown.
pub(super) struct Front {
    manner: Manner,
    person: bool,
    input: Input,
    screen: Screen,
    gate: Arc<Gate>,
    known: Arc<Mutex<Known>>,
    /// What the user is called, where that is known before there is a connection.
    pub(super) name: Option<String>,
    /// The rooms where the user will be, where that is known before there is a connection.
    pub(super) rooms: Vec<String>,
    /// The file for what is half typed on a full screen, where that is kept.
    pub(super) drafts: Option<PathBuf>,
    history: Option<HistoryFile>,
    /// The history could not be written the last time.
    unwritten: bool,
    /// Something was not done before there was anybody to talk to, and was told.
    failed: bool,
}

/// What is completed.
#[derive(Default)]
struct Known {
    commands: Option<Commands>,
    names: BTreeSet<String>,
}

impl Front {
    fn open(manner: Manner, log: &Log) -> io::Result<Self> {
        let style = Style { language: manner.language, ..manner.look.style() };
        let person = manner.look.person && !manner.json && (!manner.deaf || manner.full.is_some());
        let gate = Gate::new();
        let known = Arc::new(Mutex::new(Known::default()));
        let (input, screen) = if manner.full.is_some() {
            full::open(&manner, log)?
        } else if person {
            let known = known.clone();
            let completer: Completer = Arc::new(move |typed| {
                let known = lock(&known);
                let names = || known.names.iter().cloned().collect();
                known.commands.as_ref().map_or((typed.len(), Vec::new()), |commands| complete(typed, commands, names))
            });
            let mut line = Line::open(completer, manner.typed.clone(), gate.clone()).map_err(io::Error::other)?;
            let screen = Screen::new(style, line.printer().map_err(io::Error::other)?)?;
            if let Some(why) = line.unkept() {
                screen.show_first(style.error(manner.language.say(Word::NoTyped, &[&why])));
            }
            log.show_on(&screen);
            (Input::new(move |prompt| line.read(prompt))?, screen)
        } else {
            (Input::new(plain::reader())?, Screen::new(style, plain::print)?)
        };
        Ok(Self {
            manner,
            person,
            input,
            screen,
            gate,
            known,
            name: None,
            rooms: Vec::new(),
            drafts: None,
            history: None,
            unwritten: false,
            failed: false,
        })
    }

    /// Asks for a line before there is anybody to talk to; a pipe is shown what is asked for, a program is not.
    ///
    /// # Errors
    /// [`NoClient`]: nobody answers.
    pub(super) async fn ask(&mut self, what: Word) -> Result<String, NoClient> {
        self.line(what, false).await
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

    /// Tells what was not done, for which there is an exit code at the end.
    ///
    /// # Errors
    /// [`Closed`].
    pub(super) async fn fail(&mut self, text: &str) -> Result<(), Closed> {
        self.failed = true;
        self.error(text).await
    }

    /// Tells what was wrong with an answer, so that a person can give another.
    ///
    /// # Errors
    /// [`NoClient`] where there is no person.
    pub(super) async fn again(&self, text: &str) -> Result<(), NoClient> {
        if !self.person {
            return Err(NoClient::Wrong(text.to_owned()));
        }
        self.error(text).await.map_err(|Closed| NoClient::Left)
    }

    /// Asks as [`Front::ask`] does; `None` when nothing but Enter was typed.
    ///
    /// # Errors
    /// [`NoClient`]: nobody answers.
    pub(super) async fn ask_or_not(&mut self, what: Word) -> Result<Option<String>, NoClient> {
        self.line(what, true).await.map(|line| Some(line).filter(|line| !line.is_empty()))
    }

    async fn line(&mut self, what: Word, or_none: bool) -> Result<String, NoClient> {
        let prompt = format!("{} ", self.manner.language.text(what));
        if self.screen.is_full() {
            let asks = Told::Asks { what, or_none };
            self.screen.tell(asks).await.map_err(|Closed| NoClient::Left)?;
        } else
        // A line that is being typed already keeps the prompt that it has.
        if !self.manner.json && (!self.person || self.input.is_asked()) {
            self.show(Shown::Out(prompt.trim_end().to_owned())).await.map_err(|Closed| NoClient::Left)?;
        }
        loop {
            self.input.ask(Prompt::always(prompt.clone()));
            match self.input.next().await {
                Typed::Line(line) if line.trim().is_empty() && !or_none => {}
                Typed::Line(line) => return Ok(line.trim().to_owned()),
                Typed::Bad(word, why) => {
                    self.error(&self.say(word, &[&why])).await.map_err(|Closed| NoClient::Left)?;
                }
                Typed::End | Typed::Interrupt => return Err(NoClient::Left),
                // There is nobody yet to say it to.
                Typed::Say { .. } | Typed::Ask(_) => {}
            }
        }
    }

    /// Tells what was done before there is anybody to talk to.
    ///
    /// # Errors
    /// [`Closed`].
    pub(super) async fn tell(&self, word: Word, places: &[&dyn std::fmt::Display]) -> Result<(), Closed> {
        let text = self.say(word, places);
        let shown = if self.manner.json { Shown::Out(json::answer(&text)) } else { self.screen.style().notice(text) };
        self.show(shown).await
    }

    /// Shows the last lines of a history, and keeps what is said from now on there.
    ///
    /// # Errors
    /// [`Closed`].
    pub(super) async fn keep_history(&mut self, mut file: HistoryFile) -> Result<(), Closed> {
        match file.last(self.manner.history) {
            Ok(lines) => {
                for line in lines {
                    let event = history::read(&line).map_or(Event::Notice(line), Event::Message);
                    if self.is_told() {
                        self.tell_event(&event).await?;
                    } else if let Some(shown) = self.told(&event, &Here::default()) {
                        self.show(shown).await?;
                    }
                }
            }
            Err(error) => self.error(&self.say(Word::NoHistory, &[&error])).await?,
        }
        self.history = Some(file);
        Ok(())
    }

    /// Writes a message into the history, if there is one; false when that failed.
    async fn record(&mut self, message: &Heard) -> Result<bool, Closed> {
        let Some(file) = &mut self.history else { return Ok(true) };
        let Err(error) = file.add(message) else {
            self.unwritten = false;
            return Ok(true);
        };
        // It will be the same for the next ones.
        if !std::mem::replace(&mut self.unwritten, true) {
            self.error(&self.say(Word::NoHistory, &[&error])).await?;
        }
        Ok(false)
    }

    /// Shows news of the connection.
    async fn step(&self, shown: Shown) -> Result<(), Closed> {
        match (self.manner.steps, shown) {
            (Steps::Shown, shown) => self.show(shown).await,
            (Steps::Logged, Shown::Out(text) | Shown::Err(text)) => self.show(Shown::Err(text)).await,
            (Steps::Hidden, _) => Ok(()),
        }
    }

    /// What this front is to do.
    pub(super) fn manner(&self) -> &Manner {
        &self.manner
    }

    /// Whether there is a program, or a full screen, that is told each thing as it happens.
    fn is_told(&self) -> bool {
        self.manner.json || self.screen.is_full()
    }

    async fn tell_event(&self, event: &Event) -> Result<(), Closed> {
        if self.screen.is_full() {
            return self.screen.tell(Told::Event(event.clone())).await;
        }
        self.show(Shown::Out(json::event(event))).await
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
pub(super) const REFUSED: u8 = 3;
/// The connection is lost, or could not be made, and there was to be one only.
pub(super) const LOST: u8 = 4;
