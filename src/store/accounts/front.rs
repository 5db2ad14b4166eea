//! What both backends do alike: from the trait's methods to changes and looks at a table.

/// Implements [`AccountStore`](super::AccountStore) for a backend that has `change(Change, now)`, an async
/// `table(now)` to look at, and `passwords`.
macro_rules! account_store {
    ($backend:ty) => {
        #[async_trait]
        impl AccountStore for $backend {
            async fn create_guest(&self, nickname: &Nickname, now: Timestamp) -> Result<Issued, StoreError> {
                self.change(Change::Create(nickname.clone(), None), now).await?.issued()
            }

            async fn create_account(
                &self,
                nickname: &Nickname,
                password: &Password,
                now: Timestamp,
            ) -> Result<Issued, StoreError> {
                // Before the slow part: whoever asks in vain shall cost little.
                if self.by_nickname(nickname, now).await?.is_some() {
                    return Err(StoreError::Taken);
                }
                let hash = self.passwords.hash(password).await?;
                self.change(Change::Create(nickname.clone(), Some(Proof::Password(hash))), now).await?.issued()
            }

            async fn create_keyed(
                &self,
                nickname: &Nickname,
                key: &SecretHash,
                now: Timestamp,
            ) -> Result<Issued, StoreError> {
                self.change(Change::Create(nickname.clone(), Some(Proof::Key(*key))), now).await?.issued()
            }

            async fn sign_in(
                &self,
                nickname: &Nickname,
                password: &Password,
                now: Timestamp,
            ) -> Result<Issued, StoreError> {
                let (user, proof) = self.look(now, |table| table.proof(nickname, now)).await??;
                let right = match proof {
                    Proof::Password(hash) => self.passwords.check(password, hash).await?,
                    // Random, so there is nothing to gain by guessing, and no need to be slow.
                    Proof::Key(key) => password.as_key() == key,
                };
                if !right {
                    return Err(StoreError::Forbidden);
                }
                self.change(Change::SignIn(user, proof), now).await?.issued()
            }

            async fn sign_in_by_key(&self, key: &SecretHash, now: Timestamp) -> Result<Issued, StoreError> {
                let user = self.look(now, |table| table.by_key(key)).await?.ok_or(StoreError::Unknown)?;
                self.change(Change::SignIn(user, Proof::Key(*key)), now).await?.issued()
            }

            async fn by_token(
                &self,
                token: &SecretHash,
                now: Timestamp,
            ) -> Result<Option<(User, Session)>, StoreError> {
                self.look(now, |table| table.by_token(token, now)).await
            }

            async fn by_nickname(&self, nickname: &Nickname, now: Timestamp) -> Result<Option<User>, StoreError> {
                self.look(now, |table| table.user_by_nickname(nickname, now)).await
            }

            async fn by_id(&self, user: UserId, now: Timestamp) -> Result<Option<User>, StoreError> {
                self.look(now, |table| table.by_id(user, now)).await
            }

            async fn sessions(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>, StoreError> {
                self.look(now, |table| table.sessions(user, now)).await
            }

            async fn connect(
                &self,
                token: &SecretHash,
                rich: bool,
                now: Timestamp,
            ) -> Result<(User, Session), StoreError> {
                self.change(Change::Connect(*token, rich), now).await?.session()
            }

            async fn disconnect(&self, user: UserId, session: SessionId, now: Timestamp) -> Result<(), StoreError> {
                self.change(Change::Disconnect(user, session), now).await.map(drop)
            }

            async fn touch(&self, token: &SecretHash, now: Timestamp) -> Result<(User, Session), StoreError> {
                self.change(Change::Touch(*token), now).await?.session()
            }

            async fn rename(&self, user: UserId, nickname: &Nickname, now: Timestamp) -> Result<User, StoreError> {
                self.change(Change::Rename(user, nickname.clone()), now).await?.user()
            }

            async fn revoke(&self, user: UserId, session: SessionId, now: Timestamp) -> Result<bool, StoreError> {
                Ok(self.change(Change::Revoke(user, session), now).await?.count() > 0)
            }

            async fn ended(&self, now: Timestamp) -> Result<Vec<UserId>, StoreError> {
                self.look(now, |table| table.ended(now)).await
            }

            async fn forget(&self, users: &[UserId], now: Timestamp) -> Result<usize, StoreError> {
                Ok(self.change(Change::Forget(users.to_vec()), now).await?.count())
            }
        }
    };
}

pub(super) use account_store;

use super::table::Done;
use super::{Issued, Session, User};
use crate::store::StoreError;

/// A change answers with what belongs to it; anything else would be a mistake in the table.
impl Done {
    pub(super) fn issued(self) -> Result<Issued, StoreError> {
        if let Self::Issued(issued) = self { Ok(*issued) } else { Err(mistaken()) }
    }

    pub(super) fn session(self) -> Result<(User, Session), StoreError> {
        if let Self::Session(user, session) = self { Ok((user, session)) } else { Err(mistaken()) }
    }

    pub(super) fn user(self) -> Result<User, StoreError> {
        if let Self::User(user) = self { Ok(user) } else { Err(mistaken()) }
    }

    pub(super) fn count(&self) -> usize {
        if let Self::Count(count) = self { *count } else { 0 }
    }
}

fn mistaken() -> StoreError {
    StoreError::Unavailable("the store gave the wrong kind of answer".into())
}
