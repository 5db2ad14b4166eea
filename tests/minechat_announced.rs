//! Whom minechat's listen port tells of as new, and of whom it is silent.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use common::minechat::{Client, HELLO, NICKNAME, SENT, WELCOME, Wire, hold_the_clock, pass};
use talk::hub::{Hub, Seat};
use talk::limits::Limits;
use talk::message::{Command, Moderation, UserId};
use talk::name::{Nickname, RoomName};
use talk::secret::Password;
use talk::store::{Ban, MemoryRules, Mute, RoomRules, RuleStore};

/// Longer than who stays must.
const STAYED: Duration = Duration::from_secs(6);
const NEW: &str = "Server: # к чату присоединился ";

/// A writer who did not care for a nickname, and the one that was given.
async fn nameless(wire: &Wire) -> (Client, String) {
    let mut writer = wire.writer().await;
    writer.write("\n\n").await;
    writer.expect(HELLO).await;
    writer.expect(NICKNAME).await;
    let (nickname, _) = writer.account().await;
    writer.expect(WELCOME).await;
    (writer, nickname)
}

async fn ruled(rules: RoomRules) -> Wire {
    let store = Arc::new(MemoryRules::new(&Limits::default()));
    store.keep_room(&RoomName::global(), &rules).await.unwrap();
    Wire::with(Hub::builder().rules(store).build().await.unwrap(), None).await
}

/// An administrator in the room, and the wire.
async fn led() -> (Wire, Seat) {
    let boss = Nickname::new("boss").unwrap();
    let hub = Hub::builder().admins([boss.clone()]).build().await.unwrap();
    let wire = Wire::with(hub, None).await;
    let token = wire.hub.sign_in(&boss, &Password::new("long enough").unwrap()).await.unwrap();
    let outbox = Arc::new(talk::hub::Outbox::new(Deaf, wire.hub.limits()));
    let mut seat = wire.hub.open(&token, outbox, talk::hub::Lifetime::Kept, None).await.unwrap();
    seat.run(Command::Enter(RoomName::global())).await.unwrap();
    (wire, seat)
}

struct Deaf;

impl talk::hub::Sink for Deaf {
    fn encoding(&self) -> talk::hub::Encoding {
        talk::hub::Encoding::EVENTS
    }

    fn offer(&self, _: &talk::hub::Batch) -> talk::hub::Offered {
        talk::hub::Offered::All
    }
}

fn here() -> Option<IpAddr> {
    Some("127.0.0.1".parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn nobody_is_announced_from_where_somebody_is_banned_or_muted() {
    hold_the_clock();
    let (user, name, address, until) = (UserId::random(), Arc::from("eve"), here(), None);
    let ban = Ban { user, name: Arc::clone(&name), address, until };
    let mute = Mute { user, name, address, until };
    for rules in
        [RoomRules { bans: vec![ban], ..RoomRules::default() }, RoomRules { mutes: vec![mute], ..RoomRules::default() }]
    {
        let mut wire = ruled(rules).await;
        let mut listener = wire.listener().await;
        let (_nameless, _) = nameless(&wire).await;
        pass(STAYED).await;
        let next = wire.probe().await;
        listener.expect(&next).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_announced_in_a_room_that_is_closed() {
    hold_the_clock();
    let (mut wire, mut boss) = led().await;
    let mut listener = wire.listener().await;
    boss.run(Command::Close { room: RoomName::global(), reason: None }).await.unwrap();
    let (mut nameless, nickname) = nameless(&wire).await;
    let (_named, _) = wire.registered("bob").await;
    pass(STAYED).await;
    nameless.write("hello\n\n").await;
    nameless.expect("Message not send: room global is closed. Write more, end message with an empty line.\n").await;
    boss.run(Command::Enter(RoomName::global())).await.unwrap();
    boss.run(Command::Say { room: None, body: "open again".into(), id: None }).await.unwrap();
    listener.expect("boss: open again\n").await;
    // Who was not heard of is, as soon as they are heard.
    nameless.write("hello\n\n").await;
    nameless.expect(SENT).await;
    listener.expect(&format!("{NEW}{nickname}\n")).await;
    listener.expect(&format!("{nickname}: hello\n")).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_who_is_muted_is_announced() {
    hold_the_clock();
    let (mut wire, mut boss) = led().await;
    let mut listener = wire.listener().await;
    let (mut bob, _) = wire.registered("bob").await;
    let (room, user) = (RoomName::global(), "bob".to_owned());
    boss.run(Command::Moderate { room, action: Moderation::Mute, user, seconds: None, reason: None }).await.unwrap();
    pass(STAYED).await;
    bob.write("hello\n\n").await;
    bob.expect("Message not send: you are muted in room global. Write more, end message with an empty line.\n").await;
    let next = wire.probe().await;
    listener.expect(&next).await;
}

#[tokio::test(start_paused = true)]
async fn from_one_address_a_few_are_announced_and_the_rest_when_they_are_let_in() {
    hold_the_clock();
    let mut wire = Wire::limited(|limits| (limits.users, limits.loopback_exempt) = (100, false)).await;
    let mut listener = wire.listener().await;
    let mut writers = Vec::new();
    for _ in 0..12 {
        writers.push(nameless(&wire).await);
    }
    pass(STAYED).await;
    let next = wire.probe().await;
    let mut announced = Vec::new();
    loop {
        let line = listener.line().await;
        if line == next {
            break;
        }
        announced.push(line.strip_prefix(NEW).expect("an announcement").trim_end().to_owned());
    }
    assert_eq!(announced.len(), 5, "{announced:?}");
    // They were counted then, and are not once more. The others wait for their turn.
    for (writer, nickname) in &mut writers {
        writer.write("hello\n\n").await;
        if announced.contains(nickname) {
            writer.expect(SENT).await;
            listener.expect(&format!("{nickname}: hello\n")).await;
        } else {
            writer.expect("Message not send: the server is full. Write more, end message with an empty line.\n").await;
        }
    }
    pass(Duration::from_secs(12)).await;
    let (writer, nickname) = writers.iter_mut().find(|(_, nickname)| !announced.contains(nickname)).unwrap();
    writer.write("hello\n\n").await;
    writer.expect(SENT).await;
    listener.expect(&format!("{NEW}{nickname}\n")).await;
    listener.expect(&format!("{nickname}: hello\n")).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_lost_the_name_that_was_announced_is_announced_by_the_one_they_get() {
    hold_the_clock();
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let (mut writer, nickname) = nameless(&wire).await;
    pass(STAYED).await;
    listener.expect(&format!("{NEW}{nickname}\n")).await;
    let _thief = wire.hub.sit(&nickname).await.unwrap();
    writer.write("hello\n\n").await;
    writer.expect(SENT).await;
    let line = listener.line().await;
    let other = line.strip_prefix(NEW).expect("an announcement").trim_end().to_owned();
    assert!(other.ends_with(&format!(" {nickname}")), "{other}");
    listener.expect(&format!("{other}: hello\n")).await;
}
