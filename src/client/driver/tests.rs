//! The driver over a protocol of the simplest kind and connections in memory, in time that does not pass by itself.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::{Sink, Stream};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::protocol::GRACE;
use super::*;
use crate::client::outbox::Text;
use crate::client::{Ability, Ask, Refused};

/// What the tests decide about the next connections, and hold of those that stand.
#[derive(Clone, Default)]
struct Other {
    refusals: Arc<Mutex<VecDeque<NoLine>>>,
    dialled: Arc<Mutex<Vec<Instant>>>,
    /// Whether it takes nothing of what is written.
    deaf: Arc<Mutex<bool>>,
    /// Whether it lets nobody in before it says so.
    guarded: Arc<Mutex<bool>>,
}

/// Each text is a line; `+` confirms the oldest, and everything else that is heard is a notice, and the answer to what
/// was asked.
struct Lines {
    asked: bool,
    other: Other,
    ends: Sender<End>,
    quiet: Option<Duration>,
    pace: (u32, Duration),
}

/// The other end of a connection.
struct End {
    to: Sender<Result<String, String>>,
    from: Receiver<(String, Instant)>,
}

struct Memory {
    heard: Receiver<Result<String, String>>,
    said: Sender<(String, Instant)>,
    other: Other,
}

impl Stream for Memory {
    type Item = Result<String, String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.heard.poll_recv(cx)
    }
}

impl Sink<String> for Memory {
    type Error = String;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        if *self.other.deaf.lock().unwrap() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn start_send(self: Pin<&mut Self>, out: String) -> Result<(), String> {
        self.said.try_send((out, Instant::now())).map_err(|_| "nobody reads".to_owned())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        Poll::Ready(Ok(()))
    }
}

impl Protocol for Lines {
    type In = String;
    type Out = String;
    type Line = Memory;
    type Welcome = ();

    fn abilities(&self) -> &'static [Ability] {
        &[Ability::Say, Ability::Direct, Ability::Own]
    }

    fn longest(&self) -> usize {
        100
    }

    fn connect(&mut self) -> Connecting<Self> {
        let (ends, other) = (self.ends.clone(), self.other.clone());
        Box::pin(async move {
            other.dialled.lock().unwrap().push(Instant::now());
            if let Some(refusal) = other.refusals.lock().unwrap().pop_front() {
                return Err(refusal);
            }
            let ((to, heard), (said, from)) = (channel(10_000), channel(10_000));
            ends.send(End { to, from }).await.map_err(|_| NoLine::Refused("the test is over".into()))?;
            Ok((Memory { heard, said, other }, ()))
        })
    }

    fn opened(&mut self, (): (), turn: &mut Turn<'_, String>) {
        if !*self.other.guarded.lock().unwrap() {
            turn.connected(None, None);
        }
    }

    fn hear(&mut self, heard: String, turn: &mut Turn<'_, String>) {
        match heard.as_str() {
            "+" => {
                let sent = turn.outbox.iter().find(|text| text.state == State::Sent).map(|text| text.id.clone());
                if let Some(id) = sent {
                    turn.advance(&id, State::Accepted);
                }
            }
            "taken" => turn.taken(heard),
            "again" => turn.again(),
            "in" => turn.connected(None, None),
            "why?" => turn.write("because".into()),
            _ => {
                self.asked = false;
                turn.tell(Event::Notice(heard));
            }
        }
    }

    fn route(&self, to: Option<String>) -> Result<Option<String>, Refused> {
        Ok(to)
    }

    fn say(&mut self, text: &Text, turn: &mut Turn<'_, String>) {
        turn.write_text(&text.id, text.text.to_string());
    }

    fn ask(&mut self, ask: Ask, turn: &mut Turn<'_, String>) {
        match ask {
            Ask::Own { command } if command == "bye" => turn.leave(),
            Ask::Own { command } if command == "no" => turn.refuse(command, None),
            Ask::Own { command } if turn.online() => {
                self.asked = true;
                turn.write(command);
            }
            _ => turn.refuse("no connection", None),
        }
    }

    fn awaits(&self) -> bool {
        self.asked
    }

    fn lost(&mut self, turn: &mut Turn<'_, String>) {
        turn.requeue(|_| true);
    }

    fn goodbye(&mut self, _: bool, turn: &mut Turn<'_, String>) {
        turn.write("bye".into());
    }

    fn quiet(&self) -> Option<Duration> {
        self.quiet
    }

    fn ping(&mut self) -> Option<String> {
        Some("?".into())
    }

    fn pace(&self) -> (u32, Duration) {
        self.pace
    }
}

struct Bench {
    client: Client,
    events: Events,
    ends: Receiver<End>,
    other: Other,
}

fn bench(other: Other, quiet: Option<Duration>, pace: (u32, Duration)) -> Bench {
    let (tell, ends) = channel(100);
    let protocol = Lines { asked: false, other: other.clone(), ends: tell, quiet, pace };
    let (client, events) = start(protocol, Common::default());
    Bench { client, events, ends, other }
}

fn plain() -> Bench {
    bench(Other::default(), None, (u32::MAX, Duration::ZERO))
}

impl Bench {
    async fn end(&mut self) -> End {
        self.ends.recv().await.unwrap()
    }

    async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.events.next().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    }

    async fn ended(&mut self) -> Ended {
        match self.until(|event| matches!(event, Event::Ended(_))).await {
            Event::Ended(ended) => ended,
            _ => unreachable!("it was looked for"),
        }
    }
}

impl End {
    async fn next(&mut self) -> String {
        self.from.recv().await.unwrap().0
    }

    async fn say(&self, text: &str) {
        self.to.send(Ok(text.into())).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_until_a_connection_has_lasted() {
    let other = Other::default();
    other.refusals.lock().unwrap().extend((0..9).map(|_| NoLine::Passing("nobody there".into())));
    let mut bench = bench(other, None, (u32::MAX, Duration::ZERO));
    let mut retries = Vec::new();
    for _ in 0..9 {
        if let Event::Lost { retry_in, .. } = bench.until(|event| matches!(event, Event::Lost { .. })).await {
            retries.push(retry_in);
        }
    }
    let end = bench.end().await;
    bench.until(|event| matches!(event, Event::Connected { .. })).await;
    let dialled = bench.other.dialled.lock().unwrap().clone();
    for ((times, retry), doubled) in dialled.windows(2).zip(&retries).zip(0..) {
        assert!(times[1] - times[0] >= *retry, "it waits as long as it says");
        assert!(*retry >= FIRST_PAUSE.saturating_mul(1 << doubled).min(LONGEST_PAUSE) * 3 / 4);
    }
    tokio::time::sleep(STEADY).await;
    drop(end);
    let lost = bench.until(|event| matches!(event, Event::Lost { .. })).await;
    assert!(matches!(lost, Event::Lost { retry_in, .. } if retry_in < FIRST_PAUSE * 2), "{lost:?}");
    drop(bench.end().await);
    let lost = bench.until(|event| matches!(event, Event::Lost { .. })).await;
    assert!(matches!(lost, Event::Lost { retry_in, .. } if retry_in > FIRST_PAUSE), "one that breaks at once is none");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_after_a_drop_is_waited_for_as_long_as_it_is_kept() {
    let other = Other::default();
    let mut bench = bench(other.clone(), None, (u32::MAX, Duration::ZERO));
    drop(bench.end().await);
    other.refusals.lock().unwrap().extend((0..10).map(|_| NoLine::Taken("taken".into())));
    bench.until(|event| matches!(event, Event::Connected { .. })).await;
    let end = bench.end().await;
    bench.until(|event| matches!(event, Event::Connected { .. })).await;
    other.refusals.lock().unwrap().extend((0..1000).map(|_| NoLine::Taken("taken".into())));
    let cut = Instant::now();
    drop(end);
    assert_eq!(bench.ended().await, Ended::Refused("taken".into()));
    assert!(cut.elapsed() > RESERVED && cut.elapsed() < RESERVED + 3 * LONGEST_PAUSE);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_client() {
    let other = Other::default();
    other.refusals.lock().unwrap().push_back(NoLine::Refused("no".into()));
    let mut bench = bench(other, None, (u32::MAX, Duration::ZERO));
    assert_eq!(bench.ended().await, Ended::Refused("no".into()));
    assert_eq!(bench.events.next().await, None);
    assert_eq!(bench.client.say(None, "x").await, Err(Refused::Ended));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_at_the_start_is_asked_for_a_few_times_more() {
    let other = Other::default();
    other.refusals.lock().unwrap().extend((0..GRACE).map(|_| NoLine::Taken("taken".into())));
    let mut bench = bench(other, None, (u32::MAX, Duration::ZERO));
    for _ in 0..GRACE {
        let told = bench.events.next().await;
        assert!(matches!(&told, Some(Event::Lost { reason, .. }) if reason == "taken"), "{told:?}");
    }
    assert!(matches!(bench.events.next().await, Some(Event::Connected { .. })));
    let other = Other::default();
    other.refusals.lock().unwrap().extend((0..1000).map(|_| NoLine::Taken("taken".into())));
    let mut bench = self::bench(other, None, (u32::MAX, Duration::ZERO));
    let began = Instant::now();
    assert_eq!(bench.ended().await, Ended::Refused("taken".into()));
    assert!(began.elapsed() > Duration::from_secs(2), "a server notices that one is gone within that");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(bench.other.dialled.lock().unwrap().len() as u32, GRACE + 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_meanwhile_was_not_let_in() {
    let other = Other::default();
    other.refusals.lock().unwrap().push_back(NoLine::Taken("taken".into()));
    let mut bench = bench(other, None, (u32::MAX, Duration::ZERO));
    bench.until(|event| matches!(event, Event::Lost { .. })).await;
    bench.client.leave().await;
    assert_eq!(bench.ended().await, Ended::Refused("taken".into()));
}

#[tokio::test(start_paused = true)]
async fn whoever_connects_once_hears_at_once_that_a_name_is_taken() {
    let (tell, _ends) = channel(100);
    let other = Other::default();
    other.refusals.lock().unwrap().push_back(NoLine::Taken("taken".into()));
    let protocol = Lines { asked: false, other, ends: tell, quiet: None, pace: (u32::MAX, Duration::ZERO) };
    let (_client, mut events) = start(protocol, Common { once: true, ..Common::default() });
    assert_eq!(events.next().await, Some(Event::Ended(Ended::Refused("taken".into()))));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_served_its_purpose_is_followed_by_another_at_once_and_a_taken_name_is_waited_for() {
    let mut bench = plain();
    let end = bench.end().await;
    bench.until(|event| matches!(event, Event::Connected { .. })).await;
    end.say("again").await;
    let left = Instant::now();
    drop(end);
    let end = bench.end().await;
    assert_eq!(left.elapsed(), Duration::ZERO);
    let told = bench.until(|event| !matches!(event, Event::State { .. })).await;
    assert!(matches!(told, Event::Connected { .. }), "{told:?}");
    end.say("taken").await;
    let told = bench.until(|event| !matches!(event, Event::State { .. })).await;
    assert!(matches!(told, Event::Lost { reason, .. } if reason == "taken"));
    drop(end);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn texts_go_out_in_order_before_and_after_a_cut() {
    let mut bench = plain();
    let mut end = bench.end().await;
    for text in ["a", "b", "c"] {
        bench.client.say(None, text).await.unwrap();
    }
    assert_eq!([end.next().await, end.next().await, end.next().await], ["a", "b", "c"]);
    end.say("+").await;
    bench.until(|event| matches!(event, Event::State { state: State::Accepted, .. })).await;
    drop(end);
    bench.client.say(None, "d").await.unwrap();
    let mut end = bench.end().await;
    assert_eq!([end.next().await, end.next().await, end.next().await], ["b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_keeps_its_pace() {
    let mut bench = bench(Other::default(), None, (3, Duration::from_secs(1)));
    let mut end = bench.end().await;
    let began = Instant::now();
    for n in 0..10 {
        bench.client.say(None, &n.to_string()).await.unwrap();
    }
    for n in 0..10_u32 {
        let (text, at) = end.from.recv().await.unwrap();
        assert_eq!(text, n.to_string());
        assert_eq!((at - began).as_secs(), u64::from(n.saturating_sub(2)));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_asked_about_and_then_taken_for_the_end() {
    let quiet = Duration::from_secs(30);
    let mut bench = bench(Other::default(), Some(quiet), (u32::MAX, Duration::ZERO));
    let mut end = bench.end().await;
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(end.next().await, "?");
        end.say("here").await;
        bench.until(|event| *event == Event::Notice("here".into())).await;
    }
    assert_eq!(end.next().await, "?");
    let lost = bench.until(|event| matches!(event, Event::Lost { .. })).await;
    assert!(matches!(lost, Event::Lost { reason, .. } if reason.contains("nothing was heard")));
    assert_eq!(began.elapsed(), quiet * 5);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_asks_before_it_takes_its_own_silence_for_the_end() {
    let quiet = Duration::from_secs(30);
    let mut bench = bench(Other::default(), Some(quiet), (u32::MAX, Duration::ZERO));
    let mut end = bench.end().await;
    bench.until(|event| matches!(event, Event::Connected { .. })).await;
    tokio::time::advance(quiet * 5).await;
    assert_eq!(end.next().await, "?");
    end.say("here").await;
    let event = bench.until(|event| matches!(event, Event::Notice(_) | Event::Lost { .. })).await;
    assert_eq!(event, Event::Notice("here".into()));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_reads_nothing_is_given_up() {
    let mut bench = plain();
    let _end = bench.end().await;
    *bench.other.deaf.lock().unwrap() = true;
    bench.client.say(None, "x").await.unwrap();
    let lost = bench.until(|event| matches!(event, Event::Lost { .. })).await;
    assert!(matches!(lost, Event::Lost { reason, .. } if reason.contains("reads nothing")));
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_read_no_faster_than_the_program_listens() {
    let quiet = Duration::from_secs(30);
    let mut bench = bench(Other::default(), Some(quiet), (u32::MAX, Duration::ZERO));
    let end = bench.end().await;
    for n in 0..5000 {
        end.say(&n.to_string()).await;
    }
    // Whoever does not listen hears no silence, and can still say something.
    tokio::time::sleep(quiet * 10).await;
    let unread = end.to.max_capacity() - end.to.capacity();
    assert!(unread >= 5000 - 2 * EVENTS, "{unread} wait with the other end");
    for n in 0..OUTBOX {
        bench.client.say(None, &n.to_string()).await.unwrap();
    }
    assert_eq!(bench.client.say(None, "one too many").await, Err(Refused::Full(OUTBOX)));
    let mut expected = 0;
    while expected < 5000 {
        if let Event::Notice(text) = bench.events.next().await.unwrap() {
            assert_eq!(text, expected.to_string());
            expected += 1;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_to_be_taken_is_bounded_by_its_bytes() {
    let mut bench = plain();
    let end = bench.end().await;
    let (most, long) = (MOST_BYTES as usize, "x".repeat(1 << 20));
    for n in 0..200 {
        end.say(&format!("{n} {long}")).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let unread = end.to.max_capacity() - end.to.capacity();
    assert!(unread >= 198 - most / long.len(), "{unread} wait with the other end");
    // All of it comes, also what is longer than may wait.
    end.say(&"y".repeat(2 * most)).await;
    for n in 0..200 {
        let told = bench.until(|event| matches!(event, Event::Notice(_))).await;
        assert!(matches!(told, Event::Notice(text) if text.starts_with(&format!("{n} "))));
    }
    bench.until(|event| matches!(event, Event::Notice(text) if text.len() == 2 * most)).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_that_lets_nobody_in_is_left_whatever_it_says_meanwhile() {
    let quiet = Duration::from_secs(30);
    let other = Other::default();
    *other.guarded.lock().unwrap() = true;
    let mut bench = bench(other, Some(quiet), (u32::MAX, Duration::ZERO));
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let end = bench.end().await;
        let began = Instant::now();
        while end.to.send(Ok("here".into())).await.is_ok() && began.elapsed() < 2 * ENTERED {
            while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(1), bench.events.next()).await {
                if let Event::Lost { retry_in, .. } = event {
                    pauses.push(retry_in);
                }
            }
        }
        assert!(began.elapsed() >= ENTERED && began.elapsed() < ENTERED * 2, "{:?}", began.elapsed());
    }
    assert!(pauses.len() == 4 && pauses[3] > pauses[0] * 3, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_nothing_is_let_in_however_long_that_lasts() {
    let other = Other::default();
    *other.guarded.lock().unwrap() = true;
    let mut bench = bench(other, None, (u32::MAX, Duration::ZERO));
    let end = bench.end().await;
    for _ in 0..2 * EVENTS {
        end.say("missed").await;
    }
    end.say("in").await;
    tokio::time::sleep(3 * ENTERED).await;
    let told = bench.until(|event| !matches!(event, Event::Notice(_))).await;
    assert!(matches!(told, Event::Connected { .. }), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_breaks_again_and_again_while_nobody_listens_is_not_made_again_for_ever() {
    // Something is always being written, by which a broken line is noticed also while nothing is read.
    let pace = (1, Duration::from_millis(10));
    let Bench { client, mut events, mut ends, other } = bench(Other::default(), None, pace);
    for n in 0..OUTBOX {
        client.say(None, &n.to_string()).await.unwrap();
    }
    let flapping = tokio::spawn(async move {
        while let Some(end) = ends.recv().await {
            tokio::time::sleep(STEADY).await;
            drop(end);
        }
    });
    tokio::time::sleep(Duration::from_secs(60 * 60)).await;
    let dialled = other.dialled.lock().unwrap().len();
    assert!(dialled < 10, "{dialled} times");
    // Once somebody does, it goes on.
    while other.dialled.lock().unwrap().len() < dialled + 3 {
        assert!(events.next().await.is_some());
    }
    drop(events);
    flapping.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_nothing_can_leave() {
    for asks in [true, false] {
        let Bench { client, mut events, mut ends, .. } = plain();
        let mut end = ends.recv().await.unwrap();
        let within = Duration::from_secs(1);
        let no = || client.ask(Ask::Own { command: "no".into() });
        while tokio::time::timeout(within, no()).await.is_ok() {}
        if asks {
            tokio::time::timeout(within, client.leave()).await.unwrap();
        }
        drop(client);
        assert_eq!(tokio::time::timeout(within, end.next()).await.as_deref(), Ok("bye"));
        while let Some(event) = events.next().await {
            assert!(!matches!(event, Event::Lost { .. }));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_questions_is_read_no_faster_than_it_is_answered() {
    let mut bench = bench(Other::default(), None, (1, Duration::from_secs(1)));
    let mut end = bench.end().await;
    bench.until(|event| matches!(event, Event::Connected { .. })).await;
    for _ in 0..5000 {
        end.say("why?").await;
    }
    assert_eq!(end.next().await, "because");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let unread = end.to.max_capacity() - end.to.capacity();
    assert!(unread >= 5000 - 2 * MOST_ANSWERS, "{unread} wait with the other end");
    for _ in 1..5000 {
        assert_eq!(end.next().await, "because");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_has_the_last_words_said() {
    let mut bench = plain();
    let mut end = bench.end().await;
    bench.client.say(None, "last").await.unwrap();
    bench.client.leave().await;
    assert_eq!(end.next().await, "last");
    end.say("+").await;
    assert_eq!(end.next().await, "bye");
    assert_eq!(bench.ended().await, Ended::Left { unsettled: 0 });
    // Without a word of what became of it, not for ever.
    let mut bench = plain();
    let mut end = bench.end().await;
    bench.client.say(None, "last").await.unwrap();
    let asked = Instant::now();
    bench.client.leave().await;
    assert_eq!([end.next().await, end.next().await], ["last", "bye"]);
    assert_eq!(bench.ended().await, Ended::Left { unsettled: 1 });
    assert!(asked.elapsed() <= LAST_WORDS + 2 * FAREWELL);
    // Nor without a connection.
    let other = Other::default();
    other.refusals.lock().unwrap().extend((0..100).map(|_| NoLine::Passing("nobody there".into())));
    let mut bench = self::bench(other, None, (u32::MAX, Duration::ZERO));
    bench.client.say(None, "last").await.unwrap();
    let asked = Instant::now();
    drop(bench.client);
    let ended = loop {
        if let Event::Ended(ended) = bench.events.next().await.unwrap() {
            break ended;
        }
    };
    assert_eq!((ended, asked.elapsed()), (Ended::Left { unsettled: 1 }, LAST_WORDS));
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_has_all_of_it_said_as_long_as_it_goes_out() {
    let mut bench = bench(Other::default(), None, (1, LAST_WORDS / 2));
    let mut end = bench.end().await;
    for n in 0..50 {
        bench.client.say(None, &n.to_string()).await.unwrap();
    }
    bench.client.leave().await;
    for n in 0..50 {
        assert_eq!(end.next().await, n.to_string());
        end.say("+").await;
    }
    assert_eq!(end.next().await, "bye");
    assert_eq!(bench.ended().await, Ended::Left { unsettled: 0 });
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_hears_the_last_answer_if_there_is_one() {
    let mut bench = plain();
    let mut end = bench.end().await;
    bench.client.ask(Ask::Own { command: "time".into() }).await.unwrap();
    bench.client.ask(Ask::Own { command: "bye".into() }).await.unwrap();
    assert_eq!(end.next().await, "time");
    end.say("noon").await;
    assert_eq!(end.next().await, "bye");
    bench.until(|event| *event == Event::Notice("noon".into())).await;
    assert_eq!(bench.ended().await, Ended::Left { unsettled: 0 });
    let mut bench = plain();
    let mut end = bench.end().await;
    bench.client.ask(Ask::Own { command: "time".into() }).await.unwrap();
    assert_eq!(end.next().await, "time");
    let asked = Instant::now();
    bench.client.leave().await;
    assert_eq!(end.next().await, "bye");
    assert_eq!((bench.ended().await, asked.elapsed()), (Ended::Left { unsettled: 0 }, LAST_WORDS + FAREWELL));
}

#[tokio::test(start_paused = true)]
async fn what_is_said_after_leaving_is_refused_also_where_nothing_is_taken() {
    let mut bench = plain();
    let end = bench.end().await;
    for n in 0..2 * EVENTS {
        end.say(&n.to_string()).await;
    }
    tokio::time::sleep(FAREWELL).await;
    bench.client.leave().await;
    tokio::time::sleep(FAREWELL / 2).await;
    let said = tokio::time::timeout(10 * LAST_WORDS, bench.client.say(None, "x")).await;
    assert_eq!(said, Ok(Err(Refused::Ended)));
    assert_eq!(bench.ended().await, Ended::Left { unsettled: 0 });
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_listening_ends_the_client() {
    let mut bench = plain();
    let end = bench.end().await;
    drop(bench.events);
    end.to.closed().await;
    assert_eq!(bench.client.say(None, "x").await, Err(Refused::Ended));
}

#[tokio::test(start_paused = true)]
async fn questions_are_asked_while_there_is_a_connection() {
    let mut bench = plain();
    let mut end = bench.end().await;
    bench.client.ask(Ask::Own { command: "time".into() }).await.unwrap();
    assert_eq!(end.next().await, "time");
    assert_eq!(bench.client.ask(Ask::Rooms).await, Err(Refused::Unsupported));
    bench.other.refusals.lock().unwrap().push_back(NoLine::Passing("nobody there".into()));
    drop(end);
    bench.until(|event| matches!(event, Event::Lost { .. })).await;
    bench.client.ask(Ask::Own { command: "time".into() }).await.unwrap();
    bench.until(|event| matches!(event, Event::Refused { .. })).await;
}
