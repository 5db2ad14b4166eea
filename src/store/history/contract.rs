//! What every [`HistoryStore`] holds to: run [`history_contract`] on an own backend in its tests.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a suite of tests, although a public one")]

mod search;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{HistoryStore, MAX_PAGE, Page, Retention};
use crate::limits::Limits;
use crate::message::{MessageId, Record, RoomKey, Timestamp, UserId};
use crate::name::RoomName;
use crate::store::StoreError;

/// Runs the whole suite. `make` gives an empty store that obeys the limits each time it is called.
///
/// It needs a tokio runtime; one with several threads makes the races real.
///
/// # Panics
/// Where the store breaks the contract; the message says which rule.
pub async fn history_contract<S, F>(make: impl Fn(Limits) -> F)
where
    S: HistoryStore,
    F: Future<Output = S>,
{
    let fresh = || make(Limits::default());
    a_room_begins_with_its_first_record(&fresh().await).await;
    records_come_back_as_they_were(&fresh().await).await;
    the_order_is_checked_and_nothing_is_done_by_halves(&fresh().await).await;
    pages_are_cut_as_asked_oldest_first(&fresh().await).await;
    a_page_has_a_bound(&fresh().await).await;
    rooms_with_records_are_listed(&fresh().await).await;
    ids_are_remembered_for_the_window(&fresh().await).await;
    retention_takes_the_oldest(&fresh().await).await;
    what_may_be_repeated_stays(&fresh().await).await;
    retention_meets_one_room_or_each(&fresh().await).await;
    direct_messages_are_forgotten_whole(&fresh().await).await;
    search::searches_hold(&fresh().await).await;
    appends_take_effect_in_the_order_of_their_calls(&fresh().await).await;
    many_rooms_grow_at_once(Arc::new(fresh().await)).await;
}

async fn a_room_begins_with_its_first_record(store: &impl HistoryStore) {
    let room = room("new");
    let empty = store.head(&room).await.unwrap();
    assert_eq!(empty.seq, 0, "0 is before the first");
    assert!(store.page(&room, &newest(10)).await.unwrap().is_empty());
    assert!(store.rooms().await.unwrap().is_empty());
    store.append(&[]).await.expect("nothing may be appended");
    store.append(&[said(&room, 1, 0)]).await.unwrap();
    let head = store.head(&room).await.unwrap();
    assert_eq!(head.seq, 1, "what was answered is seen");
    assert_eq!(head.epoch, empty.epoch, "the epoch stays");
}

async fn records_come_back_as_they_were(store: &impl HistoryStore) {
    let user = UserId::random();
    let mut expected = Vec::new();
    for (number, body) in ["", "two\nlines\tand a tab", "größer ✓ 𝄞", &"x".repeat(16 * 1024)].into_iter().enumerate()
    {
        let seq = number as u64 * 7 + 1;
        let prev = expected.last().map_or(0, |record: &Record| record.seq);
        let at = Timestamp::from_millis(1_700_000_000_000 + seq);
        let id = (number % 2 == 0).then(|| MessageId::new(&format!("id {number}")).unwrap());
        let room = RoomKey::Direct(user);
        expected.push(Record { room, seq, prev, at, user, from: "Änn #1".into(), id, body: body.into() });
    }
    store.append(&expected).await.unwrap();
    let found = store.page(&RoomKey::Direct(user), &newest(10)).await.unwrap();
    assert_eq!(found, expected, "every field, and seqs that are not dense");
}

async fn the_order_is_checked_and_nothing_is_done_by_halves(store: &impl HistoryStore) {
    let (a, b) = (room("a"), room("b"));
    store.append(&[said(&a, 1, 0), said(&b, 1, 0), said(&a, 2, 0)]).await.unwrap();
    let with = |seq, prev| Record { prev, ..said(&a, seq, 0) };
    let wrong = [
        (vec![with(4, 3)], "a prev that the room has not reached"),
        (vec![with(3, 1)], "a prev that the room has passed"),
        (vec![with(2, 2)], "a seq that does not rise"),
        (vec![with(3, 0)], "a first record where others are"),
        (vec![said(&a, 3, 0), said(&b, 2, 0), said(&a, 3, 0)], "a repetition behind what would be right"),
        (vec![said(&b, 2, 0), with(5, 4)], "another room's gap"),
    ];
    for (records, what) in wrong {
        let result = store.append(&records).await;
        assert!(matches!(result, Err(StoreError::Order(_))), "{what}: {result:?}");
        for (room, head) in [(&a, 2), (&b, 1)] {
            assert_eq!(store.head(room).await.unwrap().seq, head, "{what} changes nothing");
            assert_eq!(store.page(room, &newest(10)).await.unwrap().len() as u64, head, "{what} leaves nothing");
        }
    }
    store.append(&[with(10, 2)]).await.expect("a seq may skip, as long as its prev is right");
}

async fn pages_are_cut_as_asked_oldest_first(store: &impl HistoryStore) {
    let room = room("pages");
    // Even seqs, so that bounds between them are met too.
    let records: Vec<_> = (1..=20).map(|n| Record { seq: n * 2, prev: (n - 1) * 2, ..said(&room, 1, 0) }).collect();
    store.append(&records).await.unwrap();
    let even = |from: u64, to: u64| (from..=to).filter(|seq| seq % 2 == 0).collect::<Vec<_>>();
    let cases = [
        (None, None, 5, even(32, 40)),
        (None, None, 100, even(2, 40)),
        (Some(0), None, 3, even(2, 6)),
        (Some(10), None, 3, even(12, 16)),
        (Some(11), None, 3, even(12, 16)),
        (Some(40), None, 3, vec![]),
        (Some(u64::MAX), None, 3, vec![]),
        (None, Some(12), 3, even(6, 10)),
        (None, Some(13), 3, even(8, 12)),
        (None, Some(2), 3, vec![]),
        (None, Some(0), 3, vec![]),
        (None, Some(u64::MAX), 2, even(38, 40)),
        (Some(10), Some(20), 3, even(12, 16)),
        (Some(10), Some(20), 100, even(12, 18)),
        (Some(20), Some(10), 100, vec![]),
        (None, None, 0, vec![]),
    ];
    for (after, before, limit, expected) in cases {
        let page = store.page(&room, &Page { after, before, limit }).await.unwrap();
        let seqs: Vec<u64> = page.iter().map(|record| record.seq).collect();
        assert_eq!(seqs, expected, "after {after:?}, before {before:?}, limit {limit}");
    }
}

async fn a_page_has_a_bound(store: &impl HistoryStore) {
    let room = room("long");
    let records: Vec<_> = (1..=MAX_PAGE as u64 + 1).map(|seq| said(&room, seq, 0)).collect();
    store.append(&records).await.unwrap();
    for after in [None, Some(0)] {
        let page = store.page(&room, &Page { after, before: None, limit: usize::MAX }).await.unwrap();
        assert_eq!(page.len(), MAX_PAGE);
        assert_eq!(page[0].seq, if after.is_some() { 1 } else { 2 });
    }
}

async fn rooms_with_records_are_listed(store: &impl HistoryStore) {
    let user = UserId::random();
    store.append(&[said(&room("b"), 1, 0), said(&room("b"), 2, 0)]).await.unwrap();
    store.append(&[said(&room("Z"), 1, 0), said(&RoomKey::Direct(user), 1, 0)]).await.unwrap();
    store.append(&[said(&room("a"), 1, 0)]).await.unwrap();
    let name = |name| RoomName::new(name).unwrap();
    let listed = store.rooms().await.unwrap();
    assert_eq!(listed, [(name("Z"), 1), (name("a"), 1), (name("b"), 2)], "sorted, with the last seq, none of a user's");
    store.retain(Some(&room("a")), &keeping(0), at(1000)).await.unwrap();
    assert_eq!(store.rooms().await.unwrap(), [(name("Z"), 1), (name("b"), 2)], "an emptied room has none");
}

async fn ids_are_remembered_for_the_window(store: &impl HistoryStore) {
    let (lobby, other) = (room("lobby"), room("other"));
    let (ann, bob) = (UserId::random(), UserId::random());
    let id = MessageId::new("7").unwrap();
    let by = |user, room: &RoomKey, seq, seconds, body: &str| Record {
        user,
        id: Some(id.clone()),
        body: body.into(),
        ..said(room, seq, seconds)
    };
    assert_eq!(store.find(ann, &id, at(0)).await.unwrap(), None);
    store.append(&[by(ann, &lobby, 1, 10, "hello"), by(bob, &lobby, 2, 10, "bob's")]).await.unwrap();
    let known = store.find(ann, &id, at(129)).await.unwrap().expect("remembered for two minutes");
    assert_eq!((&known.room, known.seq, known.at), (&lobby, 1, at(10)));
    assert!(known.is(&lobby, "hello"), "a repetition is recognised");
    assert!(!known.is(&lobby, "hello!") && !known.is(&other, "hello"), "and what is none too");
    assert_eq!(store.find(bob, &id, at(10)).await.unwrap().unwrap().seq, 2, "each user has ids of their own");
    let unused = MessageId::new("8").unwrap();
    assert_eq!(store.find(ann, &unused, at(10)).await.unwrap(), None);
    assert_eq!(store.find(ann, &id, at(130)).await.unwrap(), None, "after that the id is free");
    store.append(&[by(ann, &other, 1, 130, "again")]).await.unwrap();
    let known = store.find(ann, &id, at(131)).await.unwrap().unwrap();
    assert!(known.is(&other, "again"), "the latest use counts");
    let refused = store.append(&[Record { prev: 9, ..by(bob, &other, 10, 131, "lost") }]).await;
    assert!(refused.is_err());
    assert_eq!(store.find(bob, &id, at(131)).await.unwrap(), None, "what was refused was not said");
}

async fn retention_takes_the_oldest(store: &impl HistoryStore) {
    let room = room("kept");
    let records: Vec<_> = (1..=10).map(|seq| said(&room, seq, seq * 10)).collect();
    store.append(&records).await.unwrap();
    let later = at(1000);
    let seqs = async || {
        let page = store.page(&room, &newest(100)).await.unwrap();
        page.iter().map(|record| (record.prev, record.seq)).collect::<Vec<_>>()
    };
    let chain = |from: u64| (from..=10).map(|seq| (seq - 1, seq)).collect::<Vec<_>>();
    assert_eq!(store.retain(Some(&room), &Retention::default(), later).await.unwrap(), 0, "no bound, no cut");
    assert_eq!(store.retain(Some(&room), &keeping(8), later).await.unwrap(), 2);
    assert_eq!(seqs().await, chain(3), "by count");
    let age = Retention { age: Some(Duration::from_secs(960)), ..Retention::default() };
    assert_eq!(store.retain(Some(&room), &age, later).await.unwrap(), 2, "to the second: 30 and 40 are past it");
    assert_eq!(seqs().await, chain(5), "by age");
    let bytes = records[4..].iter().map(Retention::size).sum::<u64>() - 1;
    let bytes = Retention { bytes: Some(bytes), ..Retention::default() };
    assert_eq!(store.retain(Some(&room), &bytes, later).await.unwrap(), 1);
    assert_eq!(seqs().await, chain(6), "by bytes");
    assert_eq!(store.retain(Some(&room), &keeping(0), later).await.unwrap(), 5);
    assert!(seqs().await.is_empty());
    assert_eq!(store.head(&room).await.unwrap().seq, 10, "the end stays where it was");
    assert!(store.append(&[said(&room, 1, 200)]).await.is_err(), "and the order goes on from there");
    store.append(&[said(&room, 11, 200)]).await.unwrap();
    assert_eq!(seqs().await, [(10, 11)]);
}

async fn what_may_be_repeated_stays(store: &impl HistoryStore) {
    let room = room("fresh");
    store.append(&[said(&room, 1, 100), said(&room, 2, 101)]).await.unwrap();
    let all = Retention { age: Some(Duration::ZERO), count: Some(0), bytes: Some(0) };
    assert_eq!(store.retain(None, &all, at(219)).await.unwrap(), 0, "less than two minutes old");
    assert_eq!(store.retain(None, &all, at(220)).await.unwrap(), 1);
    assert_eq!(store.retain(None, &all, at(221)).await.unwrap(), 1);
}

async fn retention_meets_one_room_or_each(store: &impl HistoryStore) {
    let user = UserId::random();
    let keys = [room("a"), room("b"), RoomKey::Direct(user)];
    for key in &keys {
        // More than a backend may like to cut at once.
        let records: Vec<_> = (1..=2500).map(|seq| said(key, seq, 0)).collect();
        store.append(&records).await.unwrap();
    }
    assert_eq!(store.retain(Some(&keys[0]), &keeping(1), at(500)).await.unwrap(), 2499);
    assert_eq!(store.page(&keys[1], &newest(1000)).await.unwrap().len(), 1000, "the others keep theirs");
    assert_eq!(store.retain(None, &keeping(1), at(500)).await.unwrap(), 2 * 2499);
    for key in &keys {
        let left = store.page(key, &newest(10)).await.unwrap();
        assert_eq!(left.iter().map(|record| record.seq).collect::<Vec<_>>(), [2500], "{key}");
    }
    assert_eq!(store.retain(Some(&room("never")), &keeping(0), at(500)).await.unwrap(), 0);
}

async fn direct_messages_are_forgotten_whole(store: &impl HistoryStore) {
    let (ann, bob) = (RoomKey::Direct(UserId::random()), UserId::random());
    let to_bob = RoomKey::Direct(bob);
    store.append(&[said(&ann, 1, 0), said(&to_bob, 1, 0), said(&to_bob, 2, 0)]).await.unwrap();
    assert_eq!(store.forget_direct(bob).await.unwrap(), 2);
    assert!(store.page(&to_bob, &newest(10)).await.unwrap().is_empty());
    assert_eq!(store.head(&to_bob).await.unwrap().seq, 0, "as if there never had been any");
    assert_eq!(store.forget_direct(bob).await.unwrap(), 0);
    assert_eq!(store.page(&ann, &newest(10)).await.unwrap().len(), 1, "another user's stay");
    store.append(&[said(&to_bob, 1, 0)]).await.unwrap();
    assert_eq!(store.page(&to_bob, &newest(10)).await.unwrap().len(), 1);
}

async fn appends_take_effect_in_the_order_of_their_calls(store: &impl HistoryStore) {
    let room = room("line");
    let records: Vec<Vec<Record>> = (1..=100).map(|seq| vec![said(&room, seq, 0)]).collect();
    let mut calls: Vec<_> = records.iter().map(|records| store.append(records)).collect();
    for call in &mut calls {
        if let Some(done) = poll_once(call.as_mut()).await {
            done.expect("each follows the one before it");
        }
    }
    drop(calls);
    // What was handed over still happens; whoever waits for something later has waited for that too.
    for _ in 0..1000 {
        if store.head(&room).await.unwrap().seq == 100 {
            break;
        }
        store.append(&[]).await.unwrap();
    }
    assert_eq!(store.page(&room, &newest(1000)).await.unwrap().len(), 100);
}

async fn many_rooms_grow_at_once(store: Arc<impl HistoryStore>) {
    let mut tasks = JoinSet::new();
    for task in 0..WRITERS {
        let store = store.clone();
        tasks.spawn(async move {
            let room = room(&format!("room-{task}"));
            for seq in 1..=EACH {
                store.append(&[said(&room, seq, 0)]).await.unwrap();
                assert_eq!(store.head(&room).await.unwrap().seq, seq, "what was answered is seen");
                if seq % 10 == 0 {
                    assert_eq!(store.page(&room, &newest(1)).await.unwrap()[0].seq, seq, "on the page too");
                }
            }
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    assert_eq!(store.rooms().await.unwrap().len(), WRITERS);
    for task in 0..WRITERS {
        let page = store.page(&room(&format!("room-{task}")), &newest(1000)).await.unwrap();
        assert!(page.iter().map(|record| record.seq).eq(1..=EACH), "none lost, none twice, in order");
    }
}

/// Polls a future once; `None` when it is not ready.
async fn poll_once<F: Future + ?Sized>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

fn said(room: &RoomKey, seq: u64, seconds: u64) -> Record {
    Record {
        room: room.clone(),
        seq,
        prev: seq - 1,
        at: at(seconds),
        user: UserId::random(),
        from: "ann".into(),
        id: Some(MessageId::random()),
        body: format!("text {seq}").into(),
    }
}

fn room(name: &str) -> RoomKey {
    RoomKey::Room(RoomName::new(name).unwrap())
}

fn newest(limit: usize) -> Page {
    Page { after: None, before: None, limit }
}

fn keeping(count: u64) -> Retention {
    Retention { count: Some(count), ..Retention::default() }
}

/// A made-up clock, in seconds.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

const WRITERS: usize = 32;
const EACH: u64 = 50;
