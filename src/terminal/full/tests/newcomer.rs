//! What somebody meets who does not know the program yet.

use super::*;
use crate::client::Ask;
use crate::terminal::words::{Language, Word};

fn form(language: Language, what: Word, or_none: bool) -> Bench {
    let manner = Manner { mode: "register", language, full: Some(Theme::Plain), ..Manner::default() };
    let mut bench = Bench::of(80, 24, manner);
    bench.view.hear(Item::Told(Told::Asks { what, or_none }));
    bench
}

#[test]
fn whoever_wants_to_register_one_more_is_asked_for_the_name_and_never_sent_to_the_chat() {
    for (language, says) in [(Language::English, "type a name first"), (Language::Russian, "сначала введите имя")]
    {
        for way in [KeyCode::Down, KeyCode::Tab] {
            let mut bench = form(language, Word::AskNext, true);
            bench.press(way);
            assert!(!bench.shows(says));
            bench.press(KeyCode::Enter);
            assert_eq!(bench.asked(), [], "{way:?}");
            assert!(bench.shows(says) && bench.shows(language.text(Word::FormMore)), "{:#?}", bench.rows());
            bench.types("zoe");
            assert!(!bench.shows(says));
            bench.press(KeyCode::Enter);
            assert_eq!(bench.asked(), [Typed::Line("zoe".into())]);
        }
        let mut bench = form(language, Word::AskNickname, false);
        bench.press(KeyCode::Char(' '));
        bench.press(KeyCode::Enter);
        assert!(bench.shows(says) && bench.asked().is_empty());
        // What is pasted is an answer as well as what is typed.
        let mut bench = form(language, Word::AskNext, true);
        bench.view.typed(Input::Paste("zoe".into()));
        bench.press(KeyCode::Enter);
        assert_eq!(bench.asked(), [Typed::Line("zoe".into())]);
    }
}

#[test]
fn a_direct_text_that_failed_is_told_where_one_looks_and_marks_its_own_window() {
    let mut bench = Bench::in_room(80, 24);
    let id = bench.takes(Some("@ghost"), "hi");
    let failed = State::Failed("user ghost is not here".into());
    bench.state(&id, failed.clone());
    let rows = bench.rows();
    assert!(rows.iter().any(|row| row.contains("! \u{2502} not delivered to @ghost: user ghost is")), "{rows:#?}");
    assert!(rows[2].starts_with(" 2 @ghost") && rows[2].contains(" 1\u{2502}"), "{rows:#?}");
    assert!(rows[22].contains("2:ghost(1)"), "{rows:#?}");
    assert_eq!(bench.view.unseen, ["not delivered to @ghost: user ghost is not here"]);
    bench.alt(KeyCode::Char('a'));
    let rows = bench.rows();
    assert!(rows.iter().any(|row| row.contains("\u{2717} not delivered: user ghost is not here")), "{rows:#?}");
    assert!(!rows[22].contains("ghost(1)"), "{rows:#?}");
    // Where one looks it stands behind the text already.
    let id = bench.takes(Some("@ghost"), "again");
    bench.state(&id, failed.clone());
    assert!(!bench.shows("not delivered to"), "{:#?}", bench.rows());
    // Where its window is closed there is this word only.
    let id = bench.takes(Some("@ghost"), "and again");
    bench.types(":leave");
    bench.press(KeyCode::Enter);
    bench.state(&id, failed);
    let rows = bench.rows();
    assert!(rows[0].starts_with(" #tea") && !bench.shows("2 @ghost"), "{rows:#?}");
    assert_eq!(rows.iter().filter(|row| row.contains("not delivered to @ghost")).count(), 2, "{rows:#?}");
}

#[test]
fn what_was_said_before_one_came_stands_before_the_word_that_one_came() {
    let mut bench = Bench::new(80, 24);
    bench.begins(ROOMS);
    bench.tell(Event::Connected { name: Some("ann".into()), resumed: None });
    bench.tell(Event::Selected { to: Some("tea".into()) });
    for seq in 1..=3 {
        let past = said(Place::Room("tea".into()), "bob", &format!("said before {seq}"), seq);
        bench.tell(Event::Message(Heard { past: true, ..past }));
    }
    bench.says("tea", "bob", "said now", 4);
    let rows = bench.rows();
    let at = |wanted: &str| rows.iter().position(|row| row.contains(wanted)).unwrap();
    let order = [at("said before 1"), at("said before 2"), at("said before 3"), at("connected as ann"), at("said now")];
    assert!(order.is_sorted(), "{rows:#?}");
}

#[test]
fn whoever_looks_at_a_room_that_one_is_not_in_is_told_once_and_how_to_get_in() {
    let mut bench = Bench::in_room(80, 24);
    let refuse = |bench: &mut Bench| {
        let (reason, code) = ("you are not in room den".into(), Some("not_in_room".into()));
        bench.tell(Event::Refused { reason, code });
    };
    // What is asked by itself when a room is shown is three things.
    bench.view.at(&super::super::window::Key::Room("den".into()), true);
    bench.alt(KeyCode::Char('2'));
    assert_eq!(bench.asked().len(), 3);
    let count = |bench: &mut Bench| {
        bench.rows().iter().filter(|row| row.contains("! \u{2502} you are not in room den; :enter den")).count()
    };
    for _ in 0..3 {
        refuse(&mut bench);
    }
    assert_eq!(count(&mut bench), 1, "{:#?}", bench.rows());
    // What is typed is answered again.
    bench.types(":history");
    bench.press(KeyCode::Enter);
    refuse(&mut bench);
    assert_eq!(count(&mut bench), 2, "{:#?}", bench.rows());
}

#[test]
fn texts_that_wait_for_somebody_do_not_seem_to_go_where_others_went() {
    let manner = Manner { mode: "pair", full: Some(Theme::Plain), ..Manner::default() };
    let mut bench = Bench::of(80, 24, manner);
    bench.begins(&[Ability::Say, Ability::Select]);
    bench.tell(Event::Connected { name: Some("ann".into()), resumed: None });
    bench.tell(Event::Selected { to: Some("global".into()) });
    assert!(bench.rows()[23].starts_with("global\u{203a}"));
    let refused = |code: &str| Event::Refused { reason: "zoe is not here".into(), code: Some(code.into()) };
    bench.tell(refused("bad_nickname"));
    assert!(bench.rows()[23].starts_with("global\u{203a}") && !bench.shows(":user NAME"));
    bench.types(" ");
    bench.tell(refused("no_user"));
    assert!(!bench.shows("global\u{203a}") && bench.shows(":user NAME chooses another"), "{:#?}", bench.rows());
}

#[test]
fn peers_are_counted_where_all_are_and_listed_once() {
    let mut bench = Bench::of(80, 24, Manner { mode: "peer", full: Some(Theme::Plain), ..Manner::default() });
    bench.begins(&[Ability::Say, Ability::Direct, Ability::Users, Ability::Select]);
    bench.tell(Event::Connected { name: Some("ann".into()), resumed: None });
    let users = || Event::Users { room: None, names: vec!["ann".into(), "bob".into()] };
    bench.tell(users());
    assert!(bench.rows()[0].contains("2 here") && bench.shows("* \u{2502} 2 here: ann, bob"), "{:#?}", bench.rows());
    // Whoever asks is shown more than that besides.
    bench.tell(users());
    let rows = bench.rows();
    assert_eq!(rows.iter().filter(|row| row.contains("2 here: ann, bob")).count(), 1, "{rows:#?}");
    bench.tell(Event::Message(said(Place::Direct, "bob", "hi", 1)));
    assert!(bench.rows()[0].starts_with(" @bob ") && !bench.rows()[0].contains("here"), "{:#?}", bench.rows());
}

#[test]
fn the_help_has_no_key_that_does_nothing_here() {
    let help = |can: &[Ability], deaf| {
        let mut bench = Bench::of(80, 24, Manner { deaf, ..Manner::default() });
        bench.begins(can);
        bench.view.help_lines().into_iter().map(|(keys, _)| keys).collect::<Vec<_>>().join("\n")
    };
    let elsewhere = ["Alt-Up", "Alt-1", "Alt-A"];
    let rooms = help(ROOMS, false);
    assert!(elsewhere.iter().all(|key| rooms.contains(key)), "{rooms}");
    let console = help(&[Ability::Say, Ability::Users, Ability::Own], false);
    assert!(elsewhere.iter().all(|key| !console.contains(key)) && console.contains("Alt-Enter"), "{console}");
    let listen = help(&[], true);
    let typing = ["Enter", "Tab", "Ctrl-W", "Up Down", "\u{2713}"];
    assert!(typing.iter().all(|key| !listen.contains(key)) && listen.contains("PgUp"), "{listen}");
}

/// Has the pieces that were asked for come, from a room that keeps `first..`; how many were asked for.
fn comes(bench: &mut Bench, first: u64) -> usize {
    let mut count = 0;
    loop {
        let asked = bench.asked();
        let Some(ask) = asked.iter().find_map(|typed| match typed {
            Typed::Ask(Ask::History { before: Some(before), limit, .. }) => Some((*before, *limit as u64)),
            _ => None,
        }) else {
            return count;
        };
        let (before, limit) = ask;
        assert!(bench.shows("loading older"), "{:#?}", bench.rows());
        count += 1;
        let from = before.saturating_sub(limit).max(first);
        for seq in from..before {
            let mut old = said(Place::Room("tea".into()), "bob", &format!("text {seq}"), seq);
            old.past = true;
            bench.tell(Event::Message(old));
        }
        bench.tell(Event::HistoryEnd { room: "tea".into(), complete: from == first });
    }
}

fn to_the_oldest(bench: &mut Bench) {
    bench.rows();
    bench.view.typed(Input::Key(KeyEvent::new(KeyCode::Home, KeyModifiers::CONTROL)));
}

#[test]
fn one_press_goes_to_the_oldest_and_says_that_it_loads() {
    let mut bench = Bench::in_room(80, 24);
    for seq in 3000..3020 {
        bench.says("tea", "bob", &format!("text {seq}"), seq);
    }
    to_the_oldest(&mut bench);
    assert_eq!(comes(&mut bench, 1), 6);
    assert!(bench.shows("that is all that tea keeps") && bench.shows("bob \u{2502} text 1"), "{:#?}", bench.rows());
    assert!(!bench.shows("loading older"));
    // Whoever goes elsewhere meanwhile is not carried on.
    let mut bench = Bench::in_room(80, 24);
    for seq in 3000..3020 {
        bench.says("tea", "bob", &format!("text {seq}"), seq);
    }
    to_the_oldest(&mut bench);
    bench.press(KeyCode::Esc);
    assert!(!bench.shows("loading older") && bench.shows("text 3019"));
    bench.asked();
    bench.tell(Event::HistoryEnd { room: "tea".into(), complete: false });
    assert_eq!(bench.asked(), []);
}

#[test]
fn the_way_to_the_oldest_has_an_end_whatever_a_server_keeps() {
    let mut bench = Bench::in_room(80, 24);
    for seq in 1_000_000..1_000_020 {
        bench.says("tea", "bob", &format!("text {seq}"), seq);
    }
    to_the_oldest(&mut bench);
    let count = comes(&mut bench, 1);
    assert!((10..=20).contains(&count), "{count}");
    assert!(!bench.shows("loading older") && bench.view.window().entries().len() <= 10_000);
    // A server that answers nothing new is not asked again.
    let mut bench = Bench::in_room(80, 24);
    bench.says("tea", "bob", "hello", 9);
    to_the_oldest(&mut bench);
    assert_eq!(bench.asked().len(), 1);
    bench.tell(Event::HistoryEnd { room: "tea".into(), complete: false });
    assert!(bench.asked().is_empty() && !bench.shows("loading older"));
}

#[test]
fn the_bar_says_that_a_name_is_taken_and_not_that_there_is_no_connection() {
    for (language, says, no) in [
        (Language::English, "the name ann is taken; the next try is in 3 s", "no connection"),
        (Language::Russian, "имя ann занято; следующая попытка через 3 с", "нет соединения"),
    ] {
        let manner = Manner { mode: "room", language, full: Some(Theme::Plain), ..Manner::default() };
        let mut bench = Bench::of(80, 24, manner);
        bench.begins(ROOMS);
        let reason = "nickname ann already taken (403)".into();
        bench.tell(Event::Lost { reason, retry_in: std::time::Duration::from_secs(3) });
        let rows = bench.rows();
        assert!(rows[22].contains(says) && !rows[22].contains(no), "{rows:#?}");
        assert!(rows.iter().any(|row| row.contains("--nick")), "{rows:#?}");
    }
}

fn found(bench: &mut Bench, seqs: &[u64]) {
    let hit = |seq: &u64| said(Place::Room("tea".into()), "bob", &format!("needle {seq}"), *seq);
    let messages = seqs.iter().map(hit).collect();
    bench.tell(Event::Found { room: "tea".into(), text: "needle".into(), messages, from: None, before: None });
}

#[test]
fn what_a_search_on_the_server_found_is_chosen_and_gone_to_where_it_is_here() {
    let mut bench = Bench::in_room(80, 24);
    for seq in 100..200 {
        let text = if seq == 120 { "needle 120".to_owned() } else { format!("hay {seq}") };
        bench.says("tea", "bob", &text, seq);
    }
    found(&mut bench, &[120, 7]);
    let rows = bench.rows();
    assert!(rows[1].contains("2 found in tea with needle") && bench.shows("Esc closes"), "{rows:#?}");
    assert!(rows.iter().any(|row| row.contains("\u{25b8}") && row.contains("bob: needle 120")), "{rows:#?}");
    bench.press(KeyCode::Up);
    assert!(bench.rows().iter().any(|row| row.contains("\u{25b8}") && row.contains("needle 7")));
    bench.press(KeyCode::Enter);
    assert!(bench.shows("that is not loaded here yet") && bench.shows("bob: needle 120"), "{:#?}", bench.rows());
    bench.press(KeyCode::Down);
    assert!(!bench.shows("that is not loaded"));
    bench.press(KeyCode::Enter);
    let rows = bench.rows();
    assert!(rows.iter().any(|row| row.contains("bob \u{2502} needle 120")), "{rows:#?}");
    assert!(!bench.shows("found in tea") && bench.shows("\u{2193} more"), "{rows:#?}");
    // It goes from another room, too.
    bench.says("den", "eve", "hello", 1);
    bench.alt(KeyCode::Char('2'));
    found(&mut bench, &[120]);
    bench.press(KeyCode::Enter);
    assert!(bench.rows()[0].starts_with(" #tea") && bench.shows("bob \u{2502} needle 120"), "{:#?}", bench.rows());
}

#[test]
fn what_is_typed_closes_the_list_and_the_help_does_not() {
    let mut bench = Bench::in_room(80, 24);
    found(&mut bench, &[7]);
    bench.press(KeyCode::F(1));
    assert!(bench.shows("Alt-Enter"));
    bench.press(KeyCode::Esc);
    assert!(bench.shows("1 found in tea"));
    bench.types(":more");
    assert!(!bench.shows("1 found in tea") && bench.rows()[23] == "tea\u{203a} :more", "{:#?}", bench.rows());
    // What found nothing is a word among others.
    found(&mut bench, &[]);
    assert!(bench.shows("* \u{2502} nothing found in tea with needle"), "{:#?}", bench.rows());
    for (columns, rows) in (12..40).flat_map(|columns| (2..14).map(move |rows| (columns, rows))) {
        let mut small = Bench::in_room(columns, rows);
        found(&mut small, &(1..50).collect::<Vec<_>>());
        for key in [KeyCode::PageUp, KeyCode::Up, KeyCode::PageDown, KeyCode::Enter, KeyCode::Esc] {
            small.rows();
            small.press(key);
        }
    }
}
