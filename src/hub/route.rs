//! Direct messages to whoever is no user of the hub.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::message::{MessageId, UserId};
use crate::name::Nickname;

/// Carries direct messages to names that begin with a word and a colon, such as `peer:bob`.
#[async_trait]
pub trait Route: fmt::Debug + Send + Sync + 'static {
    /// Delivers one message and tells what became of it. It ends by itself: nobody else gives it up. The messages of one
    /// user to one name come one after another; up to two of one user, and four to one name, are under way at a time.
    async fn deliver(&self, parcel: &Parcel<'_>) -> Routed;
}

/// One message on a [`Route`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Parcel<'a> {
    /// Who says it.
    pub from: &'a Nickname,
    /// Their id, which no other user ever has.
    pub user: UserId,
    /// Whom it is for, without the word that led here.
    pub to: &'a str,
    /// What is said.
    pub body: &'a Arc<str>,
    /// The author's id for it: the same when it is said again.
    pub id: Option<&'a MessageId>,
}

/// What became of a message on a [`Route`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Routed {
    /// The other program has it.
    Delivered,
    /// It was handed over where nobody can know more.
    Unconfirmed,
    /// It did not arrive.
    Failed(&'static str),
    /// Nobody is called so.
    Unknown,
}

/// The routes by their words.
pub(super) type Routes = HashMap<&'static str, Arc<dyn Route>>;
