//! When a store does not do what it is asked, the asker hears so, and nothing is half done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use talk::hub::{Hub, Lifetime, OpenError, Outbox};
use talk::limits::Limits;
use talk::message::{Command, Event, Moderation, Refusal, UserId};
use talk::name::RoomName;
use talk::store::{MemoryRules, RoomRules, RuleStore, StoreError, UserRules};

use super::kit::*;

/// Rules that cannot be written, or not even be read.
#[derive(Debug)]
struct Broken {
    inner: MemoryRules,
    how: AtomicU8,
}

const WHOLE: u8 = 0;
const FULL: u8 = 1;
const DOWN: u8 = 2;

impl Broken {
    fn read(&self) -> Result<(), StoreError> {
        match self.how.load(Ordering::SeqCst) {
            DOWN => Err(StoreError::Unavailable("it is down".into())),
            _ => Ok(()),
        }
    }

    fn write(&self) -> Result<(), StoreError> {
        match self.how.load(Ordering::SeqCst) {
            FULL => Err(StoreError::Full("no space".into())),
            _ => self.read(),
        }
    }
}

#[async_trait]
impl RuleStore for Broken {
    async fn rooms(&self) -> Result<Vec<(RoomName, RoomRules)>, StoreError> {
        self.read()?;
        self.inner.rooms().await
    }

    async fn keep_room(&self, room: &RoomName, rules: &RoomRules) -> Result<(), StoreError> {
        self.write()?;
        self.inner.keep_room(room, rules).await
    }

    async fn user(&self, user: UserId) -> Result<UserRules, StoreError> {
        self.read()?;
        self.inner.user(user).await
    }

    async fn keep_user(&self, user: UserId, rules: &UserRules) -> Result<(), StoreError> {
        self.write()?;
        self.inner.keep_user(user, rules).await
    }

    async fn forget_users(&self, users: &[UserId]) -> Result<(), StoreError> {
        self.write()?;
        self.inner.forget_users(users).await
    }
}

async fn hub_over_rules() -> (Hub, Arc<Broken>) {
    let rules = Arc::new(Broken { inner: MemoryRules::new(&Limits::default()), how: AtomicU8::new(WHOLE) });
    (Hub::builder().rules(rules.clone()).build().await.unwrap(), rules)
}

fn moderate(action: Moderation, user: &str) -> Command {
    Command::Moderate { room: room("den"), action, user: user.into(), seconds: None, reason: None }
}

#[tokio::test(start_paused = true)]
async fn a_room_whose_rules_are_not_kept_is_not_made() {
    let (hub, rules) = hub_over_rules().await;
    let mut ann = Session::guest(&hub, "ann").await;
    for (how, why) in [(FULL, Refusal::Full), (DOWN, Refusal::Unavailable)] {
        rules.how.store(how, Ordering::SeqCst);
        assert_eq!(ann.refused(Command::Create(room("den"))).await, why);
        rules.how.store(WHOLE, Ordering::SeqCst);
        assert_eq!(ann.refused(Command::Enter(room("den"))).await, Refusal::NoRoom("den".into()));
        assert_eq!(ann.refused(say("x")).await, Refusal::InNoRoom);
        assert!(!ann.rest().await.iter().any(|event| matches!(event, Event::Message(_))));
    }
    ann.run(Command::Create(room("den"))).await;
}

#[tokio::test(start_paused = true)]
async fn moderation_and_blocks_that_are_not_kept_do_not_hold() {
    let (hub, rules) = hub_over_rules().await;
    let mut ann = Session::guest(&hub, "ann").await;
    let mut bob = Session::guest(&hub, "bob").await;
    ann.run(Command::Create(room("den"))).await;
    bob.run(Command::Enter(room("den"))).await;
    for (how, why) in [(FULL, Refusal::Full), (DOWN, Refusal::Unavailable)] {
        rules.how.store(how, Ordering::SeqCst);
        for action in [Moderation::Mute, Moderation::Ban, Moderation::Kick] {
            assert_eq!(ann.refused(moderate(action, "bob")).await, why, "{action:?}");
        }
        assert_eq!(ann.refused(Command::Close { room: room("den"), reason: None }).await, why);
        assert_eq!(ann.refused(Command::Block("bob".into())).await, why);
        bob.run(say("still here")).await;
        assert_eq!(&*ann.post().await.record.body, "still here");
        rules.how.store(WHOLE, Ordering::SeqCst);
        bob.run(Command::Leave(None)).await;
        bob.run(Command::Enter(room("den"))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_room_stays_closed_when_its_opening_is_not_kept() {
    let (hub, rules) = hub_over_rules().await;
    let mut ann = Session::guest(&hub, "ann").await;
    let mut bob = Session::guest(&hub, "bob").await;
    ann.run(Command::Create(room("den"))).await;
    ann.run(say_as("so that it stays", "1")).await;
    ann.accepted("1").await;
    ann.run(Command::Close { room: room("den"), reason: None }).await;
    rules.how.store(DOWN, Ordering::SeqCst);
    assert_eq!(ann.refused(Command::Enter(room("den"))).await, Refusal::Unavailable);
    rules.how.store(WHOLE, Ordering::SeqCst);
    assert_eq!(bob.refused(Command::Enter(room("den"))).await, Refusal::RoomClosed("den".into()));
    ann.run(Command::Enter(room("den"))).await;
    bob.run(Command::Enter(room("den"))).await;
}

#[tokio::test(start_paused = true)]
async fn no_session_is_opened_over_a_store_that_does_not_answer() {
    let (hub, rules) = hub_over_rules().await;
    rules.how.store(DOWN, Ordering::SeqCst);
    assert_eq!(hub.sit("bob").await.unwrap_err(), Refusal::Unavailable);
    let token = hub.sign_up(&nick("ann")).await.unwrap();
    let outbox: Arc<Outbox> = Arc::new(Outbox::new(Deaf, hub.limits()));
    assert_eq!(hub.open(&token, outbox, Lifetime::Kept, None).await.unwrap_err(), OpenError::Unavailable);
    assert_eq!(hub.gauges().sessions, 0);
    rules.how.store(WHOLE, Ordering::SeqCst);
    Session::open(&hub, token).await.enter().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_that_does_not_know_its_end_says_nothing_until_it_does() {
    let history = Moody::new(&Limits::default());
    let hub = hub_over(history.clone(), &Limits::default()).await;
    let mut ann = Session::guest(&hub, "ann").await;
    history.down.store(true, Ordering::SeqCst);
    ann.enter().await;
    ann.run(say_as("lost", "1")).await;
    assert_eq!(ann.refusal("1").await, Refusal::Unavailable);
    history.down.store(false, Ordering::SeqCst);
    ann.run(say_as("kept", "2")).await;
    let post = ann.post().await;
    assert_eq!((&*post.record.body, post.record.seq), ("kept", 1));
    // The life that members were told is the one that the history has.
    ann.run(Command::History { room: None, after: None, before: None, limit: None }).await;
    assert_eq!(ann.post().await, post);
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
