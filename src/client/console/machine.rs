//! What is said on a console connection, without the connection.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::line::{CLOSED, Line, RESET, UNCONFIRMED};
use crate::address::Host;
use crate::client::driver::{Connecting, NoLine, Protocol, Turn};
use crate::client::outbox::Text;
use crate::client::{Ability, Ask, Ended, Event, Happened, Heard, Place, Refused, TextId, now};
use crate::codec::console::{self as codec, Kind, MAX_SENT, PACE, Said, encode_message, encode_said};
use crate::text::{clean, one_line};

/// Where the server is.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) timeout: Duration,
}

/// One client's knowledge of its connection.
#[derive(Debug)]
pub(super) struct Machine {
    dial: Dial,
    name: String,
    /// The first object, in which there may be a secret.
    hello: Hello,
    longest: usize,
    opened: Option<Instant>,
    /// When the connection counts as good, unless it is closed before: nothing else says that a name is refused.
    settles: Option<Instant>,
    /// Whether a server ever took this name.
    known: bool,
    /// How many connections in a row were closed soon, and without a word.
    wordless: u32,
    /// The text that is being written.
    saying: Option<Saying>,
    /// Texts that may not have arrived, if the connection breaks now.
    sent: VecDeque<(TextId, Instant)>,
    /// How far back that goes.
    doubt: Duration,
    asked: VecDeque<Asked>,
    garbage: u32,
    /// The goodbye is written.
    parting: bool,
}

/// The first object.
struct Hello(String);

impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

#[derive(Debug)]
struct Saying {
    id: TextId,
    text: String,
    /// It was told as a message before.
    told: bool,
}

/// A question that was put to the server.
#[derive(Debug)]
struct Asked {
    /// Whether it was for how many are there.
    count: bool,
    /// Whether the answer is wanted as such, and not as the server words it.
    users: bool,
    until: Instant,
}

impl Machine {
    pub(super) fn new(dial: Dial, name: String, hello: String, longest: usize) -> Self {
        Self {
            dial,
            name,
            hello: Hello(hello),
            longest,
            opened: None,
            settles: None,
            known: false,
            wordless: 0,
            saying: None,
            sent: VecDeque::new(),
            doubt: UNSEEN,
            asked: VecDeque::new(),
            garbage: 0,
            parting: false,
        }
    }

    /// The connection is good.
    fn settle(&mut self, turn: &mut Turn<'_, String>) {
        if self.settles.take().is_some() {
            turn.connected(Some(self.name.clone()), None);
        }
    }

    fn system(&mut self, sender: String, text: String, turn: &mut Turn<'_, String>) {
        if text == format!("Client '{sender}' left the chat") {
            turn.tell(Event::Happened { room: None, user: sender, what: Happened::Left });
            return;
        }
        let count = text.strip_prefix(COUNT).filter(|count| count.bytes().all(|b| b.is_ascii_digit()));
        let answers = |asked: &Asked| asked.count == count.is_some();
        let asked = self.asked.iter().position(answers).and_then(|at| self.asked.remove(at));
        match count {
            Some(count) if asked.is_some_and(|asked| asked.users) => {
                turn.tell(Event::Users { room: None, names: vec![count.to_owned()] });
            }
            _ => {
                turn.tell(Event::Notice(text));
            }
        }
    }

    fn command(&mut self, typed: &str, users: bool, turn: &mut Turn<'_, String>) {
        let typed = typed.strip_prefix(MARK).unwrap_or(typed);
        let object = encode_said(&Said::Command(format!("{MARK}{}", one_line(&clean(typed)))));
        if typed.is_empty() || object.len() > MAX_SENT {
            turn.refuse("a command has a word, and not a thousand bytes", Some("argument"));
        } else if LEAVING.contains(&typed) {
            turn.leave();
        } else if !turn.online() {
            offline(turn);
        } else if self.asked.len() >= MOST_ASKED {
            turn.refuse("too many questions wait for their answers", Some("busy"));
        } else {
            turn.write(object);
            let count = typed == PARTICIPANTS;
            self.asked.push_back(Asked { count, users, until: turn.now + ANSWERED });
        }
    }
}

impl Protocol for Machine {
    type In = Bytes;
    type Out = String;
    type Line = Line;
    type Welcome = ();

    fn abilities(&self) -> &'static [Ability] {
        &[Ability::Say, Ability::Users, Ability::Own]
    }

    fn longest(&self) -> usize {
        self.longest
    }

    fn connect(&mut self) -> Connecting<Self> {
        let Dial { host, port, timeout } = self.dial.clone();
        Box::pin(async move {
            let connecting = TcpStream::connect((host.as_str(), port));
            match tokio::time::timeout(timeout, connecting).await {
                Ok(Ok(stream)) => Ok((Line::new(stream), ())),
                Ok(Err(error)) => Err(NoLine::Passing(error.to_string())),
                Err(_) => Err(NoLine::Passing("no connection in time".into())),
            }
        })
    }

    fn opened(&mut self, (): (), turn: &mut Turn<'_, String>) {
        turn.write(self.hello.0.clone());
        (self.opened, self.settles) = (Some(turn.now), Some(turn.now + PACE));
        (self.garbage, self.doubt) = (0, UNSEEN);
    }

    fn hear(&mut self, object: Bytes, turn: &mut Turn<'_, String>) {
        let Ok(codec::Heard { kind, sender, data }) = codec::hear(&object) else {
            self.garbage += 1;
            if self.garbage > MOST_GARBAGE {
                turn.give_up("what comes is not the console protocol");
            }
            return;
        };
        self.known = true;
        self.settle(turn);
        let line = |text: &str| one_line(&clean(text)).into_owned();
        let (sender, text) = (line(&sender), line(&data));
        match kind {
            Kind::Message => {
                turn.tell(message(sender, &text, None));
            }
            Kind::System => self.system(sender, text, turn),
        }
    }

    fn route(&self, to: Option<String>) -> Result<Option<String>, Refused> {
        match to {
            None => Ok(None),
            Some(_) => Err(Refused::Unsupported),
        }
    }

    fn say(&mut self, text: &Text, turn: &mut Turn<'_, String>) {
        let mut objects = encode_message(&text.text);
        let last = objects.pop().unwrap_or_default();
        for object in objects {
            turn.write(object);
        }
        turn.write_text(&text.id, last);
        let said = one_line(&text.text).into_owned();
        self.saying = Some(Saying { id: text.id.clone(), text: said, told: text.tried });
    }

    fn said(&mut self, id: &TextId, turn: &mut Turn<'_, String>) {
        let Some(saying) = self.saying.take().filter(|saying| saying.id == *id) else { return };
        if !saying.told {
            turn.tell(message(self.name.clone(), &saying.text, Some(saying.id.clone())));
        }
        self.sent.push_back((saying.id, turn.now));
    }

    fn confirms(&self) -> bool {
        false
    }

    fn ask(&mut self, ask: Ask, turn: &mut Turn<'_, String>) {
        match ask {
            Ask::Users { .. } => self.command(PARTICIPANTS, true, turn),
            Ask::Own { command } => self.command(command.trim(), false, turn),
            _ => turn.refuse("there is nothing of the kind", Some("unknown_command")),
        }
    }

    fn awaits(&self) -> bool {
        !self.asked.is_empty()
    }

    fn closed(&mut self, reason: &str, turn: &mut Turn<'_, String>) {
        let short = self.opened.is_some_and(|at| turn.now - at < REFUSED);
        let wordless = reason == CLOSED && short && !self.known;
        self.wordless = if wordless { self.wordless + 1 } else { 0 };
        // A few times it may have been something else.
        match self.wordless {
            0 => {}
            1..MOST_WORDLESS => turn.taken(WORDLESS),
            _ => turn.end(Ended::Refused(WORDLESS.into())),
        }
        self.doubt = match reason {
            CLOSED => ON_ITS_WAY,
            RESET => UNREAD,
            _ => UNSEEN,
        };
    }

    fn lost(&mut self, turn: &mut Turn<'_, String>) {
        self.known |= self.opened.take().is_some_and(|at| turn.now - at >= REFUSED);
        for (id, at) in self.sent.drain(..) {
            if self.parting || turn.now - at >= self.doubt {
                turn.outbox.settle(&id);
            }
        }
        turn.requeue(|_| true);
        for _ in self.asked.drain(..) {
            offline(turn);
        }
        (self.saying, self.settles, self.parting) = (None, None, false);
    }

    fn goodbye(&mut self, _: bool, turn: &mut Turn<'_, String>) {
        self.parting = true;
        turn.write(encode_said(&Said::Command(format!("{MARK}{}", LEAVING[0]))));
    }

    fn due(&self) -> Option<Instant> {
        let sent = self.sent.front().map(|(_, at)| *at + UNSEEN);
        [self.settles, sent, self.asked.front().map(|asked| asked.until)].into_iter().flatten().min()
    }

    fn alarm(&mut self, turn: &mut Turn<'_, String>) {
        if self.settles.is_some_and(|due| due <= turn.now) {
            self.settle(turn);
        }
        while let Some((id, _)) = self.sent.front().filter(|(_, at)| *at + UNSEEN <= turn.now) {
            turn.outbox.settle(id);
            self.sent.pop_front();
        }
        while self.asked.front().is_some_and(|asked| asked.until <= turn.now) {
            self.asked.pop_front();
            turn.refuse("the server does not answer", Some("timed_out"));
        }
    }

    fn pace(&self) -> (u32, Duration) {
        (1, PACE)
    }
}

/// A message, of one's own if it has an id.
fn message(from: String, text: &str, id: Option<TextId>) -> Event {
    let (own, place) = (id.is_some(), Place::Open);
    Event::Message(Heard { from, text: text.into(), place, at: now(), position: None, id, past: false, own })
}

fn offline(turn: &mut Turn<'_, String>) {
    turn.refuse("there is no connection", Some("offline"));
}

/// What a command begins with.
const MARK: &str = "cmd!";
/// Commands by which one leaves.
const LEAVING: [&str; 2] = ["client_exit", "error"];
/// Asks how many are there.
const PARTICIPANTS: &str = "participants_count";
/// What the answer to how many are there begins with.
const COUNT: &str = "Participants count: ";
/// How long after a connection was made its end may mean that the name was refused.
const REFUSED: Duration = Duration::from_secs(2);
/// What a server says that does not want a name.
const WORDLESS: &str = "the server closed the connection without a word: another name may help";
/// Connections that may end so before the name counts as refused.
const MOST_WORDLESS: u32 = 5;
/// How far back what was written may be lost when the server closed the connection, for which it had read all that had
/// come.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
/// And when it was reset, for which something was not read.
const UNREAD: Duration = Duration::from_secs(5);
/// And when the network is gone: as long as the system waits for a confirmation, and a little more.
const UNSEEN: Duration = UNCONFIRMED.saturating_add(UNREAD);
/// How long an answer may take. Servers let four objects out in a second.
const ANSWERED: Duration = Duration::from_secs(30);
/// Questions that wait for their answers.
const MOST_ASKED: usize = 16;
/// Objects that mean nothing, on one connection.
const MOST_GARBAGE: u32 = 100;
