//! Peers and rooms: [`Peers`] carries direct messages to the users of a registry, and a [`RoomPeer`] is a room that they
//! write to as they write to each other.

mod alone;
mod copies;
mod doorman;
mod entry;
mod greeting;
mod guests;
mod hosts;
mod member;
mod members;
mod names;
mod pipe;
mod proof;
mod room;
mod route;
mod taken;
#[cfg(test)]
mod tests;

pub use self::entry::{RoomEntry, RoomEntryError};
#[cfg(feature = "server")]
pub(crate) use self::greeting::CountedGreetings;
pub use self::room::{RoomPeer, RoomPeerError};
pub use self::route::Peers;
