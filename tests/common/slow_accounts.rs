//! Accounts in memory that take their time.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use talk::limits::Limits;
use talk::message::{Timestamp, UserId};
use talk::name::Nickname;
use talk::secret::{Password, SecretHash};
use talk::store::{AccountStore, Issued, MemoryAccounts, Session, SessionId, StoreError, User};
use tokio::sync::Notify;

/// Renames and revokes at once, and says so when it is told to; does so with names when it is `asked` to.
#[derive(Debug)]
pub(crate) struct SlowAccounts {
    inner: MemoryAccounts,
    /// Hears that something was done.
    pub(crate) done: Notify,
    /// Lets it be said.
    pub(crate) tell: Notify,
    pub(crate) asked: AtomicBool,
    /// Knows no names while it is set.
    pub(crate) broken: AtomicBool,
}

impl Default for SlowAccounts {
    fn default() -> Self {
        Self {
            inner: MemoryAccounts::new(&Limits::default()),
            done: Notify::new(),
            tell: Notify::new(),
            asked: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl AccountStore for SlowAccounts {
    async fn rename(&self, user: UserId, nickname: &Nickname, now: Timestamp) -> Result<User, StoreError> {
        let renamed = self.inner.rename(user, nickname, now).await;
        self.done.notify_one();
        self.tell.notified().await;
        renamed
    }

    async fn create_guest(&self, nickname: &Nickname, now: Timestamp) -> Result<Issued, StoreError> {
        self.inner.create_guest(nickname, now).await
    }

    async fn create_account(&self, name: &Nickname, password: &Password, now: Timestamp) -> Result<Issued, StoreError> {
        self.inner.create_account(name, password, now).await
    }

    async fn sign_in(&self, name: &Nickname, password: &Password, now: Timestamp) -> Result<Issued, StoreError> {
        self.inner.sign_in(name, password, now).await
    }

    async fn create_keyed(&self, name: &Nickname, key: &SecretHash, now: Timestamp) -> Result<Issued, StoreError> {
        self.inner.create_keyed(name, key, now).await
    }

    async fn sign_in_by_key(&self, key: &SecretHash, now: Timestamp) -> Result<Issued, StoreError> {
        self.inner.sign_in_by_key(key, now).await
    }

    async fn by_token(&self, token: &SecretHash, now: Timestamp) -> Result<Option<(User, Session)>, StoreError> {
        self.inner.by_token(token, now).await
    }

    async fn by_nickname(&self, nickname: &Nickname, now: Timestamp) -> Result<Option<User>, StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("no names are known".into()));
        }
        let found = self.inner.by_nickname(nickname, now).await;
        if self.asked.swap(false, Ordering::SeqCst) {
            self.done.notify_one();
            self.tell.notified().await;
        }
        found
    }

    async fn by_id(&self, user: UserId, now: Timestamp) -> Result<Option<User>, StoreError> {
        self.inner.by_id(user, now).await
    }

    async fn sessions(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>, StoreError> {
        self.inner.sessions(user, now).await
    }

    async fn connect(&self, token: &SecretHash, rich: bool, now: Timestamp) -> Result<(User, Session), StoreError> {
        self.inner.connect(token, rich, now).await
    }

    async fn disconnect(&self, user: UserId, session: SessionId, now: Timestamp) -> Result<(), StoreError> {
        self.inner.disconnect(user, session, now).await
    }

    async fn touch(&self, token: &SecretHash, now: Timestamp) -> Result<(User, Session), StoreError> {
        self.inner.touch(token, now).await
    }

    async fn revoke(&self, user: UserId, session: SessionId, now: Timestamp) -> Result<bool, StoreError> {
        let revoked = self.inner.revoke(user, session, now).await;
        self.done.notify_one();
        self.tell.notified().await;
        revoked
    }

    async fn ended(&self, now: Timestamp) -> Result<Vec<UserId>, StoreError> {
        self.inner.ended(now).await
    }

    async fn forget(&self, users: &[UserId], now: Timestamp) -> Result<usize, StoreError> {
        self.inner.forget(users, now).await
    }
}
