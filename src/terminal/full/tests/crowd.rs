//! More conversations than are kept apart.

use super::*;

fn crowd() -> Bench {
    let mut bench = Bench::in_room(80, 24);
    for n in 0..99 {
        bench.tell(Event::Message(said(Place::Direct, &format!("friend{n}"), "hello", n)));
    }
    assert_eq!(bench.view.windows.len(), 100);
    bench.asked();
    bench
}

fn say(to: &str, text: &str) -> Typed {
    Typed::Say { to: Some(to.into()), text: text.into() }
}

fn enter(bench: &mut Bench, text: &str) {
    bench.types(text);
    bench.press(KeyCode::Enter);
}

#[test]
fn whoever_is_chosen_among_a_hundred_is_whom_texts_go_to() {
    let mut bench = crowd();
    for command in [":user lit", ":to kim"] {
        enter(&mut bench, command);
        enter(&mut bench, "psst");
        let to = format!("@{}", command.split(' ').nth(1).unwrap());
        assert_eq!(bench.asked(), [Typed::Line(command.into()), say(&to, "psst")]);
    }
    assert_eq!(bench.view.windows.len(), 100);
    assert!(bench.rows()[23].starts_with("kim\u{203a}"));
    // Those that were silent for longest made room.
    let names: Vec<_> = bench.view.windows.iter().filter_map(|window| window.key.name()).collect();
    assert!(names.contains(&"tea") && !names.contains(&"friend0") && !names.contains(&"friend1"), "{names:?}");
    assert!(names.contains(&"friend2"));
}

#[test]
fn where_none_can_make_room_it_is_said_and_nothing_is_sent() {
    let mut bench = Bench::in_room(80, 24);
    for n in 0..99 {
        bench.says(&format!("room{n}"), "eve", "hello", 1);
    }
    bench.asked();
    for command in [":user lit", ":enter den"] {
        enter(&mut bench, command);
        assert_eq!(bench.asked(), []);
        assert!(bench.shows("100 conversations are open"), "{:#?}", bench.rows());
        bench.control('u');
    }
    bench.tell(Event::Message(said(Place::Direct, "lit", "psst", 1)));
    assert!(bench.shows("#(direct) \u{2502} lit: psst"), "{:#?}", bench.rows());
    bench.says("den", "eve", "hello", 1);
    assert!(bench.shows("#den \u{2502} eve: hello"), "{:#?}", bench.rows());
}

#[test]
fn a_direct_message_is_never_taken_for_one_to_everybody() {
    let mut bench = crowd();
    bench.tell(Event::Message(said(Place::Direct, "lit", "psst", 1)));
    assert!(bench.shows("#(direct) \u{2502} lit: psst"), "{:#?}", bench.rows());
    // One that was read makes room.
    bench.alt(KeyCode::Char('2'));
    bench.alt(KeyCode::Char('1'));
    bench.tell(Event::Message(said(Place::Direct, "kim", "psst", 2)));
    let kim = bench.view.windows.iter().find(|window| window.key.name() == Some("kim")).unwrap();
    assert_eq!(kim.unread, 1);
    assert!(!bench.view.windows.iter().any(|window| window.key.name() == Some("friend0")));
}

#[test]
fn what_is_half_typed_or_waits_makes_no_room() {
    let mut bench = crowd();
    bench.alt(KeyCode::Char('2'));
    bench.types("half");
    bench.alt(KeyCode::Char('3'));
    bench.takes(Some("@friend1"), "waits");
    bench.alt(KeyCode::Char('1'));
    for n in 0..200 {
        enter(&mut bench, &format!(":user other{n}"));
        bench.asked();
    }
    let names: Vec<_> = bench.view.windows.iter().filter_map(|window| window.key.name()).collect();
    assert!(names.contains(&"friend0") && names.contains(&"friend1"), "{names:?}");
    assert_eq!(names.len(), 100);
}

#[test]
fn unread_conversations_are_named_as_far_as_there_is_room() {
    let mut bench = crowd();
    let rows = bench.rows();
    assert!(rows[22].contains("2:friend0(1)") && rows[22].contains("\u{2026} and 9"), "{}", rows[22]);
    assert!(rows[22].ends_with("more"), "{}", rows[22]);
}

#[test]
fn a_direct_conversation_is_closed_by_leaving_it() {
    let mut bench = Bench::in_room(80, 24);
    bench.tell(Event::Message(said(Place::Direct, "bob", "psst", 1)));
    bench.alt(KeyCode::Char('2'));
    bench.asked();
    enter(&mut bench, ":leave");
    assert_eq!(bench.asked(), [Typed::Ask(crate::client::Ask::Select { to: "#tea".into() })]);
    assert!(!bench.shows("@bob") && bench.rows()[23].starts_with("tea\u{203a}"), "{:#?}", bench.rows());
    enter(&mut bench, "hello");
    assert_eq!(bench.asked().pop(), Some(say("#tea", "hello")));
}

#[test]
fn a_room_that_there_is_not_leaves_one_error_and_no_window() {
    let mut bench = Bench::in_room(80, 24);
    enter(&mut bench, ":join den");
    assert_eq!(bench.asked(), [Typed::Line(":join den".into())]);
    bench.tell(Event::Selected { to: Some("den".into()) });
    assert_eq!(bench.asked(), []);
    let reason = "room den does not exist".to_owned();
    bench.tell(Event::Refused { reason, code: Some("no_room".into()) });
    bench.tell(Event::Selected { to: Some("tea".into()) });
    assert_eq!(bench.asked(), []);
    let rows = bench.rows();
    assert!(rows[0].starts_with(" #tea") && !rows.iter().any(|row| row.contains("#den")), "{rows:#?}");
    assert_eq!(rows.iter().filter(|row| row.contains(" ! \u{2502}")).count(), 1, "{rows:#?}");
    // One that there is, is asked about once one is there.
    enter(&mut bench, ":join attic");
    bench.tell(Event::Selected { to: Some("attic".into()) });
    let what = crate::client::Happened::Joined;
    bench.tell(Event::Happened { room: Some("attic".into()), user: "ann".into(), what });
    assert_eq!(bench.asked().len(), 3);
}

#[test]
fn what_came_while_the_help_stood_there_is_read_behind_it() {
    let mut bench = Bench::in_room(80, 24);
    bench.says("den", "eve", "hello", 1);
    bench.press(KeyCode::F(1));
    bench.says("tea", "bob", "hello", 1);
    assert!(bench.rows()[22].contains("1:tea(1)"), "{:#?}", bench.rows());
    bench.press(KeyCode::Esc);
    let rows = bench.rows();
    assert!(rows[22].contains("2:den(1)") && !rows[22].contains("tea("), "{rows:#?}");
    bench.alt(KeyCode::Char('a'));
    assert!(bench.rows()[0].starts_with(" #den"));
}

#[test]
fn a_list_that_never_came_does_not_swallow_the_next_one() {
    let lists = |bench: &mut Bench| {
        bench.tell(Event::Users { room: Some("tea".into()), names: vec!["ann".into(), "bob".into()] });
        bench.rows().iter().filter(|row| row.contains("2 in tea: ann, bob")).count()
    };
    // The connection broke before the answer.
    let mut bench = Bench::in_room(80, 24);
    bench.tell(Event::Lost { reason: "gone".into(), retry_in: std::time::Duration::from_secs(1) });
    bench.tell(Event::Connected { name: Some("ann".into()), resumed: Some(true) });
    assert_eq!(lists(&mut bench), 0, "what the screen asked for by itself");
    enter(&mut bench, ":users");
    assert_eq!(lists(&mut bench), 1);
    // The server would not tell.
    let mut bench = Bench::in_room(80, 24);
    bench.tell(Event::Refused { reason: "too many".into(), code: Some("busy".into()) });
    enter(&mut bench, ":users");
    assert_eq!(lists(&mut bench), 1);
}

#[test]
fn what_one_writes_to_oneself_is_not_said_in_the_room() {
    let mut bench = Bench::in_room(80, 24);
    let mut note = said(Place::Direct, "ann", "buy milk", 1);
    note.own = true;
    bench.tell(Event::Message(note));
    assert!(bench.shows(" 2 @ann") && !bench.shows("buy milk"), "{:#?}", bench.rows());
}
