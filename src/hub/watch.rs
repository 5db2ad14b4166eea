//! Whoever is to know of every message, whatever wire it came over.

use std::fmt;
use std::sync::Arc;

use crate::message::Post;

/// Hears of every message once it is accepted: what is said in rooms, and to single users.
pub trait Watch: fmt::Debug + Send + Sync + 'static {
    /// Something was said. A room's turn waits for this, so it hands over what it wants to keep, and never waits.
    fn said(&self, told: &Told<'_>);
}

/// A message, and for whom it is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Told<'a> {
    /// The message. One that went elsewhere than to a user of the hub ([`Route`](super::Route)) has the author's own
    /// direct messages as its room, and no place in them: seq 0.
    pub post: &'a Arc<Post>,
    /// Whom a direct message is for, as its author called them.
    pub to: Option<&'a str>,
}
