//! What a line that was typed means.

use thiserror::Error;

use crate::name::{NameError, UserName};

/// One line of input.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Command<'a> {
    /// Nothing was typed.
    Nothing,
    /// Fetch and show the users.
    Update,
    /// Select whom the next texts go to.
    User(UserName),
    /// Show the commands.
    Help,
    /// Leave.
    Exit,
    /// Send this to the selected user.
    Text(&'a str),
}

/// A line that begins like a command and is none.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub(super) enum CommandError {
    #[error("unknown command {0}; :help shows the commands, and ::{1} sends a text that begins with a colon")]
    Unknown(String, String),
    #[error(":user needs a name, such as :user bob")]
    NoName,
    #[error("no user can have that name: {0}")]
    Name(#[from] NameError),
    #[error("{0} takes nothing behind it")]
    Surplus(&'static str),
}

/// Reads a line, without its line break.
pub(super) fn parse(line: &str) -> Result<Command<'_>, CommandError> {
    let Some(command) = line.strip_prefix(':') else {
        return Ok(if line.trim().is_empty() { Command::Nothing } else { Command::Text(line) });
    };
    if command.starts_with(':') {
        return Ok(Command::Text(command));
    }
    let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    let alone = |command, written| if rest.is_empty() { Ok(command) } else { Err(CommandError::Surplus(written)) };
    match word {
        "update" => alone(Command::Update, ":update"),
        "help" => alone(Command::Help, ":help"),
        "exit" => alone(Command::Exit, ":exit"),
        "user" if rest.is_empty() => Err(CommandError::NoName),
        "user" => Ok(Command::User(UserName::new(rest)?)),
        _ => Err(CommandError::Unknown(format!(":{word}"), command.to_owned())),
    }
}

/// The commands as they are completed; one that wants a name ends with a space.
pub(super) const COMMANDS: [&str; 4] = [":exit", ":help", ":update", ":user "];

/// What `:help` shows.
pub(super) const HELP: &str = "\
:user NAME   what you type from now on goes to NAME
:update      fetch and show the users
:help        show this
:exit        sign off and leave (so do Ctrl-D and Ctrl-C)
TEXT         send TEXT to the chosen user; ::TEXT sends a text that begins with a colon";

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Command<'static> {
        Command::User(UserName::new(name).unwrap())
    }

    #[test]
    fn commands_begin_with_a_colon() {
        for (line, command) in [
            (":update", Command::Update),
            (":update  ", Command::Update),
            (":help", Command::Help),
            (":exit", Command::Exit),
            (":user bob", user("bob")),
            (":user\t bob ", user("bob")),
        ] {
            assert_eq!(parse(line), Ok(command), "{line:?}");
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
        let error = |line: &str| parse(line).unwrap_err().to_string();
        assert!(error(":quit now").contains("unknown command :quit; :help"), "{}", error(":quit now"));
        assert!(error(":Exit").contains(":help"));
        assert!(error(":").contains(":help"));
        assert!(error(":user").contains(":user bob"));
        assert!(error(":user a b").contains("' ' is not allowed"));
        assert!(error(":exit now").contains(":exit takes nothing"));
    }

    #[test]
    fn every_command_is_in_the_help() {
        for command in COMMANDS {
            assert!(HELP.contains(command.trim()), "{command}");
        }
    }
}
