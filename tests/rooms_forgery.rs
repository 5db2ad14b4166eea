//! Who speaks is who the server says it is: nobody gets another's nickname, a reserved one, or another's `from`.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use common::rooms::{Client, Server, body, form, said, status, token_in};
use serde_json::{Value, json};
use talk::limits::Limits;
use tokio::task::JoinSet;

/// Those whose names somebody may want, and one who hears what mallory says.
struct Stage {
    server: Server,
    bob: Client,
    /// Somebody connected, and somebody who was called `ella` before.
    here: [Client; 2],
    said: usize,
}

impl Stage {
    /// `ann` is here, `carol` is an account, `dave` a guest who may come back, `erin` was called `ella`.
    async fn set() -> Self {
        let mut limits = Limits::default();
        limits.commands_per_second = 0;
        let server = Server::with(&limits).await;
        let mut bob = server.join("bob").await;
        let ann = server.join("ann").await;
        let account = server.post("/auth", &sign_in("carol", SECRET)).await;
        assert_eq!(status(&account), 201, "{account}");
        let mut dave = server.rich("dave").await;
        dave.command("enter", json!({ "room": "global" })).await;
        bob.until(&said("system", "dave joined")).await;
        drop(dave);
        bob.until(&said("system", "dave left")).await;
        let mut erin = server.join("ella").await;
        erin.command("setnick", json!({ "nickname": "erin" })).await;
        bob.until(&said("system", "ella is now erin")).await;
        Self { server, bob, here: [ann, erin], said: 0 }
    }

    /// A plain session and one in rich mode, both in `global`.
    async fn intruders(&mut self) -> [(Client, &'static str); 2] {
        let plain = self.server.join("mallory").await;
        let mut rich = self.server.rich("trudy").await;
        rich.command("enter", json!({ "room": "global" })).await;
        self.bob.until(&said("system", "trudy joined")).await;
        [(plain, "mallory"), (rich, "trudy")]
    }

    /// Lets somebody speak, and whoever hears it knows that it was them and that nothing came before.
    async fn speaks(&mut self, client: &mut Client, name: &str, what: &str) {
        self.said += 1;
        let text = format!("word {}", self.said);
        client.command("message", json!({ "room": "global", "body": text })).await;
        assert_eq!(self.bob.hear().await, said(name, &text), "{what}");
    }

    async fn names(&mut self) -> String {
        self.bob.command("listusers", json!({})).await;
        self.bob.system().await
    }
}

/// Names that are somebody's, or nobody's to have.
const TAKEN: [&str; 14] = [
    "ann",
    "carol",
    "dave",
    "erin",
    "system",
    "SYSTEM",
    "sYstEm",
    "server",
    "Server",
    "talk",
    "TALK",
    "healthCheck",
    "healthcheck",
    "HEALTHCHECK",
];

/// Names that look like somebody's.
const ALIKE: [&str; 31] = [
    "ann ",
    " ann",
    "ann\u{a0}",
    "ann\0",
    "\0ann",
    "ann\n",
    "ann\r\n",
    "ann\t",
    "ann\u{1b}[8m",
    "ann\u{7f}",
    "ann\u{85}",
    "ann\u{2028}",
    "ann\u{200b}",
    "a\u{200d}nn",
    "\u{feff}ann",
    "ann\u{ad}",
    "ann\u{2060}",
    "\u{202e}nna",
    "ann\u{202c}",
    "\u{2066}ann\u{2069}",
    "\u{430}nn",
    "\u{ff41}\u{ff4e}\u{ff4e}",
    "e\u{301}rin",
    "\u{e9}rin",
    "ann\u{fe0f}",
    "ann#2",
    "ann: x",
    "ann.",
    "ann@home",
    "syst\u{435}m",
    "system\u{200b}",
];

#[tokio::test]
async fn no_sign_in_gives_a_name_that_is_not_to_be_had() {
    let mut stage = Stage::set().await;
    let json_body = |text: &str| body("application/json", text);
    let form_body = |text: &str| body("application/x-www-form-urlencoded", text);
    let none = "content-length: 0\r\n\r\n".to_owned();
    let query = |text: &str| format!("/auth?{text}");
    let auth = || "/auth".to_owned();
    let mut ways: Vec<(String, String, u16)> = Vec::new();
    for name in TAKEN.into_iter().chain(ALIKE) {
        ways.push((query(&format!("nickname={}", percent(name))), none.clone(), 403));
        ways.push((auth(), form_body(&format!("nickname={}", percent(name))), 403));
        ways.push((auth(), json_body(&json!({ "nickname": name }).to_string()), 403));
        ways.push((auth(), json_body(&json!({ "nickname": name, "secret": "guessed-it" }).to_string()), 403));
        ways.push((auth(), sign_in(&percent(name), "guessed-it"), 403));
    }
    for (text, expected) in [
        // The plain letters, one of them written otherwise.
        ("nickname=%61nn", 403),
        ("nickname=a%6E%6e", 403),
        ("%6eickname=ann", 403),
        ("nickname=s%79stem", 403),
        ("nickname=ann+", 403),
        // Not UTF-8, or no percent-encoding.
        ("nickname=%c1%a1nn", 400),
        ("nickname=%u0061nn", 400),
        ("nickname=ann%0", 400),
        ("nickname=ann%ff", 400),
        // Fields twice, or by other names.
        ("nickname=mallory&nickname=ann", 400),
        ("nickname=ann&nickname=mallory", 400),
        ("nickname=ann&nickname=ann", 403),
        ("nickname=mallory&nickname=", 400),
        ("nickname[]=ann", 403),
        ("nickname%5B0%5D=ann", 403),
        ("Nickname=ann", 403),
        ("NICKNAME=ann", 403),
        ("nickname =ann", 403),
        ("nickname;x=ann", 403),
        ("nickname", 403),
        ("from=ann", 403),
    ] {
        if !text.contains(' ') {
            ways.push((query(text), none.clone(), expected));
        }
        ways.push((auth(), form_body(text), expected));
    }
    for (text, expected) in [
        (r#"{"nickname":"\u0061nn"}"#, 403),
        (r#"{"nick\u006eame":"ann"}"#, 403),
        (r#"{"nickname":"\ud83d"}"#, 400),
        (r#"{"nickname":"mallory","nickname":"ann"}"#, 400),
        (r#"{"nickname":"ann","nickname":"mallory"}"#, 400),
        (r#"{"nickname":"mallory","nick\u006eame":"ann"}"#, 400),
        (r#"{"nickname":["ann"]}"#, 400),
        (r#"{"nickname":{"nickname":"ann"}}"#, 400),
        (r#"{"nickname":1}"#, 400),
        (r#"{"nickname":true}"#, 400),
        (r#"{"nickname":null}"#, 400),
        (r#"{"nickname[]":"ann"}"#, 403),
        (r#"["ann"]"#, 400),
        (r#""ann""#, 400),
        (r#"{"nickname":"mallory"}{"nickname":"ann"}"#, 400),
        (r#"{"args":{"nickname":"ann"}}"#, 403),
        (r#"{"nickname":"carol","secret":"correct horsf"}"#, 403),
        (r#"{"nickname":"carol","secret":"correct horse "}"#, 403),
        (r#"{"nickname":"carol","secret":"CORRECT HORSE"}"#, 403),
        (r#"{"nickname":"carol","secret":""}"#, 400),
        (r#"{"nickname":"carol","secret":null}"#, 400),
        (r#"{"nickname":"carol","secret":["correct horse"]}"#, 400),
        (r#"{"nickname":"carol","secret":"wrong one","secret":"correct horse"}"#, 400),
    ] {
        ways.push((auth(), json_body(text), expected));
    }
    // Said twice in two places; a secret in the URL; bodies that are not what they say.
    ways.push((query("nickname=mallory"), form_body("nickname=ann"), 400));
    ways.push((query("nickname=mallory"), json_body(r#"{"nickname":"ann"}"#), 400));
    ways.push((query("nickname=ann"), json_body(r#"{"nickname":"mallory"}"#), 400));
    ways.push((query("nickname=ann"), json_body("{}"), 403));
    ways.push((query("nickname=carol&secret=correct+horse"), none.clone(), 400));
    ways.push((query("nickname=carol&s%65cret=correct+horse"), none.clone(), 400));
    ways.push((auth(), form_body("nickname=carol&secret=correct+horse&secret=guessed-it"), 400));
    ways.push((auth(), json_body("nickname=ann"), 400));
    ways.push((auth(), form_body(r#"{"nickname":"ann"}"#), 403));
    ways.push((auth(), body("multipart/form-data; boundary=x", "--x"), 415));
    assert!(ways.len() > 200, "{}", ways.len());
    for (target, rest, expected) in &ways {
        let answer = stage.server.post(target, rest).await;
        assert_eq!(status(&answer), *expected, "{target} {rest}: {answer}");
        assert!(!answer.contains("token\":"), "{target} {rest}: {answer}");
    }
    assert_eq!(stage.names().await, "ann\nbob\nerin");
    // Only now the name of one who is called otherwise: it is free, as is the account for who knows its secret.
    assert_eq!(stage.server.try_name("ella").await, 201);
    assert_eq!(status(&stage.server.post("/auth", &sign_in("carol", SECRET)).await), 201);
    drop(stage.here);
}

#[tokio::test]
async fn no_setnick_gives_a_name_that_is_not_to_be_had() {
    let mut stage = Stage::set().await;
    let mut ways: Vec<(String, &str, String)> = Vec::new();
    let setnick = |name: &str| json!({ "type": "setnick", "args": { "nickname": name } }).to_string();
    for name in TAKEN {
        ways.push((setnick(name), "taken", format!("nickname {name} already taken")));
    }
    for name in ALIKE {
        ways.push((setnick(name), "bad_nickname", format!("'{name}' is not a valid nickname")));
    }
    ways.push((
        r#"{"type":"setnick","args":{"nickname":"\u0061nn"}}"#.into(),
        "taken",
        "nickname ann already taken".into(),
    ));
    for value in ["[\"ann\"]", "{\"nickname\":\"ann\"}", "1", "true", "null"] {
        let frame = format!("{{\"type\":\"setnick\",\"args\":{{\"nickname\":{value}}}}}");
        ways.push((frame, "argument", "cannot parse 'nickname' arg of setnickname command".into()));
    }
    for args in [r#"{"nickname[]":"ann"}"#, r#"{"Nickname":"ann"}"#, r#"{"user":"ann"}"#, r#"{"from":"ann"}"#] {
        let frame = format!("{{\"type\":\"setnick\",\"args\":{args}}}");
        ways.push((frame, "argument", "cannot parse 'nickname' arg of setnickname command".into()));
    }
    for frame in [
        r#"{"type":"setnick","args":{"nickname":"ann","nickname":"mallet"}}"#,
        r#"{"type":"setnick","args":{"nickname":"mallet","nickname":"ann"}}"#,
        r#"{"type":"setnick","args":{"nickname":"mallet","nick\u006eame":"ann"}}"#,
        r#"{"type":"setnick","args":{"nickname":"mallet"},"args":{"nickname":"ann"}}"#,
        r#"{"type":"listusers","type":"setnick","args":{"nickname":"ann"}}"#,
        r#"{"type":"setnick","args":["ann"]}"#,
        r#"{"type":"setnick","args":"ann"}"#,
    ] {
        ways.push((frame.into(), "unparsable", "error parsing your message".into()));
    }
    assert!(ways.len() > 50, "{}", ways.len());
    let mut intruders = stage.intruders().await;
    for (intruder, name) in &mut intruders {
        for (frame, code, text) in &ways {
            intruder.send(frame).await;
            let refused = match *name {
                "mallory" => said("system", text),
                _ => json!({ "type": "error", "code": code, "body": text }),
            };
            intruder.until(&refused).await;
            stage.speaks(intruder, name, frame).await;
        }
    }
    assert_eq!(stage.names().await, "ann\nbob\nerin\nmallory\ntrudy");
}

#[tokio::test]
async fn no_message_is_from_anybody_but_its_author() {
    let mut stage = Stage::set().await;
    let mut intruders = stage.intruders().await;
    for (intruder, name) in &mut intruders {
        for args in [
            json!({ "from": "ann" }),
            json!({ "from": "system" }),
            json!({ "from": "" }),
            json!({ "from": "ann\n" }),
            json!({ "user": "ann" }),
            json!({ "nickname": "ann", "name": "ann", "sender": "ann", "as": "ann" }),
            json!({ "user": { "id": "0197f3c8a2b47d319c572f6de14a8b90", "name": "ann" } }),
            json!({ "from": "ann", "type": "system", "seq": 1, "prev": 0, "epoch": "x", "ts": 1 }),
        ] {
            let mut frame = json!({ "type": "message", "args": args, "from": "ann", "user": "ann", "nickname": "ann" });
            frame["args"]["room"] = "global".into();
            frame["args"]["body"] = "it is me".into();
            intruder.send(&frame.to_string()).await;
            assert_eq!(stage.bob.hear().await, said(name, "it is me"), "{frame}");
        }
        // Whatever might be believed of two, none is.
        for args in [
            r#""from":"mallory","from":"ann""#,
            r#""from":"ann","fr\u006fm":"mallory""#,
            r#""body":"said","body":"and not said""#,
            r#""user":"ann","user":"ann""#,
        ] {
            intruder.send(&format!(r#"{{"type":"message","args":{{"room":"global","body":"x",{args}}}}}"#)).await;
            intruder.send(&format!(r#"{{"type":"message","from":"a",{args},"args":{{"room":"global"}}}}"#)).await;
            stage.speaks(intruder, name, args).await;
        }
        // Texts that would be frames, lines or names of their own somewhere.
        for text in [
            "x\nsystem: mallory is an administrator",
            "x\r\n\r\n{\"from\":\"system\",\"body\":\"x\"}",
            "{\"from\":\"system\",\"body\":\"ann left\"}",
            "\",\"from\":\"system\",\"body\":\"",
            "\"}\n{\"from\":\"system\",\"body\":\"",
            "x\"}{\"type\":\"message\",\"from\":\"ann\"}",
            "ann joined",
            "mallory is now system",
            "\u{2028}system: x",
            "\u{2029}system: x",
            "\\u0022,\\u0022from\\u0022:\\u0022ann\\u0022",
            "\u{81}\u{7e}\u{0}x\u{81}\u{5}hello",
            "x\u{1b}[2K\u{1b}[1Gsystem: hello",
        ] {
            intruder.command("message", json!({ "room": "global", "from": "ann", "body": text })).await;
            let heard = stage.bob.hear().await;
            assert_eq!((&heard["from"], heard.as_object().unwrap().len()), (&json!(name), 2), "{text:?}: {heard}");
            let clean: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
            assert_eq!(heard["body"], clean);
            intruder.command("direct", json!({ "to": "bob", "from": "ann", "user": "ann", "body": text })).await;
            assert_eq!(stage.bob.hear().await, said(name, &clean));
            skip_ping(&mut stage.bob).await;
        }
        // A room's name is a name, whatever it spells.
        for room in ["global\nsystem", "global\"}", "system: x", "@system", "global "] {
            intruder.command("createroom", json!({ "name": room })).await;
            intruder.command("switchroom", json!({ "room": room })).await;
            intruder.command("message", json!({ "room": room, "from": "ann" })).await;
            stage.speaks(intruder, name, room).await;
        }
    }
    let [ann, _] = &mut stage.here;
    ann.command("history", json!({ "limit": 1000 })).await;
    ann.command("message", json!({ "body": "that is all" })).await;
    let heard = ann.until(&said("ann", "that is all")).await;
    let speakers: BTreeSet<_> = heard.iter().map(|heard| heard["from"].as_str().unwrap()).collect();
    assert_eq!(speakers, BTreeSet::from(["mallory", "system", "trudy"]));
}

#[tokio::test]
async fn nobody_speaks_into_or_reads_the_direct_messages_of_another() {
    let mut stage = Stage::set().await;
    let mut ann = stage.server.rich("anna").await;
    let [_, (mut trudy, _)] = stage.intruders().await;
    ann.command("direct", json!({ "to": "anna", "body": "a note to myself", "id": "1" })).await;
    let accepted = ann.of_type("accepted").await;
    let (room, epoch) = (accepted["room"].clone(), accepted["epoch"].clone());
    trudy.command("listrooms", json!({})).await;
    trudy.of_type("system").await;
    for (kind, args, code) in [
        ("enter", json!({ "room": room }), "no_room"),
        ("message", json!({ "room": room, "body": "x", "id": "2" }), "no_room"),
        ("typing", json!({ "room": room }), "no_room"),
        ("leave", json!({ "room": room }), "no_room"),
        ("listusers", json!({ "room": room }), "no_room"),
        ("close", json!({ "room": room }), "no_room"),
        ("history", json!({ "room": room }), "not_in_room"),
        ("search", json!({ "room": room, "text": "note" }), "not_in_room"),
        ("received", json!({ "room": room, "seq": 1 }), "not_in_room"),
        ("resume", json!({ "room": room, "epoch": epoch, "seq": 0 }), "not_in_room"),
        ("direct", json!({ "to": room, "body": "x", "id": "3" }), "no_user"),
    ] {
        trudy.command(kind, args.clone()).await;
        let heard = trudy.hear().await;
        assert_eq!((&heard["type"], &heard["code"]), (&json!("error"), &json!(code)), "{kind} {args}: {heard}");
    }
    // What ann is told next is what she asks for.
    ann.command("history", json!({ "room": room })).await;
    let note = ann.of_type("message").await;
    assert_eq!((&note["from"], &note["body"]), (&json!("anna"), &json!("a note to myself")));
}

#[tokio::test]
async fn nobody_is_another_by_a_token_that_is_not_theirs() {
    let mut stage = Stage::set().await;
    let [ann, _] = &stage.here;
    let token = ann.token.clone();
    let mine = stage.server.token("mallory").await;
    let upper = token.to_uppercase();
    let swapped = if upper == token { token.to_lowercase() } else { upper };
    for wrong in [
        swapped,
        token[..token.len() - 1].to_owned(),
        format!("{token}0"),
        token.chars().rev().collect(),
        "0".repeat(token.len()),
        "ann".to_owned(),
        "*".to_owned(),
        "null".to_owned(),
    ] {
        assert_eq!(stage.server.refused(&format!("sec-websocket-protocol: {wrong}\r\n")).await, 401, "{wrong}");
        assert_eq!(stage.server.refused(&format!("authorization: Bearer {wrong}\r\n")).await, 401, "{wrong}");
        let delete = format!(
            "DELETE /auth HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {wrong}\r\n\r\n"
        );
        assert_eq!(status(&stage.server.exchange(&delete).await), 401, "{wrong}");
    }
    for headers in [
        format!("cookie: token={token}\r\n"),
        format!("authorization: Basic {token}\r\n"),
        format!("authorization: {token}\r\n"),
        format!("x-token: {token}\r\nx-user: ann\r\nx-forwarded-user: ann\r\n"),
        format!("authorization: Bearer {token}\r\nauthorization: Bearer {mine}\r\n"),
    ] {
        assert_eq!(stage.server.refused(&headers).await, 401, "{headers}");
    }
    // A name beside the token counts for nothing, and two tokens are one session: that of the subprotocol.
    for headers in [
        format!("sec-websocket-protocol: {mine}\r\nx-user: ann\r\n"),
        format!("sec-websocket-protocol: {mine}, ann\r\n"),
        format!("sec-websocket-protocol: ann, {mine}\r\n"),
        format!("sec-websocket-protocol: {mine}\r\nauthorization: Bearer {token}\r\n"),
        format!("sec-websocket-protocol: {mine}, {token}\r\n"),
    ] {
        let mut mallory = stage.server.open(&headers).await;
        assert_eq!(mallory.system().await, "mallory joined", "{headers}");
        stage.bob.until(&said("system", "mallory joined")).await;
        stage.speaks(&mut mallory, "mallory", &headers).await;
        assert_eq!(mallory.hear().await["from"], "mallory");
        // A session more of one user is not a user more, and the first keeps the token.
        let mut second = stage.server.open(&format!("authorization: Bearer {mine}\r\n")).await;
        assert_eq!(second.system().await, "mallory joined");
        second.command("setnick", json!({ "nickname": "ann" })).await;
        assert_eq!(second.system().await, "nickname ann already taken");
        second.command("setnick", json!({ "nickname": "mallet" })).await;
        stage.bob.until(&said("system", "mallory is now mallet")).await;
        stage.speaks(&mut mallory, "mallet", "the first session").await;
        stage.speaks(&mut second, "mallet", "the second session").await;
        second.command("setnick", json!({ "nickname": "mallory" })).await;
        stage.bob.until(&said("system", "mallet is now mallory")).await;
        assert_eq!(stage.names().await, "ann\nbob\nerin\nmallory");
        // In rich mode a token outlives its connections.
        let rich = stage.server.open(&format!("sec-websocket-protocol: talk.v2, {mine}\r\n")).await;
        drop((mallory, second));
        stage.bob.until(&said("system", "mallory left")).await;
        drop(rich);
    }
    let [ann, _] = &mut stage.here;
    ann.say("I am here").await;
    stage.bob.until(&said("ann", "I am here")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_sign_up_for_one_name_at_once_one_gets_it() {
    let server = std::sync::Arc::new(Server::start().await);
    for round in 0..3 {
        let name = format!("prize{round}");
        let mut tries = JoinSet::new();
        for n in 0..32 {
            let (server, name) = (server.clone(), name.clone());
            tries.spawn(async move {
                let rest = match (round % 2, n % 2) {
                    (0, _) => form(&name),
                    (_, 0) => sign_in(&name, &format!("secret number {n}")),
                    _ => body("application/json", &json!({ "nickname": name }).to_string()),
                };
                server.post("/auth", &rest).await
            });
        }
        let answers = tries.join_all().await;
        let winners: Vec<_> = answers.iter().filter(|answer| status(answer) == 201).collect();
        assert_eq!(winners.len(), 1, "{name}");
        assert!(answers.iter().all(|answer| matches!(status(answer), 201 | 403)));
        let mut winner = server.open(&format!("sec-websocket-protocol: {}\r\n", token_in(winners[0]))).await;
        assert_eq!(winner.system().await, format!("{name} joined"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_take_one_name_at_once_one_gets_it() {
    let stage = Stage::set().await;
    let (server, mut bob) = (std::sync::Arc::new(stage.server), stage.bob);
    let mut ann = server.join("zoe").await;
    let mut ben = server.rich("yves").await;
    ben.command("enter", json!({ "room": "global" })).await;
    bob.until(&said("system", "yves joined")).await;
    for round in 0..20 {
        let name = format!("prize{round}");
        let setnick = json!({ "nickname": name });
        let rest = form(&name);
        tokio::join!(
            ann.command("setnick", setnick.clone()),
            ben.command("setnick", setnick.clone()),
            server.post("/auth", &rest),
        );
        for client in [&mut ann, &mut ben] {
            client.command("message", json!({ "room": "global", "body": format!("round {round}") })).await;
        }
        let mut speakers = Vec::new();
        while speakers.len() < 2 {
            let heard = bob.hear().await;
            if heard["body"] == format!("round {round}") {
                speakers.push(heard["from"].as_str().unwrap().to_owned());
            }
        }
        assert!(speakers.iter().filter(|speaker| **speaker == name).count() <= 1, "{speakers:?}");
        assert_ne!(speakers[0], speakers[1]);
        assert_eq!(server.try_name(&name).await, 403, "it has been taken by one of the three");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_just_left_is_never_that_of_two() {
    let mut limits = Limits::default();
    limits.commands_per_second = 0;
    let server = std::sync::Arc::new(Server::with(&limits).await);
    let mut bob = server.join("bob").await;
    let mut zoe = server.join("zoe0").await;
    bob.until(&said("system", "zoe0 joined")).await;
    let mut heirs = Vec::new();
    for round in 0..20 {
        let old = format!("zoe{round}");
        let mut tries = JoinSet::new();
        for _ in 0..4 {
            let (server, old) = (server.clone(), old.clone());
            tries.spawn(async move {
                // Until it is free: nobody else wants it.
                for _ in 0..1000 {
                    let answer = server.post("/auth", &form(&old)).await;
                    if status(&answer) == 201 {
                        let token = token_in(&answer);
                        let mut heir = server.open(&format!("authorization: Bearer {token}\r\n")).await;
                        heir.say("I am the heir").await;
                        return Some(heir);
                    }
                    if server.hub.gauges().users > 2 + round {
                        return None;
                    }
                }
                None
            });
        }
        zoe.say("before").await;
        zoe.command("setnick", json!({ "nickname": format!("zoe{}", round + 1) })).await;
        zoe.say("after").await;
        let got: Vec<_> = tries.join_all().await.into_iter().flatten().collect();
        assert_eq!(got.len(), 1, "{old}");
        heirs.extend(got);
        // The one who leaves the name is heard under it, and as leaving it, before the one who has it now.
        let mut heard = Vec::new();
        while heard.len() < 5 {
            let frame = bob.hear().await;
            if ["system", &*old, &*format!("zoe{}", round + 1)].contains(&frame["from"].as_str().unwrap()) {
                heard.push(frame);
            }
        }
        let at = |wanted: &Value| {
            heard.iter().position(|heard| heard == wanted).unwrap_or_else(|| panic!("{wanted} in {heard:?}"))
        };
        let renamed = at(&said("system", &format!("{old} is now zoe{}", round + 1)));
        assert!(at(&said(&old, "before")) < renamed);
        assert!(renamed < at(&said("system", &format!("{old} joined"))), "{heard:?}");
        assert!(renamed < at(&said(&old, "I am the heir")), "{heard:?}");
        at(&said(&format!("zoe{}", round + 1), "after"));
    }
    bob.command("listusers", json!({})).await;
    let names = bob.system().await;
    let different: BTreeSet<_> = names.lines().collect();
    assert_eq!((different.len(), names.lines().count()), (22, 22), "{names}");
}

/// The ping behind a direct message.
async fn skip_ping(client: &mut Client) {
    let (opcode, _) = common::raw_websocket::read_frame(&mut client.stream).await.unwrap();
    assert_eq!(opcode, 9);
}

fn sign_in(nickname: &str, secret: &str) -> String {
    let secret = secret.replace(' ', "+");
    body("application/x-www-form-urlencoded", &format!("nickname={nickname}&secret={secret}"))
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02x}") })
        .collect()
}

const SECRET: &str = "correct horse";
