//! Who speaks: by a hash, by a nickname and a secret, or by a new account, which is stored at once or with its first
//! message.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::codec::minechat::{Typed, clean_nickname, nicknames};
use crate::hub::Hub;
use crate::message::{Refusal, UserId};
use crate::name::{Nickname, RoomName};
use crate::secret::{Password, Secret};
use crate::tape::{Frame, Piece, Tape, Way};

/// Somebody who may come in.
pub(super) struct Signed {
    pub(super) nickname: Nickname,
    /// What they sign in with the next time.
    pub(super) hash: String,
    /// What opens a session.
    pub(super) token: Secret,
}

/// Notes a line that came. In the place of a hash all of it is a secret, but for the nickname before a colon.
pub(super) fn note(tape: &dyn Tape, line: &str, typed: Option<&Typed>) {
    let Some(Typed::Hash(hash)) = typed else {
        return tape.note(Way::In, Frame::Text, &[Piece::Plain(line.as_bytes())]);
    };
    let secret = secret_in(hash);
    let before = &hash.as_bytes()[..hash.len() - secret.len()];
    tape.note(Way::In, Frame::Text, &[Piece::Plain(before), Piece::Secret(secret)]);
}

/// What must be known of a hash to nobody else: what stands behind a nickname and a colon, or all of it.
pub(super) fn secret_in(hash: &str) -> &str {
    match hash.split_once(':') {
        Some((nickname, secret)) if Nickname::new(nickname).is_ok() => secret,
        _ => hash,
    }
}

/// Signs somebody in by what was typed in the place of a hash: the key of an account, or a nickname and a secret with a
/// colon between them. `None` when it is neither.
pub(super) async fn known(hub: &Hub, typed: &str, from: IpAddr) -> Result<Option<Signed>, Refusal> {
    if let Ok(key) = Secret::new(typed)
        && let Some((nickname, token)) = hub.sign_in_by_key(&key).await?
    {
        return Ok(Some(Signed { nickname, hash: typed.to_owned(), token }));
    }
    let Some((nickname, secret)) = typed.split_once(':') else { return Ok(None) };
    let (Ok(nickname), Ok(secret)) = (Nickname::new(nickname), Password::new(secret)) else { return Ok(None) };
    // Whoever has tried too much hears what a wrong secret hears.
    let Ok(attempt) = hub.tries().secret(&nickname, Some(from)) else { return Ok(None) };
    let token = hub.sign_in_known(&nickname, &secret).await;
    // What befalls the server was no wrong secret.
    if !matches!(token, Ok(None)) {
        attempt.forgive(token.is_ok());
    }
    Ok(token?.map(|token| Signed { nickname, hash: typed.to_owned(), token }))
}

/// Makes an account of the nickname that was typed, or of one like it where it cannot be had. It is stored.
pub(super) async fn register(hub: &Hub, wish: &str, from: IpAddr) -> Result<Signed, Refusal> {
    hub.tries().sign_in(Some(from)).map_err(|_| Refusal::Full)?;
    for nickname in nicknames(wish, chance()) {
        match hub.register(&nickname).await {
            Ok((key, token)) => return Ok(Signed { nickname, hash: key.reveal().to_owned(), token }),
            Err(Refusal::Taken(_)) => {}
            Err(why) => return Err(why),
        }
    }
    Err(Refusal::Taken(wish.to_owned()))
}

/// Users with new accounts that nobody has heard of yet: many make one, leave, and come back to speak. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Newcomers {
    users: Arc<Mutex<VecDeque<UserId>>>,
}

impl Newcomers {
    pub(super) fn add(&self, user: UserId) {
        let mut users = self.lock();
        if users.len() >= MOST_NEWCOMERS {
            users.pop_front();
        }
        users.push_back(user);
    }

    /// Whether a user is one, and now no more.
    pub(super) fn take(&self, user: UserId) -> bool {
        let mut users = self.lock();
        let place = users.iter().position(|other| *other == user);
        place.and_then(|place| users.remove(place)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<UserId>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of accounts that are not stored yet. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Promised {
    names: Arc<Mutex<HashSet<Nickname>>>,
}

/// An account that is not stored yet: its owner has not said anything, and has typed no nickname either. Dropping it
/// forgets it.
pub(super) struct Promise {
    pub(super) nickname: Nickname,
    pub(super) key: Secret,
    /// Whether it is counted among the sign-ins from its address.
    counted: bool,
    /// Whether the room has heard of it, by its nickname.
    announced: bool,
    promised: Promised,
}

impl Promised {
    /// Promises somebody an account.
    pub(super) async fn promise(&self, hub: &Hub) -> Result<Promise, Refusal> {
        let key = Hub::new_key()?;
        for nickname in nicknames("", chance()) {
            if !hub.is_taken(&nickname).await? && self.lock().insert(nickname.clone()) {
                let promised = self.clone();
                return Ok(Promise { nickname, key, counted: false, announced: false, promised });
            }
        }
        Err(Refusal::Full)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Nickname>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Promise {
    /// Lets the room know of it, unless nobody may be heard there who comes from `from`, or too many did lately.
    pub(super) fn announce(&mut self, hub: &Hub, room: &RoomName, from: IpAddr) -> Result<(), Refusal> {
        self.count(hub, from)?;
        hub.announce(room, self.nickname.clone(), Some(from))?;
        self.announced = true;
        Ok(())
    }

    /// Whether the room has heard of somebody of that name.
    pub(super) fn is_announced_as(&self, name: Option<&Nickname>) -> bool {
        self.announced && name == Some(&self.nickname)
    }

    /// Stores the account; the token opens a session. Whoever took the nickname meanwhile keeps it.
    pub(super) async fn keep(&mut self, hub: &Hub, from: IpAddr) -> Result<Secret, Refusal> {
        // It may be there from a try before, after which no session could be opened.
        if let Some((_, token)) = hub.sign_in_by_key(&self.key).await? {
            return Ok(token);
        }
        self.count(hub, from)?;
        for nickname in nicknames(self.nickname.as_str(), chance()) {
            match hub.register_as(&nickname, &self.key).await {
                Err(Refusal::Taken(_)) => {}
                done => return done,
            }
        }
        Err(Refusal::Taken(self.nickname.to_string()))
    }

    /// Counts it, once: whoever is heard of costs others as much as whoever is stored.
    fn count(&mut self, hub: &Hub, from: IpAddr) -> Result<(), Refusal> {
        if !self.counted {
            hub.tries().sign_in(Some(from)).map_err(|_| Refusal::Full)?;
            self.counted = true;
        }
        Ok(())
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.promised.lock().remove(&self.nickname);
    }
}

/// The nickname that somebody wishes for, without what nicknames must not hold.
pub(super) fn wish(typed: &str) -> String {
    clean_nickname(typed)
}

fn chance() -> u64 {
    // Only a choice of words hangs on it.
    getrandom::u64().unwrap_or_default()
}

/// New accounts that nobody has heard of; then the oldest of them will not be announced.
const MOST_NEWCOMERS: usize = 1024;
