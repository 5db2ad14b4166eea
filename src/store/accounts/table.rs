//! The rules of users and sessions over maps in memory: what every backend decides by.
//!
//! As with a registry, a change is first planned into a [`Batch`] over the table, and applied with the whole batch once
//! that is written down.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::{Issued, RESERVED, Session, SessionId, TOKEN, UNUSED, User};
use crate::limits::Limits;
use crate::message::{Timestamp, UserId};
use crate::name::Nickname;
use crate::secret::{PasswordHash, Secret, SecretHash};
use crate::store::StoreError;

/// One user with all that is kept of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Account {
    pub(super) id: UserId,
    pub(super) nickname: Nickname,
    /// `None`: a guest.
    pub(super) proof: Option<Proof>,
    pub(super) since: Timestamp,
    /// Oldest first.
    pub(super) tokens: Vec<Token>,
}

/// What an account signs in with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Proof {
    /// A secret that its owner chose.
    Password(PasswordHash),
    /// A random secret, which also tells whose it is.
    Key(SecretHash),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Token {
    pub(super) hash: SecretHash,
    pub(super) session: SessionId,
    pub(super) issued: Timestamp,
    pub(super) used: bool,
    pub(super) rich: bool,
    pub(super) connections: u32,
    /// When it is void, if nobody is connected.
    pub(super) ends: Timestamp,
}

/// One change that a backend is asked for.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Create(Nickname, Option<Proof>),
    /// Another session; what was shown was checked before against what is given.
    SignIn(UserId, Proof),
    Connect(SecretHash, bool),
    Touch(SecretHash),
    Disconnect(UserId, SessionId),
    Rename(UserId, Nickname),
    Revoke(UserId, SessionId),
    Forget(Vec<UserId>),
    /// The store starts: every connection there was is dropped.
    #[cfg(feature = "sqlite")]
    Start,
}

/// What a change answers.
#[derive(Debug)]
pub(super) enum Done {
    Issued(Box<Issued>),
    Session(User, Session),
    User(User),
    /// How many were meant.
    Count(usize),
}

/// What planned changes leave of each user; `None`: nothing.
#[derive(Debug, Default)]
pub(super) struct Batch {
    changed: BTreeMap<UserId, Option<Account>>,
    /// Who has a nickname, and whose a token is, where that changed.
    nicknames: HashMap<Nickname, UserId>,
    tokens: HashMap<SecretHash, UserId>,
    keys: HashSet<SecretHash>,
    /// Users that the table will have more (or fewer) than now.
    grown: isize,
}

impl Batch {
    #[cfg(feature = "sqlite")]
    pub(super) fn changes(&self) -> impl Iterator<Item = (UserId, Option<&Account>)> {
        self.changed.iter().map(|(id, account)| (*id, account.as_ref()))
    }
}

/// Users in memory, ended guests among them until they are forgotten.
#[derive(Debug)]
pub(super) struct Table {
    accounts: HashMap<UserId, Account>,
    nicknames: HashMap<Nickname, UserId>,
    tokens: HashMap<SecretHash, UserId>,
    /// Whose the keys of accounts are.
    keys: HashMap<SecretHash, UserId>,
    /// When each guest who is not connected ends.
    ends: BTreeSet<(Timestamp, UserId)>,
    capacity: usize,
    sessions: usize,
}

impl Account {
    /// When a guest ends; `None`: not by the clock alone.
    fn ends(&self) -> Option<Timestamp> {
        if self.proof.is_some() || self.tokens.iter().any(|token| token.connections > 0) {
            return None;
        }
        Some(self.tokens.iter().map(|token| token.ends).max().unwrap_or_default())
    }

    fn is_live(&self, now: Timestamp) -> bool {
        self.ends().is_none_or(|end| now < end)
    }

    /// A guest who has lost the last token has lost the nickname.
    pub(super) fn has_nickname(&self) -> bool {
        self.proof.is_some() || !self.tokens.is_empty()
    }

    fn user(&self) -> User {
        let account = self.proof.is_some();
        User { id: self.id, nickname: self.nickname.clone(), account, since: self.since }
    }

    /// Gives it another token, in place of the one that would end first where it has too many.
    fn issue(&mut self, most: usize, now: Timestamp) -> Result<Done, StoreError> {
        if self.tokens.len() >= most.max(1) {
            let idle = self.tokens.iter().enumerate().filter(|(_, token)| token.connections == 0);
            let Some((first, _)) = idle.min_by_key(|(_, token)| token.ends) else {
                return Err(StoreError::Full(format!("the user has the limit of {most} sessions, all connected")));
            };
            self.tokens.remove(first);
        }
        let token = Secret::random();
        let session = SessionId::random();
        self.tokens.push(Token {
            hash: token.hash(),
            session,
            issued: now,
            used: false,
            rich: false,
            connections: 0,
            ends: now.after(UNUSED),
        });
        Ok(Done::Issued(Box::new(Issued { user: self.user(), session, token })))
    }

    fn disconnect(&mut self, session: SessionId, now: Timestamp) {
        let found = self.tokens.iter_mut().find(|token| token.session == session);
        let Some(token) = found.filter(|token| token.connections > 0) else { return };
        token.connections -= 1;
        if token.connections == 0 {
            token.ends = now.after(if token.rich { RESERVED } else { TOKEN });
        }
        if self.tokens.iter().all(|token| token.connections == 0) {
            self.tokens.retain(|token| token.rich || !token.used);
        }
    }
}

impl Proof {
    pub(super) fn key(self) -> Option<SecretHash> {
        if let Self::Key(key) = self { Some(key) } else { None }
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn password(self) -> Option<PasswordHash> {
        if let Self::Password(password) = self { Some(password) } else { None }
    }
}

impl Token {
    fn is_live(&self, now: Timestamp) -> bool {
        self.connections > 0 || now < self.ends
    }

    fn session(&self) -> Session {
        Session {
            id: self.session,
            issued: self.issued,
            used: self.used,
            rich: self.rich,
            connections: self.connections,
            ends: self.stored_end(),
        }
    }

    /// Whether all that is stored of it is the same.
    #[cfg(feature = "sqlite")]
    fn is_stored_as(&self, other: &Self) -> bool {
        let stored = |token: &Self| (token.hash, token.session, token.used, token.rich, token.stored_end());
        stored(self) == stored(other)
    }

    /// When it is void; `None` while it is connected.
    pub(super) fn stored_end(&self) -> Option<Timestamp> {
        (self.connections == 0).then_some(self.ends)
    }
}

impl Table {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            accounts: HashMap::new(),
            nicknames: HashMap::new(),
            tokens: HashMap::new(),
            keys: HashMap::new(),
            ends: BTreeSet::new(),
            capacity: limits.users,
            sessions: limits.sessions_per_user,
        }
    }

    /// Plans a change.
    pub(super) fn plan(&self, batch: &mut Batch, change: &Change, now: Timestamp) -> Result<Done, StoreError> {
        match change {
            Change::Create(nickname, proof) => self.create(batch, nickname, *proof, now),
            Change::SignIn(user, proof) => self.with(batch, *user, now, |account| {
                // Whatever was checked, it was checked against this.
                if account.proof != Some(*proof) {
                    return Err(StoreError::Forbidden);
                }
                account.issue(self.sessions, now)
            }),
            Change::Connect(hash, rich) => self.by_planned_token(batch, hash, now, |token| {
                token.used = true;
                token.rich |= *rich;
                token.connections = token.connections.saturating_add(1);
            }),
            Change::Touch(hash) => self.by_planned_token(batch, hash, now, |token| {
                token.used = true;
                // Not each use is worth a write.
                if token.ends.after(TOUCH) <= now.after(TOKEN) {
                    token.ends = now.after(TOKEN);
                }
            }),
            Change::Disconnect(user, session) => {
                let done = self.with(batch, *user, now, |account| {
                    account.disconnect(*session, now);
                    Ok(Done::Count(1))
                });
                // Whoever has ended has nothing to disconnect.
                done.or(Ok(Done::Count(0)))
            }
            Change::Rename(user, nickname) => {
                let holder = self.holder(batch, nickname, now);
                if holder.is_some_and(|holder| holder.id != *user) {
                    return Err(StoreError::Taken);
                }
                if self.planned(batch, *user).is_none_or(|account| !account.is_live(now)) {
                    return Err(StoreError::Unknown);
                }
                self.release(batch, nickname, now);
                self.with(batch, *user, now, |account| {
                    account.nickname = nickname.clone();
                    Ok(Done::User(account.user()))
                })
            }
            Change::Revoke(user, session) => {
                let done = self.with(batch, *user, now, |account| {
                    let before = account.tokens.len();
                    account.tokens.retain(|token| token.session != *session);
                    Ok(Done::Count(before - account.tokens.len()))
                });
                done.or(Ok(Done::Count(0)))
            }
            Change::Forget(users) => {
                let mut gone = 0;
                for user in users {
                    if self.planned(batch, *user).is_some_and(|account| !account.is_live(now)) {
                        batch.changed.insert(*user, None);
                        batch.grown -= 1;
                        gone += 1;
                    }
                }
                Ok(Done::Count(gone))
            }
            #[cfg(feature = "sqlite")]
            Change::Start => {
                for account in self.accounts.values() {
                    let mut account = account.clone();
                    account.tokens.retain(|token| token.is_live(now) && (token.rich || !token.used));
                    for token in &mut account.tokens {
                        token.connections = 0;
                        token.ends = if token.used { now.after(RESERVED) } else { token.ends.min(now.after(UNUSED)) };
                    }
                    batch.put(account);
                }
                Ok(Done::Count(self.accounts.len()))
            }
        }
    }

    /// Carries out what was planned.
    pub(super) fn apply(&mut self, batch: Batch) {
        // First what goes: a nickname may have passed from one to another.
        for id in batch.changed.keys() {
            self.remove(*id);
        }
        for account in batch.changed.into_values().flatten() {
            self.insert(account);
        }
    }

    pub(super) fn insert(&mut self, account: Account) {
        let id = account.id;
        if account.has_nickname() {
            self.nicknames.insert(account.nickname.clone(), id);
        }
        self.tokens.extend(account.tokens.iter().map(|token| (token.hash, id)));
        self.keys.extend(account.proof.and_then(Proof::key).map(|key| (key, id)));
        self.ends.extend(account.ends().map(|end| (end, id)));
        self.accounts.insert(id, account);
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn has(&self, nickname: &Nickname) -> bool {
        self.nicknames.contains_key(nickname)
    }

    fn remove(&mut self, id: UserId) {
        let Some(account) = self.accounts.remove(&id) else { return };
        if self.nicknames.get(&account.nickname) == Some(&id) {
            self.nicknames.remove(&account.nickname);
        }
        for token in &account.tokens {
            self.tokens.remove(&token.hash);
        }
        if let Some(key) = account.proof.and_then(Proof::key) {
            self.keys.remove(&key);
        }
        if let Some(end) = account.ends() {
            self.ends.remove(&(end, id));
        }
    }

    pub(super) fn by_token(&self, hash: &SecretHash, now: Timestamp) -> Option<(User, Session)> {
        let account = self.accounts.get(self.tokens.get(hash)?)?;
        let token = account.tokens.iter().find(|token| token.hash == *hash && token.is_live(now))?;
        Some((account.user(), token.session()))
    }

    pub(super) fn by_nickname(&self, nickname: &Nickname, now: Timestamp) -> Option<&Account> {
        let account = self.accounts.get(self.nicknames.get(nickname)?)?;
        Some(account).filter(|account| account.is_live(now))
    }

    pub(super) fn user_by_nickname(&self, nickname: &Nickname, now: Timestamp) -> Option<User> {
        self.by_nickname(nickname, now).map(Account::user)
    }

    pub(super) fn by_id(&self, user: UserId, now: Timestamp) -> Option<User> {
        self.accounts.get(&user).filter(|account| account.is_live(now)).map(Account::user)
    }

    pub(super) fn sessions(&self, user: UserId, now: Timestamp) -> Vec<Session> {
        let tokens = self.accounts.get(&user).map_or(&[][..], |account| &account.tokens);
        tokens.iter().filter(|token| token.is_live(now)).map(Token::session).collect()
    }

    pub(super) fn ended(&self, now: Timestamp) -> Vec<UserId> {
        self.ends.iter().take_while(|(end, _)| *end <= now).take(ENDED).map(|(_, id)| *id).collect()
    }

    /// What to check a password against before [`Change::SignIn`].
    pub(super) fn proof(&self, nickname: &Nickname, now: Timestamp) -> Result<(UserId, Proof), StoreError> {
        let account = self.by_nickname(nickname, now).ok_or(StoreError::Unknown)?;
        account.proof.map(|proof| (account.id, proof)).ok_or(StoreError::Forbidden)
    }

    pub(super) fn by_key(&self, key: &SecretHash) -> Option<UserId> {
        self.keys.get(key).copied()
    }

    /// Whether all that is stored of a user stands already.
    #[cfg(feature = "sqlite")]
    pub(super) fn keeps(&self, id: UserId, account: Option<&Account>) -> bool {
        match (self.accounts.get(&id), account) {
            (Some(old), Some(new)) => {
                old.nickname == new.nickname
                    && old.proof == new.proof
                    && old.tokens.len() == new.tokens.len()
                    && old.tokens.iter().zip(&new.tokens).all(|(old, new)| old.is_stored_as(new))
            }
            (None, None) => true,
            _ => false,
        }
    }

    fn create(
        &self,
        batch: &mut Batch,
        nickname: &Nickname,
        proof: Option<Proof>,
        now: Timestamp,
    ) -> Result<Done, StoreError> {
        if self.holder(batch, nickname, now).is_some() {
            return Err(StoreError::Taken);
        }
        let key = proof.and_then(Proof::key);
        if key.is_some_and(|key| self.keys.contains_key(&key) || batch.keys.contains(&key)) {
            return Err(StoreError::Taken);
        }
        if self.accounts.len().saturating_add_signed(batch.grown) >= self.capacity {
            return Err(StoreError::Full(format!("it holds its limit of {} users", self.capacity)));
        }
        self.release(batch, nickname, now);
        let (id, nickname) = (UserId::random(), nickname.clone());
        let mut account = Account { id, nickname, proof, since: now, tokens: Vec::new() };
        let done = account.issue(self.sessions, now)?;
        batch.grown += 1;
        batch.keys.extend(key);
        batch.put(account);
        Ok(done)
    }

    /// Changes a user who has not ended, and drops their void tokens on the way.
    fn with(
        &self,
        batch: &mut Batch,
        user: UserId,
        now: Timestamp,
        change: impl FnOnce(&mut Account) -> Result<Done, StoreError>,
    ) -> Result<Done, StoreError> {
        let account = self.planned(batch, user).filter(|account| account.is_live(now));
        let mut account = account.ok_or(StoreError::Unknown)?.clone();
        account.tokens.retain(|token| token.is_live(now));
        let done = change(&mut account)?;
        batch.put(account);
        Ok(done)
    }

    fn by_planned_token(
        &self,
        batch: &mut Batch,
        hash: &SecretHash,
        now: Timestamp,
        change: impl FnOnce(&mut Token),
    ) -> Result<Done, StoreError> {
        let user = batch.tokens.get(hash).or_else(|| self.tokens.get(hash)).ok_or(StoreError::Unknown)?;
        self.with(batch, *user, now, |account| {
            // It may have been revoked since.
            let user = account.user();
            let token = account.tokens.iter_mut().find(|token| token.hash == *hash).ok_or(StoreError::Unknown)?;
            change(token);
            Ok(Done::Session(user, token.session()))
        })
    }

    /// Who has a nickname: somebody in the batch, or in the table and not renamed or ended by the batch.
    fn holder<'a>(&'a self, batch: &'a Batch, nickname: &Nickname, now: Timestamp) -> Option<&'a Account> {
        let ids = [batch.nicknames.get(nickname), self.nicknames.get(nickname)];
        let accounts = ids.into_iter().flatten().filter_map(|id| self.planned(batch, *id));
        accounts.into_iter().find(|account| account.nickname == *nickname && account.is_live(now))
    }

    /// Takes a nickname from a guest who has ended, for good: whatever the clock says later, two never have it.
    fn release(&self, batch: &mut Batch, nickname: &Nickname, now: Timestamp) {
        let ids = [batch.nicknames.get(nickname).copied(), self.nicknames.get(nickname).copied()];
        for id in ids.into_iter().flatten() {
            let account = self.planned(batch, id).filter(|a| a.nickname == *nickname && !a.is_live(now));
            if let Some(account) = account.cloned() {
                batch.put(Account { tokens: Vec::new(), ..account });
            }
        }
    }

    fn planned<'a>(&'a self, batch: &'a Batch, user: UserId) -> Option<&'a Account> {
        match batch.changed.get(&user) {
            Some(planned) => planned.as_ref(),
            None => self.accounts.get(&user),
        }
    }
}

impl Batch {
    fn put(&mut self, account: Account) {
        if account.has_nickname() {
            self.nicknames.insert(account.nickname.clone(), account.id);
        }
        self.tokens.extend(account.tokens.iter().map(|token| (token.hash, account.id)));
        self.changed.insert(account.id, Some(account));
    }
}

/// A use that would move a token's end by less is not noted.
const TOUCH: Duration = Duration::from_secs(60);
/// Ended guests that are told at a time.
const ENDED: usize = 1024;
