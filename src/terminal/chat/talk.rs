//! The conversation itself.

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use super::json::{self, ABILITIES, Order};
use super::own::Own;
use super::tell::{Here, seconds};
use super::{Front, lock};
use crate::client::{Ability, Ask, Client, Ended, Event, Events, Happened, State};
use crate::terminal::commands::{Command, Commands};
use crate::terminal::full::Told;
use crate::terminal::input::{BARE, Prompt, Typed};
use crate::terminal::screen::{Closed, Shown};
use crate::terminal::signals::Signals;
use crate::terminal::words::Word;

/// How a conversation ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The user left. `well`: everything that was asked for was done; else each thing that was not was told.
    Left { well: bool },
    /// The user did not want to wait for the end.
    Aborted,
    /// An option is wrong.
    Usage,
    /// The server does not let the user in.
    Refused,
    /// The connection is lost, and there was to be one only.
    Lost,
}

/// A conversation.
pub(super) struct Talk<'a> {
    front: &'a mut Front,
    client: Client,
    events: Events,
    /// Events that came while something else was waited for.
    behind: VecDeque<Event>,
    commands: Commands,
    own: Own,
    here: Here,
    connection: Connection,
    /// Where texts went before another place was asked for, which is not known yet.
    went: Option<String>,
    /// Texts go to a room that is not entered yet.
    entering: bool,
    /// No room that was wanted could be entered.
    nowhere: bool,
    /// When the user is asked for a line, also if it is not known yet where that goes.
    prompt_at: Instant,
    failed: bool,
    /// How the last search goes on, where it does.
    older: Option<Ask>,
    ended: Option<Ended>,
}

/// How the connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Connection {
    New,
    Up,
    Down { until: Instant, ever: bool },
}

impl<'a> Talk<'a> {
    pub(super) fn new(client: Client, events: Events, front: &'a mut Front) -> Self {
        let commands = Commands::of_client(|ability| client.can(ability));
        lock(&front.known).commands = Some(commands.clone());
        front.gate.hold();
        front.gate.set_offline(true);
        Self {
            client,
            events,
            behind: VecDeque::new(),
            commands,
            own: Own::default(),
            here: Here { name: front.name.take(), ..Here::default() },
            front,
            connection: Connection::New,
            went: None,
            entering: false,
            nowhere: false,
            prompt_at: Instant::now() + PATIENCE,
            failed: false,
            older: None,
            ended: None,
        }
    }

    /// Talks to the end.
    pub(super) async fn run(mut self, signals: &mut Signals) -> Outcome {
        let talked = tokio::select! {
            biased;
            talked = self.talk() => talked,
            // Outside of it, as it may be waiting for a screen that takes nothing more.
            () = signals.next() => {
                self.front.screen.hurry();
                Ok(())
            }
        };
        self.front.gate.release();
        let left = tokio::select! {
            left = self.leave() => talked.and(left),
            () = signals.next() => {
                self.tell_aborted();
                return Outcome::Aborted;
            }
        };
        match self.ended {
            Some(Ended::Refused(_)) => Outcome::Refused,
            Some(Ended::Lost(_)) => Outcome::Lost,
            _ => Outcome::Left { well: !self.failed && left.is_ok() },
        }
    }

    async fn talk(&mut self) -> Result<(), Closed> {
        if self.front.screen.is_full() {
            let can =
                ABILITIES.iter().map(|(ability, _)| *ability).filter(|ability| self.client.can(*ability)).collect();
            let (commands, name) = (self.commands.clone(), self.here.name.clone());
            let rooms = std::mem::take(&mut self.front.rooms);
            let drafts = self.front.drafts.take();
            self.front.screen.tell(Told::Begins { can, commands, name, rooms, drafts }).await?;
        } else if self.front.manner.json {
            let hello = json::hello(self.front.manner.mode, |ability| self.client.can(ability));
            self.front.show(Shown::Out(hello)).await?;
        } else if !self.front.manner.deaf {
            let connecting = self.front.screen.style().notice(self.front.say(Word::Connecting, &[]));
            self.front.step(connecting).await?;
        }
        loop {
            self.catch_up().await?;
            if self.ended.is_some() {
                return Ok(());
            }
            // What a pipe says at once is not to be refused for want of a connection that is about to stand.
            let listens = self.front.person || self.connection != Connection::New;
            let listens = listens && !self.front.manner.deaf;
            if listens && (!self.front.person || Instant::now() >= self.prompt_at) {
                let prompt = self.prompt();
                self.front.input.ask(prompt);
            }
            let due = self.own.due();
            tokio::select! {
                event = self.events.next() => match event {
                    Some(event) => self.hear(event).await?,
                    None => return Ok(()),
                },
                typed = self.front.input.next(), if listens => {
                    if self.obey(typed).await? {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep_until(self.prompt_at), if self.front.person && !self.front.input.is_asked() => {}
                () = until(due) => self.show_states(Some(Instant::now())).await?,
                () = self.front.screen.closed() => return Err(Closed),
            }
        }
    }

    /// Says goodbye when what is under way has arrived and what was asked is answered, and shows what came until then.
    async fn leave(&mut self) -> Result<(), Closed> {
        // What was typed is said, also when nobody looks any more.
        let mut shown = self.tell_waiting().await;
        if self.ended.is_none() {
            let client = self.client.clone();
            self.meanwhile(client.leave()).await;
        }
        shown = self.catch_up().await.and(shown);
        while let Some(event) = self.events.next().await {
            shown = self.hear(event).await.and(shown);
        }
        shown?;
        self.show_states(None).await?;
        if self.front.manner.json { Ok(()) } else { self.tell_end().await }
    }

    /// Says what the user who leaves must wait for.
    async fn tell_waiting(&self) -> Result<(), Closed> {
        let unsettled = self.own.unsettled(self.front.manner.unconfirmed);
        if self.front.person && unsettled > 0 && self.ended.is_none() {
            self.notice(Word::Waiting, &[&unsettled]).await?;
        }
        Ok(())
    }

    /// Says what was not done when it ended.
    async fn tell_end(&mut self) -> Result<(), Closed> {
        match self.ended.clone() {
            Some(Ended::Left { unsettled }) => {
                for text in self.open_texts(unsettled) {
                    self.wrong(&text).await?;
                }
                Ok(())
            }
            Some(Ended::Refused(reason)) => {
                let reason = self.front.manner.taken(&reason).unwrap_or(reason);
                self.error(Word::NotLetIn, &[&reason]).await
            }
            Some(Ended::Lost(reason)) => {
                let word = if self.was_connected() { Word::EndedLost } else { Word::EndedUnreached };
                let server = self.front.manner.server.clone();
                self.error(word, &[&server, &reason]).await
            }
            _ => Ok(()),
        }
    }

    /// What becomes of so many texts of which nobody knows whether they arrived.
    fn open_texts(&self, unsettled: usize) -> Vec<String> {
        let say = |word, count: usize| (count > 0).then(|| self.front.say(word, &[&count]));
        if self.front.manner.keeps {
            return say(Word::UnsettledKept, unsettled).into_iter().collect();
        }
        let unsent = self.own.unsent().min(unsettled);
        [say(Word::NeverSent, unsent), say(Word::Unsettled, unsettled - unsent)].into_iter().flatten().collect()
    }

    /// The same for whoever does not wait for the end. A program has been told how far each came.
    fn tell_aborted(&self) {
        if self.front.manner.json || self.ended.is_some() {
            return;
        }
        let unsettled = self.own.unsettled(self.front.manner.unconfirmed);
        for text in self.open_texts(unsettled) {
            self.front.screen.show_at_once(self.front.screen.style().error(text));
        }
    }

    /// Waits for something that the client does, which may have more to tell first.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                done = &mut future => return done,
                // A client to which nobody listens hears no more, and does what it was asked all the same.
                event = self.events.next(), if self.behind.len() < BEHIND => match event {
                    Some(event) => self.behind.push_back(event),
                    None => return future.await,
                },
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), Closed> {
        while let Some(event) = self.behind.pop_front() {
            self.hear(event).await?;
        }
        Ok(())
    }

    fn prompt(&self) -> Prompt {
        let goes = match (&self.here.name, &self.here.to) {
            (Some(name), _) if self.front.manner.named => format!("{name} > "),
            (_, Some(to)) => self.front.say(Word::PromptTo, &[to]),
            _ => BARE.to_owned(),
        };
        Prompt::new(&goes, self.front.manner.language.text(Word::Offline), self.connection == Connection::Up)
    }

    /// Does what a line says; true when that is to leave.
    async fn obey(&mut self, typed: Typed) -> Result<bool, Closed> {
        let line = match typed {
            Typed::Line(line) => line,
            Typed::Bad(word, why) => {
                self.error(word, &[&why]).await?;
                return Ok(false);
            }
            Typed::End | Typed::Interrupt => return Ok(true),
            Typed::Say { to, text } => {
                self.say(to.as_deref(), &text, None).await?;
                return Ok(false);
            }
            Typed::Ask(ask) => {
                self.ask(ask).await?;
                return Ok(false);
            }
        };
        if self.front.manner.json && line.trim_start().starts_with('{') {
            return self.carry_out(&line).await;
        }
        let command = match self.commands.parse(&line) {
            Ok(command) => command,
            Err(error) => {
                self.wrong(&error.say(self.front.manner.language)).await?;
                return Ok(false);
            }
        };
        let text = |text: &str| text.to_owned();
        let ask = match command {
            Command::Nothing => return Ok(false),
            Command::Exit => return Ok(true),
            Command::Text(line)
                if self.front.manner.familiar && line.starts_with(OWN) && self.client.can(Ability::Own) =>
            {
                if line.trim() == LEAVES {
                    self.tell_waiting().await?;
                }
                Ask::Own { command: text(line) }
            }
            Command::Text(text) => {
                self.say(None, text, None).await?;
                return Ok(false);
            }
            Command::Direct(to, text) => {
                self.say(Some(to), text, None).await?;
                return Ok(false);
            }
            Command::Help => {
                let help = self.commands.help(self.front.manner.language);
                self.answer(help).await?;
                return Ok(false);
            }
            Command::Status => {
                self.status().await?;
                return Ok(false);
            }
            Command::Users => Ask::Users { room: None },
            Command::User(to) => Ask::Select { to: text(to) },
            Command::Rooms => Ask::Rooms,
            Command::Enter(room) => Ask::Enter { room: text(room) },
            Command::Create(room) => Ask::Create { room: text(room) },
            Command::Leave(room) => Ask::Leave { room: room.map(text) },
            Command::Rename(name) => Ask::Rename { name: text(name) },
            Command::History(count) => Ask::History { room: None, before: None, limit: count.unwrap_or(HISTORY) },
            Command::Search(what) => Ask::Search { room: None, text: text(what), before: None },
            Command::More => match self.older.take() {
                Some(older) => older,
                None => return self.error(Word::NoMore, &[]).await.map(|()| false),
            },
            Command::Own(command) => Ask::Own { command: text(command) },
        };
        self.ask(ask).await?;
        Ok(false)
    }

    /// Does what a program says; true when that is to leave.
    async fn carry_out(&mut self, line: &str) -> Result<bool, Closed> {
        match json::order(line) {
            Ok(Order::Exit) => return Ok(true),
            Ok(Order::Ask(ask)) => self.ask(ask).await?,
            Ok(Order::Say { to, text, reference }) => self.say(to.as_deref(), &text, reference).await?,
            Err(reason) => self.error(Word::BadJson, &[&reason]).await?,
        }
        Ok(false)
    }

    async fn say(&mut self, to: Option<&str>, text: &str, reference: Option<serde_json::Value>) -> Result<(), Closed> {
        let client = self.client.clone();
        match self.meanwhile(client.say(to, text)).await {
            Ok(id) => {
                if self.front.manner.json {
                    self.front.show(Shown::Out(json::taken(&id, reference.as_ref()))).await?;
                } else if self.front.screen.is_full() {
                    let told = Told::Taken { id: id.clone(), to: to.map(str::to_owned), text: text.into() };
                    self.front.screen.tell(told).await?;
                }
                self.own.add(id, text.into());
                Ok(())
            }
            Err(refused) => self.wrong(&self.front.refused(&refused)).await,
        }
    }

    async fn ask(&mut self, ask: Ask) -> Result<(), Closed> {
        if matches!(ask.kind(), Ability::Select | Ability::Enter | Ability::Create | Ability::Leave | Ability::Rename) {
            self.prompt_at = Instant::now() + PATIENCE;
        }
        self.entering = matches!(ask.kind(), Ability::Enter | Ability::Create);
        if ask.kind() == Ability::Select {
            // Until it is known, the prompt must not name whom the next line will not go to.
            self.went = self.here.to.take();
        }
        let client = self.client.clone();
        match self.meanwhile(client.ask(ask)).await {
            Ok(()) => Ok(()),
            Err(refused) => self.wrong(&self.front.refused(&refused)).await,
        }
    }

    async fn hear(&mut self, event: Event) -> Result<(), Closed> {
        let mut shown = true;
        match &event {
            Event::Connected { name, resumed } => {
                self.here.name.clone_from(name);
                let first = !self.was_connected();
                self.connection = Connection::Up;
                self.front.gate.set_offline(false);
                if !self.client.can(Ability::Select) {
                    self.prompt_at = Instant::now();
                }
                self.show(&event).await?;
                self.here.connected();
                let wanted = self.front.manner.history > 0 && !self.nowhere && self.client.can(Ability::History);
                if first && resumed.is_none() && wanted {
                    let limit = self.front.manner.history;
                    self.ask(Ask::History { room: None, before: None, limit }).await?;
                }
                return Ok(());
            }
            Event::Lost { reason, retry_in } => {
                shown = self.here.lost(reason);
                self.prompt_at = Instant::now();
                self.front.gate.set_offline(true);
                let ever = self.was_connected();
                self.connection = Connection::Down { until: Instant::now() + *retry_in, ever };
            }
            Event::Ended(ended) => {
                self.ended = Some(ended.clone());
                if self.front.manner.json {
                    // The end is the last object.
                    self.tell_end().await?;
                }
            }
            Event::Message(message) => {
                // What was typed here stands there already, and its state says the rest.
                shown = !(message.own && !message.past && message.id.as_ref().is_some_and(|id| self.own.knows(id)));
                self.know(&message.from);
                if !message.past {
                    self.failed |= !self.front.record(message).await?;
                }
            }
            Event::Found { room, text, before, .. } => {
                self.older = before.map(|before| Ask::Search {
                    room: Some(room.clone()),
                    text: text.clone(),
                    before: Some(before),
                });
            }
            Event::Restored { id, text, .. } => self.own.add(id.clone(), text.clone()),
            Event::State { id, state } => {
                self.failed |= matches!(state, State::Failed(_));
                self.own.advance(id, state, Instant::now());
            }
            Event::Happened { user, what, .. } => {
                if *what == Happened::Joined && self.here.name.as_ref() == Some(user) && self.entering {
                    self.entering = false;
                    self.prompt_at = Instant::now();
                }
                if let Happened::Renamed(to) = what {
                    if self.here.name.as_ref() == Some(user) {
                        self.prompt_at = Instant::now();
                        self.here.name = Some(to.clone());
                    }
                    self.know(to);
                }
                self.know(user);
            }
            Event::Users { names, .. } | Event::Rooms(names) => names.iter().for_each(|name| self.know(name)),
            Event::Refused { code, .. } => {
                self.failed = true;
                self.entering = false;
                // Where texts go instead is told next.
                self.prompt_at = Instant::now() + SOON;
                let went = self.went.take();
                // Where there are no rooms texts wait for whoever is wanted, if that can be anybody.
                let waits = !self.client.can(Ability::Enter) && code.as_deref() != Some("bad_nickname");
                if self.here.to.is_none() && !waits {
                    self.here.to = went;
                }
            }
            Event::Selected { to } => {
                shown = self.here.to != *to || to.is_none() || self.went.take().is_some_and(|went| Some(went) != *to);
                self.nowhere = to.is_none();
                if !self.entering {
                    self.prompt_at = Instant::now();
                }
                self.here.to.clone_from(to);
            }
            _ => {}
        }
        if shown || self.front.is_told() { self.show(&event).await } else { Ok(()) }
    }

    async fn show(&self, event: &Event) -> Result<(), Closed> {
        if self.front.is_told() {
            return self.front.tell_event(event).await;
        }
        match self.front.told(event, &self.here) {
            Some(step) if matches!(event, Event::Connected { .. } | Event::Lost { .. }) => self.front.step(step).await,
            Some(shown) => self.front.show(shown).await,
            None => Ok(()),
        }
    }

    /// Shows how far own texts came, where that stays so; at the end, everything.
    async fn show_states(&mut self, now: Option<Instant>) -> Result<(), Closed> {
        for (text, state) in self.own.take(now) {
            // A program was told each as it came.
            if !self.front.is_told() {
                self.front.show(self.front.state(&text, &state)).await?;
            }
        }
        Ok(())
    }

    async fn status(&self) -> Result<(), Closed> {
        let (front, name) = (&self.front, self.here.name.as_deref());
        let connection = match (self.connection, name) {
            (Connection::Up, Some(name)) => front.say(Word::ConnectedAs, &[&name]),
            (Connection::Up, None) => front.say(Word::Connected, &[]),
            (Connection::New, _) => front.say(Word::StatusConnecting, &[]),
            (Connection::Down { until, .. }, _) => {
                let left = until.saturating_duration_since(Instant::now());
                front.say(Word::StatusOffline, &[&seconds(left)])
            }
        };
        let goes = match &self.here.to {
            Some(to) => front.say(Word::GoTo, &[to]),
            None => String::new(),
        };
        let waiting = front.say(Word::StatusWaiting, &[&self.own.unsettled(self.front.manner.unconfirmed)]);
        if front.manner.json {
            return front
                .show(Shown::Out(json::status(
                    &connection,
                    self.here.to.as_deref(),
                    self.own.unsettled(self.front.manner.unconfirmed),
                )))
                .await;
        }
        let style = front.screen.style();
        let lines = [connection].into_iter().chain(front.manner.place.iter().cloned()).chain([goes, waiting]);
        for line in lines.filter(|line| !line.is_empty()) {
            front.show(style.notice(line)).await?;
        }
        for text in self.own.last() {
            if let Some(state) = &text.state {
                front.show(front.state(&text.text, state)).await?;
            }
        }
        Ok(())
    }

    fn was_connected(&self) -> bool {
        matches!(self.connection, Connection::Up | Connection::Down { ever: true, .. })
    }

    /// Remembers a name that may be typed again.
    fn know(&self, name: &str) {
        let mut known = lock(&self.front.known);
        // Anybody may come under any number of names.
        if known.names.len() < KNOWN && name.len() <= LONGEST_NAME {
            known.names.insert(name.to_owned());
        }
    }

    /// Shows what was asked for of this program itself.
    async fn answer(&self, text: String) -> Result<(), Closed> {
        let text = if self.front.manner.json { json::answer(&text) } else { text };
        self.front.show(Shown::Out(text)).await
    }

    async fn notice(&self, word: Word, places: &[&dyn Display]) -> Result<(), Closed> {
        if self.front.manner.json {
            return Ok(());
        }
        let line = self.front.screen.style().notice(self.front.say(word, places));
        self.front.show(line).await
    }

    async fn error(&mut self, word: Word, places: &[&dyn Display]) -> Result<(), Closed> {
        let text = self.front.say(word, places);
        self.wrong(&text).await
    }

    /// Tells what was not done, and remembers that.
    async fn wrong(&mut self, text: &str) -> Result<(), Closed> {
        self.failed = true;
        self.front.error(text).await
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// What commands of a console server begin with.
const OWN: &str = "cmd!";
/// The one of them that leaves.
const LEAVES: &str = "cmd!client_exit";
/// Names that are remembered to be completed.
const KNOWN: usize = 1024;
/// Events that wait while something else is waited for.
const BEHIND: usize = 1024;
/// Bytes of a name that somebody types.
const LONGEST_NAME: usize = 256;
/// Messages that `:history` shows, where none says how many.
const HISTORY: usize = 20;
/// How long the prompt waits to know where the next line goes.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long it waits for what follows a refusal at once.
const SOON: Duration = Duration::from_millis(30);
