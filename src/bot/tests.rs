use std::future::pending;

use async_trait::async_trait;

use super::*;
use crate::hub::{Heard, Hub, Rate, Seat};
use crate::limits::Limits;
use crate::message::{Command, Event};
use crate::name::{Nickname, RoomName};

fn ask<'a>(room: &'a RoomName, way: Way, argument: &'a str) -> Ask<'a> {
    Ask { from: "ann", room, argument, way, participants: 3 }
}

async fn answered(way: Way, word: &str, argument: &str) -> Option<String> {
    Bots::standard().ask(word, &ask(&RoomName::global(), way, argument)).await
}

/// Repeats what it is told, in its own time.
#[derive(Debug)]
struct Echo;

#[async_trait]
impl Bot for Echo {
    fn word(&self) -> &str {
        "echo"
    }

    async fn answer(&self, ask: &Ask<'_>) -> Option<String> {
        match ask.argument {
            "nothing" => None,
            "never" => pending().await,
            "much" => Some("ж".repeat(LONGEST_ANSWER)),
            text => Some(format!("{text}\u{1b}[2J")),
        }
    }
}

#[tokio::test]
async fn the_standard_bots_answer_by_both_words() {
    assert_eq!(answered(Way::Room, "count", "").await.unwrap(), "Participants count: 3");
    assert_eq!(answered(Way::Console, "participants_count", "").await.unwrap(), "Participants count: 3");
    for (way, word) in [(Way::Room, "time"), (Way::Console, "current_time")] {
        let told = answered(way, word, "").await.unwrap();
        let shape: String = told.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "Current time: 99:99:99");
    }
    for (way, word) in [(Way::Room, "rps"), (Way::Console, "start_game")] {
        for own in ["rock", "paper", "scissors"] {
            let told = answered(way, word, own).await.unwrap();
            let result = ["You win!", "You lose!", "Tie!"].into_iter().find(|result| told.starts_with(result));
            let server = ["rock", "paper", "scissors"].into_iter().find(|option| {
                told == format!("{} Server option: {option}, your option {own}", result.unwrap_or_default())
            });
            assert!(server.is_some(), "{told}");
        }
    }
}

#[tokio::test]
async fn a_bad_option_is_told_how_to_ask() {
    let form = |how| {
        format!(
            "Incorrect command format. Please enter again: '{how}' where option is one of the proposed: rock, scissors, paper"
        )
    };
    for bad in ["", "Rock", "lizard", "rock paper", "rock:"] {
        assert_eq!(answered(Way::Console, "start_game", bad).await.unwrap(), form("cmd!start_game:option"), "{bad}");
        assert_eq!(answered(Way::Room, "rps", bad).await.unwrap(), form("!rps option"), "{bad}");
    }
}

#[tokio::test]
async fn what_is_no_question_has_no_answer() {
    for (way, word, argument) in [
        (Way::Room, "nope", ""),
        (Way::Room, "participants_count", ""),
        (Way::Room, "time", "flies"),
        (Way::Room, "count", "me in"),
        (Way::Console, "count", ""),
        (Way::Console, "current_time", "now"),
        (Way::Console, "participants_count", "3"),
        (Way::Console, "Current_time", ""),
    ] {
        assert_eq!(answered(way, word, argument).await, None, "{way:?} {word} {argument}");
    }
    assert!(!Bots::none().knows(Way::Room, "time") && Bots::standard().knows(Way::Room, "time"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_clean_short_and_in_time() {
    let bots = Bots::standard().with(Echo);
    let room = RoomName::global();
    let (bots, room) = (&bots, &room);
    let told = |argument| async move { bots.ask("echo", &ask(room, Way::Room, argument)).await };
    assert_eq!(told("hi").await.unwrap(), "hi[2J");
    assert_eq!(told("nothing").await, None);
    assert_eq!(told("never").await, None);
    assert_eq!(told("much").await.unwrap(), "ж".repeat(LONGEST_ANSWER / 2));
}

#[tokio::test]
async fn the_last_one_of_a_word_answers() {
    #[derive(Debug)]
    struct Own;
    #[async_trait]
    impl Bot for Own {
        fn word(&self) -> &str {
            "time"
        }
        async fn answer(&self, _: &Ask<'_>) -> Option<String> {
            Some("late".into())
        }
    }
    let (bots, room) = (Bots::standard().with(Own), RoomName::global());
    assert_eq!(bots.ask("time", &ask(&room, Way::Room, "")).await.unwrap(), "late");
    // Its own word is its command, too; the other keeps its.
    assert_eq!(bots.ask("time", &ask(&room, Way::Console, "")).await.unwrap(), "late");
    assert!(bots.ask("current_time", &ask(&room, Way::Console, "")).await.unwrap().starts_with("Current"));
}

/// A hub with bots, and two users in `global`.
async fn hub(bots: Bots) -> (Hub, [(Seat, Heard); 2]) {
    let (ears, mut answers) = bots.listen();
    let mut limits = Limits::default();
    limits.commands_per_second = 0;
    answers.pace = Rate::new(&limits);
    let hub = Hub::builder().limits(limits).watch(ears).build().await.unwrap();
    tokio::spawn(answers.run(&hub));
    let mut users = Vec::new();
    for name in ["ann", "bob"] {
        let (mut seat, heard) = hub.sit(name).await.unwrap();
        seat.run(Command::Enter(RoomName::global())).await.unwrap();
        users.push((seat, heard));
    }
    (hub, users.try_into().unwrap())
}

async fn say(seat: &mut Seat, text: &str) {
    seat.run(Command::Say { room: None, body: text.into(), id: None }).await.unwrap();
}

/// The next message, and who said it.
async fn next(heard: &mut Heard) -> (String, String) {
    loop {
        if let Event::Message(post) = heard.next().await.unwrap() {
            return (post.record.from.to_string(), post.record.body.to_string());
        }
    }
}

fn said(from: &str, text: &str) -> (String, String) {
    (from.to_owned(), text.to_owned())
}

#[tokio::test]
async fn what_is_asked_in_a_room_is_answered_there_behind_the_question() {
    let (_hub, [(mut ann, mut to_ann), (_bob, mut to_bob)]) = hub(Bots::standard()).await;
    say(&mut ann, "!count").await;
    for heard in [&mut to_ann, &mut to_bob] {
        assert_eq!(next(heard).await, said("ann", "!count"));
        assert_eq!(next(heard).await, said("talk", "Participants count: 2"));
    }
    say(&mut ann, "!rps  rock").await;
    assert_eq!(next(&mut to_bob).await, said("ann", "!rps  rock"));
    let (from, told) = next(&mut to_bob).await;
    assert!(from == "talk" && told.ends_with("your option rock"), "{told}");
}

#[tokio::test]
async fn a_bot_answers_no_bot_and_nobody_who_speaks_to_one_user_alone() {
    let (hub, [(mut ann, _), (_bob, mut to_bob)]) = hub(Bots::standard().with(Echo)).await;
    let room = RoomName::global();
    hub.post_as_server(&room, "!count".into()).await.unwrap();
    // Its answer looks like a question.
    say(&mut ann, "!echo !echo !count").await;
    ann.run(Command::Direct { to: "bob".into(), body: "!count".into(), id: None }).await.unwrap();
    say(&mut ann, "! count").await;
    say(&mut ann, "!nope").await;
    say(&mut ann, "!echo end").await;
    let mut heard = Vec::new();
    while heard.last() != Some(&said("talk", "end[2J")) {
        heard.push(next(&mut to_bob).await);
    }
    let by_server: Vec<_> = heard.iter().filter(|(from, _)| from == "talk").map(|(_, text)| text.as_str()).collect();
    assert_eq!(by_server, ["!count", "!echo !count[2J", "end[2J"]);
    assert!(heard.contains(&said("ann", "!nope")) && Nickname::new("talk").is_err());
}

#[tokio::test]
async fn more_than_can_be_answered_is_passed_over_and_holds_nobody_up() {
    let (_hub, [(mut ann, mut to_ann), (_bob, mut to_bob)]) = hub(Bots::none().with(Echo)).await;
    tokio::time::pause();
    // While this one is waited for, the others queue.
    say(&mut ann, "!echo never").await;
    for n in 0..2 * QUESTIONS {
        say(&mut ann, &format!("!echo {n}")).await;
        while next(&mut to_ann).await.0 != "ann" {}
    }
    let mut answers = 0;
    while answers < QUESTIONS {
        let (from, text) = next(&mut to_bob).await;
        if from == "talk" {
            assert_eq!(text, format!("{answers}[2J"));
            answers += 1;
        }
    }
    say(&mut ann, "!echo after").await;
    while next(&mut to_bob).await != said("ann", "!echo after") {}
    assert_eq!(next(&mut to_bob).await, said("talk", "after[2J"));
}

#[tokio::test]
async fn what_answers_ends_with_the_hub() {
    let (ears, answers) = Bots::standard().listen();
    let hub = Hub::builder().watch(ears).build().await.unwrap();
    let task = tokio::spawn(answers.run(&hub));
    drop(hub);
    task.await.unwrap();
}
