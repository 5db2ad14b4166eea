//! A conversation: what the user types, what others say, and what became of what was sent.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::client::REGISTRIES;
use super::commands::{self, Command, HELP};
use super::input::{Input, Typed};
use super::line::{Gate, Line, Names};
use super::outbox::{Outbox, Outcome};
use super::plain;
use super::screen::{Beginning, Closed, Screen, Shown, Style};
use super::signals::Signals;
use super::start::Log;
use crate::name::UserName;
use crate::peer::{Event, Events, Peer, Users};
use crate::registry::RegistryError;
use crate::transport::Sent;

/// How a conversation ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// Everything that was asked for was done.
    Well,
    /// Something was not: each thing was told.
    WithErrors,
    /// The user did not want to wait for the end.
    Aborted,
}

/// Talks until the user leaves. `terminal`: there is one, and its log must not break the line being typed; `history`:
/// the file for its lines.
///
/// # Errors
/// What the terminal says.
pub(super) async fn run(
    peer: Peer,
    events: Events,
    greeting: &str,
    style: Style,
    history: Option<PathBuf>,
    terminal: Option<&Log>,
    signals: &mut Signals,
) -> io::Result<Ended> {
    let gate = Gate::new();
    let heard = Heard::default();
    let (input, screen) = if let Some(log) = terminal {
        let (known, heard) = (peer.clone(), heard.clone());
        let names: Names = Arc::new(move || {
            let mut names = heard.names();
            names.extend(known.users().keys().cloned());
            names.iter().map(|name| name.as_str().to_owned()).collect()
        });
        let mut line = Line::open(names, history, gate.clone()).map_err(io::Error::other)?;
        let screen = Screen::new(style, line.printer().map_err(io::Error::other)?)?;
        log.show_on(&screen);
        (Input::new(move |prompt| line.read(prompt))?, screen)
    } else {
        (Input::new(|_| plain::read())?, Screen::new(style, plain::print)?)
    };
    let mut session = Session {
        peer,
        events,
        input,
        screen,
        outbox: Outbox::default(),
        person: terminal.is_some(),
        selected: None,
        unconfirmed: BTreeSet::new(),
        heard,
        registry_lost: false,
        registry_known: false,
        failed: false,
    };
    let talked = tokio::select! {
        biased;
        talked = session.talk(greeting) => talked,
        // Outside of it, as it may be waiting for a screen that takes nothing more.
        () = signals.next() => Ok(()),
    };
    gate.release();
    let left = tokio::select! {
        left = session.leave() => talked.and(left),
        () = signals.next() => return Ok(Ended::Aborted),
    };
    let failed = session.failed || left.is_err();
    tokio::select! {
        () = session.screen.finish() => {}
        () = signals.next() => return Ok(Ended::Aborted),
    }
    Ok(if failed { Ended::WithErrors } else { Ended::Well })
}

struct Session {
    peer: Peer,
    events: Events,
    input: Input,
    screen: Screen,
    outbox: Outbox,
    person: bool,
    /// Whom texts go to.
    selected: Option<UserName>,
    /// Who was said not to confirm.
    unconfirmed: BTreeSet<UserName>,
    heard: Heard,
    registry_lost: bool,
    /// Whether the registry ever answered.
    registry_known: bool,
    failed: bool,
}

/// A command that asks the registry.
type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What it brought.
enum Done {
    Update(Result<Arc<Users>, RegistryError>),
    Select(UserName, Result<(), RegistryError>),
}

/// What follows from a line.
enum Then {
    Next,
    Wait(Work),
    Leave,
}

impl Session {
    async fn talk(&mut self, greeting: &str) -> Result<(), Closed> {
        let notice = self.screen.style().notice(greeting);
        self.screen.show(notice).await?;
        let mut first = true;
        let mut work = Some(self.update());
        let mut prompt_at = Instant::now() + PATIENCE;
        let mut listening = true;
        loop {
            if work.is_none() {
                self.ask();
            }
            tokio::select! {
                event = self.events.next(), if listening => match event {
                    Some(event) => self.hear(event).await?,
                    None => listening = false,
                },
                done = finished(&mut work) => {
                    work = None;
                    self.settle(done, std::mem::take(&mut first)).await?;
                }
                outcome = self.outbox.next() => self.report(outcome).await?,
                typed = self.input.next(), if work.is_none() && self.outbox.has_room() => {
                    match self.obey(typed).await? {
                        Then::Next => {}
                        Then::Wait(more) => {
                            work = Some(more);
                            prompt_at = Instant::now() + PATIENCE;
                        }
                        Then::Leave => return Ok(()),
                    }
                }
                // A slow registry keeps nobody from typing, nor what others say from being shown.
                () = tokio::time::sleep_until(prompt_at), if self.person && work.is_some() && !self.input.is_asked() => {
                    self.ask();
                }
                () = self.screen.closed() => return Err(Closed),
            }
        }
    }

    /// Waits for what is under way, signs off, and shows what came until then.
    async fn leave(&mut self) -> Result<(), Closed> {
        let until = Instant::now() + FAREWELL;
        if self.person && self.outbox.len() > 0 {
            let count = self.outbox.len();
            self.notice(format!("waiting for {count} of your messages; Ctrl-C leaves at once")).await?;
        }
        while self.outbox.len() > 0 {
            tokio::select! {
                outcome = self.outbox.next() => self.report(outcome).await?,
                Some(event) = self.events.next() => self.hear(event).await?,
                () = tokio::time::sleep_until(until) => {
                    let count = self.outbox.len();
                    self.error(format!("nobody knows whether the last {count} of your messages arrived")).await?;
                    break;
                }
            }
        }
        if let Err(error) = self.peer.shutdown().await {
            self.notice(format!("could not sign off ({error}); the registry forgets you within a minute")).await?;
        }
        while let Some(event) = self.events.next().await {
            self.hear(event).await?;
        }
        Ok(())
    }

    fn ask(&mut self) {
        self.input.ask(match &self.selected {
            Some(name) => format!("to {name}> "),
            None => "> ".to_owned(),
        });
    }

    fn update(&self) -> Work {
        let peer = self.peer.clone();
        Box::pin(async move { Done::Update(peer.update().await) })
    }

    /// Asks the registry only when the user is not known yet.
    fn select(&self, name: UserName) -> Work {
        let peer = self.peer.clone();
        Box::pin(async move {
            let asked = if peer.users().contains_key(&name) { Ok(()) } else { peer.update().await.map(drop) };
            Done::Select(name, asked)
        })
    }

    async fn obey(&mut self, typed: Typed) -> Result<Then, Closed> {
        let line = match typed {
            Typed::Line(line) => line,
            Typed::Bad(reason) => {
                self.error(reason).await?;
                return Ok(Then::Next);
            }
            Typed::End | Typed::Interrupt => return Ok(Then::Leave),
        };
        match commands::parse(&line) {
            Ok(Command::Nothing) => {}
            Ok(Command::Update) => return Ok(Then::Wait(self.update())),
            Ok(Command::User(name)) => {
                // While a slow registry is asked, the prompt must not name whom the next line will not go to.
                self.selected = None;
                return Ok(Then::Wait(self.select(name)));
            }
            Ok(Command::Help) => self.screen.show(Shown::Out(HELP.into())).await?,
            Ok(Command::Exit) => return Ok(Then::Leave),
            Ok(Command::Text(text)) => match self.selected.clone() {
                Some(to) => self.send(to, text.to_owned()),
                None => self.error("nobody is chosen; :user NAME chooses whom you write to").await?,
            },
            Err(error) => self.error(error).await?,
        }
        Ok(Then::Next)
    }

    fn send(&mut self, to: UserName, text: String) {
        let (peer, name, sent) = (self.peer.clone(), to.clone(), text.clone());
        self.outbox.push(to, text, async move { peer.send(&name, &sent).await });
    }

    async fn settle(&mut self, done: Done, first: bool) -> Result<(), Closed> {
        match done {
            Done::Update(Ok(users)) => {
                self.registry_known = true;
                let gone = self.selected.take_if(|name| !users.contains_key(name));
                let list = self.screen.style().users(&users, self.peer.name(), self.selected.as_ref());
                self.screen.show(list).await?;
                if let Some(name) = gone {
                    self.notice(format!("{name} is gone; nobody is chosen now")).await?;
                }
            }
            // The loss was told already, and nobody asked.
            Done::Update(Err(_)) if first && self.registry_lost => self.failed = true,
            Done::Update(Err(error)) => self.error(error).await?,
            Done::Select(name, Err(error)) => {
                self.error(format!("cannot look up {name}: {error}")).await?;
            }
            Done::Select(name, Ok(())) => {
                // After a refusal nobody is chosen: what is typed next must not reach whoever was before.
                let entry = self.peer.users().get(&name).cloned();
                match entry {
                    None => self.error(format!("there is no user {name}; :update shows who is there")).await?,
                    Some(entry) if !self.peer.can_reach(entry.address.protocol()) => {
                        let address = entry.address;
                        self.error(format!("{name} is at {address}, which nothing here can reach")).await?;
                    }
                    Some(_) => self.selected = Some(name),
                }
            }
        }
        Ok(())
    }

    async fn hear(&mut self, event: Event) -> Result<(), Closed> {
        match event {
            Event::Message(message) => {
                self.heard.add(&message.from);
                let shown = self.screen.style().message(&message.from, &message.text);
                self.screen.show(shown).await?;
            }
            Event::RegistryLost { reason } => {
                self.registry_lost = true;
                let advice = if self.registry_known { String::new() } else { format!(" ({REGISTRIES})") };
                let shown = self.screen.style().error(format!("{reason}; trying again{advice}"));
                self.screen.show(shown).await?;
            }
            Event::RegistryFound => {
                (self.registry_lost, self.registry_known) = (false, true);
                self.notice("the registry answers again".to_owned()).await?;
            }
            Event::NameLost => {
                let name = self.peer.name();
                let text = format!("the registry knows somebody else as {name} now: others no longer find you");
                self.error(text).await?;
            }
            // Users are shown when asked for; a failure is what the send's own outcome tells.
            _ => {}
        }
        Ok(())
    }

    async fn report(&mut self, outcome: Outcome) -> Result<(), Closed> {
        let Outcome { to, text, result } = outcome;
        match result {
            Ok(Sent::Unconfirmed) if !self.unconfirmed.contains(&to) => {
                self.unconfirmed.insert(to.clone());
                self.notice(format!("{to} confirms nothing: a text may be lost without a word about it")).await
            }
            Ok(_) => Ok(()),
            Err(error) => self.error(format!("{} did not reach {to}: {error}", Beginning(&text))).await,
        }
    }

    async fn notice(&self, text: String) -> Result<(), Closed> {
        self.screen.show(self.screen.style().notice(text)).await
    }

    /// Tells an error, and remembers that there was one.
    async fn error(&mut self, text: impl std::fmt::Display) -> Result<(), Closed> {
        self.failed = true;
        let shown = self.screen.style().error(text);
        self.screen.show(shown).await
    }
}

/// Who wrote lately: their names are completed also before the registry's list is fetched again.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<BTreeSet<UserName>>>);

impl Heard {
    fn add(&self, name: &UserName) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Names in messages are claims, so a stranger could send any number of them.
        if names.len() < HEARD {
            names.insert(name.clone());
        }
    }

    fn names(&self) -> BTreeSet<UserName> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn finished(work: &mut Option<Work>) -> Done {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// Senders whose names are remembered for completion; later ones are completed when the registry lists them.
const HEARD: usize = 256;
/// How long the prompt waits for a command that asks the registry.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long the end waits for messages under way: as long as a UDP peer is tried for, and a little more.
const FAREWELL: Duration = Duration::from_secs(10);
