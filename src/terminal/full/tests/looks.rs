//! What there is to see.

use super::*;
use crate::client::Happened;
use crate::terminal::screen::Shown;
use crate::terminal::words::{Language, Word};

/// Every size from nothing to more than enough.
fn sizes() -> impl Iterator<Item = (u16, u16)> {
    (1..40).flat_map(|columns| (1..14).map(move |rows| (columns, rows))).chain([
        (20, 5),
        (80, 24),
        (120, 40),
        (300, 90),
    ])
}

#[test]
fn a_terminal_of_80_by_24_shows_the_room_the_rooms_and_what_is_typed() {
    let mut bench = Bench::in_room(80, 24);
    bench.tell(Event::Users { room: Some("tea".into()), names: vec!["ann".into(), "bob".into()] });
    bench.says("tea", "bob", "hello", 1);
    bench.says("den", "eve", "ann: are you there?", 1);
    bench.types("hi b");
    let rows = bench.rows();
    assert!(rows[0].starts_with(" #tea  2 here") && rows[0].ends_with("talk room \u{b7} F1 help"), "{rows:#?}");
    assert!(rows[1].starts_with(" 1 #tea") && rows[2].starts_with(" 2 #den         1\u{2502}"), "{rows:#?}");
    assert!(rows[21].contains("         bob \u{2502} hello"), "{rows:#?}");
    assert!(rows[22].starts_with(" \u{25cf} ann \u{2192} tea \u{b7} 2:den(1)"), "{rows:#?}");
    assert_eq!((rows[23].as_str(), bench.cursor()), ("tea\u{203a} hi b", (9, 23)));
    // Where there is room, the users stand there, too.
    let mut wide = Bench::in_room(120, 40);
    wide.tell(Event::Users { room: Some("tea".into()), names: vec!["ann".into(), "bob".into()] });
    let rows = wide.rows();
    assert!(rows[1].ends_with("\u{2502} ann") && rows[2].ends_with("\u{2502} bob"), "{rows:#?}");
}

#[test]
fn no_size_breaks_it_and_small_ones_show_what_fits() {
    for (columns, rows) in sizes() {
        for hostile in ["hello", "漢字漢字漢字漢字漢字", "a\nb\nc\nd\ne\nf", "\u{301}\u{301}x\u{202e}y\u{1b}[2J"]
        {
            let mut bench = Bench::in_room(columns, rows);
            bench.tell(Event::Users { room: Some("tea".into()), names: vec![hostile.into(), "bob".into()] });
            for seq in 1..20 {
                bench.says("tea", hostile, hostile, seq);
            }
            bench.says(hostile, "bob", hostile, 1);
            let id = bench.takes(None, hostile);
            bench.state(&id, State::Failed(hostile.into()));
            bench.view.typed(Input::Paste(hostile.into()));
            bench.rows();
            for key in
                [KeyCode::F(2), KeyCode::F(3), KeyCode::PageUp, KeyCode::PageUp, KeyCode::PageDown, KeyCode::F(1)]
            {
                bench.press(key);
                bench.rows();
            }
            bench.press(KeyCode::Esc);
            bench.control('f');
            bench.types("hello");
            bench.rows();
            bench.view.hear(Item::Told(Told::Asks { what: Word::AskNext, or_none: true }));
            bench.view.typed(Input::Paste(hostile.into()));
            bench.rows();
        }
    }
    let mut small = Bench::in_room(20, 5);
    small.says("tea", "bob", "hello there, ann", 1);
    small.types("a long text that is typed");
    let rows = small.rows();
    assert!(rows.iter().any(|row| row.contains("bob\u{2502}")), "{rows:#?}");
    assert!(rows[4].starts_with("tea\u{203a}"), "{rows:#?}");
    assert_eq!(Bench::in_room(10, 5).rows()[0], "too small");
}

#[test]
fn the_states_of_own_texts_change_in_place() {
    let mut bench = Bench::in_room(80, 24);
    let id = bench.takes(Some("#tea"), "hello");
    let row = |bench: &mut Bench| bench.rows().into_iter().find(|row| row.contains("hello")).unwrap();
    assert!(row(&mut bench).ends_with("ann \u{2502} hello  \u{2026} queued"));
    for (state, mark) in [
        (State::Queued, "\u{2026} queued"),
        (State::Sent, "\u{203a} sent"),
        (State::Accepted, "\u{2713}"),
        (State::Delivered { by: 1, of: 3 }, "\u{2713} 1/3"),
        (State::Delivered { by: 3, of: 3 }, "\u{2713}\u{2713} 3"),
    ] {
        bench.state(&id, state);
        assert!(row(&mut bench).ends_with(&format!("hello  {mark}")), "{}", row(&mut bench));
    }
    // The server's echo is not a second message.
    let mut echo = said(Place::Room("tea".into()), "ann", "hello", 5);
    (echo.id, echo.own) = (Some(id.clone()), true);
    bench.tell(Event::Message(echo));
    assert_eq!(bench.rows().iter().filter(|row| row.contains("hello")).count(), 1);
    let lost = bench.takes(Some("#tea"), "lost");
    bench.state(&lost, State::Failed("nobody is there".into()));
    assert!(bench.shows("lost  \u{2717} not delivered: nobody is there"));
}

#[test]
fn hostile_text_stays_in_its_cells() {
    let mut bench = Bench::in_room(80, 24);
    for (seq, (text, shown)) in [
        ("\u{1b}]0;owned\u{7}\u{1b}[2Jx", "mallory \u{2502} \u{fffd}]0;owned\u{fffd}\u{fffd}[2Jx"),
        ("\u{9b}2J", "mallory \u{2502} \u{fffd}2J"),
        ("\u{202e}live", "mallory \u{2502} \u{fffd}live"),
        ("👨\u{200d}👩\u{200d}👧!", "mallory \u{2502} 👨👩👧!"),
        ("漢字e\u{301}!", "mallory \u{2502} 漢字e\u{301}!"),
    ]
    .into_iter()
    .enumerate()
    {
        bench.says("tea", "mallory", text, u64::try_from(seq).unwrap());
        assert!(bench.shows(shown), "{shown}: {:#?}", bench.rows());
    }
    // A second line stands below the first, and is nobody else's.
    bench.says("tea", "mallory", "hi\nbob \u{2502} forged", 9);
    let rows = bench.rows();
    let at = rows.iter().position(|row| row.contains("mallory \u{2502} hi")).unwrap();
    assert!(rows[at + 1].ends_with(&format!("{}\u{2502} bob \u{2502} forged", " ".repeat(19))), "{rows:#?}");
    bench.says("tea", "*", "bob left", 10);
    assert!(bench.shows("\u{201c}*\u{201d} \u{2502} bob left"));
    bench.tell(Event::Notice("\u{1b}[31mred".into()));
    bench.tell(Event::Happened { room: Some("tea".into()), user: "\u{202e}x\u{7}".into(), what: Happened::Joined });
    bench.tell(Event::Lost { reason: "\u{1b}c".into(), retry_in: std::time::Duration::from_secs(3) });
    assert!(bench.shows("\u{fffd}x\u{fffd} joined") && bench.shows("the next try is in 3 s (\u{fffd}c)"));
    let buffer = bench.terminal.backend().buffer().clone();
    assert!(!buffer.content.iter().any(|cell| cell.symbol().chars().any(char::is_control)));
}

#[test]
fn days_and_new_messages_have_lines_of_their_own() {
    let mut bench = Bench::in_room(80, 24);
    let mut old = said(Place::Room("tea".into()), "bob", "yesterday", 1);
    old.at = Timestamp::from_millis(1_600_000_000_000);
    bench.tell(Event::Message(old));
    bench.says("tea", "bob", "today", 2);
    let rows = bench.rows();
    assert!(rows.iter().any(|row| row.contains("\u{2500} 2020-09-1")), "{rows:#?}");
    assert!(rows.iter().any(|row| row.contains("\u{2500} 2023-11-1")), "{rows:#?}");
    bench.says("den", "eve", "one", 1);
    bench.says("den", "eve", "two", 2);
    bench.alt(KeyCode::Char('2'));
    let rows = bench.rows();
    let new = rows.iter().position(|row| row.contains("\u{2500} new \u{2500}")).unwrap();
    assert!(rows[new + 1].contains("eve \u{2502} one"), "{rows:#?}");
    // Whoever comes back has seen them.
    bench.alt(KeyCode::Char('1'));
    bench.alt(KeyCode::Char('2'));
    assert!(!bench.shows("\u{2500} new \u{2500}"));
}

#[test]
fn the_help_shows_every_key_and_command_in_both_languages() {
    for language in [Language::English, Language::Russian] {
        let manner = Manner { mode: "room", language, full: Some(Theme::Dark), ..Manner::default() };
        let mut bench = Bench::of(80, 24, manner);
        bench.begins(ROOMS);
        bench.press(KeyCode::F(1));
        let mut seen = String::new();
        for _ in 0..10 {
            seen.push_str(&bench.rows().join("\n"));
            bench.press(KeyCode::PageDown);
        }
        for wanted in ["Alt-Enter", "Ctrl-Z", ":search", ":leave", "\u{2713}\u{2713}"] {
            assert!(seen.contains(wanted), "{wanted}: {seen}");
        }
        assert_eq!(bench.press(KeyCode::Esc), Deed::Nothing);
        assert!(!bench.shows("Alt-Enter"));
    }
}

#[test]
fn a_form_asks_and_tells_what_came_of_it() {
    let mut bench = Bench::new(80, 24);
    bench.view.hear(Item::Told(Told::Asks { what: Word::AskNickname, or_none: false }));
    assert!(bench.shows("your nickname:") && bench.shows("Esc leaves"));
    bench.press(KeyCode::Enter);
    bench.types("##");
    bench.press(KeyCode::Enter);
    assert_eq!(bench.asked(), [Typed::Line("##".into())]);
    bench.view.hear(Item::Line(Shown::Err("! a nickname needs \u{1b} at least".into())));
    bench.view.hear(Item::Told(Told::Asks { what: Word::AskNickname, or_none: false }));
    assert!(bench.shows("a nickname needs \u{fffd} at least"));
    bench.terminal = ratatui::Terminal::new(TestBackend::new(20, 5)).unwrap();
    let rows = bench.rows();
    assert_eq!((rows[0].as_str(), rows[1].as_str()), ("a nickname needs \u{fffd}", "at least"), "{rows:#?}");
    bench.terminal = ratatui::Terminal::new(TestBackend::new(80, 24)).unwrap();
    bench.types("ann");
    bench.press(KeyCode::Enter);
    bench.view.hear(Item::Line(Shown::Out("* registered as ann".into())));
    bench.view.hear(Item::Told(Told::Asks { what: Word::AskNext, or_none: true }));
    let rows = bench.rows();
    assert!(rows.iter().any(|row| row.contains("registered as ann")), "{rows:#?}");
    assert!(rows.iter().any(|row| row.contains("\u{25b8} go to the chat")), "{rows:#?}");
    bench.press(KeyCode::Down);
    assert!(bench.shows("\u{25b8} register one more") && bench.shows("your nickname:"));
    bench.press(KeyCode::Up);
    bench.press(KeyCode::Enter);
    bench.press(KeyCode::Enter);
    assert_eq!(bench.asked(), [Typed::Line("ann".into()), Typed::Line(String::new())]);
    assert_eq!(bench.press(KeyCode::Esc), Deed::Leave);
}

#[test]
fn a_listener_types_nothing() {
    let manner = Manner { mode: "listen", deaf: true, full: Some(Theme::Light), ..Manner::default() };
    let mut bench = Bench::of(80, 24, manner);
    bench.begins(&[]);
    bench.tell(Event::Connected { name: None, resumed: None });
    bench.tell(Event::Message(said(Place::Open, "bob", "hello", 1)));
    bench.types("x");
    let rows = bench.rows();
    assert!(rows[23].contains("q leaves") && !rows.iter().any(|row| row.contains("\u{203a}")), "{rows:#?}");
    assert_eq!(bench.press(KeyCode::Char('q')), Deed::Leave);
    assert_eq!(bench.asked(), []);
}

#[test]
fn letters_that_are_written_as_one_take_a_cell_each() {
    let mut bench = Bench::in_room(80, 24);
    // Lam and alef.
    for (seq, name) in ["bob", "علا", "لالالا"].into_iter().enumerate() {
        bench.says("tea", name, "hello", u64::try_from(seq).unwrap());
    }
    bench.rows();
    let buffer = bench.terminal.backend().buffer();
    let rules: Vec<_> = (19..22).map(|y| (18..50).find(|x| buffer[(*x, y)].symbol() == "\u{2502}")).collect();
    assert!(rules[0].is_some() && rules.iter().all(|at| *at == rules[0]), "{rules:?}");
    bench.types("علا");
    assert_eq!(bench.cursor(), (8, 23));
}
