//! One order, nothing lost, nothing twice, whoever drops and comes back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use talk::hub::Hub;
use talk::limits::Limits;
use talk::message::{Command, Event, Refusal};
use talk::name::RoomName;
use talk::store::MemoryHistory;
use tokio::sync::watch;

use super::kit::*;

const SENDERS: u64 = 8;
const RECEIVERS: u64 = 20;
const DROPS: u64 = 50;

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.history_count = 100_000;
    limits
}

#[tokio::test(start_paused = true)]
async fn every_receiver_hears_everything_once_in_order() {
    let hub = hub_over(Arc::new(MemoryHistory::new(&limits())), &limits()).await;
    assert_eq!(storm(&hub, 5000, 1).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_with_several_threads() {
    let hub = hub_over(Arc::new(MemoryHistory::new(&limits())), &limits()).await;
    assert_eq!(storm(&hub, 2000, 2).await, 0);
}

#[tokio::test(start_paused = true)]
async fn so_it_is_over_a_history_that_takes_its_time() {
    for seed in 3..6 {
        let history = Moody::new(&limits());
        history.slow.store(40, Ordering::SeqCst);
        let hub = hub_over(history, &limits()).await;
        assert_eq!(storm(&hub, 600, seed).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_history_did_not_take_is_refused_and_heard_by_nobody() {
    for seed in 6..9 {
        let history = Moody::new(&limits());
        history.slow.store(20, Ordering::SeqCst);
        history.failing.store(20, Ordering::SeqCst);
        let hub = hub_over(history, &limits()).await;
        assert!(storm(&hub, 600, seed).await > 0, "it never failed");
    }
}

/// Senders say everything they have while receivers drop and come back. Tells how many messages were refused.
async fn storm(hub: &Hub, each: u64, seed: u64) -> usize {
    let mut receivers = Vec::new();
    let taken = watch::Sender::new(0);
    for number in 0..RECEIVERS {
        let session = Session::member(hub, &format!("receiver-{number}")).await;
        let drops = DROPS / RECEIVERS + u64::from(number < DROPS % RECEIVERS);
        let dice = Dice::new(seed * 1000 + number);
        receivers.push(tokio::spawn(receive(hub.clone(), session, drops, SENDERS * each, dice, taken.subscribe())));
    }
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        let session = Session::member(hub, &format!("sender-{number}")).await;
        senders.push(tokio::spawn(send(session, number, each, taken.clone())));
    }
    let (mut accepted, mut refused) = (HashSet::new(), HashSet::new());
    for sender in senders {
        let (taken, not) = sender.await.unwrap();
        accepted.extend(taken);
        refused.extend(not);
    }
    assert_eq!(accepted.len() + refused.len(), (SENDERS * each) as usize, "each has one answer");
    end(hub).await;

    let mut order: Option<Vec<Arc<str>>> = None;
    for receiver in receivers {
        let heard = receiver.await.unwrap();
        match &order {
            Some(order) => assert!(*order == heard, "two heard different things"),
            None => order = Some(heard),
        }
    }
    let order = order.unwrap();
    assert_eq!(order.len(), accepted.len());
    let mut next: HashMap<&str, u64> = HashMap::new();
    for body in &order {
        assert!(accepted.contains(&**body), "{body} was not accepted");
        let (sender, number) = body.split_once(' ').unwrap();
        let (number, next) = (number.parse::<u64>().unwrap(), next.entry(sender).or_default());
        assert!(number >= *next, "{body} comes after {next}");
        *next = number + 1;
    }
    refused.len()
}

/// Says that it is over, until the history takes it.
async fn end(hub: &Hub) {
    let mut last = Session::member(hub, "last").await;
    for attempt in 0..100 {
        let name = format!("end-{attempt}");
        last.run(say_as("end", &name)).await;
        let answer = last.until(|event| match event {
            Event::Accepted { id, .. } if id.as_str() == name => Some(true),
            Event::Refused { id: Some(id), .. } if id.as_str() == name => Some(false),
            _ => None,
        });
        if answer.await {
            return;
        }
    }
    panic!("the history never takes anything again");
}

/// Says everything, and counts what all have said; tells which texts were accepted, and which refused.
async fn send(
    mut session: Session,
    number: u64,
    each: u64,
    taken: watch::Sender<u64>,
) -> (HashSet<String>, HashSet<String>) {
    let (mut accepted, mut refused) = (HashSet::new(), HashSet::new());
    for n in 0..each {
        let text = format!("{number} {n}");
        session.run(say_as(&text, &text)).await;
        while let Ok(event) = session.ears.try_recv() {
            note(event, &mut accepted, &mut refused, &taken);
        }
    }
    while accepted.len() + refused.len() < each as usize {
        note(session.next().await, &mut accepted, &mut refused, &taken);
    }
    (accepted, refused)
}

fn note(event: Event, accepted: &mut HashSet<String>, refused: &mut HashSet<String>, taken: &watch::Sender<u64>) {
    match event {
        Event::Accepted { id, .. } => {
            assert!(accepted.insert(id.to_string()));
            taken.send_modify(|taken| *taken += 1);
        }
        Event::Refused { why, id } => {
            assert_eq!(why, Refusal::Unavailable);
            assert!(refused.insert(id.unwrap().to_string()));
        }
        _ => {}
    }
}

/// Hears everything up to the end, and drops so often on the way. Tells the texts.
async fn receive(
    hub: Hub,
    mut session: Session,
    drops: u64,
    total: u64,
    mut dice: Dice,
    mut taken: watch::Receiver<u64>,
) -> Vec<Arc<str>> {
    let mut at: Vec<_> = (0..drops).map(|_| dice.below(total / 3)).collect();
    at.sort_unstable();
    at.reverse();
    let (mut last, mut epoch, mut heard) = (0, None, Vec::new());
    // The position that the session came back with.
    let mut resumed = None;
    loop {
        match session.next().await {
            Event::Message(post) => {
                assert_eq!((post.record.prev, post.record.seq), (last, last + 1), "it comes next");
                last = post.record.seq;
                epoch = Some(post.epoch.clone());
                if &*post.record.body == "end" {
                    assert!(at.is_empty(), "every drop happened");
                    return heard;
                }
                heard.push(post.record.body.clone());
            }
            Event::Recovered { from, to, recovered, .. } => {
                assert_eq!((Some(from), to, recovered), (resumed.take(), last, true));
            }
            Event::Gap { from, to, .. } => panic!("nothing is missing from {from} to {to}"),
            Event::Refused { why, .. } => panic!("{why}"),
            _ => {}
        }
        if let Some(epoch) = epoch.as_ref().filter(|_| at.last().is_some_and(|at| last >= *at)) {
            at.pop();
            let token = session.drop_hard();
            match dice.below(3) {
                // It is away until others were told that more was taken; half of it always is.
                0 => {
                    let until = (last + dice.below(500)).min(total / 2);
                    taken.wait_for(|taken| *taken >= until).await.unwrap();
                }
                _ => {
                    for _ in 0..dice.below(300) {
                        tokio::task::yield_now().await;
                    }
                }
            }
            session = Session::open(&hub, token).await;
            session.run(resume(global(), epoch, last)).await;
            resumed = Some(last);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn embedded_sessions_that_read_are_not_cut_by_a_burst() {
    let hub = Hub::new();
    let mut readers = Vec::new();
    for number in 0..4 {
        let (mut seat, mut heard) = hub.sit(&format!("reader-{number}")).await.unwrap();
        seat.run(Command::Enter(RoomName::global())).await.unwrap();
        readers.push(tokio::spawn(async move {
            let mut count = 0;
            while count < 8000 {
                match heard.next().await {
                    Some(Event::Message(_)) => count += 1,
                    Some(_) => {}
                    None => panic!("cut after {count} messages"),
                }
            }
            drop(seat);
        }));
    }
    let mut senders = Vec::new();
    for number in 0..8 {
        let mut session = Session::member(&hub, &format!("sender-{number}")).await;
        senders.push(tokio::spawn(async move {
            for n in 0..1000 {
                session.run(say(&n.to_string())).await;
            }
            session
        }));
    }
    for reader in readers {
        reader.await.unwrap();
    }
}
