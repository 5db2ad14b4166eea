//! What is heard.

use super::machine::Machine;
use crate::client::driver::Turn;
use crate::client::websocket::{In, Out};
use crate::client::{Event, Happened, Heard as Said, Place, State, now};
use crate::codec::pair::{self, Heard, TIMED_OUT, To, Word};
use crate::text;

impl Machine {
    pub(super) fn heard(&mut self, heard: In, turn: &mut Turn<'_, Out>) {
        let frame = match heard {
            In::Ping => return,
            In::Pong => return self.ponged(turn.now),
            In::Binary => return self.garbage(turn),
            In::Text(frame) => frame,
        };
        match pair::hear(&frame) {
            Some(Heard::Yes) => self.answered(true, turn),
            Some(Heard::No) => self.answered(false, turn),
            Some(Heard::Server(text)) => self.server(text, turn),
            // Others may speak to whoever still sits at a prompt.
            Some(Heard::Said { from, text }) if from.chars().nth(MOST_NAME).is_none() => {
                let from = text::clean(from).into_owned();
                let own = from == self.nickname;
                let (text, place) = (text::clean(text).into(), Place::Open);
                let said = Said { from, text, place, at: now(), position: None, id: None, past: false, own };
                turn.tell(Event::Message(said));
            }
            Some(Heard::Said { .. }) => self.garbage(turn),
            None => {
                turn.tell(Event::Notice(text::clean(&frame).into_owned()));
                self.garbage(turn);
            }
        }
    }

    fn server(&mut self, text: &str, turn: &mut Turn<'_, Out>) {
        let known = match pair::word(text) {
            Word::Sent(to) => self.settled().map(|id| {
                turn.advance(&id, State::Accepted);
                match to {
                    To::User(_) => self.follow(id, turn.now),
                    // Nothing more is told of it.
                    To::Room(_) => turn.outbox.settle(&id),
                }
            }),
            Word::Delivered(_) => {
                self.confirmed();
                let id = self.followed().or_else(|| self.settled());
                id.map(|id| turn.advance(&id, State::Delivered { by: 1, of: 1 }))
            }
            Word::NotDelivered { reason, .. } => {
                let id = match reason {
                    TIMED_OUT => self.followed(),
                    _ => self.settled().or_else(|| self.followed()),
                };
                id.map(|id| turn.advance(&id, State::Failed(text::clean(reason).into_owned())))
            }
            Word::Left(user) => {
                let user = text::clean(user).into_owned();
                turn.tell(Event::Happened { room: None, user, what: Happened::Left });
                Some(())
            }
            Word::Other(_) => None,
        };
        if known.is_none() {
            turn.tell(Event::Notice(text::clean(text).into_owned()));
        }
        self.proceed(turn);
    }
}

/// Characters of a name that somebody has, with what a server may add to it.
const MOST_NAME: usize = 80;
