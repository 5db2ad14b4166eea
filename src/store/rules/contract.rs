//! What every [`RuleStore`] holds to: run [`rule_contract`] on an own backend in its tests.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a suite of tests, although a public one")]

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Ban, Mute, RoomRules, RuleStore, UserRules};
use crate::limits::Limits;
use crate::message::{Timestamp, UserId};
use crate::name::RoomName;
use crate::store::StoreError;

/// Runs the whole suite. `make` gives an empty store that obeys the limits each time it is called.
///
/// It needs a tokio runtime; one with several threads makes the races real.
///
/// # Panics
/// Where the store breaks the contract; the message says which rule.
pub async fn rule_contract<S, F>(make: impl Fn(Limits) -> F)
where
    S: RuleStore,
    F: Future<Output = S>,
{
    let fresh = || make(Limits::default());
    rules_of_rooms_come_back_as_they_were(&fresh().await).await;
    what_users_keep_comes_back_as_it_was(&fresh().await).await;
    what_is_kept_replaces_what_was_there(&fresh().await).await;
    empty_rules_leave_nothing(&fresh().await).await;
    users_are_forgotten_and_rules_that_name_them_stay(&fresh().await).await;
    let limits = Limits { rooms: 2, users: 3, rules_per_room: 4, blocks_per_user: 5, ..Limits::default() };
    rules_of_a_room_are_bounded(&make(limits.clone()).await).await;
    what_a_user_keeps_is_bounded(&make(limits.clone()).await).await;
    rooms_and_users_are_bounded(&make(limits).await).await;
    full_lists_are_taken(&fresh().await).await;
    calls_take_effect_in_their_order(&fresh().await).await;
    many_write_at_once(Arc::new(fresh().await)).await;
}

async fn rules_of_rooms_come_back_as_they_were(store: &impl RuleStore) {
    assert!(store.rooms().await.unwrap().is_empty(), "there are none at first");
    let maker = UserId::random();
    let rooms = [
        (
            "all",
            RoomRules {
                maker: Some(maker),
                closed: true,
                bans: vec![
                    ban("änn \"✓\" \\ 𝄞", Some("192.0.2.1"), Some(0)),
                    ban("", Some("2001:db8::1"), Some(u64::MAX)),
                    ban("\u{7f}\n", Some("::ffff:192.0.2.1"), None),
                    ban("bob", None, None),
                ],
                mutes: vec![mute("bob", Some(1_700_000_000_000)), mute("bob", None), mute("", Some(u64::MAX))],
            },
        ),
        ("made", RoomRules { maker: Some(maker), ..RoomRules::default() }),
        ("closed", RoomRules { closed: true, ..RoomRules::default() }),
        ("banned", RoomRules { bans: vec![ban("ann", None, None)], ..RoomRules::default() }),
        ("muted", RoomRules { mutes: vec![mute("ann", None)], ..RoomRules::default() }),
        // Sorts before the small ones, and in no language's order.
        ("Z", RoomRules { closed: true, ..RoomRules::default() }),
        ("a.b-c_9", RoomRules { closed: true, ..RoomRules::default() }),
    ];
    let mut expected = Vec::new();
    for (name, rules) in rooms {
        store.keep_room(&room(name), &rules).await.unwrap();
        expected.push((room(name), rules));
        expected.sort_by(|(one, _), (other, _)| one.cmp(other));
        assert_eq!(store.rooms().await.unwrap(), expected, "every field, in their order, sorted by name");
    }
    assert!(store.user(maker).await.unwrap().is_empty(), "rooms are not users");
}

async fn what_users_keep_comes_back_as_it_was(store: &impl RuleStore) {
    let blocked = vec![(UserId::random(), Arc::from("änn \"✓\" \\ 𝄞")), (UserId::random(), Arc::from(""))];
    let both = UserRules { blocked: blocked.clone(), delivered: u64::MAX };
    for rules in [both, UserRules { blocked, delivered: 0 }, delivered(1)] {
        let user = UserId::random();
        assert!(store.user(user).await.unwrap().is_empty(), "nothing is known of them");
        store.keep_user(user, &rules).await.unwrap();
        assert_eq!(store.user(user).await.unwrap(), rules, "every field, in their order");
    }
    assert!(store.rooms().await.unwrap().is_empty(), "users are not rooms");
}

async fn what_is_kept_replaces_what_was_there(store: &impl RuleStore) {
    let (made, user) = (UserId::random(), UserId::random());
    let before = RoomRules { maker: Some(made), mutes: vec![mute("ann", None)], ..RoomRules::default() };
    let after = RoomRules { maker: Some(made), bans: vec![ban("ann", None, None)], ..RoomRules::default() };
    store.keep_room(&room("a"), &before).await.unwrap();
    store.keep_room(&room("b"), &before).await.unwrap();
    store.keep_room(&room("a"), &after).await.unwrap();
    assert_eq!(store.rooms().await.unwrap(), [(room("a"), after), (room("b"), before)], "of that room, and whole");
    let other = UserId::random();
    store.keep_user(user, &blocks(2)).await.unwrap();
    store.keep_user(other, &delivered(7)).await.unwrap();
    store.keep_user(user, &delivered(9)).await.unwrap();
    assert_eq!(store.user(user).await.unwrap(), delivered(9));
    assert_eq!(store.user(other).await.unwrap(), delivered(7));
    store.keep_user(user, &delivered(8)).await.unwrap();
    assert_eq!(store.user(user).await.unwrap(), delivered(8), "what makes sense is the caller's");
}

async fn empty_rules_leave_nothing(store: &impl RuleStore) {
    let user = UserId::random();
    store.keep_room(&room("a"), &RoomRules::default()).await.expect("there was nothing to remove");
    store.keep_user(user, &UserRules::default()).await.expect("there was nothing to remove");
    store.keep_room(&room("a"), &bans(1)).await.unwrap();
    store.keep_user(user, &delivered(1)).await.unwrap();
    store.keep_room(&room("a"), &RoomRules::default()).await.unwrap();
    store.keep_user(user, &UserRules::default()).await.unwrap();
    assert!(store.rooms().await.unwrap().is_empty());
    assert!(store.user(user).await.unwrap().is_empty());
}

async fn users_are_forgotten_and_rules_that_name_them_stay(store: &impl RuleStore) {
    let users = [UserId::random(), UserId::random(), UserId::random()];
    for user in users {
        store.keep_user(user, &blocks(1)).await.unwrap();
    }
    let rules = RoomRules { maker: Some(users[0]), ..RoomRules::default() };
    store.keep_room(&room("a"), &rules).await.unwrap();
    store.forget_users(&[]).await.expect("nobody may be forgotten");
    store.forget_users(&[users[0], UserId::random(), users[2], users[0]]).await.expect("strangers among them too");
    assert!(store.user(users[0]).await.unwrap().is_empty());
    assert!(store.user(users[2]).await.unwrap().is_empty());
    assert!(!store.user(users[1]).await.unwrap().is_empty(), "only who is meant");
    assert_eq!(store.rooms().await.unwrap(), [(room("a"), rules)]);
}

async fn rules_of_a_room_are_bounded(store: &impl RuleStore) {
    let most = RoomRules { mutes: vec![mute("ann", None)], ..bans(3) };
    store.keep_room(&room("a"), &most).await.expect("as many as the limit");
    let more = RoomRules { mutes: vec![mute("ann", None); 2], ..bans(3) };
    full(store.keep_room(&room("a"), &more).await, "bans and mutes count together");
    full(store.keep_room(&room("b"), &bans(5)).await, "in a new room too");
    assert_eq!(store.rooms().await.unwrap(), [(room("a"), most.clone())], "and the old ones stay");
    let closed = RoomRules { closed: true, ..most };
    store.keep_room(&room("a"), &closed).await.expect("a full room can be closed");
}

async fn what_a_user_keeps_is_bounded(store: &impl RuleStore) {
    let user = UserId::random();
    let most = blocks(5);
    store.keep_user(user, &most).await.expect("as many as the limit");
    full(store.keep_user(user, &blocks(6)).await, "one more");
    full(store.keep_user(UserId::random(), &blocks(6)).await, "a new user too");
    assert_eq!(store.user(user).await.unwrap(), most, "and the old ones stay");
    store.keep_user(user, &UserRules { delivered: 9, ..most }).await.expect("it is delivered to them all the same");
}

async fn rooms_and_users_are_bounded(store: &impl RuleStore) {
    for name in ["a", "b"] {
        store.keep_room(&room(name), &bans(1)).await.unwrap();
    }
    full(store.keep_room(&room("c"), &bans(1)).await, "one room more");
    store.keep_room(&room("c"), &RoomRules::default()).await.expect("nothing needs no room");
    store.keep_room(&room("b"), &bans(2)).await.expect("those that are there may change");
    store.keep_room(&room("a"), &RoomRules::default()).await.unwrap();
    store.keep_room(&room("c"), &bans(1)).await.expect("one has gone");

    let users = [UserId::random(), UserId::random(), UserId::random()];
    for user in users {
        store.keep_user(user, &delivered(1)).await.unwrap();
    }
    let other = UserId::random();
    full(store.keep_user(other, &delivered(1)).await, "one user more");
    store.keep_user(users[0], &delivered(2)).await.expect("those that are there may change");
    store.forget_users(&[users[1], users[1]]).await.unwrap();
    store.keep_user(other, &delivered(1)).await.expect("one is forgotten");
    full(store.keep_user(users[1], &delivered(1)).await, "it counts once");
    store.keep_user(other, &UserRules::default()).await.unwrap();
    store.keep_user(users[1], &delivered(1)).await.expect("one has nothing any more");
}

async fn full_lists_are_taken(store: &impl RuleStore) {
    let (limits, user) = (Limits::default(), UserId::random());
    let (rules, blocks) = (bans(limits.rules_per_room), blocks(limits.blocks_per_user));
    store.keep_room(&room("a"), &rules).await.unwrap();
    store.keep_user(user, &blocks).await.unwrap();
    assert_eq!(store.rooms().await.unwrap(), [(room("a"), rules)]);
    assert_eq!(store.user(user).await.unwrap(), blocks);
}

async fn calls_take_effect_in_their_order(store: &impl RuleStore) {
    let user = UserId::random();
    let (one, two, three) = (delivered(1), delivered(2), delivered(3));
    let nobody = [user];
    let (a, b, c, d) = tokio::join!(
        biased;
        store.keep_user(user, &one),
        store.keep_user(user, &two),
        store.forget_users(&nobody),
        store.keep_user(user, &three),
    );
    for done in [a, b, c, d] {
        done.unwrap();
    }
    assert_eq!(store.user(user).await.unwrap(), three, "the last one stands");
}

async fn many_write_at_once(store: Arc<impl RuleStore>) {
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            let (user, room) = (UserId::random(), room(&format!("room-{number:02}")));
            for step in 1..=STEPS {
                store.keep_room(&room, &bans(step)).await.unwrap();
                store.keep_user(user, &delivered(step as u64)).await.unwrap();
                assert_eq!(store.user(user).await.unwrap(), delivered(step as u64), "what was answered is seen");
            }
            room
        });
    }
    let mut expected = writers.join_all().await;
    expected.sort();
    let rooms = store.rooms().await.unwrap();
    assert!(rooms.iter().all(|(_, rules)| rules.bans.len() == STEPS), "nobody's change is lost");
    assert_eq!(rooms.into_iter().map(|(room, _)| room).collect::<Vec<_>>(), expected);
}

#[track_caller]
fn full(result: Result<(), StoreError>, rule: &str) {
    assert!(matches!(result, Err(StoreError::Full(_))), "{rule}: {result:?}");
}

fn bans(count: usize) -> RoomRules {
    let bans = (0..count).map(|number| ban(&format!("user {number}"), Some("192.0.2.1"), Some(number as u64)));
    RoomRules { bans: bans.collect(), ..RoomRules::default() }
}

fn ban(name: &str, address: Option<&str>, until: Option<u64>) -> Ban {
    let address = address.map(|address| address.parse::<IpAddr>().unwrap());
    Ban { user: UserId::random(), name: name.into(), address, until: until.map(Timestamp::from_millis) }
}

fn mute(name: &str, until: Option<u64>) -> Mute {
    Mute {
        user: UserId::random(),
        name: name.into(),
        address: Some([192, 0, 2, 7].into()),
        until: until.map(Timestamp::from_millis),
    }
}

fn blocks(count: usize) -> UserRules {
    let blocked = (0..count).map(|number| (UserId::random(), Arc::from(format!("user {number}"))));
    UserRules { blocked: blocked.collect(), ..UserRules::default() }
}

fn delivered(seq: u64) -> UserRules {
    UserRules { delivered: seq, ..UserRules::default() }
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

const WRITERS: usize = 16;
const STEPS: usize = 10;
