//! A client of the library's, and what it hears.

use talk::client::room::Options;
use talk::client::{Client, Ended, Event, Events, Heard, State, TextId};

use super::raw::LONG;

pub(crate) struct Listener {
    pub(crate) client: Client,
    events: Events,
    /// Everything that was heard.
    pub(crate) heard: Vec<Event>,
    /// How much of that `others` has looked at.
    seen: usize,
}

/// A client in `global`.
pub(crate) fn user(port: u16, name: &str) -> Listener {
    listener(by_itself(port, name).enter("global"))
}

/// Options for a client of a server on this machine.
pub(crate) fn by_itself(port: u16, name: &str) -> Options {
    Options::new(&format!("http://127.0.0.1:{port}"), name)
}

pub(crate) fn listener(options: Options) -> Listener {
    Listener::of(options.connect().unwrap())
}

impl Listener {
    pub(crate) fn of((client, events): (Client, Events)) -> Self {
        Self { client, events, heard: Vec::new(), seen: 0 }
    }

    pub(crate) async fn next(&mut self) -> Event {
        let event = tokio::time::timeout(LONG, self.events.next()).await;
        let event = event.unwrap_or_else(|_| panic!("nothing more after {:#?}", self.last()));
        let event = event.unwrap_or_else(|| panic!("it ended after {:#?}", self.last()));
        self.heard.push(event.clone());
        event
    }

    fn last(&self) -> &[Event] {
        &self.heard[self.heard.len().saturating_sub(20)..]
    }

    /// The next event for which `wanted` says yes.
    pub(crate) async fn until(&mut self, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        for _ in 0..100_000 {
            let event = self.next().await;
            if wanted(&event) {
                return event;
            }
        }
        panic!("it never came");
    }

    /// The name and `resumed` of the next connection.
    pub(crate) async fn connected(&mut self) -> (Option<String>, Option<bool>) {
        match self.until(|event| matches!(event, Event::Connected { .. } | Event::Ended(_))).await {
            Event::Connected { name, resumed } => (name, resumed),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn message(&mut self) -> Heard {
        match self.until(|event| matches!(event, Event::Message(message) if !message.own)).await {
            Event::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    /// The next texts of somebody, also of what was heard while waiting for something else.
    pub(crate) async fn others(&mut self, from: &str, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            if self.seen == self.heard.len() {
                self.next().await;
            }
            if let Event::Message(message) = &self.heard[self.seen]
                && message.from == from
            {
                texts.push(message.text.to_string());
            }
            self.seen += 1;
        }
        texts
    }

    pub(crate) async fn say(&mut self, text: &str) -> TextId {
        self.client.say(None, text).await.unwrap()
    }

    /// Waits until a text has come so far.
    pub(crate) async fn until_state(&mut self, id: &TextId, state: &State) {
        let wanted = Event::State { id: id.clone(), state: state.clone() };
        if !self.heard.contains(&wanted) {
            self.until(|event| *event == wanted).await;
        }
    }

    /// All states of a text up to this one.
    pub(crate) async fn states_of(&mut self, id: &TextId, last: &State) -> Vec<State> {
        self.until_state(id, last).await;
        let states = self.heard.iter().filter_map(|event| match event {
            Event::State { id: of, state } if of == id => Some(state.clone()),
            _ => None,
        });
        states.collect()
    }

    /// Leaves, and how it ended.
    pub(crate) async fn leave(&mut self) -> Ended {
        self.client.leave().await;
        self.ended().await
    }

    pub(crate) async fn ended(&mut self) -> Ended {
        match self.until(|event| matches!(event, Event::Ended(_))).await {
            Event::Ended(ended) => ended,
            other => panic!("{other:?}"),
        }
    }
}
