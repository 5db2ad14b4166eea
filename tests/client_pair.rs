//! The client of pair chat against our own server, over real sockets: each text's way is told, and nothing typed is lost.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::gate::Gate;
use common::listener::Listener;
use common::pair_chat::Server;
use common::programs::free_port;
use talk::client::pair::{Options, OptionsError};
use talk::client::{Ability, Ask, Ended, Event, Happened, Place, Refused, State};

fn options(port: u16, name: &str) -> Options {
    Options::new("127.0.0.1", port, name)
}

fn user(port: u16, name: &str, to: &str) -> Listener {
    Listener::of(options(port, name).to(to).connect().unwrap())
}

/// Waits until texts go there.
async fn selected(listener: &mut Listener, whom: &str) {
    let wanted = Event::Selected { to: Some(whom.into()) };
    listener.until(|event| *event == wanted).await;
}

async fn lost(listener: &mut Listener) -> String {
    match listener.until(|event| matches!(event, Event::Lost { .. } | Event::Ended(_))).await {
        Event::Lost { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

async fn not_there(listener: &mut Listener) {
    let refused = |event: &Event| matches!(event, Event::Refused { code: Some(code), .. } if code == "no_user");
    listener.until(refused).await;
}

/// Two who speak to each other.
async fn pair(port: u16) -> (Listener, Listener) {
    let mut ann = user(port, "ann", "bob");
    assert_eq!(ann.connected().await, (Some("ann".into()), None));
    let mut bob = user(port, "bob", "ann");
    selected(&mut bob, "ann").await;
    selected(&mut ann, "bob").await;
    (ann, bob)
}

const DELIVERED: State = State::Delivered { by: 1, of: 1 };

#[tokio::test]
async fn two_clients_meet_and_each_text_is_told_step_by_step() {
    let server = Server::start().await;
    let (mut ann, mut bob) = pair(server.port).await;
    let id = ann.say("hello, bob").await;
    let heard = bob.message().await;
    assert_eq!((heard.from.as_str(), &*heard.text, heard.place, heard.own), ("ann", "hello, bob", Place::Open, false));
    let states = ann.states_of(&id, &DELIVERED).await;
    assert_eq!(states, [State::Queued, State::Sent, State::Accepted, DELIVERED]);
    // One's own texts show, though the wire has no echo.
    let own = ann.heard.iter().find_map(|event| match event {
        Event::Message(message) => Some((message.from.as_str(), message.own, message.id.clone())),
        _ => None,
    });
    assert_eq!(own, Some(("ann", true, Some(id))));
    for n in 0..40 {
        bob.say(&n.to_string()).await;
    }
    assert_eq!(ann.others("bob", 40).await, (0..40).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(ann.leave().await, Ended::Left { unsettled: 0 });
    let left = bob.until(|event| matches!(event, Event::Happened { .. })).await;
    assert_eq!(left, Event::Happened { room: None, user: "ann".into(), what: Happened::Left });
    let id = bob.say("still there?").await;
    bob.until_state(&id, &State::Failed("gone".into())).await;
    server.named("ann").await;
}

#[tokio::test]
async fn a_room_hears_what_is_said_to_it() {
    let server = Server::start().await;
    let mut carol = server.paired("carol", "global").await;
    let mut ann = user(server.port, "ann", "global");
    let id = ann.say("hello, all").await;
    assert_eq!(ann.states_of(&id, &State::Accepted).await, [State::Queued, State::Sent, State::Accepted]);
    carol.hears(&["[ann] hello, all"]).await;
    carol.send("hello, ann").await;
    assert_eq!(&*ann.message().await.text, "hello, ann");
    assert_eq!(ann.leave().await, Ended::Left { unsettled: 0 });
}

#[tokio::test]
async fn a_text_that_nobody_confirms_and_one_that_is_refused_have_failed() {
    let server = Server::start().await;
    let mut bobby = server.paired("bobby", "global").await;
    bobby.answers = false;
    let mut ann = user(server.port, "ann", "bobby");
    let id = ann.say("hello").await;
    ann.until_state(&id, &State::Accepted).await;
    // Bobby's program never answers, and the server knows only when its line is gone.
    drop(bobby);
    ann.until_state(&id, &State::Failed("timed out".into())).await;
    for text in [":quit:", "\n"] {
        let id = ann.say(text).await;
        let failed = |event: &Event| matches!(event, Event::State { id: of, state: State::Failed(_) } if *of == id);
        ann.until(failed).await;
    }
    assert_eq!(ann.client.say(None, "").await, Err(Refused::Length(16 * 1024)));
    assert_eq!(ann.client.say(None, &"x".repeat(16 * 1024 + 1)).await, Err(Refused::Length(16 * 1024)));
}

#[tokio::test]
async fn a_name_that_somebody_has_ends_the_client_and_another_may_be_tried() {
    let server = Server::start().await;
    let _ann = server.named("ann").await;
    let mut ann = user(server.port, "ann", "global");
    assert_eq!(ann.ended().await, Ended::Refused("somebody is called ann already".into()));
    let mut anna = user(server.port, "anna", "global");
    selected(&mut anna, "global").await;
}

#[tokio::test]
async fn whoever_is_not_there_is_waited_for_and_what_was_typed_with_them() {
    let server = Server::start().await;
    let mut ann = user(server.port, "ann", "bob");
    let first = ann.say("one").await;
    not_there(&mut ann).await;
    ann.say("two").await;
    let mut bob = server.paired("bob", "global").await;
    bob.hears(&["[ann] one", "[ann] two"]).await;
    ann.until_state(&first, &State::Accepted).await;
    let told = ann.heard.iter().filter(|event| matches!(event, Event::Refused { .. })).count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn another_recipient_hears_what_is_typed_from_then_on() {
    let server = Server::start().await;
    let (mut bob, mut carol) = (server.paired("bob", "global").await, server.paired("carol", "global").await);
    let mut ann = Listener::of(options(server.port, "ann").connect().unwrap());
    ann.connected().await;
    assert_eq!(ann.client.say(None, "hello?").await, Err(Refused::Nowhere));
    let select = |to: &str| Ask::Select { to: to.into() };
    ann.client.ask(select("bob")).await.unwrap();
    selected(&mut ann, "bob").await;
    ann.say("for bob").await;
    ann.client.ask(select("carol")).await.unwrap();
    ann.say("for carol").await;
    bob.hears(&["[ann] for bob", "[server] User ann left"]).await;
    selected(&mut ann, "carol").await;
    carol.hears(&["[ann] for carol"]).await;
    ann.client.ask(select("dave")).await.unwrap();
    let lonely = ann.say("for dave").await;
    not_there(&mut ann).await;
    ann.client.ask(select("bob")).await.unwrap();
    ann.until_state(&lonely, &State::Failed("dave is not here".into())).await;
    selected(&mut ann, "bob").await;
    let id = ann.say("again").await;
    bob.hears(&["[ann] again"]).await;
    bob.confirms().await;
    ann.until_state(&id, &DELIVERED).await;
    let lost = ann.heard.iter().filter(|event| matches!(event, Event::Lost { .. })).count();
    assert_eq!(lost, 0, "nothing was lost, it was left: {:#?}", ann.heard);
}

#[tokio::test]
async fn what_the_wire_cannot_do_is_refused_at_once() {
    let server = Server::start().await;
    let ann = user(server.port, "ann", "global");
    for ability in [Ability::Say, Ability::Select] {
        assert!(ann.client.can(ability), "{ability:?}");
    }
    let asks = [
        Ask::Users { room: None },
        Ask::Rooms,
        Ask::Enter { room: "den".into() },
        Ask::Rename { name: "anna".into() },
        Ask::History { room: None, before: None, limit: 1 },
        Ask::Own { command: "x".into() },
    ];
    for ask in asks {
        assert_eq!(ann.client.ask(ask).await, Err(Refused::Unsupported));
    }
    assert_eq!(ann.client.say(Some("bob"), "psst").await, Err(Refused::Unsupported));
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_anything_is_tried() {
    let refused = |options: Options| options.connect().map(drop).unwrap_err();
    for host in ["", "a b", "[::1]", "host:80"] {
        assert_eq!(refused(Options::new(host, 1, "ann")), OptionsError::BadHost(host.into()));
    }
    for path in ["", "chat", "/a b"] {
        assert_eq!(refused(options(1, "ann").path(path)), OptionsError::BadPath(path.into()));
    }
    for name in ["", "al", "1ann", "a.n.n", "server", ":quit:", "an\nn"] {
        assert_eq!(refused(options(1, name)), OptionsError::BadNickname(name.into()));
    }
    for to in ["", ":quit:", "a: b", "bo\nb"] {
        assert_eq!(refused(options(1, "ann").to(to)), OptionsError::BadPeer(to.into()));
    }
}

#[tokio::test]
async fn cuts_are_told_and_what_is_typed_meanwhile_arrives_in_order() {
    let server = Server::start().await;
    let gate = Gate::before(server.port).await;
    let mut ann = user(gate.port, "ann", "global");
    let mut bob = server.paired("bob", "global").await;
    let id = ann.say("0").await;
    ann.until_state(&id, &State::Accepted).await;
    bob.hears(&["[ann] 0"]).await;
    for round in 1..4 {
        gate.shut();
        lost(&mut ann).await;
        bob.hears(&["[server] User ann left"]).await;
        ann.say(&format!("{round} 0")).await;
        ann.say(&format!("{round} 1")).await;
        let last = ann.say(&format!("{round} 2")).await;
        gate.open();
        assert_eq!(ann.connected().await, (Some("ann".into()), None));
        selected(&mut ann, "global").await;
        bob.hears(&[&format!("[ann] {round} 0"), &format!("[ann] {round} 1"), &format!("[ann] {round} 2")]).await;
        ann.until_state(&last, &State::Accepted).await;
    }
    gate.shut();
    lost(&mut ann).await;
    ann.say("nobody hears that").await;
    // It waits a while for the line, and says what it leaves.
    assert_eq!(ann.leave().await, Ended::Left { unsettled: 1 });
}

#[tokio::test]
async fn a_server_that_went_silent_is_left_and_one_that_nobody_serves_is_tried_again() {
    let server = Server::start().await;
    let gate = Gate::before(server.port).await;
    let quiet = options(gate.port, "ann").to("global").quiet(Duration::from_millis(500));
    let mut ann = Listener::of(quiet.connect().unwrap());
    selected(&mut ann, "global").await;
    let mut bob = server.paired("bob", "global").await;
    let id = ann.say("hello").await;
    ann.until_state(&id, &State::Accepted).await;
    bob.hears(&["[ann] hello"]).await;
    gate.swallow();
    let id = ann.say("into the void?").await;
    assert!(lost(&mut ann).await.contains("nothing was heard"));
    gate.cut();
    // The word of it was lost, not the text, which nobody can tell: it is said again.
    bob.hears(&["[ann] into the void?", "[server] User ann left", "[ann] into the void?"]).await;
    ann.until_state(&id, &State::Accepted).await;

    let mut nowhere = user(free_port(), "ann", "bob");
    for _ in 0..2 {
        lost(&mut nowhere).await;
    }
    let mut once = Listener::of(options(free_port(), "ann").once().connect().unwrap());
    assert!(matches!(once.ended().await, Ended::Lost(_)));
}

#[tokio::test]
async fn a_server_that_stops_and_comes_back_finds_both_again() {
    let server = Server::start().await;
    let gate = Gate::before(server.port).await;
    let (mut ann, mut bob) = pair(gate.port).await;
    let id = ann.say("before").await;
    ann.until_state(&id, &DELIVERED).await;
    server.stop().await;
    lost(&mut ann).await;
    lost(&mut bob).await;
    let (mine, yours) = (ann.say("meanwhile, ann").await, bob.say("meanwhile, bob").await);
    let server = Server::start().await;
    gate.lead_to(server.port);
    for (listener, whom) in [(&mut ann, "bob"), (&mut bob, "ann")] {
        listener.connected().await;
        selected(listener, whom).await;
    }
    assert_eq!(&*bob.message().await.text, "meanwhile, ann");
    assert_eq!(&*ann.message().await.text, "meanwhile, bob");
    ann.until_state(&mine, &DELIVERED).await;
    bob.until_state(&yours, &DELIVERED).await;
}
