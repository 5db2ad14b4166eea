//! Whoever tries to sign in too often, over the wire.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use common::rooms::{Server, body, form, status, token_in};
use talk::limits::Limits;

async fn secret(server: &Server, name: &str, secret: &str) -> String {
    let fields = format!("nickname={name}&secret={secret}");
    server.post("/auth", &body("application/x-www-form-urlencoded", &fields)).await
}

#[tokio::test]
async fn wrong_secrets_end_in_a_429_and_the_owner_comes_in() {
    let server = Server::start().await;
    let token = token_in(&secret(&server, "ann", "correct-horse").await);
    let mut session = server.open(&format!("sec-websocket-protocol: {token}\r\n")).await;
    let mut wrong = 0;
    // One more is let through each 10 s, should the machine be that slow.
    let refused = loop {
        let answer = secret(&server, "ann", &format!("wrong-horse-{wrong}")).await;
        if status(&answer) == 429 {
            let right = secret(&server, "ann", "correct-horse").await;
            if status(&right) == 429 {
                break answer;
            }
        } else {
            assert_eq!(status(&answer), 403, "{answer}");
            wrong += 1;
        }
        assert!(wrong < 100);
    };
    assert!(wrong >= 10, "{wrong}");
    let head = refused.split("\r\n\r\n").next().unwrap();
    assert!(head.contains("retry-after: 10\r\n") && head.contains("application/problem+json"), "{refused}");
    assert!(refused.contains("too many wrong secrets for this nickname"), "{refused}");
    // The others come and go meanwhile, and she who is there stays.
    assert_eq!(status(&secret(&server, "bob", "correct-horse").await), 201);
    assert_eq!(server.try_name("cid").await, 201);
    session.say("still here").await;
    session.until(&common::rooms::said("ann", "still here")).await;
    assert!(server.hub.knows(&talk::secret::Secret::new(&token).unwrap()).await);
}

#[tokio::test]
async fn right_secrets_are_never_too_many() {
    let server = Server::start().await;
    for _ in 0..15 {
        assert_eq!(status(&secret(&server, "ann", "correct-horse").await), 201);
    }
}

#[tokio::test]
async fn one_address_does_not_take_every_users_place() {
    let mut limits = Limits::default();
    (limits.users, limits.loopback_exempt) = (8, false);
    let server = Server::with(&limits).await;
    let mut allowed = 0;
    let answer = loop {
        let answer = server.post("/auth", &form(&format!("guest{allowed}"))).await;
        if status(&answer) != 201 {
            break answer;
        }
        allowed += 1;
        assert!(allowed < 8);
    };
    assert_eq!(status(&answer), 429, "{answer}");
    assert!(answer.contains("retry-after: 1\r\n") && answer.contains("application/problem+json"), "{answer}");
    // Whoever comes from elsewhere, or is a program, finds a place.
    server.hub.sit("elsewhere").await.unwrap();
}

#[tokio::test]
async fn whether_there_is_an_account_is_asked_no_oftener_than_guests_may_come() {
    let mut limits = Limits::default();
    (limits.users, limits.loopback_exempt) = (8, false);
    let server = Server::with(&limits).await;
    let mut asked = 0;
    let answer = loop {
        let fields = format!("nickname=ann{asked}&secret=correct-horse&account=known");
        let answer = server.post("/auth", &body("application/x-www-form-urlencoded", &fields)).await;
        if status(&answer) != 404 {
            break answer;
        }
        asked += 1;
        assert!(asked < 8);
    };
    assert_eq!(status(&answer), 429, "{answer}");
    assert!(asked > 0 && answer.contains("too many sign-ins"), "{answer}");
    // None of them was made.
    server.hub.sit("ann0").await.unwrap();
}

#[tokio::test]
async fn what_was_tried_at_one_port_counts_at_all() {
    let server = Server::start().await;
    assert_eq!(status(&secret(&server, "ann", "correct-horse").await), 201);
    let console = common::console::Server::over(server.hub.clone()).await;
    let minechat = common::minechat::Wire::with(server.hub.clone(), None).await;
    let right = r#"{"username":"ann","secret":"correct-horse"}"#;
    let mut welcome = console.connect().await;
    welcome.write(right).await;
    welcome.command("cmd!participants_count").await;
    assert!(welcome.next().await.is_some());
    // Wrong ones at the console, until one more is not even looked at there or anywhere.
    let mut wrong = 0;
    while status(&secret(&server, "ann", "correct-horse").await) != 429 {
        let mut client = console.connect().await;
        client.write(format!(r#"{{"username":"ann","secret":"wrong-horse-{wrong}"}}"#)).await;
        assert!(client.ends().await);
        wrong += 1;
        assert!(wrong < 100);
    }
    assert!(wrong >= 10, "{wrong}");
    let mut client = console.connect().await;
    client.write(right).await;
    assert!(client.ends().await);
    let mut client = minechat.writer().await;
    client.write("ann:correct-horse\n").await;
    assert_eq!(client.line().await, common::minechat::HELLO);
    assert_eq!(client.line().await, "null\n");
}

#[tokio::test]
async fn new_accounts_of_minechat_count_as_sign_ins() {
    let mut limits = Limits::default();
    (limits.users, limits.loopback_exempt) = (8, false);
    let minechat = common::minechat::Wire::with(talk::hub::Hub::with_limits(&limits), None).await;
    let mut made = 0;
    loop {
        let mut client = minechat.writer().await;
        client.write(&format!("\nuser{made}\n")).await;
        assert_eq!(client.line().await, common::minechat::HELLO);
        assert_eq!(client.line().await, common::minechat::NICKNAME);
        if client.line().await.is_empty() {
            break;
        }
        made += 1;
        assert!(made < 7, "one place is the probe's");
    }
    assert!(made >= 5, "{made}");
}
