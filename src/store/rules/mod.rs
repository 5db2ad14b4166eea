//! What must survive a restart and is neither a message nor a sign-in: the rules of rooms, and what users keep. The
//! trait, what every backend shares, and the backends.

#[cfg(feature = "testing")]
pub(super) mod contract;
mod memory;
#[cfg(feature = "sqlite")]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt::{Debug, Display};
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

pub use memory::MemoryRules;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteRules;

use super::StoreError;
use crate::address::network;
use crate::limits::Limits;
use crate::message::{Timestamp, UserId};
use crate::name::RoomName;

/// The rules of one room.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RoomRules {
    /// Who made the room and moderates it.
    pub maker: Option<UserId>,
    /// Whether it was closed: nobody may enter.
    pub closed: bool,
    /// Who may not enter.
    pub bans: Vec<Ban>,
    /// Who may not say anything.
    pub mutes: Vec<Mute>,
}

/// Somebody may not enter a room.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ban {
    /// Who.
    pub user: UserId,
    /// What they were called then: a ban is lifted by it, though the user may be gone.
    pub name: Arc<str>,
    /// Where they came from, which shuts out whoever else comes from there; `None` for an account.
    pub address: Option<IpAddr>,
    /// When it ends; `None`: not by itself.
    pub until: Option<Timestamp>,
}

/// Somebody may not say anything in a room.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mute {
    /// Who.
    pub user: UserId,
    /// What they were called then.
    pub name: Arc<str>,
    /// Where they came from, as with a [`Ban`].
    pub address: Option<IpAddr>,
    /// When it ends; `None`: not by itself.
    pub until: Option<Timestamp>,
}

/// What one user keeps.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UserRules {
    /// Whom they block, and what those were called then.
    pub blocked: Vec<(UserId, Arc<str>)>,
    /// The seq of the user's own direct room up to which everything was delivered; 0: nothing yet.
    pub delivered: u64,
}

impl RoomRules {
    /// Whether nothing differs from a room that nobody made a rule for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.maker.is_none() && !self.closed && self.bans.is_empty() && self.mutes.is_empty()
    }

    /// Whether a ban that has not ended names the user, or the address they come from. An IPv4 address that is mapped
    /// into IPv6 is the IPv4 address; of IPv6 the network of 64 bits counts, all of which one host may use.
    #[must_use]
    pub fn banned(&self, user: UserId, address: Option<IpAddr>, now: Timestamp) -> bool {
        let from = address.map(network);
        self.bans.iter().any(|ban| stands(ban.until, now) && (ban.user == user || same(from, ban.address)))
    }

    /// Whether a mute that has not ended names the user, or the address they come from, as with
    /// [`banned`](Self::banned).
    #[must_use]
    pub fn muted(&self, user: UserId, address: Option<IpAddr>, now: Timestamp) -> bool {
        let from = address.map(network);
        self.mutes.iter().any(|mute| stands(mute.until, now) && (mute.user == user || same(from, mute.address)))
    }

    /// Drops the bans and mutes that have ended; tells whether there were any.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let before = self.entries();
        self.bans.retain(|ban| stands(ban.until, now));
        self.mutes.retain(|mute| stands(mute.until, now));
        self.entries() < before
    }

    fn entries(&self) -> usize {
        self.bans.len() + self.mutes.len()
    }
}

impl UserRules {
    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocked.is_empty() && self.delivered == 0
    }
}

/// The rules of rooms, and what users keep.
///
/// What is kept replaces what was there, whole; whoever changes a part reads first, and is alone in changing it. Calls
/// take effect in the order in which their futures are first polled. A write returns when it is as durable as the store
/// ever makes it, and what was answered is seen by every later read. Nobody's clock is asked: what has ended stays until
/// it is kept without ([`RoomRules::expire`]).
///
/// # Cancel safety
/// Dropping a call's future does not undo the call: a change that was handed over still happens.
#[async_trait]
pub trait RuleStore: Debug + Send + Sync + 'static {
    /// All rooms that have rules, sorted by name. Meant to be read once, at the start.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn rooms(&self) -> Result<Vec<(RoomName, RoomRules)>, StoreError>;

    /// Keeps the rules of a room; empty ones leave nothing of it.
    ///
    /// # Errors
    /// [`StoreError::Full`] when it would be more than [`Limits::rules_per_room`](crate::Limits::rules_per_room) bans and
    /// mutes, or one room more than [`Limits::rooms`](crate::Limits::rooms), or when there is no space on the disk; the
    /// old ones stay then. Fewer than before are never too many.
    async fn keep_room(&self, room: &RoomName, rules: &RoomRules) -> Result<(), StoreError>;

    /// What a user keeps; empty for one of whom nothing is known.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn user(&self, user: UserId) -> Result<UserRules, StoreError>;

    /// Keeps what a user keeps; with empty rules nothing is left of it.
    ///
    /// # Errors
    /// [`StoreError::Full`] when it would be more than [`Limits::blocks_per_user`](crate::Limits::blocks_per_user), or
    /// one user more than [`Limits::users`](crate::Limits::users), or when there is no space on the disk; the old ones
    /// stay then. Fewer than before are never too many.
    async fn keep_user(&self, user: UserId, rules: &UserRules) -> Result<(), StoreError>;

    /// Forgets what users kept: all of them, or with an error none. Rooms' rules that name them stay.
    ///
    /// # Errors
    /// Only what can befall any write.
    async fn forget_users(&self, users: &[UserId]) -> Result<(), StoreError>;
}

/// How much a store holds at most, on one of its sides: rooms, or users.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Rooms or users.
    holders: usize,
    /// Entries of each.
    entries: usize,
}

impl Bounds {
    fn of_rooms(limits: &Limits) -> Self {
        Self { holders: limits.rooms, entries: limits.rules_per_room }
    }

    fn of_users(limits: &Limits) -> Self {
        Self { holders: limits.users, entries: limits.blocks_per_user }
    }

    /// Whether `who`, of whom so many entries are held, may have `entries`, where there are `holders` in all.
    fn admit(&self, who: &impl Display, held: Option<usize>, entries: usize, holders: usize) -> Result<(), StoreError> {
        // Limits may have been lowered since: taking away must go on working.
        if entries > self.entries && held.is_none_or(|held| entries > held) {
            return Err(StoreError::Full(format!("{who} has the limit of {} rules", self.entries)));
        }
        if held.is_none() && holders >= self.holders {
            return Err(StoreError::Full(format!("no room for {who}: it holds its limit of {}", self.holders)));
        }
        Ok(())
    }
}

/// Whether somebody comes from that address, of which the network counts.
fn same(from: Option<IpAddr>, address: Option<IpAddr>) -> bool {
    from.is_some() && address.map(network) == from
}

fn stands(until: Option<Timestamp>, now: Timestamp) -> bool {
    until.is_none_or(|end| now < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_and_mutes_name_a_user_and_an_address() {
        let (ann, bob) = (UserId::random(), UserId::random());
        let from = |address: &str| Some(address.parse::<IpAddr>().unwrap());
        let ban = Ban { user: ann, name: "ann".into(), address: from("192.0.2.1"), until: None };
        let rules = RoomRules { bans: vec![ban.clone()], ..RoomRules::default() };
        assert!(rules.banned(ann, None, at(0)) && rules.banned(ann, from("192.0.2.2"), at(0)), "wherever she is");
        assert!(rules.banned(bob, from("192.0.2.1"), at(0)), "whoever comes from there");
        assert!(rules.banned(bob, from("::ffff:192.0.2.1"), at(0)), "in either spelling");
        assert!(!rules.banned(bob, from("192.0.2.2"), at(0)));
        let network = RoomRules { bans: vec![Ban { address: from("2001:db8::1"), ..ban.clone() }], ..rules.clone() };
        assert!(network.banned(bob, from("2001:db8::ffff:2"), at(0)), "one host has a whole network of addresses");
        assert!(!network.banned(bob, from("2001:db8:0:1::1"), at(0)));
        assert!(!rules.banned(bob, None, at(0)));
        let mute = Mute { user: ann, name: "ann".into(), address: from("192.0.2.1"), until: None };
        let muted = RoomRules { mutes: vec![mute], ..RoomRules::default() };
        assert!(muted.muted(ann, None, at(0)) && muted.muted(bob, from("::ffff:192.0.2.1"), at(0)));
        assert!(!muted.muted(bob, from("192.0.2.2"), at(0)) && !muted.muted(bob, None, at(0)));
        let account = RoomRules { bans: vec![Ban { address: None, ..ban }], ..RoomRules::default() };
        assert!(account.banned(ann, from("192.0.2.1"), at(0)));
        assert!(!account.banned(bob, None, at(0)), "no address is not an address that two can share");
    }

    #[test]
    fn bans_and_mutes_end_at_their_time_and_are_dropped_then() {
        let (ann, bob) = (UserId::random(), UserId::random());
        let ban = |user, until| Ban { user, name: "x".into(), address: None, until };
        let mute = |user, until| Mute { user, name: "x".into(), address: None, until };
        let mut rules = RoomRules {
            bans: vec![ban(ann, Some(at(10))), ban(bob, None)],
            mutes: vec![mute(bob, Some(at(20))), mute(ann, None)],
            ..RoomRules::default()
        };
        assert!(rules.banned(ann, None, at(9)) && !rules.banned(ann, None, at(10)));
        assert!(rules.muted(bob, None, at(19)) && !rules.muted(bob, None, at(20)));
        assert!(rules.muted(ann, None, at(u64::MAX)) && rules.banned(bob, None, at(u64::MAX)));
        assert!(!rules.expire(at(9)));
        assert!(rules.expire(at(10)));
        assert_eq!((rules.bans.len(), rules.mutes.len()), (1, 2));
        assert!(rules.expire(at(20)) && !rules.expire(at(u64::MAX)));
        assert_eq!((&*rules.bans, &*rules.mutes), (&[ban(bob, None)][..], &[mute(ann, None)][..]));
    }

    #[test]
    fn rules_are_empty_when_nothing_is_said_in_them() {
        let ann = UserId::random();
        assert!(RoomRules::default().is_empty() && UserRules::default().is_empty());
        let ban = Ban { user: ann, name: "ann".into(), address: None, until: None };
        let mute = Mute { user: ann, name: "ann".into(), address: None, until: None };
        for rules in [
            RoomRules { maker: Some(ann), ..RoomRules::default() },
            RoomRules { closed: true, ..RoomRules::default() },
            RoomRules { bans: vec![ban], ..RoomRules::default() },
            RoomRules { mutes: vec![mute], ..RoomRules::default() },
        ] {
            assert!(!rules.is_empty(), "{rules:?}");
        }
        assert!(!UserRules { delivered: 1, ..UserRules::default() }.is_empty());
        assert!(!UserRules { blocked: vec![(ann, "ann".into())], ..UserRules::default() }.is_empty());
    }

    #[test]
    fn lowered_limits_refuse_what_grows_and_nothing_else() {
        let bounds = Bounds { holders: 2, entries: 3 };
        for (held, entries, holders, admitted) in [
            (None, 3, 1, true),
            (None, 4, 1, false),
            (None, 3, 2, false),
            (Some(0), 3, 2, true),
            (Some(3), 4, 2, false),
            (Some(9), 8, 9, true),
            (Some(9), 9, 9, true),
            (Some(9), 10, 9, false),
        ] {
            let got = bounds.admit(&"it", held, entries, holders);
            assert_eq!(got.is_ok(), admitted, "{held:?} {entries} {holders}: {got:?}");
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }
}
