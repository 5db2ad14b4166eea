//! Whom one does not want to hear is not heard, neither now nor from before.

use std::sync::Arc;

use talk::hub::Hub;
use talk::limits::Limits;
use talk::message::{Command, Event, Refusal};
use talk::secret::Password;
use talk::store::{AccountStore, HistoryStore, MemoryAccounts, MemoryHistory, MemoryRules, RuleStore};

use super::kit::*;

fn block(name: &str) -> Command {
    Command::Block(name.into())
}

fn search(text: &str) -> Command {
    Command::Search { room: global(), text: text.into(), before: None, limit: None }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_blocked_user_is_heard() {
    let hub = Hub::new();
    let mut ann = Session::member(&hub, "ann").await;
    let mut bob = Session::member(&hub, "bob").await;
    let mut cid = Session::member(&hub, "cid").await;
    // More than a page of it, so that whole pages hold nothing for her.
    for n in 0..600 {
        bob.run(say_as("from bob", &n.to_string())).await;
    }
    let (_, at) = bob.accepted("599").await;
    cid.run(say_as("from cid", "1")).await;
    cid.accepted("1").await;
    assert_eq!(ann.bodies(601).await.len(), 601);
    ann.run(block("bob")).await;
    bob.run(say("unheard")).await;
    cid.run(say("heard")).await;
    assert_eq!(ann.said().await, ["heard"]);
    assert_eq!(bob.refused(direct("ann", "psst", "d")).await, Refusal::Blocked("ann".into()));
    ann.run(direct("bob", "one way", "d")).await;
    ann.accepted("d").await;
    // From before.
    ann.run(Command::History { room: None, after: None, before: None, limit: Some(1000) }).await;
    assert_eq!(ann.said().await, ["from cid", "heard"]);
    ann.run(search("from")).await;
    let found = ann.until(|event| if let Event::Found { records, .. } = event { Some(records.clone()) } else { None });
    assert_eq!(found.await.iter().map(|r| &*r.body).collect::<Vec<_>>(), ["from cid"]);
    for seq in [0, 595] {
        ann.run(resume(global(), &at.epoch, seq)).await;
        let (before, how) = ann.recovered().await;
        assert_eq!((before, how.recovered), (vec![Told::Message(601), Told::Message(603)], true));
    }
    // Every session of hers, also in the next room and after a rename.
    let mut again = ann.again(&hub).await;
    again.run(resume(global(), &at.epoch, 0)).await;
    assert_eq!(again.recovered().await.0, [Told::Message(601), Told::Message(603)]);
    bob.run(Command::Rename(nick("bert"))).await;
    bob.run(say("still unheard")).await;
    assert!(again.said().await.is_empty());
    again.run(Command::Unblock("bert".into())).await;
    bob.run(say("at last")).await;
    bob.run(direct("ann", "psst", "e")).await;
    assert_eq!(again.said().await, ["at last", "psst"]);
}

#[tokio::test(start_paused = true)]
async fn what_waited_from_somebody_blocked_since_is_not_heard() {
    let hub = Hub::new();
    let mut bob = Session::guest(&hub, "bob").await;
    let mut cid = Session::guest(&hub, "cid").await;
    let ann = Session::guest(&hub, "ann").await;
    let room = ann.own();
    let mut ann = ann.again(&hub).await;
    let token = ann.token.clone();
    drop(ann);
    for session in [&mut bob, &mut cid] {
        session.run(direct("ann", "hello", "1")).await;
        session.accepted("1").await;
    }
    ann = Session::open(&hub, token).await;
    assert_eq!(ann.said().await.len(), 2);
    ann.run(block("bob")).await;
    let mut ann = ann.again(&hub).await;
    let post = ann.post().await;
    assert_eq!((&post.record.room, &*post.record.from), (&room, "cid"));
    assert!(ann.said().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_block_stands_after_a_restart() {
    let limits = Limits::default();
    let accounts: Arc<dyn AccountStore> = Arc::new(MemoryAccounts::new(&limits));
    let history: Arc<dyn HistoryStore> = Arc::new(MemoryHistory::new(&limits));
    let rules: Arc<dyn RuleStore> = Arc::new(MemoryRules::new(&limits));
    let password = Password::new("correct horse").unwrap();
    for life in 0..3 {
        let hub = Hub::builder().accounts(accounts.clone()).history(history.clone()).rules(rules.clone());
        let hub = hub.build().await.unwrap();
        let mut sessions = Vec::new();
        for name in ["ann", "bob"] {
            let token = hub.sign_in(&nick(name), &password).await.unwrap();
            let mut session = Session::open(&hub, token).await;
            session.enter().await;
            sessions.push(session);
        }
        let [ann, bob] = &mut sessions[..] else { panic!() };
        match life {
            0 => ann.run(block("bob")).await,
            1 => {}
            _ => ann.run(Command::Unblock("bob".into())).await,
        }
        bob.run(say("hello")).await;
        assert_eq!(ann.said().await.len(), usize::from(life == 2));
        drop(sessions);
        hub.stop();
        hub.drained().await;
    }
}
