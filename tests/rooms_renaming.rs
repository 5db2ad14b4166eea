//! A nickname that is just being left: whoever gets it is not there before everybody has heard of it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use talk::hub::Hub;
use talk::limits::Limits;
use talk::message::{Command, Event, Timestamp, UserId};
use talk::name::{Nickname, RoomName};
use talk::secret::{Password, SecretHash};
use talk::store::{AccountStore, Issued, MemoryAccounts, Session, SessionId, StoreError, User};
use tokio::sync::Notify;

#[tokio::test(start_paused = true)]
async fn a_name_is_not_heard_of_two_while_one_leaves_it() {
    let accounts = Arc::new(SlowToTell::default());
    let hub = Hub::builder().accounts(accounts.clone()).build().await.unwrap();
    let (mut bob, mut heard) = hub.sit("bob").await.unwrap();
    let (mut ann, _ann) = hub.sit("ann").await.unwrap();
    for seat in [&mut bob, &mut ann] {
        seat.run(Command::Enter(RoomName::global())).await.unwrap();
    }
    let say = |body: &str| Command::Say { room: None, body: body.into(), id: None };
    ann.run(say("before")).await.unwrap();
    let renaming = tokio::spawn(async move {
        ann.run(Command::Rename(Nickname::new("anna").unwrap())).await.unwrap();
        ann.run(say("after")).await.unwrap();
        ann
    });
    accounts.renamed.notified().await;
    // The store has given the name up. Somebody wants it at once.
    let (coming, said) = (hub.clone(), say("I am the heir"));
    let heir = tokio::spawn(async move {
        let (mut heir, events) = coming.sit("ann").await.unwrap();
        heir.run(Command::Enter(RoomName::global())).await.unwrap();
        heir.run(said).await.unwrap();
        (heir, events)
    });
    // Time stands until nobody can do anything more.
    tokio::time::sleep(Duration::from_secs(1)).await;
    accounts.tell.notify_one();
    let mut lines = Vec::new();
    while lines.len() < 7 {
        lines.push(match heard.next().await.unwrap() {
            Event::Joined { user, .. } => format!("{user} joined"),
            Event::Renamed { old, new, .. } => format!("{old} is now {new}"),
            Event::Message(post) => format!("{}: {}", post.record.from, post.record.body),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(lines[..4], ["bob joined", "ann joined", "ann: before", "ann is now anna"], "{lines:?}");
    let mut rest = lines[4..].to_vec();
    rest.sort_unstable();
    assert_eq!(rest, ["ann joined", "ann: I am the heir", "anna: after"]);
    drop((renaming.await.unwrap(), heir.await.unwrap()));
}

/// Renames at once, and takes its time to say so.
#[derive(Debug)]
struct SlowToTell {
    inner: MemoryAccounts,
    renamed: Notify,
    tell: Notify,
}

impl Default for SlowToTell {
    fn default() -> Self {
        Self { inner: MemoryAccounts::new(&Limits::default()), renamed: Notify::new(), tell: Notify::new() }
    }
}

#[async_trait]
impl AccountStore for SlowToTell {
    async fn rename(&self, user: UserId, nickname: &Nickname, now: Timestamp) -> Result<User, StoreError> {
        let renamed = self.inner.rename(user, nickname, now).await;
        self.renamed.notify_one();
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
        self.inner.by_nickname(nickname, now).await
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
        self.inner.revoke(user, session, now).await
    }

    async fn ended(&self, now: Timestamp) -> Result<Vec<UserId>, StoreError> {
        self.inner.ended(now).await
    }

    async fn forget(&self, users: &[UserId], now: Timestamp) -> Result<usize, StoreError> {
        self.inner.forget(users, now).await
    }
}
