//! What a line that was typed means: one table for every mode, of which each has what its protocol can do.

use super::words::{Language, Word};
use crate::client::Ability;

/// One line of input.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Command<'a> {
    /// Nothing was typed.
    Nothing,
    /// Say this.
    Text(&'a str),
    Help,
    Exit,
    Status,
    /// Show the users.
    Users,
    /// What is typed from now on goes to this user, or room.
    User(&'a str),
    /// Send a text to a user alone.
    Direct(&'a str, &'a str),
    Rooms,
    Enter(&'a str),
    Create(&'a str),
    /// Leave a room; the one that texts go to, if none is named.
    Leave(Option<&'a str>),
    Rename(&'a str),
    History(Option<usize>),
    Search(&'a str),
    /// Older messages of the last search.
    More,
    Own(&'a str),
}

/// A line that begins like a command and is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct CommandError {
    word: Word,
    places: [String; 2],
}

impl CommandError {
    fn new(word: Word, command: &str, rest: &str) -> Self {
        Self { word, places: [command.to_owned(), rest.to_owned()] }
    }

    /// What is wrong with it.
    pub(super) fn say(&self, language: Language) -> String {
        language.say(self.word, &[&self.places[0], &self.places[1]])
    }
}

/// The commands of a mode.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    entries: Vec<&'static Entry>,
}

/// One row of the table.
#[derive(Debug)]
struct Entry {
    name: &'static str,
    others: &'static [&'static str],
    takes: Takes,
    needs: Needs,
    help: Word,
}

/// What stands behind a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Takes {
    Nothing,
    Name,
    NameAndText,
    Room,
    MaybeRoom,
    MaybeCount,
    Text,
    Command,
}

/// Where there is a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Needs {
    Nothing,
    Can(Ability),
}

impl Commands {
    /// Those of a peer.
    pub(super) fn of_peer() -> Self {
        Self::of_client(|ability| matches!(ability, Ability::Users | Ability::Select | Ability::Direct))
    }

    /// Those of a client that can do this much.
    pub(super) fn of_client(can: impl Fn(Ability) -> bool) -> Self {
        let has = |needs| match needs {
            Needs::Nothing => true,
            Needs::Can(ability) => can(ability),
        };
        Self { entries: TABLE.iter().filter(|entry| has(entry.needs)).collect() }
    }

    /// Reads a line, without its line break.
    ///
    /// # Errors
    /// [`CommandError`] for what begins with a colon and is no command here.
    pub(super) fn parse<'a>(&self, line: &'a str) -> Result<Command<'a>, CommandError> {
        let Some(command) = line.strip_prefix(':') else {
            return Ok(if line.trim().is_empty() { Command::Nothing } else { Command::Text(line) });
        };
        if command.starts_with(':') {
            return Ok(Command::Text(command));
        }
        let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let is = |entry: &&&Entry| entry.name == word || entry.others.contains(&word);
        let Some(entry) = self.entries.iter().find(is) else {
            return Err(CommandError::new(Word::Unknown, &format!(":{word}"), command));
        };
        entry.read(rest.trim()).map_err(|error| CommandError::new(error, &format!(":{word}"), rest))
    }

    /// Whether there is a command of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name || entry.others.contains(&name))
    }

    /// The commands as they are completed; one that wants something behind it ends with a space.
    pub(super) fn completions(&self) -> Vec<String> {
        let space = |entry: &Entry| if entry.takes == Takes::Nothing { "" } else { " " };
        let mut all: Vec<_> = self.entries.iter().map(|entry| format!(":{}{}", entry.name, space(entry))).collect();
        all.sort_unstable();
        all
    }

    /// The other names of commands, completed where no command begins so.
    pub(super) fn other_completions(&self) -> Vec<String> {
        let named = self.entries.iter().flat_map(|entry| entry.others.iter().map(move |other| (entry, other)));
        // The colon behind one is a habit of pair chat.
        let named = named.filter(|(_, other)| !other.ends_with(':'));
        let space = |entry: &Entry| if entry.takes == Takes::Nothing { "" } else { " " };
        let mut all: Vec<_> = named.map(|(entry, other)| format!(":{other}{}", space(entry))).collect();
        all.sort_unstable();
        all
    }

    /// Whether what follows this beginning of a line is somebody's name, or a room's; where that begins.
    pub(super) fn names_at(&self, typed: &str) -> Option<usize> {
        let (word, rest) = typed.strip_prefix(':')?.split_once(' ')?;
        let is = |entry: &&&Entry| entry.name == word || entry.others.contains(&word);
        let entry = self.entries.iter().find(is)?;
        let named = matches!(entry.takes, Takes::Name | Takes::NameAndText | Takes::Room | Takes::MaybeRoom);
        named.then(|| typed.len() - rest.trim_start().len())
    }

    /// What `:help` shows, a command a line.
    pub(super) fn help(&self, language: Language) -> String {
        let written = |entry: &Entry| {
            let takes = match entry.takes {
                Takes::Nothing => return format!(":{}", entry.name),
                Takes::Name => language.text(Word::Name).to_owned(),
                Takes::NameAndText => format!("{} {}", language.text(Word::Name), language.text(Word::Text)),
                Takes::Room => language.text(Word::Room).to_owned(),
                Takes::MaybeRoom => format!("[{}]", language.text(Word::Room)),
                Takes::MaybeCount => format!("[{}]", language.text(Word::Count)),
                Takes::Text => language.text(Word::Text).to_owned(),
                Takes::Command => language.text(Word::Command).to_owned(),
            };
            format!(":{} {takes}", entry.name)
        };
        let described = |entry: &Entry| {
            let help = language.text(entry.help);
            // The colon behind it is a habit of pair chat.
            let others = entry.others.iter().filter(|other| !other.ends_with(':')).map(|other| format!(":{other}"));
            match others.collect::<Vec<_>>() {
                others if others.is_empty() => help.to_owned(),
                others => language.say(Word::HelpAlso, &[&help, &others.join(", ")]),
            }
        };
        let mut lines: Vec<_> = self.entries.iter().map(|entry| (written(entry), described(entry))).collect();
        lines.push((language.text(Word::Text).to_owned(), language.text(Word::HelpText).to_owned()));
        let width = lines.iter().map(|(left, _)| left.chars().count()).max().unwrap_or_default() + 2;
        let lines: Vec<_> = lines.into_iter().map(|(left, help)| format!("{left:width$}{help}")).collect();
        lines.join("\n")
    }
}

impl Entry {
    fn read<'a>(&self, rest: &'a str) -> Result<Command<'a>, Word> {
        let wanted = match self.takes {
            Takes::Nothing if !rest.is_empty() => return Err(Word::Surplus),
            Takes::Name => Some(Word::NeedsName),
            Takes::Room => Some(Word::NeedsRoom),
            Takes::Text | Takes::Command => Some(Word::NeedsText),
            _ => None,
        };
        if let Some(wanted) = wanted.filter(|_| rest.is_empty()) {
            return Err(wanted);
        }
        let some = || Some(rest).filter(|rest| !rest.is_empty());
        Ok(match self.name {
            "user" => Command::User(unquoted(rest)),
            "update" => Command::Users,
            "message" => {
                let (name, text) = name_and_text(rest).ok_or(Word::NeedsNameAndText)?;
                Command::Direct(name, text)
            }
            "rooms" => Command::Rooms,
            "enter" => Command::Enter(rest),
            "create" => Command::Create(rest),
            "leave" => Command::Leave(some()),
            "nick" => Command::Rename(unquoted(rest)),
            "history" => Command::History(some().map(count).transpose()?),
            "search" => Command::Search(rest),
            "more" => Command::More,
            "do" => Command::Own(rest),
            "status" => Command::Status,
            "exit" => Command::Exit,
            _ => Command::Help,
        })
    }
}

fn count(typed: &str) -> Result<usize, Word> {
    typed.parse().ok().filter(|count| (1..=MOST).contains(count)).ok_or(Word::NoCount)
}

fn unquoted(name: &str) -> &str {
    name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).filter(|name| !name.is_empty()).unwrap_or(name)
}

fn name_and_text(rest: &str) -> Option<(&str, &str)> {
    let (name, text) = match rest.strip_prefix('"') {
        Some(rest) => rest.split_once('"')?,
        None => rest.split_once(char::is_whitespace)?,
    };
    let text = text.trim_start();
    (!name.is_empty() && !text.is_empty()).then_some((name, text))
}

/// Every command that there is, in the order of the help.
const TABLE: &[Entry] = &[
    entry("user", &["to"], Takes::Name, Needs::Can(Ability::Select), Word::HelpUser),
    entry("message", &["msg"], Takes::NameAndText, Needs::Can(Ability::Direct), Word::HelpMessage),
    entry("update", &["users"], Takes::Nothing, Needs::Can(Ability::Users), Word::HelpUpdate),
    entry("rooms", &[], Takes::Nothing, Needs::Can(Ability::Rooms), Word::HelpRooms),
    entry("enter", &["join"], Takes::Room, Needs::Can(Ability::Enter), Word::HelpEnter),
    entry("create", &[], Takes::Room, Needs::Can(Ability::Create), Word::HelpCreate),
    entry("leave", &[], Takes::MaybeRoom, Needs::Can(Ability::Leave), Word::HelpLeave),
    entry("nick", &[], Takes::Name, Needs::Can(Ability::Rename), Word::HelpNick),
    entry("history", &[], Takes::MaybeCount, Needs::Can(Ability::History), Word::HelpHistory),
    entry("search", &[], Takes::Text, Needs::Can(Ability::Search), Word::HelpSearch),
    entry("more", &[], Takes::Nothing, Needs::Can(Ability::Search), Word::HelpMore),
    entry("do", &[], Takes::Command, Needs::Can(Ability::Own), Word::HelpDo),
    entry("status", &[], Takes::Nothing, Needs::Nothing, Word::HelpStatus),
    entry("help", &[], Takes::Nothing, Needs::Nothing, Word::HelpHelp),
    entry("exit", &["quit", "quit:"], Takes::Nothing, Needs::Nothing, Word::HelpExit),
];

const fn entry(name: &'static str, others: &'static [&'static str], takes: Takes, needs: Needs, help: Word) -> Entry {
    Entry { name, others, takes, needs, help }
}

/// Messages that one `:history` shows at most.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command<'_>, String> {
        Commands::of_peer().parse(line).map_err(|error| error.say(Language::English))
    }

    fn all(line: &str) -> Result<Command<'_>, String> {
        Commands::of_client(|_| true).parse(line).map_err(|error| error.say(Language::English))
    }

    #[test]
    fn commands_begin_with_a_colon() {
        for (line, command) in [
            (":update", Command::Users),
            (":update  ", Command::Users),
            (":help", Command::Help),
            (":exit", Command::Exit),
            (":user bob", Command::User("bob")),
            (":user\t bob ", Command::User("bob")),
        ] {
            assert_eq!(parse(line), Ok(command.clone()), "{line:?}");
            assert_eq!(all(line), Ok(command), "{line:?}");
        }
    }

    #[test]
    fn everything_else_is_text_as_it_was_typed() {
        for text in ["hi", " :exit", "hi :exit", "  two  spaces ", "12:30", "привет 👋"] {
            assert_eq!(parse(text), Ok(Command::Text(text)));
        }
        for blank in ["", " ", "\t"] {
            assert_eq!(parse(blank), Ok(Command::Nothing));
        }
    }

    #[test]
    fn two_colons_send_a_text_that_begins_with_one() {
        assert_eq!(parse("::exit"), Ok(Command::Text(":exit")));
        assert_eq!(parse(":::"), Ok(Command::Text("::")));
        assert_eq!(parse("::"), Ok(Command::Text(":")));
    }

    #[test]
    fn what_is_no_command_is_an_error_that_helps() {
        let error = |line: &str| parse(line).unwrap_err();
        assert!(error(":quite now").contains("unknown command :quite; :help"), "{}", error(":quite now"));
        assert!(error(":Exit").contains(":help"));
        assert!(error(":").contains(":help"));
        assert!(error(":user").contains(":user bob"));
        assert!(error(":exit now").contains(":exit takes nothing"));
        assert!(error(":rooms").contains("unknown"), "a peer has no rooms");
        let error = |line: &str| all(line).unwrap_err();
        assert_eq!(error(":to"), ":to needs a name, such as :to bob");
        assert_eq!(error(":join"), ":join needs a room, such as :join tea");
        for (line, wanted) in [(":msg bob", "a name and a text"), (":search", "a text"), (":history 0", "1 to 1000")] {
            assert!(error(line).contains(wanted), "{}", error(line));
        }
    }

    #[test]
    fn a_peer_has_what_every_mode_has_under_every_name() {
        for (line, command) in [
            (":to bob", Command::User("bob")),
            (":users", Command::Users),
            (":quit", Command::Exit),
            (":quit:", Command::Exit),
            (":status", Command::Status),
            (":msg bob hi", Command::Direct("bob", "hi")),
        ] {
            assert_eq!(parse(line), Ok(command), "{line:?}");
        }
        let help = Commands::of_peer().help(Language::English);
        for also in ["(also :to)", "(also :users)", "(also :quit)", "(also :msg)"] {
            assert!(help.contains(also), "{also}: {help}");
        }
        assert!(!help.contains(":quit:"), "{help}");
    }

    #[test]
    fn a_client_has_the_commands_of_its_protocol() {
        for (line, command) in [
            (":to \"zoë b\"", Command::User("zoë b")),
            (":msg bob  hi  you", Command::Direct("bob", "hi  you")),
            (":message \"zoë b\" hi", Command::Direct("zoë b", "hi")),
            (":join tea", Command::Enter("tea")),
            (":leave", Command::Leave(None)),
            (":leave tea", Command::Leave(Some("tea"))),
            (":history 5", Command::History(Some(5))),
            (":history", Command::History(None)),
            (":search a b", Command::Search("a b")),
            (":more", Command::More),
            (":do current_time", Command::Own("current_time")),
            (":quit:", Command::Exit),
            (":quit", Command::Exit),
            (":users", Command::Users),
        ] {
            assert_eq!(all(line), Ok(command), "{line:?}");
        }
        let few = Commands::of_client(|ability| ability == Ability::Own);
        assert!(few.parse(":rooms").is_err() && few.parse(":do x").is_ok() && few.parse(":status").is_ok());
    }

    #[test]
    fn every_command_of_a_mode_is_in_its_help_and_no_other() {
        for language in [Language::English, Language::Russian] {
            for commands in [Commands::of_peer(), Commands::of_client(|_| true)] {
                let help = commands.help(language);
                assert_eq!(help.lines().count(), commands.entries.len() + 1, "{help}");
                for command in commands.completions() {
                    assert!(help.lines().any(|line| line.starts_with(command.trim_end())), "{command}");
                }
            }
        }
        assert!(!Commands::of_peer().help(Language::English).contains(":rooms"));
    }

    #[test]
    fn the_help_says_how_a_search_is_written() {
        for (language, words) in [(Language::English, "\"two words\""), (Language::Russian, "\"два слова\"")] {
            let help = Commands::of_client(|_| true).help(language);
            let search = help.lines().find(|line| line.starts_with(":search")).unwrap();
            assert!(search.contains("* ") && search.contains(words), "{search}");
            assert!(help.lines().any(|line| line.starts_with(":more ")), "{help}");
        }
    }

    #[test]
    fn no_two_commands_have_one_name() {
        let mut names: Vec<_> = TABLE.iter().flat_map(|entry| entry.others.iter().chain([&entry.name])).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_manual_lists_every_command_under_every_name() {
        let manual = include_str!("../../docs/clients.md");
        let table = manual.lines().skip_while(|line| *line != "| command | also | what it does |").skip(2);
        let rows: Vec<_> = table.take_while(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), TABLE.len());
        for (row, entry) in rows.into_iter().zip(TABLE) {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let is = |end: &str| cells[1].starts_with(&format!("`:{}{end}", entry.name));
            assert!(if entry.takes == Takes::Nothing { is("`") } else { is(" ") }, "{row}");
            let others: Vec<_> = entry.others.iter().map(|other| format!("`:{other}`")).collect();
            assert_eq!(cells[2], others.join(", "), "{row}");
        }
        let of_peers = manual.lines().find(|line| line.starts_with("Among peers there are ")).unwrap();
        for entry in TABLE {
            let there = of_peers.contains(&format!("`:{}`", entry.name));
            assert_eq!(there, Commands::of_peer().has(entry.name), "{}", entry.name);
        }
    }
}
