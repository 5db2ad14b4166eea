//! Command lines: one normaliser in front of `argh`, so that `--key=value`, `-h`, `--version`, `--listen_host` and
//! the two-letter options of older programs work, and a usage error ends with exit code 2.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, FromArgs, Optionality};

use super::guide;
use super::manual::{self, Shell};
use super::settings::{SHOWN, shown};
use super::words::Language;
use crate::text::{SafeText, beginning, distance};

/// Another spelling of an option: what is typed (`-lh`, `--ip`), and the option it means (`--listen-host`).
pub type Alias = (&'static str, &'static str);

/// Why a program ends before it began.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Exit {
    /// `--help` or `--version`: the text goes to stdout, the exit code is 0.
    Asked(String),
    /// An option or a setting is wrong: the text says which, where it came from and what would be right. It goes to
    /// stderr with a hint at `--help`, the exit code is 2.
    Usage(String),
}

impl Exit {
    /// A usage error.
    pub fn usage(text: impl fmt::Display) -> Self {
        Self::Usage(text.to_string())
    }

    /// Prints the text where it belongs and gives the exit code. `called`: the program, and its command if one was
    /// given (`talk-client room`), of which the help is what to read next.
    #[must_use]
    pub fn print(&self, called: &str) -> ExitCode {
        // A closed stdout or stderr leaves nobody to tell.
        match self {
            Self::Asked(text) => {
                let _ = writeln!(io::stdout(), "{}", text.trim_end());
                ExitCode::SUCCESS
            }
            Self::Usage(text) => {
                let (program, _) = called.split_once(' ').unwrap_or((called, ""));
                let text = SafeText(text.trim_end());
                let _ = writeln!(io::stderr(), "{program}: {text}\nTry '{called} --help'.");
                ExitCode::from(USAGE)
            }
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Asked(text) | Self::Usage(text)) = self;
        f.write_str(text)
    }
}

/// The program's arguments as text, without its name.
///
/// # Errors
/// [`Exit::Usage`] when one is not UTF-8.
pub fn arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<String>, Exit> {
    let as_text = |argument: OsString| {
        argument.into_string().map_err(|a| Exit::usage(format_args!("the argument {a:?} is not UTF-8")))
    };
    arguments.into_iter().skip(1).map(as_text).collect()
}

/// Reads a command line (without the program's name) into `T`.
///
/// Beyond what `argh` knows: `--key=value`; `_` for `-` in long options; `-h`; `-V` and `--version`; `aliases`, of which
/// one means the first option that the command has; a suggestion for a misspelt option or command. A value that begins
/// with `-` must be written `--key=-value`. The options of a command stand behind its name.
///
/// # Errors
/// [`Exit::Asked`] for help and version, [`Exit::Usage`] for anything that `T` does not take.
pub fn parse<T: FromArgs + ArgsInfo>(
    program: &str,
    version: &str,
    arguments: &[String],
    aliases: &[Alias],
) -> Result<T, Exit> {
    parse_in(Language::English, program, version, arguments, aliases)
}

/// The same, with the help in this language.
pub(super) fn parse_in<T: FromArgs + ArgsInfo>(
    language: Language,
    program: &str,
    version: &str,
    arguments: &[String],
    aliases: &[Alias],
) -> Result<T, Exit> {
    let info = T::get_args_info();
    let (line, command) = match normalise(program, &info, arguments, aliases)? {
        Line::Help(path, command) => (path.into_iter().chain(["--help".to_owned()]).collect(), command),
        Line::Version => return Err(Exit::Asked(format!("{program} {version}"))),
        Line::Completions(shell) => return Err(Exit::Asked(manual::completions(shell, program, &info))),
        Line::Man => return Err(Exit::Asked(manual::man(program, version, &info))),
        Line::Arguments(line, command) => (line, command),
    };
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    T::from_args(&[program], &line).map_err(|early| match early.status {
        Ok(()) => Exit::Asked(match language {
            Language::English => with_placeholders(&early.output, command.flags),
            Language::Russian => guide::help(&early.output, command),
        }),
        Err(()) => {
            let text = early.output.split_whitespace().collect::<Vec<_>>().join(" ");
            let what = |kind| text.strip_prefix(kind);
            match (what("Unrecognized argument: "), what("Required positional arguments not provided: ")) {
                (Some(surplus), _) => Exit::usage(format_args!("{} belongs to no option", shown(surplus))),
                (_, Some(missing)) => Exit::usage(format_args!("{} is missing", missing.to_uppercase())),
                (None, None) => Exit::Usage(text),
            }
        }
    })
}

/// What was called: the program, and the command if these arguments begin with one.
pub(super) fn called(program: &str, info: &CommandInfoWithArgs, arguments: &[String]) -> String {
    match arguments.first().filter(|first| info.commands.iter().any(|command| command.name == **first)) {
        Some(command) => format!("{program} {command}"),
        None => program.to_owned(),
    }
}

/// A command line in the one notation that `argh` takes, and the command that is meant.
#[derive(Debug, Eq, PartialEq)]
enum Line<'a> {
    Help(Vec<String>, &'a CommandInfoWithArgs),
    Version,
    Completions(Shell),
    Man,
    Arguments(Vec<String>, &'a CommandInfoWithArgs),
}

fn normalise<'a>(
    called: &str,
    program: &'a CommandInfoWithArgs,
    arguments: &[String],
    aliases: &[Alias],
) -> Result<Line<'a>, Exit> {
    let (mut command, mut path) = (program, Vec::new());
    let mut line = Vec::with_capacity(arguments.len());
    let mut given: Vec<&str> = Vec::new();
    let mut rest = arguments.iter().peekable();
    let mut dashes = 0;
    while let Some(argument) = rest.next() {
        if argument == "--" {
            line.push(argument.clone());
            line.extend(rest.cloned());
            break;
        }
        if !argument.starts_with('-') || argument == "-" {
            if !command.commands.is_empty() {
                if let Some(option) = given.first() {
                    return Err(Exit::usage(match subcommand(command, argument) {
                        Ok(_) => format!("the options of {argument} follow it: {argument} {option}"),
                        Err(_) => format!("{} belongs to no option", shown(argument)),
                    }));
                }
                command = subcommand(command, argument)?;
                path.push(argument.clone());
            }
            // It begins like an option, and is none: it stands for stdin or stdout.
            match argument.as_str() {
                "-" => dashes += 1,
                _ => line.push(argument.clone()),
            }
            continue;
        }
        let (typed, value) = match argument.split_once('=') {
            Some((typed, value)) => (typed, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        match typed {
            "-h" | "--help" => return Ok(Line::Help(path, command)),
            "-V" | "--version" => return Ok(Line::Version),
            _ => {}
        }
        let flag = find(command.flags, typed, aliases).ok_or_else(|| unknown(called, command, typed))?;
        if given.contains(&flag.long) && flag.optionality != Optionality::Repeating {
            return Err(Exit::usage(format_args!("{} is given twice", flag.long)));
        }
        given.push(flag.long);
        line.push(flag.long.to_owned());
        match (&flag.kind, value) {
            (FlagInfoKind::Switch, None) if flag.long == MAN => return Ok(Line::Man),
            (FlagInfoKind::Switch, None) => {}
            (FlagInfoKind::Switch, Some(_)) => {
                return Err(Exit::usage(format_args!("{typed} takes no value")));
            }
            (FlagInfoKind::Option { .. }, Some(value)) => line.push(value),
            (FlagInfoKind::Option { .. }, None) => {
                // No option has a space in it: a text does.
                let is_value =
                    |value: &str| !value.starts_with('-') || value == "-" || value.contains(char::is_whitespace);
                let value = rest.next_if(|value| is_value(value));
                let is_option = |next: &str| {
                    let next = next.split_once('=').map_or(next, |(typed, _)| typed);
                    ["-h", "--help", "-V", "--version"].contains(&next) || find(command.flags, next, aliases).is_some()
                };
                let next = rest.peek().map(|next| next.as_str()).filter(|next| !is_option(next));
                line.push(value.cloned().ok_or_else(|| no_value(typed, next))?);
            }
        }
        if flag.long == COMPLETIONS {
            let shell = line.last().and_then(|shell| Shell::named(shell));
            let shell = shell.ok_or_else(|| Exit::usage(format_args!("{COMPLETIONS} is for bash, zsh or fish")))?;
            return Ok(Line::Completions(shell));
        }
    }
    if dashes > 0 && !line.iter().any(|argument| argument == "--") {
        line.push("--".into());
    }
    line.extend(std::iter::repeat_n("-".to_owned(), dashes));
    Ok(Line::Arguments(line, command))
}

fn subcommand<'a>(command: &'a CommandInfoWithArgs, typed: &str) -> Result<&'a CommandInfoWithArgs, Exit> {
    let said = shown(typed);
    let names = || command.commands.iter().map(|known| known.name);
    if let Some(known) = command.commands.iter().find(|known| known.name == typed) {
        return Ok(&known.command);
    }
    Err(match names().map(|name| (distance(name, typed), name)).min() {
        Some((steps, name)) if steps <= MISSPELT => {
            Exit::usage(format_args!("{said} is no command; did you mean {name}?"))
        }
        _ => Exit::usage(format_args!("{said} is no command; there are {}", names().collect::<Vec<_>>().join(", "))),
    })
}

/// That an option has no value, and how one is given that looks like an option and cannot be one.
fn no_value(typed: &str, next: Option<&str>) -> Exit {
    // As it would be typed, where nothing has to be quoted.
    let plain = |next: &&str| next.len() <= MOST_SHOWN && next.bytes().all(|byte| byte.is_ascii_graphic());
    match next.filter(plain) {
        Some(next) => Exit::usage(format_args!(
            "{typed} needs a value; one that begins with '-' is written behind '=': {typed}={next}"
        )),
        None => Exit::usage(format_args!("{typed} needs a value")),
    }
}

fn find<'a>(flags: &'a [FlagInfo<'a>], typed: &str, aliases: &[Alias]) -> Option<&'a FlagInfo<'a>> {
    let known = |long: &str| flags.iter().find(|flag| flag.long == long);
    let meant = aliases.iter().filter(|(alias, _)| *alias == typed).find_map(|(_, long)| known(long));
    let short = typed.strip_prefix('-').and_then(|rest| {
        let mut characters = rest.chars();
        characters.next().filter(|_| characters.next().is_none())
    });
    let short = || flags.iter().find(|flag| short.is_some() && flag.short == short);
    meant.or_else(|| known(&typed.replace('_', "-"))).or_else(short)
}

fn unknown(program: &str, command: &CommandInfoWithArgs, typed: &str) -> Exit {
    // No alias of another program's: whoever types those knows the commands.
    if let Some(owner) = command.commands.iter().find(|owner| find(owner.command.flags, typed, &[]).is_some()) {
        return Exit::usage(format_args!("unknown option {typed}; did you mean {} {typed}?", owner.name));
    }
    if [COMPLETIONS, MAN].contains(&typed) {
        return Exit::usage(format_args!("{typed} stands before any command: {program} {typed}"));
    }
    let flags = command.flags;
    let typed = &beginning(typed, SHOWN);
    // Of those that are as near, the one that is as long.
    let near = |flag: &FlagInfo<'_>| (distance(flag.long, typed), flag.long.len().abs_diff(typed.len()));
    let near = flags.iter().map(|flag| (near(flag), flag.long)).min();
    match near {
        Some(((steps, _), long)) if steps <= MISSPELT => {
            Exit::usage(format_args!("unknown option {typed}; did you mean {long}?"))
        }
        _ => Exit::usage(format_args!("unknown option {typed}")),
    }
}

/// The help with a word for each value, which `argh` leaves away: `--port PORT`.
fn with_placeholders(help: &str, flags: &[FlagInfo<'_>]) -> String {
    let Some((before, rest)) = help.split_once(OPTIONS) else { return help.into() };
    let after = rest.find("\n\n").map_or("", |end| &rest[end..]);
    let lines: Vec<_> = manual::shown(flags).map(|option| (option.left(), option.description.to_owned())).collect();
    format!("{before}{OPTIONS}{}{after}", table(&lines))
}

/// Lines of two columns, each behind a line break, of which the right one is folded.
pub(super) fn table(lines: &[(String, String)]) -> String {
    let narrow = |left: usize| left <= LEFT;
    let column = lines.iter().map(|(left, _)| left.len()).filter(|left| narrow(*left)).max().unwrap_or(0) + 2;
    let mut table = String::new();
    for (left, description) in lines {
        let mut line = if narrow(left.len()) {
            format!("\n{left:column$}")
        } else {
            // What is so long has a line for itself.
            format!("\n{left}\n{:column$}", "")
        };
        let mut width = column;
        for word in description.split_whitespace() {
            let length = word.chars().count() + 1;
            if width + length > WIDTH && width > column {
                table.push_str(line.trim_end_matches(' '));
                (line, width) = (format!("\n{:column$}", ""), column);
            }
            line.push_str(word);
            line.push(' ');
            width += length;
        }
        table.push_str(line.trim_end_matches(' '));
    }
    table
}

/// Options that every program may have, which print something made of the help.
const COMPLETIONS: &str = "--completions";
const MAN: &str = "--man";
/// Above what `argh` says of the options.
const OPTIONS: &str = "\nOptions:";
/// Characters of an option with its value beside which its description has room.
const LEFT: usize = 30;
/// Characters in a line of the help.
pub(super) const WIDTH: usize = 80;
/// Bytes of a value that is shown as part of a command.
const MOST_SHOWN: usize = 40;
/// The exit code of a usage error, as shells and most programs have it.
pub(super) const USAGE: u8 = 2;
/// How many letters off a word may be to be suggested.
pub(super) const MISSPELT: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// Listens.
    #[derive(ArgsInfo, Debug, FromArgs, PartialEq)]
    struct Options {
        /// where to listen
        #[argh(option, short = 'l', arg_name = "host")]
        listen_host: Option<String>,
        /// the port
        #[argh(option, default = "80")]
        port: u16,
        /// peers
        #[argh(option, arg_name = "name@protocol://host:port")]
        peer: Vec<String>,
        /// says more
        #[argh(switch, short = 'v')]
        verbose: bool,
    }

    const ALIASES: &[Alias] = &[("-lh", "--listen-host"), ("--ip", "--listen-host")];

    fn read(line: &str) -> Result<Options, Exit> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse("prog", "1.2.3", &arguments, ALIASES)
    }

    fn usage(line: &str) -> String {
        match read(line) {
            Err(Exit::Usage(text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_spelling_of_an_option_means_the_same() {
        let host = Some("h".to_owned());
        for line in [
            "--listen-host h",
            "--listen-host=h",
            "--listen_host h",
            "--listen_host=h",
            "-l h",
            "-l=h",
            "-lh h",
            "-lh=h",
            "--ip=h",
        ] {
            assert_eq!(read(line).unwrap().listen_host, host, "{line}");
        }
    }

    #[test]
    fn a_value_after_the_equals_sign_is_taken_as_it_is() {
        assert_eq!(read("--listen-host=--port=1").unwrap().listen_host.unwrap(), "--port=1");
        assert_eq!(read("--listen-host=").unwrap().listen_host.unwrap(), "");
        assert_eq!(read("--listen-host -").unwrap().listen_host.unwrap(), "-");
        // A text may begin with a dash, as a line of a list does.
        for text in ["- done", "--- done ---", "-1 left"] {
            let arguments = ["--listen-host".to_owned(), text.to_owned()];
            let taken: Options = parse("prog", "1.2.3", &arguments, &[("-lh", "--listen-host")]).unwrap();
            assert_eq!(taken.listen_host.unwrap(), text);
        }
    }

    #[test]
    fn repeating_options_repeat_and_others_do_not() {
        assert_eq!(read("--peer a --peer=b").unwrap().peer, ["a", "b"]);
        assert_eq!(usage("--ip=a -lh b"), "--listen-host is given twice");
        assert!(read("-v").unwrap().verbose);
    }

    #[test]
    fn mistakes_are_told_apart() {
        assert_eq!(usage("--prot=1"), "unknown option --prot; did you mean --port?");
        assert_eq!(usage("-x"), "unknown option -x");
        assert_eq!(usage("--port"), "--port needs a value");
        assert_eq!(usage("--port --verbose"), "--port needs a value");
        assert_eq!(
            usage("--port -1"),
            "--port needs a value; one that begins with '-' is written behind '=': --port=-1"
        );
        assert!(usage("--listen-host -lan").ends_with("is written behind '=': --listen-host=-lan"));
        for option in ["--port=1", "-l", "-lh", "-h", "--version"] {
            assert_eq!(usage(&format!("--ip {option}")), "--ip needs a value");
        }
        assert_eq!(usage("--ip -\u{1b}"), "--ip needs a value");
        assert_eq!(usage("--verbose=yes"), "--verbose takes no value");
        assert!(usage("--port=x").contains("--port"), "{}", usage("--port=x"));
        assert_eq!(usage("surplus"), "\"surplus\" belongs to no option");
    }

    /// Does things.
    #[derive(ArgsInfo, Debug, FromArgs, PartialEq)]
    struct Program {
        /// the port
        #[argh(option)]
        port: Option<u16>,
        #[argh(subcommand)]
        mode: Option<Mode>,
    }

    #[derive(ArgsInfo, Debug, FromArgs, PartialEq)]
    #[argh(subcommand)]
    enum Mode {
        Hear(Hear),
        Write(Write),
    }

    /// Hears.
    #[derive(ArgsInfo, Debug, FromArgs, PartialEq)]
    #[argh(subcommand, name = "hear", help_triggers("-h", "--help"))]
    struct Hear {
        /// where
        #[argh(option)]
        listen_host: Option<String>,
    }

    /// Writes.
    #[derive(ArgsInfo, Debug, FromArgs, PartialEq)]
    #[argh(subcommand, name = "write", help_triggers("-h", "--help"))]
    struct Write {
        /// where
        #[argh(option)]
        host: Option<String>,
    }

    fn program(line: &str) -> Result<Program, Exit> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse("prog", "1.2.3", &arguments, &[("-lh", "--listen-host"), ("-lh", "--host")])
    }

    #[test]
    fn a_command_has_its_own_options_in_every_spelling() {
        let port = |port| Program { port, mode: None };
        assert_eq!((program("").unwrap(), program("--port=1").unwrap()), (port(None), port(Some(1))));
        for line in ["hear --listen_host=h", "hear -lh h", "hear --listen-host h"] {
            let mode = Mode::Hear(Hear { listen_host: Some("h".into()) });
            assert_eq!(program(line).unwrap().mode, Some(mode), "{line}");
        }
        let mode = Mode::Write(Write { host: Some("h".into()) });
        assert_eq!(program("write -lh=h").unwrap().mode, Some(mode));
    }

    #[test]
    fn mistakes_with_commands_are_told_apart() {
        let usage = |line: &str| match program(line) {
            Err(Exit::Usage(text)) => text,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(usage("haer"), "\"haer\" is no command; did you mean hear?");
        assert_eq!(usage("something"), "\"something\" is no command; there are hear, write");
        assert_eq!(usage("hear --port=1"), "unknown option --port");
        assert_eq!(usage("--port=1 surplus"), "\"surplus\" belongs to no option");
        assert_eq!(usage("--port=1 hear"), "the options of hear follow it: hear --port");
        assert_eq!(usage("hear write"), "\"write\" belongs to no option");
    }

    #[test]
    fn the_help_names_the_commands_and_each_has_its_own() {
        let help = |line: &str| match program(line) {
            Err(Exit::Asked(text)) => text,
            other => panic!("{line}: {other:?}"),
        };
        let all = help("-h");
        assert!(all.contains("  hear") && all.contains("--port PORT") && !all.contains("--listen-host"), "{all}");
        let one = help("hear --help");
        assert!(one.contains("Usage: prog hear") && one.contains("--listen-host LISTEN"), "{one}");
        assert!(!one.contains("--port"), "{one}");
    }

    #[test]
    fn help_and_version_win_over_what_follows() {
        for line in ["-h", "--help", "--port 1 -h --nonsense"] {
            let Err(Exit::Asked(text)) = read(line) else { panic!("{line}") };
            assert!(text.contains("Usage: prog") && text.contains("-l, --listen-host HOST"), "{text}");
            assert!(text.contains("  --port PORT") && text.contains("  -v, --verbose  "), "{text}");
            assert_eq!(text.matches("--help").count(), 1, "{text}");
            let aside = "\n  --peer NAME@PROTOCOL://HOST:PORT\n                          peers\n";
            assert!(text.contains(aside), "{text}");
        }
        for line in ["-V", "--version"] {
            assert_eq!(read(line), Err(Exit::Asked("prog 1.2.3".into())));
        }
    }

    #[test]
    fn after_two_dashes_nothing_is_an_option() {
        assert!(usage("-- -h").contains("-h"));
    }

    #[test]
    fn arguments_must_be_utf_8() {
        assert_eq!(arguments(["prog".into(), "a".into()]), Ok(vec!["a".to_owned()]));
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt;
            let bad = OsString::from_vec(vec![b'a', 0xff]);
            assert!(matches!(arguments(["prog".into(), bad]), Err(Exit::Usage(_))));
        }
    }
}
