//! What is typed, and what comes of it.

use super::*;
use crate::client::Ask;

fn line(text: &str) -> Typed {
    Typed::Line(text.into())
}

#[test]
fn a_text_goes_to_what_is_shown_whatever_was_chosen_meanwhile() {
    let mut bench = Bench::in_room(80, 24);
    bench.types("hello");
    bench.press(KeyCode::Enter);
    let say = |to: &str, text: &str| Typed::Say { to: Some(to.into()), text: text.into() };
    let typing = Typed::Ask(Ask::Typing { room: Some("tea".into()) });
    assert_eq!(bench.asked(), [typing, say("#tea", "hello")]);
    bench.tell(Event::Message(said(Place::Direct, "bob", "psst", 1)));
    assert!(bench.shows(" 2 @bob"));
    bench.types("half a li");
    bench.alt(KeyCode::Char('2'));
    assert_eq!(bench.asked().pop(), Some(Typed::Ask(Ask::Select { to: "@bob".into() })));
    assert!(bench.rows()[23].starts_with("bob\u{203a}"), "what was half typed stays where it was typed");
    // The answers to what was chosen before come late.
    bench.alt(KeyCode::Char('1'));
    bench.tell(Event::Selected { to: Some("bob".into()) });
    assert_eq!(bench.rows()[23], "tea\u{203a} half a li");
    bench.tell(Event::Selected { to: Some("tea".into()) });
    bench.types("ne");
    bench.press(KeyCode::Enter);
    assert_eq!(bench.asked().pop(), Some(say("#tea", "half a line")));
    // Nothing of that is a command: two colons begin a text.
    bench.types("::x");
    bench.press(KeyCode::Enter);
    assert_eq!(bench.asked().pop(), Some(say("#tea", ":x")));
    bench.types(":user bob");
    bench.press(KeyCode::Enter);
    bench.types("psst");
    bench.press(KeyCode::Enter);
    assert_eq!(bench.asked(), [line(":user bob"), say("@bob", "psst")]);
}

#[test]
fn where_there_is_one_conversation_lines_go_as_they_are() {
    let manner = Manner { mode: "console", full: Some(Theme::Plain), ..Manner::default() };
    let mut bench = Bench::of(80, 24, manner);
    bench.begins(&[Ability::Say, Ability::Own, Ability::Users]);
    for text in ["cmd!current_time", "hello", ":status"] {
        bench.types(text);
        bench.press(KeyCode::Enter);
    }
    assert_eq!(bench.asked(), [line("cmd!current_time"), line("hello"), line(":status")]);
    assert!(bench.rows().iter().all(|row| !row.contains(" 1 ")), "there is nothing to choose from");
}

#[test]
fn more_than_can_be_taken_stays_where_it_was_typed() {
    let mut bench = Bench::in_room(80, 24);
    for _ in 0..80 {
        bench.types("x");
        bench.press(KeyCode::Enter);
    }
    let rows = bench.rows();
    assert!(rows.iter().any(|row| row.contains("more than can be taken at once")), "{rows:#?}");
    assert!(rows[23].starts_with("tea\u{203a} x"), "{rows:#?}");
}

#[test]
fn scrolling_keeps_what_one_looks_at_and_tells_what_comes_below() {
    let mut bench = Bench::in_room(60, 12);
    for seq in 1..=50 {
        bench.says("tea", "bob", &format!("text {seq}"), seq);
    }
    bench.rows();
    bench.press(KeyCode::PageUp);
    let before = bench.rows();
    for seq in 51..=53 {
        bench.says("tea", "bob", &format!("text {seq}"), seq);
    }
    let after = bench.rows();
    assert_eq!(before[1..10], after[1..10]);
    assert!(after[10].contains("\u{2193} 3 new"), "{after:#?}");
    bench.press(KeyCode::Esc);
    assert!(bench.shows("text 53") && !bench.shows("\u{2193} 3 new"));
    // At the top more is asked for, and what comes stands above.
    bench.asked();
    for _ in 0..20 {
        bench.press(KeyCode::PageUp);
        bench.rows();
    }
    let older = Typed::Ask(Ask::History { room: Some("tea".into()), before: Some(1), limit: 100 });
    assert_eq!(bench.asked(), [older]);
    assert!(bench.shows("text 1"));
    bench.press(KeyCode::End);
    bench.view.typed(Input::Key(KeyEvent::new(KeyCode::End, KeyModifiers::CONTROL)));
    assert!(bench.shows("text 53"));
}

#[test]
fn a_search_goes_from_one_to_the_next_and_back() {
    let mut bench = Bench::in_room(60, 12);
    for seq in 1..=50 {
        let text = if seq % 20 == 0 { format!("Needle {seq}") } else { format!("hay {seq}") };
        bench.says("tea", "bob", &text, seq);
    }
    bench.rows();
    bench.press(KeyCode::Char('/'));
    bench.types("needle");
    assert!(bench.shows("Needle 40") && bench.shows("search: needle  1/2"), "{:#?}", bench.rows());
    bench.press(KeyCode::Up);
    assert!(bench.shows("Needle 20") && bench.shows("2/2"), "{:#?}", bench.rows());
    bench.press(KeyCode::Down);
    assert!(bench.shows("Needle 40"));
    bench.asked();
    bench.control('s');
    assert_eq!(bench.asked(), [Typed::Ask(Ask::Search { room: None, text: "needle".into(), before: None })]);
    // A text may begin with a slash.
    bench.types("//etc");
    assert!(bench.rows()[11].ends_with("/etc"));
}

#[test]
fn a_paste_is_one_text_whatever_is_in_it() {
    let mut bench = Bench::in_room(80, 24);
    bench.view.typed(Input::Paste("/first\r:exit\u{7}".into()));
    assert!(bench.rows()[23].contains("/first\u{21b5}:exit\u{fffd}"), "{:#?}", bench.rows());
    bench.press(KeyCode::Enter);
    let say = Typed::Say { to: Some("#tea".into()), text: "/first\n:exit\u{7}".into() };
    assert_eq!(bench.asked(), [say]);
}

#[test]
fn commands_and_names_are_completed_one_after_another() {
    let mut bench = Bench::in_room(80, 24);
    let names = ["ann", "bob", "boris", "b\u{1b}ad"].map(str::to_owned).to_vec();
    bench.tell(Event::Users { room: Some("tea".into()), names });
    bench.types(":us");
    bench.press(KeyCode::Tab);
    bench.types("bo");
    bench.press(KeyCode::Tab);
    assert_eq!(bench.rows()[23], "tea\u{203a} :user bob");
    bench.press(KeyCode::Tab);
    assert_eq!(bench.rows()[23], "tea\u{203a} :user boris");
    bench.press(KeyCode::BackTab);
    assert_eq!(bench.rows()[23], "tea\u{203a} :user bob");
    bench.control('u');
    bench.types("Bo");
    bench.press(KeyCode::Tab);
    bench.types("hi");
    assert_eq!(bench.rows()[23], "tea\u{203a} bob: hi");
}

#[test]
fn the_line_is_edited_and_remembered() {
    let mut bench = Bench::in_room(80, 24);
    bench.types("one two");
    bench.control('w');
    bench.control('y');
    bench.control('y');
    bench.control('a');
    bench.types("漢");
    assert_eq!((bench.rows()[23].as_str(), bench.cursor()), ("tea\u{203a} 漢one twotwo", (7, 23)));
    bench.press(KeyCode::Enter);
    bench.types("half");
    bench.press(KeyCode::Up);
    assert_eq!(bench.rows()[23], "tea\u{203a} 漢one twotwo");
    bench.press(KeyCode::Down);
    assert_eq!(bench.rows()[23], "tea\u{203a} half");
    bench.alt(KeyCode::Enter);
    bench.types("more");
    assert_eq!(bench.rows()[23], "tea\u{203a} half\u{21b5}more");
    // What is half typed is not lost at once.
    assert_eq!((bench.control('d'), bench.control('c')), (Deed::Nothing, Deed::Nothing));
    assert!(bench.shows("Ctrl-C again leaves; what you typed is"));
    bench.press(KeyCode::End);
    assert_eq!(bench.control('c'), Deed::Nothing);
    assert_eq!((bench.control('c'), bench.control('c')), (Deed::Leave, Deed::Leave));
    bench.control('u');
    assert_eq!((bench.control('d'), bench.control('c')), (Deed::Leave, Deed::Leave));
    // A long text is seen with its cursor.
    bench.types(&"word ".repeat(200));
    let (_, row) = bench.cursor();
    assert_eq!((row, bench.rows()[18].starts_with("tea\u{203a}")), (23, true));
}

#[test]
fn a_room_that_is_left_is_gone_and_one_where_a_name_is_called_comes_first() {
    let mut bench = Bench::in_room(80, 24);
    bench.says("den", "eve", "hello", 1);
    bench.says("attic", "eve", "hello, ann", 1);
    bench.alt(KeyCode::Char('a'));
    assert!(bench.rows()[0].starts_with(" #attic"));
    bench.alt(KeyCode::Char('a'));
    assert!(bench.rows()[0].starts_with(" #den"));
    bench.tell(Event::Selected { to: Some("attic".into()) });
    bench.tell(Event::Selected { to: Some("den".into()) });
    bench.asked();
    bench.types(":leave");
    bench.press(KeyCode::Enter);
    assert_eq!(bench.asked(), [line(":leave")]);
    assert!(!bench.shows("#den"));
    bench.tell(Event::Selected { to: Some("attic".into()) });
    assert!(bench.rows()[0].starts_with(" #attic"));
}

#[test]
fn anybody_may_write_under_any_number_of_names() {
    let mut bench = Bench::in_room(80, 24);
    for n in 0..1000 {
        bench.tell(Event::Message(said(Place::Direct, &format!("user{n}"), &"x".repeat(50_000), n)));
    }
    assert!(bench.view.windows.len() <= 100 && bench.view.known.len() <= 1024);
    let bytes: usize = bench.view.windows.iter().map(|window| window.bytes).sum();
    assert!(bytes <= 33 * 1024 * 1024, "{bytes}");
    bench.rows();
}
