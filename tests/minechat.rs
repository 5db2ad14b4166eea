//! Minechat over real sockets, to the byte.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::minechat::{Client, HELLO, LONG, NICKNAME, SENT, WELCOME, Wire, hold_the_clock, pass};
use common::page::blocks;
use talk::gateway::{Context, Gateway, MinechatWrite};
use talk::hub::{Batch, Encoding, Heard, Hub, Lifetime, Offered, Outbox, Seat, SignInError, Sink};
use talk::message::{Command, Delivery, Event, MessageId, Moderation, Refusal};
use talk::name::{Nickname, RoomName};
use talk::secret::{Password, Secret};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn an_account_is_made_and_comes_back_by_its_hash() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let mut writer = wire.writer().await;
    writer.expect(HELLO).await;
    writer.write("\n").await;
    writer.expect(NICKNAME).await;
    writer.write("Zen tester\n").await;
    let (nickname, hash) = writer.account().await;
    assert_eq!(nickname, "Zen tester");
    assert_eq!(hash.len(), 36, "a UUID: {hash}");
    assert!(hash.split('-').map(str::len).eq([8, 4, 4, 4, 12]), "{hash}");
    writer.expect(WELCOME).await;
    writer.write("first\n\n").await;
    writer.expect(SENT).await;
    listener.expect("Server: # к чату присоединился Zen tester\n").await;
    listener.expect("Zen tester: first\n").await;
    drop(writer);

    let mut writer = wire.writer().await;
    writer.expect(HELLO).await;
    writer.write(&format!("{hash}\n")).await;
    writer.expect(&format!("{{\"nickname\": \"Zen tester\", \"account_hash\": \"{hash}\"}}\n")).await;
    writer.expect(WELCOME).await;
    writer.write("second\n\n").await;
    writer.expect(SENT).await;
    listener.expect("Zen tester: second\n").await;
}

#[tokio::test]
async fn an_unknown_hash_is_null_and_the_same_connection_registers() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    for unknown in ["6f9d8a52-1f2b-4a1e-9d2c-0a5f4cf3b1de", "with spaces", "ключ", "nobody:long enough", ":", "{}"]
    {
        let mut writer = wire.writer().await;
        writer.expect(HELLO).await;
        writer.write(&format!("{unknown}\n")).await;
        writer.expect("null\n").await;
        writer.expect(NICKNAME).await;
        writer.write("bob\n").await;
        let (nickname, _) = writer.account().await;
        writer.expect(WELCOME).await;
        writer.write("hi\n\n").await;
        writer.expect(SENT).await;
        listener.expect(&format!("Server: # к чату присоединился {nickname}\n")).await;
        listener.expect(&format!("{nickname}: hi\n")).await;
    }
}

#[tokio::test]
async fn the_dialog_is_the_same_however_the_bytes_come() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    for (name, end, by_byte) in [("a", "\n", true), ("b", "\n", false), ("c", "\r\n", true), ("d", "\r\n", false)] {
        let typed = ["", name, "", "one", "two lines", "", "", "second", "", ""].map(|line| line.to_owned() + end);
        let mut writer = wire.writer().await;
        if by_byte {
            for byte in typed.concat().as_bytes().chunks(1) {
                writer.0.write_all(byte).await.unwrap();
                tokio::task::yield_now().await;
            }
        } else {
            writer.write(&typed.concat()).await;
        }
        writer.expect(HELLO).await;
        writer.expect(NICKNAME).await;
        assert_eq!(writer.account().await.0, name);
        writer.expect(WELCOME).await;
        // An empty message, two that are said, and two more empty ones.
        for _ in 0..5 {
            writer.expect(SENT).await;
        }
        listener.expect(&format!("Server: # к чату присоединился {name}\n")).await;
        listener.expect(&format!("{name}: one two lines\n")).await;
        listener.expect(&format!("{name}: second\n")).await;
    }
    let end = wire.probe().await;
    listener.expect(&end).await;
}

#[tokio::test]
async fn an_extra_empty_line_counts_as_an_empty_message() {
    let wire = Wire::start().await;
    let (mut writer, hash) = wire.registered("bob").await;
    writer.write("\n").await;
    writer.expect(SENT).await;
    let mut writer = wire.writer().await;
    writer.write(&format!("{hash}\n\n")).await;
    writer.expect(HELLO).await;
    writer.account().await;
    writer.expect(WELCOME).await;
    writer.expect(SENT).await;
}

#[tokio::test]
async fn a_lone_empty_line_is_answered_and_tells_nobody_anything() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let (mut writer, _) = wire.registered("bob").await;
    for _ in 0..10 {
        writer.write("\n").await;
        writer.expect(SENT).await;
    }
    let next = wire.probe().await;
    listener.expect(&next).await;
}

#[tokio::test]
async fn a_nickname_that_is_taken_gets_an_adjective_in_front() {
    let wire = Wire::start().await;
    let _guest = wire.hub.sit("sasha").await.unwrap();
    wire.hub.sign_in(&nick("carol"), &Password::new("long enough").unwrap()).await.unwrap();
    let (_first, _) = wire.registered("mine").await;
    for taken in ["sasha", "carol", "mine", "Server", "TALK", "healthcheck"] {
        let (nickname, _) = register(&wire, taken).await;
        let (adjective, base) = nickname.split_once(' ').expect("an adjective in front");
        assert_eq!(base, taken);
        assert!(adjective.starts_with(|c: char| c.is_ascii_uppercase()), "{nickname}");
        // It is an account's now.
        assert!(matches!(wire.hub.sit(&nickname).await, Err(Refusal::Taken(_))));
    }
    let again: Vec<_> = [register(&wire, "sasha").await.0, register(&wire, "sasha").await.0].into();
    assert_ne!(again[0], again[1]);
}

#[tokio::test]
async fn forbidden_characters_are_dropped_from_nicknames() {
    let wire = Wire::start().await;
    for (typed, nickname) in [
        ("  bob  ", "bob"),
        ("a#b", "ab"),
        ("eve: hi", "eve hi"),
        ("ma\u{200b}r\u{202e}y\u{1b}", "mary"),
        ("e\u{301}", "é"),
        ("саша", "саша"),
        ("qu\"ote\\", "qu\"ote\\"),
    ] {
        assert_eq!(register(&wire, typed).await.0, nickname, "{typed:?}");
    }
    assert_eq!(register(&wire, &"я".repeat(100)).await.0, "я".repeat(64));
}

#[tokio::test]
async fn a_writer_that_closes_at_once_is_heard() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let (mut writer, hash) = wire.registered("bob").await;
    writer.write("here\n\n").await;
    listener.expect("Server: # к чату присоединился bob\n").await;
    listener.expect("bob: here\n").await;
    drop(writer);
    for n in 0..20 {
        for (reset, typed) in [(false, format!("{hash}\n{n}\n\n")), (true, format!("{hash}\n{n}, reset\n\n"))] {
            let mut writer = wire.writer().await;
            writer.write(&typed).await;
            if reset {
                // Closing without having read resets in any case; this does it for sure.
                socket2::SockRef::from(writer.0.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(writer);
            let text = typed.trim_end().split_once('\n').unwrap().1;
            listener.expect(&format!("bob: {text}\n")).await;
        }
    }
    // So is one who is new, and one who has not even a nickname.
    let mut new = wire.writer().await;
    new.write("\neve\nhello\n\n").await;
    drop(new);
    listener.expect("Server: # к чату присоединился eve\n").await;
    listener.expect("eve: hello\n").await;
    let mut nameless = wire.writer().await;
    nameless.write("\n\nhello too\n\n").await;
    drop(nameless);
    let registered = listener.line().await;
    let name = registered.strip_prefix("Server: # к чату присоединился ").unwrap().trim_end().to_owned();
    listener.expect(&format!("{name}: hello too\n")).await;
}

#[tokio::test]
async fn whoever_closes_only_one_way_hears_the_answer() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let mut writer = wire.writer().await;
    writer.write("\nbob\nhello\n\nunfinished").await;
    writer.0.get_mut().shutdown().await.unwrap();
    let said = writer.rest().await;
    assert!(said.starts_with(&format!("{HELLO}{NICKNAME}{{")) && said.ends_with(&format!("{WELCOME}{SENT}")), "{said}");
    listener.expect("Server: # к чату присоединился bob\n").await;
    listener.expect("bob: hello\n").await;
    let next = wire.probe().await;
    listener.expect(&next).await;
}

#[tokio::test]
async fn an_account_without_a_nickname_is_stored_with_its_first_message() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let users = wire.hub.gauges().users;
    let (mut keys, mut names) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let (mut writer, nickname, hash) = nameless(&wire, "").await;
        writer.write("\n").await;
        writer.expect(SENT).await;
        assert!(wire.hub.sign_in_by_key(&Secret::new(&hash).unwrap()).await.unwrap().is_none(), "not stored");
        assert!(!wire.hub.is_taken(&nick(&nickname)).await.unwrap());
        keys.push(hash);
        names.push(nickname);
    }
    assert_eq!(wire.hub.gauges().users, users, "and nobody is there");
    for key in keys {
        let mut writer = wire.writer().await;
        writer.write(&format!("{key}\n")).await;
        writer.expect(HELLO).await;
        writer.expect("null\n").await;
    }
    // What is nothing but forbidden characters is no nickname either.
    let (mut writer, nickname, hash) = nameless(&wire, " #\u{200b} ").await;
    writer.write("hello\n\n").await;
    writer.expect(SENT).await;
    listener.expect(&format!("Server: # к чату присоединился {nickname}\n")).await;
    listener.expect(&format!("{nickname}: hello\n")).await;
    writer.write("again\n\n").await;
    writer.expect(SENT).await;
    listener.expect(&format!("{nickname}: again\n")).await;
    drop(writer);
    let mut writer = wire.writer().await;
    writer.write(&format!("{hash}\n")).await;
    writer.expect(HELLO).await;
    assert_eq!(writer.account().await, (nickname, hash));
}

#[tokio::test]
async fn a_generated_nickname_that_somebody_took_meanwhile_gets_an_adjective() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let (mut writer, nickname, hash) = nameless(&wire, "").await;
    let _thief = wire.hub.sit(&nickname).await.unwrap();
    writer.write("hello\n\n").await;
    writer.expect(SENT).await;
    let registered = listener.line().await;
    assert!(registered.ends_with(&format!(" {nickname}\n")), "{registered}");
    let other = registered.strip_prefix("Server: # к чату присоединился ").unwrap().trim_end().to_owned();
    assert_ne!(other, nickname);
    listener.expect(&format!("{other}: hello\n")).await;
    let mut writer = wire.writer().await;
    writer.write(&format!("{hash}\n")).await;
    writer.expect(HELLO).await;
    assert_eq!(writer.account().await.0, other);
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_named_account_is_on_disk_before_its_line_is_written() {
    use talk::limits::Limits;
    use talk::message::Timestamp;
    use talk::store::{AccountStore, SqliteAccounts};

    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let accounts = SqliteAccounts::open(dir.path(), &Limits::default()).unwrap();
    let hub = Hub::builder().accounts(Arc::new(accounts)).build().await.unwrap();
    let wire = Wire::with(hub, None).await;
    let (_writer, hash) = wire.registered("Zen tester").await;
    let (_nameless, _, promised) = nameless(&wire, "").await;
    // What a crash would leave.
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let left = SqliteAccounts::open(copy.path(), &Limits::default()).unwrap();
    let now = Timestamp::from_millis(u64::MAX / 4);
    let key = |hash: &str| Secret::new(hash).unwrap().hash();
    assert_eq!(left.sign_in_by_key(&key(&hash), now).await.unwrap().user.nickname, nick("Zen tester"));
    assert!(left.sign_in_by_key(&key(&promised), now).await.is_err(), "and one without a nickname is not");
    for file in std::fs::read_dir(copy.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(hash.len()).any(|window| window == hash.as_bytes()), "the hash is hashed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_account_is_announced_when_it_speaks_or_stays() {
    hold_the_clock();
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    // Whoever leaves at once is announced when they come back and speak, and only once.
    let (left, hash) = wire.registered("left").await;
    drop(left);
    let next = wire.probe().await;
    listener.expect(&next).await;
    let mut known = wire.writer().await;
    known.write(&format!("{hash}\nfirst\n\n")).await;
    listener.expect("Server: # к чату присоединился left\n").await;
    listener.expect("left: first\n").await;
    drop(known);
    let mut known = wire.writer().await;
    known.write(&format!("{hash}\n")).await;
    known.expect(HELLO).await;
    known.account().await;
    let (mut speaks, _) = wire.registered("speaks").await;
    speaks.write("hello\n\n").await;
    listener.expect("Server: # к чату присоединился speaks\n").await;
    listener.expect("speaks: hello\n").await;
    let (mut stays, _) = wire.registered("stays").await;
    let (mut nameless, nickname, _) = nameless(&wire, "").await;
    pass(Duration::from_millis(4500)).await;
    let next = wire.probe().await;
    listener.expect(&next).await;
    pass(Duration::from_secs(1)).await;
    let mut both = [listener.line().await, listener.line().await];
    let mut expected = ["stays", &nickname].map(|name| format!("Server: # к чату присоединился {name}\n"));
    both.sort_unstable();
    expected.sort_unstable();
    assert_eq!(both, expected);
    for (writer, name) in [(&mut stays, "stays"), (&mut nameless, &*nickname), (&mut known, "left")] {
        writer.write("hello\n\n").await;
        listener.expect(&format!("{name}: hello\n")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_human_may_sit_at_each_prompt_for_minutes_and_not_for_ever() {
    hold_the_clock();
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let minutes = |n: u64| tokio::time::advance(Duration::from_secs(60 * n));
    let mut writer = wire.writer().await;
    writer.expect(HELLO).await;
    minutes(2).await;
    writer.write("\n").await;
    writer.expect(NICKNAME).await;
    minutes(2).await;
    writer.write("bob\n").await;
    writer.account().await;
    writer.expect(WELCOME).await;
    minutes(2).await;
    writer.write("so").await;
    minutes(2).await;
    writer.write("rry\n").await;
    minutes(60).await;
    writer.write("\n").await;
    writer.expect(SENT).await;
    listener.expect("Server: # к чату присоединился bob\n").await;
    listener.expect("bob: sorry\n").await;

    let mut slow = wire.writer().await;
    slow.expect(HELLO).await;
    minutes(9).await;
    slow.write("\n").await;
    slow.expect(NICKNAME).await;
    minutes(2).await;
    assert_eq!(slow.rest().await, "", "ten minutes are for all of it");
    minutes(24 * 60).await;
    let next = wire.probe().await;
    listener.expect(&next).await;
}

#[tokio::test]
async fn the_listen_port_says_each_message_on_a_line_of_its_own_and_nothing_else() {
    let mut wire = Wire::start().await;
    let (mut ann, _ears) = sit(&wire.hub, "ann").await;
    ann.run(say("before")).await.unwrap();
    let mut listener = wire.listener().await;
    let mut others = vec![wire.listener().await, wire.listener().await];
    let probes = wire.probe().await;
    for text in ["hello", "a\nServer: # b\r\nc\u{2028}d\u{85}e", "  ", "x: y", "\ttab"] {
        ann.run(say(text)).await.unwrap();
    }
    let (_bob, _) = sit(&wire.hub, "bob").await;
    ann.run(Command::Rename(nick("anna"))).await.unwrap();
    ann.run(say("renamed")).await.unwrap();
    let private = Command::Direct { to: "bob".into(), body: "psst".into(), id: None };
    ann.run(private).await.unwrap();
    ann.run(say("end")).await.unwrap();
    let expected =
        "ann: hello\nann: a Server: # b c d\u{85}e\nann:   \nann: x: y\nann: \ttab\nanna: renamed\nanna: end\n";
    // U+0085 is a control character, and a line break where it is kept.
    let expected = expected.replace('\u{85}', " ");
    let mut heard = String::new();
    while !heard.ends_with("end\n") {
        let line = listener.line().await;
        if !line.starts_with("probe: ") {
            heard.push_str(&line);
        }
    }
    assert_eq!(heard, expected);
    for other in &mut others {
        while other.line().await != probes {}
        for line in expected.split_inclusive('\n') {
            other.expect(line).await;
        }
    }
}

#[tokio::test]
async fn listeners_are_nobody() {
    let mut wire = Wire::start().await;
    let (users, in_room) = (wire.hub.gauges().users, wire.hub.users_in(&RoomName::global()).await);
    let (mut ann, mut heard) = sit(&wire.hub, "ann").await;
    let listeners = [wire.listener().await, wire.listener().await];
    assert_eq!(wire.hub.gauges().users, users + 1);
    assert_eq!(wire.hub.users_in(&RoomName::global()).await, in_room + 1);
    drop(listeners);
    ann.run(Command::ListUsers(None)).await.unwrap();
    loop {
        match heard.next().await.unwrap() {
            Event::Users { names, .. } => break assert_eq!(&*names, "ann\nprobe"),
            Event::Message(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn other_wires_hear_writers_by_name_and_see_them_only_when_they_speak() {
    hold_the_clock();
    let wire = Wire::start().await;
    let (_ann, mut heard) = sit(&wire.hub, "ann").await;
    let (mut silent, _) = wire.registered("silent").await;
    let (mut zen, _) = wire.registered("Zen tester").await;
    silent.write("\n").await;
    silent.expect(SENT).await;
    drop(silent);
    zen.write("hello\n\n").await;
    zen.expect(SENT).await;
    drop(zen);
    pass(Duration::from_secs(1)).await;
    let global = RoomName::global;
    assert_eq!(heard.next().await, Some(Event::Joined { room: global(), user: nick("Zen tester") }));
    assert_eq!(heard.next().await, Some(Event::Registered { room: global(), user: nick("Zen tester") }));
    match heard.next().await {
        Some(Event::Message(post)) => {
            assert_eq!((&*post.record.from, &*post.record.body), ("Zen tester", "hello"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(heard.next().await, Some(Event::Left { room: global(), user: nick("Zen tester") }));
}

#[tokio::test]
async fn a_name_with_an_account_is_protected_on_every_wire() {
    let wire = Wire::start().await;
    let (writer, hash) = wire.registered("zen").await;
    drop(writer);
    let password = |text: &str| Password::new(text).unwrap();
    assert!(matches!(wire.hub.sign_up(&nick("zen")).await, Err(Refusal::Taken(_))));
    assert!(matches!(wire.hub.sit("zen").await, Err(Refusal::Taken(_))));
    let wrong = wire.hub.sign_in(&nick("zen"), &password("guessed it")).await;
    assert!(matches!(wrong, Err(SignInError::WrongPassword)), "{wrong:?}");
    let (mut ann, _heard) = sit(&wire.hub, "ann").await;
    assert!(matches!(ann.run(Command::Rename(nick("zen"))).await, Err(Refusal::Taken(_))));
    // The hash is the account's secret where others have one.
    wire.hub.sign_in(&nick("zen"), &password(&hash)).await.unwrap();
}

#[tokio::test]
async fn an_account_of_another_wire_signs_in_by_nickname_and_secret() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    wire.hub.sign_in(&nick("carol"), &Password::new("correct: horse").unwrap()).await.unwrap();
    let mut writer = wire.writer().await;
    writer.write("carol:correct: horse\nhello\n\n").await;
    writer.expect(HELLO).await;
    assert_eq!(writer.account().await, ("carol".into(), "carol:correct: horse".into()));
    writer.expect(WELCOME).await;
    writer.expect(SENT).await;
    listener.expect("carol: hello\n").await;
    let _guest = wire.hub.sit("guest").await.unwrap();
    for wrong in ["carol:correct; horse", "carol:", "guest:correct: horse", "dave:correct: horse", "carol"] {
        let mut writer = wire.writer().await;
        writer.write(&format!("{wrong}\n")).await;
        writer.expect(HELLO).await;
        writer.expect("null\n").await;
        writer.expect(NICKNAME).await;
    }
    assert!(!wire.hub.is_taken(&nick("dave")).await.unwrap(), "no account was made of a wrong guess");
}

#[tokio::test]
async fn whoever_only_speaks_takes_no_direct_message_and_hears_of_none() {
    let wire = Wire::start().await;
    let (mut ann, mut heard) = sit(&wire.hub, "ann").await;
    let (writer, hash) = wire.registered("bob").await;
    let direct = |id: Option<&str>| {
        let id = id.map(|id| MessageId::new(id).unwrap());
        Command::Direct { to: "bob".into(), body: "psst".into(), id }
    };
    assert_eq!(ann.run(direct(None)).await, Err(Refusal::NoDirect("bob".into())));
    ann.run(direct(Some("1"))).await.unwrap();
    let failed = Event::DirectReceipt {
        id: MessageId::new("1").unwrap(),
        to: "bob".into(),
        state: Delivery::Failed,
        reason: Some("no_direct"),
    };
    assert_eq!(heard.next().await, Some(failed));
    drop(writer);
    while wire.hub.is_here(&nick("bob")).await.unwrap() {
        tokio::task::yield_now().await;
    }
    // Away, the account has it kept; and speaking does not take it.
    ann.run(direct(Some("2"))).await.unwrap();
    assert!(matches!(heard.next().await, Some(Event::Accepted { .. })));
    let mut writer = wire.writer().await;
    writer.write(&format!("{hash}\nhello\n\n")).await;
    writer.expect(HELLO).await;
    writer.account().await;
    writer.expect(WELCOME).await;
    writer.expect(SENT).await;
    let token = wire.hub.sign_in(&nick("bob"), &Password::new(&hash).unwrap()).await.unwrap();
    let (events, mut told) = tokio::sync::mpsc::channel(100);
    let outbox = Arc::new(Outbox::new(Ears(events), wire.hub.limits()));
    let _bob = wire.hub.open(&token, outbox, Lifetime::Kept, None).await.unwrap();
    match told.recv().await {
        Some(Event::Message(post)) => assert_eq!(&*post.record.body, "psst"),
        other => panic!("{other:?}"),
    }
    loop {
        match heard.next().await.unwrap() {
            Event::DirectReceipt { state, .. } => break assert_eq!(state, Delivery::Sent),
            Event::Message(_) | Event::Joined { .. } | Event::Registered { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn another_room_is_made_and_stays_and_nothing_of_it_is_heard_elsewhere() {
    let hub = Hub::new();
    let (host, den) = ("127.0.0.1".parse().unwrap(), RoomName::new("den").unwrap());
    let write = MinechatWrite::bind(&host, 0).await.unwrap().room(den.clone());
    let to = write.local_addr();
    let context = Context::new(hub.clone(), CancellationToken::new());
    let serving = tokio::spawn(Box::new(write).serve(context));
    let mut writer = Client::connect(to).await;
    let mut wire = Wire::with(hub.clone(), None).await;
    let mut listener = wire.listener().await;
    writer.write("\nbob\nhello\n\n").await;
    for line in [HELLO, NICKNAME] {
        writer.expect(line).await;
    }
    writer.account().await;
    writer.expect(WELCOME).await;
    writer.expect(SENT).await;
    let next = wire.probe().await;
    listener.expect(&next).await;
    assert_eq!(hub.users_in(&den).await, 1);
    drop(writer);
    while hub.users_in(&den).await > 0 {
        tokio::task::yield_now().await;
    }
    assert!(hub.has_room(&den), "it stays");
    serving.abort();
}

#[tokio::test]
async fn whoever_is_not_heard_hears_why() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let boss = Hub::builder().admins([nick("boss")]).build().await.unwrap();
    let mut ruled = Wire::with(boss, None).await;
    let (mut writer, _) = ruled.registered("bob").await;
    let mut moderator = administrator(&ruled.hub).await;
    let global = RoomName::global();
    let mut hears = ruled.listener().await;
    writer.write("hello\n\n").await;
    writer.expect(SENT).await;
    hears.expect("Server: # к чату присоединился bob\n").await;
    hears.expect("bob: hello\n").await;
    let moderate = |action, user: &str| Command::Moderate {
        room: global.clone(),
        action,
        user: user.into(),
        seconds: None,
        reason: None,
    };
    moderator.run(moderate(Moderation::Mute, "bob")).await.unwrap();
    let not_sent = |why: &str| format!("Message not send: {why}. Write more, end message with an empty line.\n");
    writer.write("muted\n\n").await;
    writer.expect(&not_sent("you are muted in room global")).await;
    moderator.run(moderate(Moderation::Unmute, "bob")).await.unwrap();
    // Whoever was put out may come back by speaking.
    moderator.run(moderate(Moderation::Kick, "bob")).await.unwrap();
    writer.write("back\n\n").await;
    writer.expect(SENT).await;
    hears.expect("bob: back\n").await;
    moderator.run(moderate(Moderation::Ban, "bob")).await.unwrap();
    writer.write("banned\n\n").await;
    writer.expect(&not_sent("you are banned from room global")).await;
    let next = ruled.probe().await;
    hears.expect(&next).await;

    let (mut writer, _) = wire.registered("bob").await;
    writer.write(&format!("{}\n\nnext\n\n", "x".repeat(16 * 1024 + 1))).await;
    writer.expect(&not_sent("a message has at most 16384 bytes")).await;
    writer.expect(SENT).await;
    listener.expect("Server: # к чату присоединился bob\n").await;
    listener.expect("bob: next\n").await;
    let longest = "x".repeat(16 * 1024);
    writer.write(&format!("{longest}\n\n")).await;
    writer.expect(SENT).await;
    listener.expect(&format!("bob: {longest}\n")).await;
}

#[tokio::test]
async fn over_the_rate_a_writer_is_read_more_slowly_and_nothing_is_lost() {
    let limited = Wire::limited(|limits| (limits.commands_per_second, limits.commands_burst) = (100, 5));
    let mut wire = limited.await;
    let mut listener = wire.listener().await;
    let begun = std::time::Instant::now();
    let (mut writer, _) = wire.registered("bob").await;
    let lines: String = (0..30).map(|n| format!("{n}\n\n")).collect();
    writer.write(&lines).await;
    listener.expect("Server: # к чату присоединился bob\n").await;
    for n in 0..30 {
        listener.expect(&format!("bob: {n}\n")).await;
        writer.expect(SENT).await;
    }
    // 32 commands, five of which waited for nothing.
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn silence_is_broken_only_where_that_was_asked_for() {
    let mut wire = Wire::with(Hub::new(), Some(Duration::from_millis(50))).await;
    let mut listener = wire.listener().await;
    for _ in 0..3 {
        listener.expect("Server: # ping\n").await;
    }
    let next = wire.probe().await;
    while listener.line().await != next {}
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_comes_after_so_much_silence_and_not_before() {
    hold_the_clock();
    let mut wire = Wire::with(Hub::new(), Some(Duration::from_secs(10))).await;
    let mut quiet = Wire::start().await;
    let (mut listener, mut other) = (wire.listener().await, quiet.listener().await);
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(9)).await;
        let next = wire.probe().await;
        listener.expect(&next).await;
    }
    tokio::time::advance(Duration::from_secs(11)).await;
    listener.expect("Server: # ping\n").await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    let next = quiet.probe().await;
    other.expect(&next).await;
}

#[tokio::test]
async fn a_stop_closes_everything_and_leaves_nothing() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let (mut writer, _) = wire.registered("bob").await;
    let mut silent = wire.writer().await;
    silent.expect(HELLO).await;
    let (_nameless, _, _) = nameless(&wire, "").await;
    writer.write("last\n\n").await;
    writer.expect(SENT).await;
    wire.stop.cancel();
    assert_eq!(listener.rest().await, "Server: # к чату присоединился bob\nbob: last\n");
    assert_eq!((writer.rest().await, silent.rest().await), (String::new(), String::new()));
    let served = async { while wire.serving.join_next().await.is_some() {} };
    timeout(LONG, served).await.expect("both ports are closed");
    assert!(tokio::net::TcpStream::connect(wire.write).await.is_err());
    assert_eq!(wire.hub.gauges().sessions, 1, "but for the probe's");
}

#[tokio::test]
async fn the_conversation_in_the_manual_goes_as_it_is_written() {
    let mut wire = Wire::start().await;
    let mut listener = wire.listener().await;
    let mut writer = wire.writer().await;
    let (_, written) = blocks("text").find(|(section, _)| *section == "Minechat").expect("a conversation");
    for line in written.lines() {
        match line.strip_prefix("< ") {
            Some(shown) if shown.starts_with('{') => {
                // The hash is another each time.
                let (before, _) = shown.rsplit_once(' ').unwrap();
                let answer = writer.line().await;
                assert!(answer.starts_with(before), "{answer}");
            }
            Some(shown) => writer.expect(&format!("{shown}\n")).await,
            None => {
                let typed = line.strip_prefix('>').expect("a line that is typed");
                writer.write(&format!("{}\n", typed.trim_start())).await;
            }
        }
    }
    listener.expect("Server: # к чату присоединился Zen tester\n").await;
    listener.expect("Zen tester: hello everybody\n").await;
}

/// Registers somebody, and leaves.
async fn register(wire: &Wire, wish: &str) -> (String, String) {
    let mut writer = wire.writer().await;
    writer.write(&format!("\n{wish}\n")).await;
    writer.expect(HELLO).await;
    writer.expect(NICKNAME).await;
    let account = writer.account().await;
    writer.expect(WELCOME).await;
    account
}

/// A writer who did not care for a nickname, the one that was given, and the account's hash.
async fn nameless(wire: &Wire, typed: &str) -> (Client, String, String) {
    let mut writer = wire.writer().await;
    writer.write(&format!("\n{typed}\n")).await;
    writer.expect(HELLO).await;
    writer.expect(NICKNAME).await;
    let (nickname, hash) = writer.account().await;
    writer.expect(WELCOME).await;
    (writer, nickname, hash)
}

async fn sit(hub: &Hub, name: &str) -> (Seat, Heard) {
    let (mut seat, mut heard) = hub.sit(name).await.unwrap();
    seat.run(Command::Enter(RoomName::global())).await.unwrap();
    assert!(matches!(heard.next().await, Some(Event::Joined { .. })));
    (seat, heard)
}

/// A session of an administrator, who does not listen.
async fn administrator(hub: &Hub) -> Seat {
    let token = hub.sign_in(&nick("boss"), &Password::new("long enough").unwrap()).await.unwrap();
    let outbox = Arc::new(Outbox::new(Deaf, hub.limits()));
    let mut seat = hub.open(&token, outbox, Lifetime::Session, None).await.unwrap();
    seat.run(Command::Enter(RoomName::global())).await.unwrap();
    seat
}

/// Hears everything.
struct Ears(tokio::sync::mpsc::Sender<Event>);

impl Sink for Ears {
    fn encoding(&self) -> Encoding {
        Encoding::EVENTS
    }

    fn offer(&self, batch: &Batch) -> Offered {
        batch.events().iter().for_each(|event| self.0.try_send(event.clone()).unwrap());
        Offered::All
    }
}

struct Deaf;

impl Sink for Deaf {
    fn encoding(&self) -> Encoding {
        Encoding::EVENTS
    }

    fn offer(&self, _: &Batch) -> Offered {
        Offered::All
    }
}

fn say(text: &str) -> Command {
    Command::Say { room: None, body: text.into(), id: None }
}

fn nick(name: &str) -> Nickname {
    Nickname::new(name).unwrap()
}
