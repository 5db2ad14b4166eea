//! What a search finds.

use super::{at, keeping, room, said};
use crate::message::{Record, RoomKey, UserId};
use crate::store::history::{Finds, HistoryStore, MAX_PAGE, Query};

pub(super) async fn searches_hold(store: &impl HistoryStore) {
    words_phrases_and_beginnings_are_found(store).await;
    a_search_goes_on_where_it_ended(store).await;
    what_is_gone_is_not_found(store).await;
}

async fn words_phrases_and_beginnings_are_found(store: &impl HistoryStore) {
    let (den, other) = (room("den"), room("other"));
    let texts = [
        "Breakfast at eight",
        "who makes the breakfasts?",
        "Привет, МИР! Завтрак готов",
        "an outbreak at breakfast time",
        "time, gentlemen: breakfast",
        "я тут; он там, 早餐 is ready",
        "it's 5*3, \"quoted\"",
        "",
    ];
    let records = texts.iter().zip(1..).map(|(text, seq)| with(said(&den, seq, 0), text)).collect::<Vec<_>>();
    store.append(&records).await.unwrap();
    store.append(&[with(said(&other, 1, 0), "breakfast elsewhere")]).await.unwrap();
    more_than_an_index_puts_off(store).await;
    let cases: [(&str, &[u64]); 16] = [
        ("BREAKFAST", &[5, 4, 2, 1]),
        ("reakfas", &[5, 4, 2, 1]),
        ("time breakfast", &[5, 4]),
        ("\"breakfast time\"", &[4]),
        ("break*", &[5, 4, 2, 1]),
        ("outb* \"at break\"", &[4]),
        ("out*", &[4]),
        ("reak*", &[]),
        ("мир ЗАВТРАК", &[3]),
        ("\"ПРИВЕТ, мир\"", &[3]),
        ("завтр*", &[3]),
        ("автр*", &[]),
        ("早餐", &[6]),
        ("я", &[6]),
        ("5*3", &[7]),
        ("nowhere", &[]),
    ];
    for (text, expected) in cases {
        let finds = store.search(&den, &Query::new(text), None, 100).await.unwrap();
        assert_eq!((seqs(&finds), finds.before), (expected.to_vec(), None), "{text}");
        for record in &finds.records {
            assert_eq!(*record, records[usize::try_from(record.seq).unwrap() - 1], "as it was said");
        }
    }
    let finds = store.search(&room("never"), &Query::new("breakfast"), None, 100).await.unwrap();
    assert_eq!(finds, Finds::default());
}

async fn a_search_goes_on_where_it_ended(store: &impl HistoryStore) {
    let room = room("pages");
    let text = |seq: u64| if seq.is_multiple_of(3) { format!("Every third: {seq}") } else { format!("other {seq}") };
    let records: Vec<_> = (1..=900).map(|seq| with(said(&room, seq, 0), &text(seq))).collect();
    for some in records.chunks(MAX_PAGE / 10) {
        store.append(some).await.unwrap();
    }
    more_than_an_index_puts_off(store).await;
    let query = Query::new("THIRD every");
    let finds = store.search(&room, &query, None, 2).await.unwrap();
    assert_eq!((seqs(&finds), finds.before), (vec![900, 897], Some(897)), "the newest, and where to go on");
    let finds = store.search(&room, &query, Some(897), 2).await.unwrap();
    assert_eq!(seqs(&finds), [894, 891]);
    for before in [0, 1, 3] {
        let finds = store.search(&room, &query, Some(before), 2).await.unwrap();
        assert_eq!(finds, Finds::default(), "nothing before {before}");
    }
    assert_eq!(seqs(&store.search(&room, &query, Some(4), 2).await.unwrap()), [3]);
    assert_eq!(seqs(&store.search(&room, &query, Some(u64::MAX), 1).await.unwrap()), [900]);
    let none = store.search(&room, &query, Some(500), 0).await.unwrap();
    assert_eq!((seqs(&none), none.before), (vec![], Some(500)), "none were asked for");
    let (mut all, mut before) = (Vec::new(), None);
    for _ in 0..100 {
        let finds = store.search(&room, &query, before, 7).await.unwrap();
        all.extend(seqs(&finds));
        before = finds.before;
        if before.is_none() {
            break;
        }
    }
    assert!(all.into_iter().eq((1..=300).rev().map(|n| n * 3)), "each once");
    store.append(&[with(said(&room, 901, 0), "the third of every nine hundred")]).await.unwrap();
    assert_eq!(seqs(&store.search(&room, &query, None, 1).await.unwrap()), [901], "what was answered is found");
}

async fn what_is_gone_is_not_found(store: &impl HistoryStore) {
    let (room, user) = (room("gone"), RoomKey::Direct(UserId::random()));
    for key in [&room, &user] {
        let records: Vec<_> = (1..=20).map(|seq| with(said(key, seq, 0), &format!("perishable {seq}"))).collect();
        store.append(&records).await.unwrap();
    }
    more_than_an_index_puts_off(store).await;
    let query = Query::new("perish*");
    assert_eq!(store.search(&user, &query, None, 100).await.unwrap().records.len(), 20);
    store.retain(Some(&room), &keeping(5), at(1000)).await.unwrap();
    for _ in 0..2 {
        let finds = store.search(&room, &query, None, 100).await.unwrap();
        assert_eq!(seqs(&finds), [20, 19, 18, 17, 16]);
        more_than_an_index_puts_off(store).await;
    }
    let RoomKey::Direct(id) = user else { unreachable!() };
    assert_eq!(store.forget_direct(id).await.unwrap(), 20);
    assert_eq!(store.search(&user, &query, None, 100).await.unwrap(), Finds::default());
    let again: Vec<_> = (1..=10).map(|seq| with(said(&user, seq, 0), &format!("perishing {seq}"))).collect();
    store.append(&again).await.unwrap();
    for _ in 0..2 {
        let finds = store.search(&user, &query, None, 100).await.unwrap();
        assert!(seqs(&finds).into_iter().eq((1..=10).rev()), "what was said after it, and once");
        more_than_an_index_puts_off(store).await;
    }
}

/// Says so much elsewhere that whoever keeps an index, and does so now and then, has reason to.
async fn more_than_an_index_puts_off(store: &impl HistoryStore) {
    let room = room("noise");
    let head = store.head(&room).await.unwrap().seq;
    let records: Vec<_> = (head + 1..=head + 2000).map(|seq| with(said(&room, seq, 0), "noise")).collect();
    store.append(&records).await.unwrap();
    for _ in 0..100 {
        store.search(&room, &Query::new("silence"), Some(10), 1).await.unwrap();
    }
}

fn with(record: Record, text: &str) -> Record {
    Record { body: text.into(), ..record }
}

fn seqs(finds: &Finds) -> Vec<u64> {
    finds.records.iter().map(|record| record.seq).collect()
}
