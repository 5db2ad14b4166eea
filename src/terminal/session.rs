//! A conversation: what the user types, what others say, and what became of what was sent.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::chat;
use super::chat::json::{self, Order};
use super::commands::{Command, Commands};
use super::full::{self, Told as Full};
use super::input::{BARE, Input, Prompt, Typed};
use super::line::{Completer, Gate, Line, complete};
use super::outbox::{Outbox, Outcome};
use super::plain;
use super::screen::{Beginning, Closed, LAST, Screen, Shown, Style};
use super::signals::Signals;
use super::start::Log;
use super::words::{Language, Word};
use crate::client::{Ability, Ask, Ended as Gone, Event as Told, Heard as Said, Place, State, TextId, now};
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

/// How a conversation is shown.
pub(super) struct Manner<'a> {
    pub(super) style: Style,
    pub(super) language: Language,
    /// Events as JSON objects instead of lines for people.
    pub(super) json: bool,
    /// How it is on a full screen, if it is on one.
    pub(super) full: Option<chat::Manner>,
    /// The file for the lines that were typed.
    pub(super) history: Option<PathBuf>,
    /// There is a terminal, and its log must not break the line being typed.
    pub(super) terminal: Option<&'a Log>,
}

/// Talks until the user leaves.
///
/// # Errors
/// What the terminal says.
pub(super) async fn run(peer: Peer, events: Events, manner: Manner<'_>, signals: &mut Signals) -> io::Result<Ended> {
    let Manner { style, language, json, full, history, terminal } = manner;
    let style = Style { language, ..style };
    let gate = Gate::new();
    let heard = Heard::default();
    let (input, screen) = if let (Some(manner), Some(log)) = (&full, terminal) {
        full::open(manner, log)?
    } else if let Some(log) = terminal {
        let (known, heard) = (peer.clone(), heard.clone());
        let commands = Commands::of_peer();
        let completer: Completer = Arc::new(move |typed| {
            complete(typed, &commands, || {
                let mut names = heard.names();
                names.extend(known.users().keys().cloned());
                names.iter().map(|name| name.as_str().to_owned()).collect()
            })
        });
        let mut line = Line::open(completer, history, gate.clone()).map_err(io::Error::other)?;
        let screen = Screen::new(style, line.printer().map_err(io::Error::other)?)?;
        if let Some(why) = line.unkept() {
            screen.show_first(style.error(language.say(Word::NoTyped, &[&why])));
        }
        log.show_on(&screen);
        (Input::new(move |prompt| line.read(prompt))?, screen)
    } else {
        (Input::new(plain::reader())?, Screen::new(style, plain::print)?)
    };
    let mut session = Session {
        peer,
        events,
        input,
        screen,
        commands: Commands::of_peer(),
        outbox: Outbox::default(),
        person: terminal.is_some(),
        selected: None,
        unconfirmed: BTreeSet::new(),
        heard,
        registry_lost: false,
        registry_known: false,
        failed: false,
        language,
        json,
    };
    let talked = tokio::select! {
        biased;
        talked = session.talk() => talked,
        // Outside of it, as it may be waiting for a screen that takes nothing more.
        () = signals.next() => {
            session.screen.hurry();
            Ok(())
        }
    };
    gate.release();
    let left = tokio::select! {
        left = session.leave() => Some(talked.and(left)),
        () = signals.next() => None,
    };
    if left.is_none() {
        session.tell_aborted();
    }
    let failed = session.failed || left.is_some_and(|left| left.is_err());
    tokio::select! {
        () = session.screen.finish() => {}
        () = signals.next() => return Ok(Ended::Aborted),
        () = tokio::time::sleep(LAST), if left.is_none() => {}
    }
    Ok(match left {
        None => Ended::Aborted,
        Some(_) if failed => Ended::WithErrors,
        Some(_) => Ended::Well,
    })
}

struct Session {
    peer: Peer,
    events: Events,
    input: Input,
    screen: Screen,
    commands: Commands,
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
    language: Language,
    /// Events are shown as JSON objects.
    json: bool,
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
    async fn talk(&mut self) -> Result<(), Closed> {
        let name = self.peer.name().clone();
        let place = self.peer.entry().map(|entry| entry.address.to_string()).unwrap_or_default();
        if self.screen.is_full() {
            let can = vec![Ability::Say, Ability::Direct, Ability::Users, Ability::Select];
            let (commands, name) = (self.commands.clone(), Some(name.as_str().to_owned()));
            self.screen
                .tell(Full::Begins { can, commands, name: name.clone(), rooms: Vec::new(), drafts: None })
                .await?;
            self.program(&Told::Connected { name, resumed: None }).await?;
        }
        if self.json {
            let can = |ability| matches!(ability, Ability::Say | Ability::Direct | Ability::Users | Ability::Select);
            self.screen.show(Shown::Out(json::hello("peer", can))).await?;
            let connected = json!({ "event": "connected", "name": name.as_str(), "resumed": null, "address": place });
            self.screen.show(Shown::Out(json::written(&connected))).await?;
        } else {
            self.notice(Word::YouAre, &[&name, &place]).await?;
        }
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
        // Whoever leaves signs off, also when nobody looks any more.
        let mut shown = Ok(());
        if self.person && self.outbox.len() > 0 {
            let count = self.outbox.len();
            shown = self.notice(Word::Waiting, &[&count]).await;
        }
        while self.outbox.len() > 0 {
            let told = tokio::select! {
                outcome = self.outbox.next() => self.report(outcome).await,
                Some(event) = self.events.next() => self.hear(event).await,
                () = tokio::time::sleep_until(until) => {
                    let count = self.outbox.len();
                    shown = self.error(Word::LastUnknown, &[&count]).await.and(shown);
                    break;
                }
            };
            shown = told.and(shown);
        }
        if let Err(error) = self.peer.shutdown().await {
            shown = self.notice(Word::NoSignOff, &[&error]).await.and(shown);
        }
        while let Some(event) = self.events.next().await {
            shown = self.hear(event).await.and(shown);
        }
        self.program(&Told::Ended(Gone::Left { unsettled: self.outbox.len() })).await.and(shown)
    }

    /// Says what was not waited for. A program has been told of each text.
    fn tell_aborted(&self) {
        let count = self.outbox.len();
        if count > 0 && !self.json {
            let text = self.language.say(Word::LastUnknown, &[&count]);
            self.screen.show_at_once(self.screen.style().error(text));
        }
    }

    fn ask(&mut self) {
        self.input.ask(Prompt::always(match &self.selected {
            Some(name) => self.language.say(Word::PromptTo, &[name]),
            None => BARE.to_owned(),
        }));
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
            Typed::Bad(word, why) => {
                self.error(word, &[&why]).await?;
                return Ok(Then::Next);
            }
            Typed::End | Typed::Interrupt => return Ok(Then::Leave),
            Typed::Say { to, text } => {
                self.say(to.as_deref().map(user), text, None).await?;
                return Ok(Then::Next);
            }
            Typed::Ask(Ask::Select { to }) => return self.choose(user(&to)).await,
            Typed::Ask(_) => return Ok(Then::Next),
        };
        if self.json && line.trim_start().starts_with('{') {
            return self.carry_out(&line).await;
        }
        match self.commands.parse(&line) {
            Ok(Command::Nothing) => {}
            Ok(Command::Users) => return Ok(Then::Wait(self.update())),
            Ok(Command::User(name)) => return self.choose(name).await,
            Ok(Command::Help) => {
                let help = self.commands.help(self.language);
                self.screen.show(Shown::Out(if self.json { json::answer(&help) } else { help })).await?;
            }
            Ok(Command::Exit) => return Ok(Then::Leave),
            Ok(Command::Text(text)) => self.say(None, text.to_owned(), None).await?,
            Ok(Command::Direct(to, text)) => self.say(Some(to), text.to_owned(), None).await?,
            Ok(Command::Status) => self.status().await?,
            // The table gives a peer no others.
            Ok(_) => {}
            Err(error) => self.wrong(error.say(self.language)).await?,
        }
        Ok(Then::Next)
    }

    async fn status(&self) -> Result<(), Closed> {
        let place = self.peer.entry().map(|entry| entry.address.to_string()).unwrap_or_default();
        let say = |word, places: &[&dyn Display]| self.language.say(word, places);
        let goes = match &self.selected {
            Some(name) => say(Word::GoTo, &[name]),
            None => say(Word::NobodyChosen, &[]),
        };
        let count = self.outbox.len();
        let connection = say(Word::PeerAt, &[self.peer.name(), &place]);
        if self.json {
            let to = self.selected.as_ref().map(UserName::as_str);
            return self.screen.show(Shown::Out(json::status(&connection, to, count))).await;
        }
        for line in [connection, goes, say(Word::StatusWaiting, &[&count])] {
            self.screen.show(self.screen.style().notice(line)).await?;
        }
        Ok(())
    }

    /// Does what a program says.
    async fn carry_out(&mut self, line: &str) -> Result<Then, Closed> {
        match json::order(line) {
            Ok(Order::Exit) => return Ok(Then::Leave),
            Ok(Order::Ask(Ask::Users { room: None })) => return Ok(Then::Wait(self.update())),
            Ok(Order::Ask(Ask::Select { to })) => return self.choose(&to).await,
            Ok(Order::Ask(_)) => self.error(Word::Unsupported, &[]).await?,
            Ok(Order::Say { to, text, reference }) => self.say(to.as_deref(), text, reference).await?,
            Err(reason) => self.error(Word::BadJson, &[&reason]).await?,
        }
        Ok(Then::Next)
    }

    async fn choose(&mut self, name: &str) -> Result<Then, Closed> {
        let name = match UserName::new(name) {
            Ok(name) => name,
            Err(error) => {
                self.error(Word::BadName, &[&error]).await?;
                return Ok(Then::Next);
            }
        };
        // While a slow registry is asked, the prompt must not name whom the next line will not go to.
        self.selected = None;
        Ok(Then::Wait(self.select(name)))
    }

    /// Sends a text to somebody, whom only a program names, or to whom was chosen.
    async fn say(&mut self, to: Option<&str>, text: String, reference: Option<Value>) -> Result<(), Closed> {
        let to = match to.map(UserName::new) {
            Some(Ok(name)) => name,
            Some(Err(error)) => return self.error(Word::BadName, &[&error]).await,
            None => match self.selected.clone() {
                Some(name) => name,
                None => return self.error(Word::NobodyChosen, &[]).await,
            },
        };
        let id = TextId::random();
        if self.json {
            self.screen.show(Shown::Out(json::taken(&id, reference.as_ref()))).await?;
            self.program(&Told::State { id: id.clone(), state: State::Queued }).await?;
        } else if self.screen.is_full() {
            let (id, to) = (id.clone(), Some(format!("@{to}")));
            self.screen.tell(Full::Taken { id, to, text: text.as_str().into() }).await?;
        }
        let (peer, name, sent) = (self.peer.clone(), to.clone(), text.clone());
        self.outbox.push(id, to, text, async move { peer.send(&name, &sent).await });
        Ok(())
    }

    async fn settle(&mut self, done: Done, first: bool) -> Result<(), Closed> {
        match done {
            Done::Update(Ok(users)) => {
                self.registry_known = true;
                let gone = self.selected.take_if(|name| !users.contains_key(name));
                self.show_users(&users, first).await?;
                if let Some(name) = gone {
                    self.notice(Word::Gone, &[&name]).await?;
                    self.program(&Told::Selected { to: None }).await?;
                }
            }
            // The loss was told already, and nobody asked.
            Done::Update(Err(_)) if first && self.registry_lost => self.failed = true,
            Done::Update(Err(error)) => self.wrong(error).await?,
            Done::Select(name, Err(error)) => self.error(Word::CannotLookUp, &[&name, &error]).await?,
            Done::Select(name, Ok(())) => {
                // After a refusal nobody is chosen: what is typed next must not reach whoever was before.
                let entry = self.peer.users().get(&name).cloned();
                match entry {
                    None => self.error(Word::NoUser, &[&name]).await?,
                    Some(entry) if !self.peer.can_reach(entry.address.protocol()) => {
                        self.error(Word::Unreachable, &[&name, &entry.address]).await?;
                    }
                    Some(_) => {
                        self.program(&Told::Selected { to: Some(name.as_str().to_owned()) }).await?;
                        self.selected = Some(name);
                    }
                }
            }
        }
        Ok(())
    }

    async fn show_users(&self, users: &Users, first: bool) -> Result<(), Closed> {
        if self.screen.is_full() {
            let names = users.keys().map(|name| name.as_str().to_owned()).collect();
            self.screen.tell(Full::Event(Told::Users { room: None, names })).await?;
            // They stand in a list of their own, but for where they are.
            if first {
                return Ok(());
            }
        }
        if !self.json {
            let list = self.screen.style().users(users, self.peer.name(), self.selected.as_ref());
            return self.screen.show(list).await;
        }
        let names: Vec<_> = users.keys().map(UserName::as_str).collect();
        let addresses: Map<_, _> =
            users.iter().map(|(name, entry)| (name.as_str().to_owned(), entry.address.to_string().into())).collect();
        let told = json!({ "event": "users", "room": null, "names": names, "addresses": addresses });
        self.screen.show(Shown::Out(json::written(&told))).await
    }

    async fn hear(&mut self, event: Event) -> Result<(), Closed> {
        match event {
            Event::Message(message) => {
                self.heard.add(&message.from);
                if !self.json && !self.screen.is_full() {
                    let shown = self.screen.style().message(&message.from, &message.text);
                    return self.screen.show(shown).await;
                }
                let (from, text) = (message.from.as_str().to_owned(), message.text.clone());
                let (place, at) = (Place::Direct, now());
                let heard = Said { from, text, place, at, position: None, id: None, past: false, own: false };
                self.program(&Told::Message(heard)).await?;
            }
            Event::RegistryLost { reason } => {
                self.registry_lost = true;
                let advice = self.language.text(Word::Registries);
                let advice = if self.registry_known { String::new() } else { format!(" ({advice})") };
                self.tell(&self.language.say(Word::RegistryLost, &[&reason, &advice])).await?;
            }
            Event::RegistryFound => {
                (self.registry_lost, self.registry_known) = (false, true);
                self.notice(Word::RegistryFound, &[]).await?;
            }
            Event::NameLost => {
                let name = self.peer.name().clone();
                self.error(Word::NameLost, &[&name]).await?;
            }
            // Users are shown when asked for; a failure is what the send's own outcome tells.
            _ => {}
        }
        Ok(())
    }

    async fn report(&mut self, outcome: Outcome) -> Result<(), Closed> {
        let Outcome { id, to, text, result } = outcome;
        let state = match &result {
            Ok(Sent::Unconfirmed) => State::Sent,
            Ok(_) => State::Delivered { by: 1, of: 1 },
            Err(error) => State::Failed(error.to_string()),
        };
        self.program(&Told::State { id, state }).await?;
        match result {
            Ok(Sent::Unconfirmed) if !self.unconfirmed.contains(&to) => {
                self.unconfirmed.insert(to.clone());
                self.notice(Word::ConfirmsNothing, &[&to]).await
            }
            Ok(_) => Ok(()),
            Err(_) if self.json || self.screen.is_full() => {
                self.failed = true;
                Ok(())
            }
            Err(error) => self.error(Word::NotReached, &[&Beginning(&text, self.language), &to, &error]).await,
        }
    }

    /// Tells a program, or a full screen, if there is one that listens.
    async fn program(&self, told: &Told) -> Result<(), Closed> {
        if self.screen.is_full() {
            return self.screen.tell(Full::Event(told.clone())).await;
        }
        if self.json { self.screen.show(Shown::Out(json::event(told))).await } else { Ok(()) }
    }

    async fn notice(&self, word: Word, places: &[&dyn Display]) -> Result<(), Closed> {
        let text = self.language.say(word, places);
        if self.json {
            return self.program(&Told::Notice(text)).await;
        }
        self.screen.show(self.screen.style().notice(text)).await
    }

    /// Tells an error, and remembers that there was one.
    async fn error(&mut self, word: Word, places: &[&dyn Display]) -> Result<(), Closed> {
        let text = self.language.say(word, places);
        self.wrong(text).await
    }

    async fn wrong(&mut self, text: impl Display) -> Result<(), Closed> {
        self.failed = true;
        self.tell(&text.to_string()).await
    }

    /// Tells what goes wrong.
    async fn tell(&self, text: &str) -> Result<(), Closed> {
        let shown = if self.json { Shown::Out(json::error(text)) } else { self.screen.style().error(text) };
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

/// A user, as a full screen names one's place.
fn user(place: &str) -> &str {
    place.strip_prefix('@').unwrap_or(place)
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
