//! What every [`AccountStore`] holds to: run [`account_contract`] on an own backend in its tests.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a suite of tests, although a public one")]

use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{AccountStore, Issued};
use crate::limits::Limits;
use crate::message::Timestamp;
use crate::name::Nickname;
use crate::secret::{Password, Secret};
use crate::store::StoreError;

/// Runs the whole suite. `make` gives an empty store that obeys the limits each time it is called.
///
/// It needs a tokio runtime; one with several threads makes the races real.
///
/// # Panics
/// Where the store breaks the contract; the message says which rule.
pub async fn account_contract<S, F>(make: impl Fn(Limits) -> F)
where
    S: AccountStore,
    F: Future<Output = S>,
{
    let fresh = || make(Limits::default());
    guests_and_accounts_are_found_again(&fresh().await).await;
    a_nickname_is_held_by_one(&fresh().await).await;
    accounts_sign_in_with_their_password(&fresh().await).await;
    accounts_with_a_key_are_found_by_it(&fresh().await).await;
    an_unused_token_is_void_after_a_minute(&fresh().await).await;
    a_used_token_stands_for_a_day(&fresh().await).await;
    a_dropped_plain_session_frees_token_and_nickname(&fresh().await).await;
    a_dropped_rich_session_is_reserved(&fresh().await).await;
    the_last_connection_of_a_user_decides(&fresh().await).await;
    accounts_outlive_their_sessions(&fresh().await).await;
    renaming_moves_a_nickname(&fresh().await).await;
    sessions_are_listed_and_revoked(&fresh().await).await;
    ended_guests_are_told_and_forgotten(&fresh().await).await;
    let limits = Limits { users: 3, sessions_per_user: 2, ..Limits::default() };
    capacity_is_kept(&make(limits.clone()).await).await;
    sessions_are_bounded(&make(limits).await).await;
    one_of_many_gets_a_nickname(Arc::new(fresh().await)).await;
}

async fn guests_and_accounts_are_found_again(store: &impl AccountStore) {
    let ann = guest(store, "ann", 5).await;
    let bob = store.create_account(&nick("Bób ✓"), &password("correct horse"), at(6)).await.unwrap();
    assert!(!ann.user.account && bob.user.account);
    assert_ne!(ann.user.id, bob.user.id);
    assert_ne!(ann.token.reveal(), bob.token.reveal());
    for issued in [&ann, &bob] {
        let user = Some(&issued.user);
        assert_eq!(store.by_id(issued.user.id, at(7)).await.unwrap().as_ref(), user);
        assert_eq!(store.by_nickname(&issued.user.nickname, at(7)).await.unwrap().as_ref(), user);
        let (found, session) = store.by_token(&issued.token.hash(), at(7)).await.unwrap().unwrap();
        assert_eq!(Some(&found), user);
        assert_eq!((session.id, session.used, session.connections), (issued.session, false, 0));
        assert_eq!(store.sessions(issued.user.id, at(7)).await.unwrap(), [session]);
    }
    assert_eq!((ann.user.since, ann.user.nickname.as_str()), (at(5), "ann"));
    assert_eq!(store.by_token(&Secret::random().hash(), at(7)).await.unwrap(), None, "a token that nobody was given");
    assert_eq!(store.by_nickname(&nick("Ann"), at(7)).await.unwrap(), None, "nicknames are compared byte for byte");
}

async fn a_nickname_is_held_by_one(store: &impl AccountStore) {
    guest(store, "ann", 0).await;
    store.create_account(&nick("bob"), &password("12345678"), at(0)).await.unwrap();
    for name in ["ann", "bob"] {
        let taken = store.create_guest(&nick(name), at(1)).await;
        assert!(matches!(taken, Err(StoreError::Taken)), "{name}, for a guest: {taken:?}");
        let taken = store.create_account(&nick(name), &password("12345678"), at(1)).await;
        assert!(matches!(taken, Err(StoreError::Taken)), "{name}, for an account: {taken:?}");
    }
    guest(store, "Ann", 1).await;
}

async fn accounts_sign_in_with_their_password(store: &impl AccountStore) {
    let first = store.create_account(&nick("bob"), &password("correct horse"), at(0)).await.unwrap();
    let second = store.sign_in(&nick("bob"), &password("correct horse"), at(100)).await.unwrap();
    assert_eq!(second.user, first.user);
    assert_ne!(second.session, first.session);
    let wrong = store.sign_in(&nick("bob"), &password("correct horsf"), at(100)).await;
    assert!(matches!(wrong, Err(StoreError::Forbidden)), "{wrong:?}");
    guest(store, "ann", 100).await;
    let guests = store.sign_in(&nick("ann"), &password("correct horse"), at(100)).await;
    assert!(matches!(guests, Err(StoreError::Forbidden)), "a guest has no password: {guests:?}");
    let nobody = store.sign_in(&nick("eve"), &password("correct horse"), at(100)).await;
    assert!(matches!(nobody, Err(StoreError::Unknown)), "{nobody:?}");
    assert_eq!(store.sessions(first.user.id, at(100)).await.unwrap().len(), 1, "the first was never used");
}

async fn accounts_with_a_key_are_found_by_it(store: &impl AccountStore) {
    let key = Secret::random();
    let zen = store.create_keyed(&nick("Zen tester"), &key.hash(), at(0)).await.unwrap();
    assert!(zen.user.account);
    assert!(store.by_token(&zen.token.hash(), at(1)).await.unwrap().is_some());
    let again = store.sign_in_by_key(&key.hash(), at(1000 * DAY)).await.unwrap();
    assert_eq!(again.user, zen.user, "it stays, as every account does");
    assert_ne!(again.session, zen.session);
    let typed = store.sign_in(&nick("Zen tester"), &password(key.reveal()), at(1000 * DAY)).await.unwrap();
    assert_eq!(typed.user, zen.user, "it is a password, too");
    let wrong = store.sign_in(&nick("Zen tester"), &password(Secret::random().reveal()), at(1000 * DAY)).await;
    assert!(matches!(wrong, Err(StoreError::Forbidden)), "{wrong:?}");
    unknown(store.sign_in_by_key(&Secret::random().hash(), at(1000 * DAY)).await, "a key that nobody has");
    store.create_account(&nick("bob"), &password(Secret::random().reveal()), at(1000 * DAY)).await.unwrap();
    let taken = store.create_keyed(&nick("bob"), &Secret::random().hash(), at(1000 * DAY)).await;
    assert!(matches!(taken, Err(StoreError::Taken)), "the nickname: {taken:?}");
    let taken = store.create_keyed(&nick("eve"), &key.hash(), at(1000 * DAY)).await;
    assert!(matches!(taken, Err(StoreError::Taken)), "the key: {taken:?}");
    let chosen = password("correct horse");
    store.create_account(&nick("carl"), &chosen, at(1000 * DAY)).await.unwrap();
    unknown(store.sign_in_by_key(&chosen.as_key(), at(1000 * DAY)).await, "a password is no key");
    let renamed = store.rename(zen.user.id, &nick("Zen"), at(1000 * DAY)).await.unwrap();
    assert_eq!(store.sign_in_by_key(&key.hash(), at(1000 * DAY)).await.unwrap().user, renamed);
    assert_eq!(store.forget(&[zen.user.id], at(3000 * DAY)).await.unwrap(), 0);
    store.sign_in_by_key(&key.hash(), at(3000 * DAY)).await.unwrap();
}

async fn an_unused_token_is_void_after_a_minute(store: &impl AccountStore) {
    let ann = guest(store, "ann", 0).await;
    assert!(store.by_token(&ann.token.hash(), at(59)).await.unwrap().is_some());
    assert!(store.by_token(&ann.token.hash(), at(60)).await.unwrap().is_none(), "looking was no use");
    unknown(store.connect(&ann.token.hash(), false, at(60)).await, "a void token connects nobody");
    unknown(store.touch(&ann.token.hash(), at(60)).await, "and cannot be touched");
    assert_eq!(store.by_id(ann.user.id, at(60)).await.unwrap(), None, "its guest has ended");
    let other = guest(store, "ann", 60).await;
    assert_ne!(other.user.id, ann.user.id, "and the nickname is somebody else's");
    assert_eq!(store.by_nickname(&nick("ann"), at(61)).await.unwrap().map(|user| user.id), Some(other.user.id));
}

async fn a_used_token_stands_for_a_day(store: &impl AccountStore) {
    let ann = guest(store, "ann", 0).await;
    store.touch(&ann.token.hash(), at(59)).await.unwrap();
    assert!(store.by_token(&ann.token.hash(), at(59 + DAY - 1)).await.unwrap().is_some());
    let (_, session) = store.touch(&ann.token.hash(), at(DAY)).await.unwrap();
    assert_eq!(session.ends, Some(at(2 * DAY)), "each use is good for another day");
    assert!(store.by_token(&ann.token.hash(), at(2 * DAY)).await.unwrap().is_none());
    let bob = guest(store, "bob", 0).await;
    let (_, session) = store.connect(&bob.token.hash(), false, at(1)).await.unwrap();
    assert_eq!((session.ends, session.used, session.connections), (None, true, 1));
    assert!(store.by_token(&bob.token.hash(), at(100 * DAY)).await.unwrap().is_some(), "a connection is use all along");
    assert!(store.create_guest(&nick("bob"), at(100 * DAY)).await.is_err());
}

async fn a_dropped_plain_session_frees_token_and_nickname(store: &impl AccountStore) {
    let ann = guest(store, "ann", 0).await;
    let (user, session) = store.connect(&ann.token.hash(), false, at(1)).await.unwrap();
    store.disconnect(user.id, session.id, at(2)).await.unwrap();
    assert!(store.by_token(&ann.token.hash(), at(2)).await.unwrap().is_none());
    assert_eq!(store.by_id(user.id, at(2)).await.unwrap(), None);
    assert!(store.sessions(user.id, at(2)).await.unwrap().is_empty());
    unknown(store.connect(&ann.token.hash(), false, at(2)).await, "the token is gone for good");
    guest(store, "ann", 2).await;
    store.disconnect(user.id, session.id, at(2)).await.expect("a late drop is no error");
    assert!(store.by_nickname(&nick("ann"), at(2)).await.unwrap().is_some(), "and harms nobody");
}

async fn a_dropped_rich_session_is_reserved(store: &impl AccountStore) {
    let ann = guest(store, "ann", 0).await;
    let (user, session) = store.connect(&ann.token.hash(), true, at(1)).await.unwrap();
    store.disconnect(user.id, session.id, at(100)).await.unwrap();
    let taken = store.create_guest(&nick("ann"), at(699)).await;
    assert!(matches!(taken, Err(StoreError::Taken)), "{taken:?}");
    let (again, session) = store.connect(&ann.token.hash(), true, at(699)).await.expect("ten minutes to resume");
    assert_eq!((again.id, session.connections), (user.id, 1));
    store.disconnect(user.id, session.id, at(1000)).await.unwrap();
    unknown(store.connect(&ann.token.hash(), true, at(1600)).await, "not longer");
    guest(store, "ann", 1600).await;
}

async fn the_last_connection_of_a_user_decides(store: &impl AccountStore) {
    let ann = guest(store, "ann", 0).await;
    let token = ann.token.hash();
    store.connect(&token, false, at(1)).await.unwrap();
    let (_, session) = store.connect(&token, false, at(1)).await.unwrap();
    assert_eq!(session.connections, 2, "a second connection by one token");
    store.disconnect(ann.user.id, session.id, at(2)).await.unwrap();
    assert!(store.by_token(&token, at(DAY * 2)).await.unwrap().is_some(), "the first goes on");
    store.disconnect(ann.user.id, session.id, at(3)).await.unwrap();
    assert!(store.by_token(&token, at(3)).await.unwrap().is_none());

    let bob = store.create_account(&nick("bob"), &password("12345678"), at(0)).await.unwrap();
    let other = store.sign_in(&nick("bob"), &password("12345678"), at(0)).await.unwrap();
    store.connect(&bob.token.hash(), false, at(1)).await.unwrap();
    store.connect(&other.token.hash(), true, at(1)).await.unwrap();
    store.disconnect(bob.user.id, bob.session, at(2)).await.unwrap();
    assert!(store.by_token(&bob.token.hash(), at(3)).await.unwrap().is_some(), "the user is still there");
    store.disconnect(bob.user.id, other.session, at(4)).await.unwrap();
    let left: Vec<_> =
        store.sessions(bob.user.id, at(5)).await.unwrap().into_iter().map(|session| session.id).collect();
    assert_eq!(left, [other.session], "the plain one is freed with the last, the rich one can be resumed");
}

async fn accounts_outlive_their_sessions(store: &impl AccountStore) {
    let bob = store.create_account(&nick("bob"), &password("12345678"), at(0)).await.unwrap();
    store.connect(&bob.token.hash(), false, at(1)).await.unwrap();
    store.disconnect(bob.user.id, bob.session, at(2)).await.unwrap();
    assert!(store.by_token(&bob.token.hash(), at(2)).await.unwrap().is_none());
    assert_eq!(store.by_nickname(&nick("bob"), at(1000 * DAY)).await.unwrap(), Some(bob.user.clone()));
    assert!(store.create_guest(&nick("bob"), at(1000 * DAY)).await.is_err(), "the nickname stays the account's");
    let back = store.sign_in(&nick("bob"), &password("12345678"), at(1000 * DAY)).await.unwrap();
    assert_eq!(back.user, bob.user);
    assert!(!store.ended(at(2000 * DAY)).await.unwrap().contains(&bob.user.id));
}

async fn renaming_moves_a_nickname(store: &impl AccountStore) {
    let ann = guest(store, "ann", 0).await;
    let bob = guest(store, "bob", 0).await;
    let taken = store.rename(ann.user.id, &nick("bob"), at(1)).await;
    assert!(matches!(taken, Err(StoreError::Taken)), "{taken:?}");
    assert_eq!(store.rename(ann.user.id, &nick("ann"), at(1)).await.unwrap(), ann.user, "one's own is not taken");
    let renamed = store.rename(ann.user.id, &nick("eve"), at(1)).await.unwrap();
    assert_eq!((renamed.id, renamed.nickname.as_str()), (ann.user.id, "eve"));
    assert_eq!(store.by_nickname(&nick("ann"), at(1)).await.unwrap(), None);
    assert_eq!(store.by_token(&ann.token.hash(), at(1)).await.unwrap().unwrap().0, renamed);
    store.rename(bob.user.id, &nick("ann"), at(1)).await.expect("the old one is free");
    let gone = store.rename(bob.user.id, &nick("bob"), at(61)).await;
    assert!(matches!(gone, Err(StoreError::Unknown)), "who has ended has no name: {gone:?}");
    let late = guest(store, "late", 61).await;
    store.rename(late.user.id, &nick("eve"), at(61)).await.expect("nor keeps one from others");
    assert_eq!(store.by_nickname(&nick("eve"), at(62)).await.unwrap().map(|user| user.id), Some(late.user.id));
    assert_eq!(store.forget(&[ann.user.id, bob.user.id], at(62)).await.unwrap(), 2);
    assert_eq!(store.by_nickname(&nick("eve"), at(62)).await.unwrap().map(|user| user.id), Some(late.user.id));
}

async fn sessions_are_listed_and_revoked(store: &impl AccountStore) {
    let bob = store.create_account(&nick("bob"), &password("12345678"), at(0)).await.unwrap();
    let second = store.sign_in(&nick("bob"), &password("12345678"), at(1)).await.unwrap();
    store.connect(&second.token.hash(), true, at(2)).await.unwrap();
    let listed = store.sessions(bob.user.id, at(3)).await.unwrap();
    let seen: Vec<_> = listed.iter().map(|s| (s.id, s.issued, s.used, s.rich, s.connections)).collect();
    assert_eq!(seen, [(bob.session, at(0), false, false, 0), (second.session, at(1), true, true, 1)], "oldest first");
    let ann = guest(store, "ann", 3).await;
    assert!(!store.revoke(ann.user.id, second.session, at(3)).await.unwrap(), "only one's own");
    assert!(store.revoke(bob.user.id, second.session, at(3)).await.unwrap(), "though it is connected");
    assert!(!store.revoke(bob.user.id, second.session, at(3)).await.unwrap());
    assert!(store.by_token(&second.token.hash(), at(3)).await.unwrap().is_none());
    unknown(store.connect(&second.token.hash(), true, at(3)).await, "revoked is revoked");
    store.disconnect(bob.user.id, second.session, at(4)).await.expect("its connection ends later");
    assert!(store.by_token(&bob.token.hash(), at(4)).await.unwrap().is_some(), "the other session stands");
    assert!(store.revoke(ann.user.id, ann.session, at(4)).await.unwrap());
    assert_eq!(store.by_id(ann.user.id, at(4)).await.unwrap(), None, "a guest ends with the last session");
    guest(store, "ann", 4).await;
}

async fn ended_guests_are_told_and_forgotten(store: &impl AccountStore) {
    let (ann, eve) = (guest(store, "ann", 0).await, guest(store, "eve", 0).await);
    let bob = store.create_account(&nick("bob"), &password("12345678"), at(0)).await.unwrap();
    store.connect(&ann.token.hash(), false, at(1)).await.unwrap();
    assert!(store.ended(at(59)).await.unwrap().is_empty());
    assert_eq!(store.ended(at(60)).await.unwrap(), [eve.user.id], "whose token was never used");
    store.disconnect(ann.user.id, ann.session, at(61)).await.unwrap();
    let mut ended = store.ended(at(61)).await.unwrap();
    ended.sort_unstable();
    let mut expected = [ann.user.id, eve.user.id];
    expected.sort_unstable();
    assert_eq!(ended, expected, "told until they are forgotten");
    let carl = guest(store, "carl", 61).await;
    let all = [ann.user.id, bob.user.id, carl.user.id, eve.user.id, ann.user.id];
    assert_eq!(store.forget(&all, at(61)).await.unwrap(), 2, "only who has ended");
    assert!(store.ended(at(61)).await.unwrap().is_empty());
    assert!(store.by_id(carl.user.id, at(61)).await.unwrap().is_some());
    assert!(store.by_id(bob.user.id, at(61)).await.unwrap().is_some());
}

async fn capacity_is_kept(store: &impl AccountStore) {
    for name in ["a", "b", "c"] {
        guest(store, name, 0).await;
    }
    let full = store.create_guest(&nick("d"), at(1)).await;
    assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
    let ended = store.ended(at(60)).await.unwrap();
    assert_eq!(store.forget(&ended, at(60)).await.unwrap(), 3);
    guest(store, "d", 60).await;
}

async fn sessions_are_bounded(store: &impl AccountStore) {
    let sign_in = async |now| store.sign_in(&nick("bob"), &password("12345678"), at(now)).await;
    let bob = store.create_account(&nick("bob"), &password("12345678"), at(0)).await.unwrap();
    store.connect(&bob.token.hash(), true, at(0)).await.unwrap();
    let idle = sign_in(1).await.unwrap();
    let third = sign_in(2).await.unwrap();
    assert!(store.by_token(&idle.token.hash(), at(2)).await.unwrap().is_none(), "the idle one makes room");
    assert!(store.by_token(&bob.token.hash(), at(2)).await.unwrap().is_some(), "the connected one does not");
    store.connect(&third.token.hash(), true, at(3)).await.unwrap();
    let full = sign_in(4).await;
    assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
}

async fn one_of_many_gets_a_nickname(store: Arc<impl AccountStore>) {
    for round in 0..10 {
        let mut racers = JoinSet::new();
        for _ in 0..RACERS {
            let store = store.clone();
            racers.spawn(async move { store.create_guest(&nick(&format!("prize {round}")), at(0)).await });
        }
        let results = racers.join_all().await;
        let winners: Vec<&Issued> = results.iter().flatten().collect();
        assert_eq!(winners.len(), 1, "exactly one wins");
        let refused = results.iter().filter(|result| matches!(result, Err(StoreError::Taken))).count();
        assert_eq!(refused, RACERS - 1);
        let holder = store.by_nickname(&nick(&format!("prize {round}")), at(0)).await.unwrap();
        assert_eq!(holder.as_ref(), Some(&winners[0].user));
    }
}

async fn guest(store: &impl AccountStore, name: &str, now: u64) -> Issued {
    store.create_guest(&nick(name), at(now)).await.unwrap()
}

#[track_caller]
fn unknown<T: std::fmt::Debug>(result: Result<T, StoreError>, rule: &str) {
    assert!(matches!(result, Err(StoreError::Unknown)), "{rule}: {result:?}");
}

fn nick(name: &str) -> Nickname {
    Nickname::new(name).unwrap()
}

fn password(password: &str) -> Password {
    Password::new(password).unwrap()
}

/// A made-up clock, in seconds.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

const DAY: u64 = 24 * 3600;
const RACERS: usize = 32;
