//! A room server's users: guests, accounts and the sessions of both. The trait, the rules that every backend shares,
//! and the backends.

#[cfg(feature = "testing")]
pub(super) mod contract;
mod front;
mod memory;
mod slow;
#[cfg(feature = "sqlite")]
mod sqlite;
mod table;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

pub use memory::MemoryAccounts;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteAccounts;
#[cfg(all(feature = "sqlite", feature = "terminal"))]
pub(crate) use sqlite::user_named;

use super::StoreError;
use crate::message::{Timestamp, UserId};
use crate::name::Nickname;
use crate::secret::{Password, Secret, SecretHash};

/// Somebody who may talk.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct User {
    /// Who they are, whatever they are called.
    pub id: UserId,
    /// What they are called; nobody else is.
    pub nickname: Nickname,
    /// Whether they have a secret and stay. A guest lives as long as the sessions.
    pub account: bool,
    /// When they came.
    pub since: Timestamp,
}

/// A session's public name: tells nothing about its token.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(Uuid);

impl SessionId {
    /// Takes the 16 bytes of a stored id.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Parses an id as it is shown.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        Uuid::try_parse(id).ok().map(Self)
    }

    fn random() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// One sign-in: what one token stands for. Several connections may use it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// When its token was issued.
    pub issued: Timestamp,
    /// Whether the token was ever used.
    pub used: bool,
    /// Whether a connection of it was one that can resume.
    pub rich: bool,
    /// Connections that use it now.
    pub connections: u32,
    /// When its token becomes void, unless it is used before; `None` while it is connected.
    pub ends: Option<Timestamp>,
}

/// A token that was just issued. It is kept nowhere: only its hash is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Issued {
    /// Whose it is.
    pub user: User,
    /// The session that it stands for.
    pub session: SessionId,
    /// What proves it.
    pub token: Secret,
}

/// The users of a room server.
///
/// A nickname is held, byte for byte, by one user at a time: by an account for good, by a guest as long as a session
/// stands. A token is void
/// - [`UNUSED`] after it was issued, when it was not used;
/// - [`TOKEN`] after its last use, when nobody is connected by it;
/// - [`RESERVED`] after its last connection was dropped, when that was a rich one, which may be resumed until then; a
///   start of a store that keeps its data counts as a drop;
/// - at once, when the user's last connection was dropped and it was not a rich one.
///
/// A guest whose last token is void has ended: the nickname is free. What is kept of them goes with
/// [`forget`](Self::forget), so that what else was kept for them can go first.
///
/// Every method is atomic, and one that changes something returns when the change is as durable as the store ever makes
/// it. `now` is the caller's clock, which must not run backwards.
///
/// # Cancel safety
/// Dropping a call's future does not undo the call: a change that was handed over still happens.
#[async_trait]
pub trait AccountStore: fmt::Debug + Send + Sync + 'static {
    /// Makes a guest, with a first session.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when somebody has the nickname; [`StoreError::Full`].
    async fn create_guest(&self, nickname: &Nickname, now: Timestamp) -> Result<Issued, StoreError>;

    /// Makes an account, with a first session.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when somebody has the nickname; [`StoreError::Full`].
    async fn create_account(
        &self,
        nickname: &Nickname,
        password: &Password,
        now: Timestamp,
    ) -> Result<Issued, StoreError>;

    /// Makes an account whose secret is a random key that the caller made, with a first session. The key alone tells
    /// whose it is.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when somebody has the nickname, or the key; [`StoreError::Full`].
    async fn create_keyed(&self, nickname: &Nickname, key: &SecretHash, now: Timestamp) -> Result<Issued, StoreError>;

    /// Gives an account another session. An account that has a key has it for a password, too.
    ///
    /// # Errors
    /// [`StoreError::Forbidden`] when the password is wrong or the user is a guest; [`StoreError::Unknown`] when nobody
    /// has the nickname; [`StoreError::Full`] when the account has as many sessions as it may, all connected.
    async fn sign_in(&self, nickname: &Nickname, password: &Password, now: Timestamp) -> Result<Issued, StoreError>;

    /// Gives the account that has the key another session.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when nobody has it; [`StoreError::Full`] as for [`sign_in`](Self::sign_in).
    async fn sign_in_by_key(&self, key: &SecretHash, now: Timestamp) -> Result<Issued, StoreError>;

    /// Whose token it is, and for which session, unless it is void. Looking is no use of it.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn by_token(&self, token: &SecretHash, now: Timestamp) -> Result<Option<(User, Session)>, StoreError>;

    /// The user with that nickname, unless they have ended.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn by_nickname(&self, nickname: &Nickname, now: Timestamp) -> Result<Option<User>, StoreError>;

    /// The user with that id, unless they have ended.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn by_id(&self, user: UserId, now: Timestamp) -> Result<Option<User>, StoreError>;

    /// The user's sessions whose tokens are not void, oldest first.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn sessions(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>, StoreError>;

    /// Notes that a connection uses the token. Each is taken back by [`disconnect`](Self::disconnect).
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when the token is void.
    async fn connect(&self, token: &SecretHash, rich: bool, now: Timestamp) -> Result<(User, Session), StoreError>;

    /// Notes that a connection of the session was dropped. On one that was revoked it does nothing.
    ///
    /// # Errors
    /// Only what can befall any write.
    async fn disconnect(&self, user: UserId, session: SessionId, now: Timestamp) -> Result<(), StoreError>;

    /// Notes that the token was used without a connection: that is good for another [`TOKEN`].
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when the token is void.
    async fn touch(&self, token: &SecretHash, now: Timestamp) -> Result<(User, Session), StoreError>;

    /// Gives a user another nickname.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when somebody else has it; [`StoreError::Unknown`] when the user has ended.
    async fn rename(&self, user: UserId, nickname: &Nickname, now: Timestamp) -> Result<User, StoreError>;

    /// Ends a session, connected or not: its token is void. Tells whether there was one. A guest ends with the last.
    ///
    /// # Errors
    /// Only what can befall any write.
    async fn revoke(&self, user: UserId, session: SessionId, now: Timestamp) -> Result<bool, StoreError>;

    /// Guests who have ended and are not forgotten yet, some at a time.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn ended(&self, now: Timestamp) -> Result<Vec<UserId>, StoreError>;

    /// Forgets those of the users who are guests and have ended; tells how many.
    ///
    /// # Errors
    /// Only what can befall any write.
    async fn forget(&self, users: &[UserId], now: Timestamp) -> Result<usize, StoreError>;
}

/// How long a token stands after it was issued, until it is used.
pub const UNUSED: Duration = Duration::from_secs(60);
/// How long a token stands after its last use.
pub const TOKEN: Duration = Duration::from_secs(24 * 3600);
/// How long a token and a nickname stand after a connection that can resume was dropped.
pub const RESERVED: Duration = Duration::from_secs(600);
