//! Direct messages that leave the hub: how many wait, whom a peer that never answers holds up, and what comes twice.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use talk::codec::Encode;
use talk::hub::{Batch, Encoding, Heard, Hub, Lifetime, Offered, Outbox, Parcel, Route, Routed, Seat, Sink};
use talk::message::{Command, Delivery, Event, MessageId, Refusal};
use talk::name::{Nickname, RoomName};
use talk::secret::Secret;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the contract lets wait of one user, and what is on its way of one user and to one name at a time.
const OF_ONE: usize = 32;
const FEW_OF_ONE: usize = 2;
const FEW_TO_ONE: usize = 4;

/// Names by what they begin with: a `hole` answers once it is let, `down` fails, `panics` does, `nobody` is not there, and
/// all others take everything.
#[derive(Debug)]
struct Elsewhere {
    hole: Semaphore,
    /// To whom something was begun, and what.
    begun: mpsc::UnboundedSender<(String, String)>,
    under_way: Mutex<HashMap<String, (usize, usize)>>,
}

impl Elsewhere {
    /// How many at most were on their way to a name at a time.
    fn most(&self, name: &str) -> usize {
        self.under_way.lock().unwrap().get(name).map_or(0, |(_, most)| *most)
    }
}

#[async_trait]
impl Route for Elsewhere {
    async fn deliver(&self, parcel: &Parcel<'_>) -> Routed {
        {
            let mut under_way = self.under_way.lock().unwrap();
            let (now, most) = under_way.entry(parcel.to.to_owned()).or_default();
            *now += 1;
            *most = (*most).max(*now);
        }
        self.begun.send((parcel.to.to_owned(), parcel.body.to_string())).unwrap();
        if parcel.to.starts_with("hole") {
            self.hole.acquire().await.unwrap().forget();
        }
        self.under_way.lock().unwrap().get_mut(parcel.to).unwrap().0 -= 1;
        match parcel.to {
            to if to.starts_with("panics") => panic!("it is meant to"),
            "down" => Routed::Failed("unreachable"),
            "nobody" => Routed::Unknown,
            _ => Routed::Delivered,
        }
    }
}

struct World {
    hub: Hub,
    route: Arc<Elsewhere>,
    begun: mpsc::UnboundedReceiver<(String, String)>,
}

impl World {
    async fn new() -> Self {
        let (tell, begun) = mpsc::unbounded_channel();
        let route = Arc::new(Elsewhere { hole: Semaphore::new(0), begun: tell, under_way: Mutex::default() });
        let hub = Hub::builder().route("peer", route.clone()).build().await.unwrap();
        Self { hub, route, begun }
    }

    async fn next_begun(&mut self) -> (String, String) {
        timeout(PATIENCE, self.begun.recv()).await.expect("something is sent").unwrap()
    }

    /// Lets everything in the holes end.
    fn let_all_end(&self) {
        self.route.hole.add_permits(1 << 20);
    }
}

fn id(id: &str) -> MessageId {
    MessageId::new(id).unwrap()
}

fn direct(to: &str, body: &str, name: &str) -> Command {
    Command::Direct { to: to.into(), body: body.into(), id: Some(id(name)) }
}

async fn event(heard: &mut Heard) -> Event {
    timeout(PATIENCE, heard.next()).await.expect("something is heard").expect("the session is open")
}

async fn receipt(heard: &mut Heard) -> (String, Delivery, Option<&'static str>) {
    loop {
        if let Event::DirectReceipt { id, state, reason, .. } = event(heard).await {
            return (id.to_string(), state, reason);
        }
    }
}

/// Receipts as lines.
struct Receipts;

impl Encode for Receipts {
    fn encode(&self, event: &Event, out: &mut BytesMut) -> bool {
        let Event::DirectReceipt { id, state, reason, .. } = event else { return false };
        out.extend_from_slice(format!("{id} {state:?} {}\n", reason.unwrap_or_default()).as_bytes());
        true
    }
}

struct Wire(Arc<Mutex<Vec<u8>>>);

impl Sink for Wire {
    fn encoding(&self) -> Encoding {
        Encoding::new("receipts", &Receipts)
    }

    fn offer(&self, batch: &Batch) -> Offered {
        self.0.lock().unwrap().extend_from_slice(batch.bytes());
        Offered::All
    }
}

/// One session of a user who may have many, and what it hears.
async fn connect(hub: &Hub, token: &Secret) -> (Seat, Arc<Mutex<Vec<u8>>>) {
    let written = Arc::default();
    let outbox: Arc<Outbox> = Arc::new(Outbox::new(Wire(Arc::clone(&written)), hub.limits()));
    (hub.open(token, outbox, Lifetime::Kept, None).await.unwrap(), written)
}

async fn until(what: impl Fn() -> bool) {
    let search = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, search).await.expect("it comes to that");
}

#[tokio::test]
async fn whoever_reconnects_has_no_more_waiting_than_whoever_stays() {
    let world = World::new().await;
    let token = world.hub.sign_up(&Nickname::known("eve").unwrap()).await.unwrap();
    let (mut taken, mut refused) = (0, 0);
    for round in 0..20 {
        let (mut seat, _) = connect(&world.hub, &token).await;
        for n in 0..10 {
            match seat.run(direct("peer:hole", "x", &format!("{round} {n}"))).await {
                Ok(()) => taken += 1,
                Err(why) => {
                    assert_eq!(why, Refusal::Busy);
                    refused += 1;
                }
            }
        }
    }
    assert_eq!(taken + refused, 200);
    assert!((OF_ONE..=OF_ONE + FEW_OF_ONE).contains(&taken), "{taken}");
    // What was refused is no longer in the way once the rest has gone, and its ids are not used up.
    world.let_all_end();
    let (mut seat, written) = connect(&world.hub, &token).await;
    let again = async {
        while let Err(why) = seat.run(direct("peer:hole", "another text", "19 9")).await {
            assert_eq!(why, Refusal::Busy);
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.unwrap();
    until(|| String::from_utf8_lossy(&written.lock().unwrap()).contains("19 9 Delivered")).await;
}

#[tokio::test]
async fn all_users_together_have_a_bound_and_whoever_has_most_gives_way_to_whoever_has_little() {
    let mut world = World::new().await;
    let mut others = Vec::new();
    // Each with as much as one may have, to names of their own.
    let mut taken = 0;
    let mut full = false;
    for user in 0..40 {
        let (mut seat, heard) = world.hub.sit(&format!("eve{user}")).await.unwrap();
        for n in 0..OF_ONE {
            match seat.run(direct(&format!("peer:hole-{user}"), "x", &n.to_string())).await {
                Ok(()) => taken += 1,
                Err(why) => {
                    full = true;
                    assert_eq!(why, Refusal::Full);
                }
            }
        }
        others.push((seat, heard));
    }
    assert!(full && taken >= 1024, "{taken}");
    let (mut ann, mut heard) = world.hub.sit("ann").await.unwrap();
    ann.run(direct("peer:bob", "hi", "1")).await.unwrap();
    assert_eq!(receipt(&mut heard).await, ("1".into(), Delivery::Delivered, None));
    loop {
        if world.next_begun().await == ("bob".into(), "hi".into()) {
            break;
        }
    }
    // Somebody lost a message by that, the last of theirs, and heard so.
    world.let_all_end();
    let mut lost = 0;
    let (mut seats, mut hearts): (Vec<_>, Vec<_>) = others.into_iter().unzip();
    for (seat, heard) in seats.iter_mut().zip(&mut hearts) {
        // Behind the fates of all.
        let last = async {
            while seat.run(direct("peer:last", "x", "last")).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, last).await.unwrap();
        let mut ends = 0;
        loop {
            match receipt(heard).await {
                (id, Delivery::Delivered, None) if id == "last" => ends = 1,
                (_, Delivery::Delivered, None) => {}
                (_, Delivery::Failed, Some("busy")) => lost += 1,
                other => panic!("{other:?}"),
            }
            if ends == 1 {
                break;
            }
        }
    }
    assert!(lost >= 1, "{lost}");
}

#[tokio::test]
async fn a_few_who_flood_one_name_do_not_take_it_from_all_others() {
    let world = World::new().await;
    let mut floods = Vec::new();
    for user in 0..3 {
        let (mut seat, heard) = world.hub.sit(&format!("eve{user}")).await.unwrap();
        for n in 0..OF_ONE {
            seat.run(direct("peer:hole", "x", &n.to_string())).await.unwrap();
        }
        floods.push((seat, heard));
    }
    let (mut ann, mut heard) = world.hub.sit("ann").await.unwrap();
    for n in 0..3 {
        ann.run(direct("peer:hole", "hi", &n.to_string())).await.unwrap();
    }
    world.let_all_end();
    for n in 0..3 {
        assert_eq!(receipt(&mut heard).await, (n.to_string(), Delivery::Delivered, None));
    }
    // Each of the others hears what became of each, in its order where it went.
    let mut lost = 0;
    for (_, heard) in &mut floods {
        let mut went = Vec::new();
        for _ in 0..OF_ONE {
            match receipt(heard).await {
                (id, Delivery::Delivered, None) => went.push(id.parse::<usize>().unwrap()),
                (_, Delivery::Failed, Some("busy")) => lost += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(went.is_sorted() && went.len() > 10, "{went:?}");
    }
    assert!(lost > 0, "the name was not crowded");
}

#[tokio::test]
async fn a_message_whose_route_panics_leaves_its_place() {
    let world = World::new().await;
    let (mut eve, mut heard) = world.hub.sit("eve").await.unwrap();
    for n in 0..3 * OF_ONE {
        let send = async {
            while eve.run(direct("peer:panics", "x", &n.to_string())).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, send).await.expect("there is room again");
    }
    let send = async {
        while eve.run(direct("peer:bob", "hi", "after")).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, send).await.unwrap();
    assert_eq!(receipt(&mut heard).await, ("after".into(), Delivery::Delivered, None));
}

#[tokio::test]
async fn a_peer_that_never_answers_stops_nobody_elses_messages() {
    let mut world = World::new().await;
    let mut many = Vec::new();
    for user in 0..300 {
        let (mut seat, heard) = world.hub.sit(&format!("eve{user}")).await.unwrap();
        seat.run(direct("peer:hole", "x", "1")).await.unwrap();
        many.push((seat, heard));
    }
    let (mut ann, mut heard) = world.hub.sit("ann").await.unwrap();
    ann.run(direct("peer:hole", "x", "1")).await.unwrap();
    ann.run(direct("peer:bob", "hi", "2")).await.unwrap();
    loop {
        let (id, state, reason) = receipt(&mut heard).await;
        match id.as_str() {
            "2" => break assert_eq!((state, reason), (Delivery::Delivered, None)),
            // Too many wait for that one already.
            _ => assert_eq!((state, reason), (Delivery::Failed, Some("busy"))),
        }
    }
    assert!(world.route.most("hole") <= FEW_TO_ONE, "{}", world.route.most("hole"));
    // They all hear how it went.
    world.let_all_end();
    let mut delivered = 0;
    for (_, heard) in &mut many {
        match receipt(heard).await {
            (_, Delivery::Delivered, None) => delivered += 1,
            (_, Delivery::Failed, Some("busy")) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(delivered > FEW_TO_ONE, "{delivered}");
    let mut seen = 0;
    while let Ok((name, _)) = world.begun.try_recv() {
        seen += usize::from(name == "hole");
    }
    assert_eq!(seen, delivered, "what was given up was not sent");
}

#[tokio::test]
async fn one_user_has_few_on_their_way_and_they_keep_their_order_to_each_name() {
    let mut world = World::new().await;
    let (mut ann, mut heard) = world.hub.sit("ann").await.unwrap();
    for n in 0..5 {
        ann.run(direct("peer:hole-a", &n.to_string(), &format!("a{n}"))).await.unwrap();
    }
    for hole in ["b", "c", "d"] {
        ann.run(direct(&format!("peer:hole-{hole}"), "x", hole)).await.unwrap();
    }
    assert_eq!(world.next_begun().await, ("hole-a".into(), "0".into()));
    assert_eq!(world.next_begun().await, ("hole-b".into(), "x".into()), "the next that is for somebody else");
    // Somebody else's goes its way meanwhile, and by then anything more would have begun.
    let (mut bob, mut bob_heard) = world.hub.sit("bob").await.unwrap();
    bob.run(direct("peer:cid", "hi", "1")).await.unwrap();
    receipt(&mut bob_heard).await;
    assert_eq!(world.next_begun().await, ("cid".into(), "hi".into()));
    assert!(world.begun.try_recv().is_err());
    world.let_all_end();
    let mut ends = Vec::new();
    for _ in 0..8 {
        ends.push(receipt(&mut heard).await.0);
    }
    ends.retain(|id| id.starts_with('a'));
    assert_eq!(ends, ["a0", "a1", "a2", "a3", "a4"]);
    assert_eq!(world.route.most("hole-a"), 1);
}

#[tokio::test]
async fn what_comes_twice_goes_out_once_and_is_told_the_same_again() {
    let mut world = World::new().await;
    let (mut ann, mut heard) = world.hub.sit("ann").await.unwrap();
    for (to, state, reason) in [("bob", Delivery::Delivered, None), ("down", Delivery::Failed, Some("unreachable"))] {
        for _ in 0..3 {
            ann.run(direct(&format!("peer:{to}"), "hi", to)).await.unwrap();
            assert_eq!(receipt(&mut heard).await, (to.into(), state, reason));
        }
        assert_eq!(world.next_begun().await, (to.into(), "hi".into()));
        assert!(world.begun.try_recv().is_err(), "{to}");
    }
    // Another text, or another name, is another message.
    for (to, text) in [("peer:bob", "ho"), ("peer:bill", "hi"), ("peer:down", "hi")] {
        assert_eq!(ann.run(direct(to, text, "bob")).await, Err(Refusal::IdReused), "{to} {text}");
    }
    // Somebody else's id is their own.
    let (mut eve, mut eve_heard) = world.hub.sit("eve").await.unwrap();
    eve.run(direct("peer:bob", "another", "bob")).await.unwrap();
    assert_eq!(receipt(&mut eve_heard).await.1, Delivery::Delivered);
    assert_eq!(world.next_begun().await, ("bob".into(), "another".into()));
    // What was for nobody was not said.
    for (to, known) in [("peer:nobody", false), ("peer:bob", true)] {
        ann.run(direct(to, "hello?", "n")).await.unwrap();
        match event(&mut heard).await {
            Event::Refused { why: Refusal::NoUser(name), .. } => assert!(!known && name == to),
            Event::DirectReceipt { state: Delivery::Delivered, .. } => assert!(known),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_under_way_is_not_sent_again_and_whoever_comes_back_hears_how_it_went() {
    let mut world = World::new().await;
    let token = world.hub.sign_up(&Nickname::known("ann").unwrap()).await.unwrap();
    let (mut ann, _) = connect(&world.hub, &token).await;
    ann.run(direct("peer:hole", "hi", "1")).await.unwrap();
    world.next_begun().await;
    drop(ann);
    let (mut ann, written) = connect(&world.hub, &token).await;
    ann.run(direct("peer:hole", "hi", "1")).await.unwrap();
    assert_eq!(ann.run(direct("peer:hole", "ho", "1")).await, Err(Refusal::IdReused));
    world.let_all_end();
    until(|| *written.lock().unwrap() == b"1 Delivered \n").await;
    ann.run(direct("peer:hole", "hi", "1")).await.unwrap();
    until(|| *written.lock().unwrap() == b"1 Delivered \n1 Delivered \n").await;
    assert!(world.begun.try_recv().is_err());
}

#[tokio::test]
async fn an_id_is_used_once_whether_a_message_stays_in_the_hub_or_leaves_it() {
    let world = World::new().await;
    let (mut ann, mut heard) = world.hub.sit("ann").await.unwrap();
    ann.run(Command::Enter(RoomName::global())).await.unwrap();
    let said = |name: &str| Command::Say { room: None, body: "hi".into(), id: Some(id(name)) };
    ann.run(said("in")).await.unwrap();
    while !matches!(event(&mut heard).await, Event::Accepted { .. }) {}
    assert_eq!(ann.run(direct("peer:bob", "hi", "in")).await, Err(Refusal::IdReused));
    ann.run(direct("peer:bob", "hi", "out")).await.unwrap();
    receipt(&mut heard).await;
    for command in [said("out"), direct("ann", "hi", "out")] {
        ann.run(command).await.unwrap();
        let refused = loop {
            match event(&mut heard).await {
                Event::Refused { why, id } => break (why, id.unwrap().to_string()),
                Event::Message(post) if post.record.id == Some(id("out")) => panic!("it is said"),
                _ => {}
            }
        };
        assert_eq!(refused, (Refusal::IdReused, "out".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_is_known_for_two_minutes() {
    let mut world = World::new().await;
    let (mut ann, mut heard) = world.hub.sit("ann").await.unwrap();
    for (wait, sent) in [(0, true), (119, false), (2, true)] {
        tokio::time::advance(Duration::from_secs(wait)).await;
        ann.run(direct("peer:bob", "hi", "1")).await.unwrap();
        assert_eq!(receipt(&mut heard).await, ("1".into(), Delivery::Delivered, None));
        assert_eq!(world.begun.try_recv().is_ok(), sent, "after {wait}");
    }
}
