//! Texts and names that are much too long, and what was not said now.

use super::*;
use crate::client::Happened;
use crate::terminal::words::Word;

#[test]
fn a_message_of_thousands_of_lines_takes_a_screen_or_two() {
    let mut bench = Bench::in_room(80, 60);
    bench.says("tea", "eve", &"a\n".repeat(30_000), 1);
    bench.says("tea", "bob", "after", 2);
    assert!(bench.shows("\u{2026} 29961 more lines") && bench.shows("bob \u{2502} after"), "{:#?}", bench.rows());
    bench.says("tea", "eve", &format!("one{}two", "\n".repeat(5000)), 3);
    let rows = bench.rows();
    let one = rows.iter().position(|row| row.ends_with("\u{2502} one")).unwrap();
    assert!(rows[one + 2].ends_with("\u{2502} two"), "{rows:#?}");
}

#[test]
fn what_a_hostile_server_says_is_bounded_in_bytes() {
    let mut bench = Bench::in_room(80, 24);
    for seq in 1..=1000 {
        bench.says("tea", "eve", &"a\n".repeat(30_000), seq);
    }
    let bytes: usize = bench.view.windows.iter().map(|window| window.bytes).sum();
    assert!(bytes <= 32 * 1024 * 1024, "{bytes}");
    let kept: usize = bench.view.windows.iter().flat_map(|w| w.entries()).map(|entry| entry.text.capacity()).sum();
    assert!(kept <= bytes, "{kept}");
}

#[test]
fn users_are_listed_as_far_as_there_is_room() {
    let mut bench = Bench::in_room(120, 24);
    let name = |n: u32| format!("{n}{}", "x".repeat(500));
    for n in 0..10_100 {
        let what = Happened::Joined;
        bench.tell(Event::Happened { room: Some("tea".into()), user: name(n), what });
    }
    let window = &bench.view.windows[0];
    assert_eq!((window.users.len(), window.more_users), (10_000, 100));
    assert!(window.users.iter().all(|name| cells::width(name) <= 64));
    assert!(bench.rows()[0].contains("10100 here") && bench.shows("\u{2026} and 10080"), "{:#?}", bench.rows());
    let what = Happened::Left;
    bench.tell(Event::Happened { room: Some("tea".into()), user: name(5), what });
    assert!(bench.rows()[0].contains("10099 here"), "{:#?}", bench.rows());
}

#[test]
fn what_a_search_found_is_not_taken_for_new() {
    let mut bench = Bench::in_room(80, 24);
    let messages = vec![said(Place::Room("tea".into()), "bob", "old tea", 1)];
    let (room, text) = ("tea".to_owned(), "tea".to_owned());
    bench.tell(Event::Found { room, text, messages, from: None, before: None });
    let rows = bench.rows();
    let head = rows.iter().position(|row| row.contains(" 1 found in tea with tea ")).unwrap();
    assert!(rows[head + 1].contains("\u{25b8} 2023-11-1"), "{rows:#?}");
    assert!(rows[head + 1].contains("bob: old tea"), "{rows:#?}");
    assert!(!rows.iter().any(|row| row.contains("bob \u{2502}")), "{rows:#?}");
    // Nothing of it stays among what is said.
    bench.press(KeyCode::Esc);
    assert!(!bench.shows("found in tea") && !bench.shows("old tea"), "{:#?}", bench.rows());
}

#[test]
fn a_command_behind_a_slash_is_told_how_it_is_written() {
    let mut bench = Bench::in_room(80, 24);
    for (typed, wanted) in [("/join tea", ":join"), ("/quit", ":quit"), ("/msg x y", ":msg"), ("/part", ":leave")] {
        bench.types(typed);
        let wanted = format!("commands begin with a colon: {wanted}");
        assert!(bench.rows()[23].contains(&wanted), "{:#?}", bench.rows());
        bench.press(KeyCode::Enter);
        assert!(bench.rows()[..22].iter().any(|row| row.contains(&wanted)), "{:#?}", bench.rows());
        bench.control('l');
    }
    assert_eq!(bench.asked(), []);
    // What is there is found, whatever it is called like.
    bench.says("tea", "bob", "please join", 1);
    bench.types("/join");
    let row = bench.rows()[23].clone();
    assert!(row.contains("1/") && !row.contains("colon"), "{row}");
}

#[test]
fn what_is_pasted_where_little_is_asked_for_is_cut() {
    let mut bench = Bench::in_room(80, 24);
    bench.press(KeyCode::Char('/'));
    bench.view.typed(Input::Paste("漢".repeat(300_000)));
    let searched = bench.view.search.as_ref().unwrap().editor.text().len();
    assert!((1000..=1024).contains(&searched), "{searched}");
    bench.types("end");
    assert!(bench.rows()[23].contains("漢e  0/0"), "{:#?}", bench.rows());
    bench.press(KeyCode::Esc);
    bench.view.hear(Item::Told(Told::Asks { what: Word::AskNickname, or_none: false }));
    bench.view.typed(Input::Paste("ann".repeat(300_000)));
    let answered = bench.view.form.as_ref().unwrap().editor.text().len();
    assert!(answered <= 1024, "{answered}");
    assert!(bench.shows("annann"), "{:#?}", bench.rows());
}
