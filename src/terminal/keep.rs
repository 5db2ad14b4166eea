//! What `talk-server` does with what it keeps, beside serving: `export`, `import` and `backup`.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use tokio::task::spawn_blocking;

use super::options::{Exit, MISSPELT};
use super::settings::shown;
use super::signals::Signals;
use super::start::INTERRUPTED;
use crate::files::{take_away_partials, write_new};
use crate::limits::Limits;
use crate::message::RoomKey;
use crate::name::Nickname;
use crate::store::{BackupError, ExchangeError, backup, export_history, import_history, is_kept, user_named};
use crate::text::distance;

/// Something to be done with a data directory, and then the program ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Keeping {
    /// Write rooms as lines of JSON.
    Export {
        /// Which; none means all that have a name.
        rooms: Vec<Wanted>,
        /// The file; `None` is stdout.
        to: Option<PathBuf>,
    },
    /// Take such lines in.
    Import {
        /// The file; `None` is stdin.
        from: Option<PathBuf>,
    },
    /// Copy everything to another directory.
    Backup {
        /// Which.
        to: PathBuf,
    },
}

/// What is to be exported.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// A room, or what was said alone to the user with this id.
    Room(RoomKey),
    /// What was said alone to the user who is called so.
    User(Nickname),
}

/// Write what was said in rooms as lines of JSON.
#[derive(ArgsInfo, Debug, FromArgs)]
#[argh(
    subcommand,
    name = "export",
    help_triggers("-h", "--help"),
    usage = "[OPTIONS] FILE",
    example = "talk-server export rooms.jsonl\ntalk-server export --room den - | gzip > den.jsonl.gz\ntalk-server export --room @bob to-bob.jsonl",
    note = "Each line has a checksum. A server may go on with the same directory\nmeanwhile.",
    note = "What was said to a user alone is the room @NAME, for as long as they are\ncalled so, or @ID: the \"user\" in each line that they said themselves."
)]
pub(super) struct Export {
    /// only this room; repeat it for more. Without, all rooms are meant, and no direct messages: those to a user are the
    /// room @NAME or @ID
    #[argh(option, arg_name = "room")]
    room: Vec<String>,
    /// the directory that the messages are kept in (default as for talk-server)
    #[argh(option, arg_name = "dir")]
    data: Option<String>,
    /// read settings from this TOML file, which must exist
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// where to write: a file that is not there yet, or - for stdout
    #[argh(positional, arg_name = "file")]
    to: String,
}

/// Take in what export wrote.
#[derive(ArgsInfo, Debug, FromArgs)]
#[argh(
    subcommand,
    name = "import",
    help_triggers("-h", "--help"),
    usage = "[OPTIONS] FILE",
    example = "talk-server import rooms.jsonl\ngunzip -c den.jsonl.gz | talk-server import -",
    note = "It takes all of it, or with any damage nothing. What is there already stays,\nso importing again does no harm. No server may run on the directory."
)]
pub(super) struct Import {
    /// the directory to keep the messages in (default as for talk-server)
    #[argh(option, arg_name = "dir")]
    data: Option<String>,
    /// read settings from this TOML file, which must exist
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// what to read: a file, or - for stdin
    #[argh(positional, arg_name = "file")]
    from: String,
}

/// Copy everything that a server keeps, while it runs.
#[derive(ArgsInfo, Debug, FromArgs)]
#[argh(
    subcommand,
    name = "backup",
    help_triggers("-h", "--help"),
    usage = "[OPTIONS] DIR",
    example = "talk-server backup /backup/2026-11-21\ncp -a /backup/2026-11-21 restored; talk-server --data restored",
    note = "The copy is checked, and has its name only then. The directory that it is in\nmust be there. To restore it, start a server on a copy of it: on the backup\nitself it would change it."
)]
pub(super) struct Backup {
    /// the directory to copy (default as for talk-server)
    #[argh(option, arg_name = "dir")]
    data: Option<String>,
    /// read settings from this TOML file, which must exist
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// where to put the copy: a directory that is not there yet, or is empty
    #[argh(positional, arg_name = "dir")]
    to: String,
}

/// The commands of `talk-server`.
#[derive(ArgsInfo, Debug, FromArgs)]
#[argh(subcommand)]
pub(super) enum Command {
    Export(Export),
    Import(Import),
    Backup(Backup),
}

impl Command {
    /// What was asked for, and `--data` and `--config` with it.
    pub(super) fn read(self) -> Result<(Keeping, Option<String>, Option<String>), Exit> {
        let stream = |path: String| (path != "-").then(|| PathBuf::from(path));
        Ok(match self {
            Self::Export(Export { room, data, config, to }) => {
                let rooms = room.iter().map(|room| wanted(room)).collect::<Result<_, _>>()?;
                (Keeping::Export { rooms, to: stream(to) }, data, config)
            }
            Self::Import(Import { data, config, from }) => (Keeping::Import { from: stream(from) }, data, config),
            Self::Backup(Backup { data, config, to }) => (Keeping::Backup { to: to.into() }, data, config),
        })
    }
}

/// Refuses a first word that is no command and not nearly one: mostly an option's value without its option.
pub(super) fn refuse_strays(arguments: &[String]) -> Result<(), Exit> {
    let Some(word) = arguments.first().filter(|word| !word.starts_with('-')) else { return Ok(()) };
    if COMMANDS.iter().any(|command| distance(command, word) <= MISSPELT) {
        return Ok(());
    }
    let commands = COMMANDS.join(", ");
    Err(Exit::usage(format_args!("{} belongs to no option; the commands are {commands}", shown(word))))
}

/// Does it, and says on stderr what was done. After a signal it is given up, and what is not whole yet is taken away; a second
/// one does not wait for that.
///
/// # Errors
/// Why it was not done, or why no signals are heard.
///
/// # Cancel safety
/// Dropped before it is ready, the work goes on, and nothing is said of it.
pub async fn keep(keeping: Keeping, dir: PathBuf, limits: Limits) -> Result<ExitCode, String> {
    let mut signals = Signals::without_hangup().map_err(|error| format!("cannot listen for signals: {error}"))?;
    tokio::select! {
        done = spawn_blocking(move || carry_out(&keeping, &dir, &limits)) => {
            say(done.map_err(|error| error.to_string())??);
            return Ok(ExitCode::SUCCESS);
        }
        () = signals.next() => {}
    }
    tokio::select! {
        _ = spawn_blocking(take_away_partials) => {}
        () = signals.next() => {}
    }
    Ok(ExitCode::from(INTERRUPTED))
}

fn carry_out(keeping: &Keeping, dir: &Path, limits: &Limits) -> Result<String, String> {
    Ok(match keeping {
        Keeping::Export { rooms, to } => export(dir, rooms, to.as_deref())?,
        Keeping::Import { from } => {
            let place = from.as_ref().map_or("stdin".into(), |path| path.display().to_string());
            let failed = |error: ExchangeError| match error {
                ExchangeError::Store(error) => format!("{}: {error}", dir.display()),
                // Whatever is an export begins well.
                ExchangeError::Line { line: 1, what } => {
                    format!("{place} is no export of talk-server, or not of this version (line 1: {what})")
                }
                error => format!("{place}: {error}"),
            };
            let mut input: Box<dyn BufRead> = match from {
                Some(path) => Box::new(BufReader::new(File::open(path).map_err(|error| format!("{place}: {error}"))?)),
                None => Box::new(io::stdin().lock()),
            };
            if input.fill_buf().map_err(|error| format!("{place}: {error}"))?.starts_with(GZIP) {
                let file = from.as_ref().map_or("FILE".into(), |path| path.display().to_string());
                let unpack = format!("gunzip -c {file} | talk-server import -");
                return Err(format!("{place} is compressed; unpack it: {unpack} (and the same options)"));
            }
            let made =
                if dir.exists() { String::new() } else { format!("; {} was not there and was made", dir.display()) };
            let done = import_history(dir, limits, &mut input).map_err(failed)?;
            let known = format!("{} more were there already", done.known);
            format!("imported {} of {}; {known}{made}", counted(done.added, "message"), counted(done.rooms, "room"))
        }
        Keeping::Backup { to } => {
            let files = backup(dir, to, limits).map_err(|error| match error {
                BackupError::Store(error) => format!("{}: {error}", dir.display()),
                error => error.to_string(),
            })?;
            format!("copied to {} and checked: {}", to.display(), files.join(", "))
        }
    })
}

/// What `--room` names.
fn wanted(room: &str) -> Result<Wanted, Exit> {
    let user = || Nickname::known(room.strip_prefix('@')?).ok().map(Wanted::User);
    RoomKey::parse(room).map(Wanted::Room).or_else(user).ok_or_else(|| {
        let room = shown(room);
        Exit::usage(format_args!("--room {room}: no room has such a name, and no user; it is ROOM, or @NAME or @ID"))
    })
}

/// Where in the history it is, and how it was called by whoever wants it.
fn place(dir: &Path, wanted: &Wanted) -> Result<(RoomKey, String), String> {
    let name = match wanted {
        Wanted::Room(room) => return Ok((room.clone(), room.to_string())),
        Wanted::User(name) => name,
    };
    let id = "name them @ID, the \"user\" in the lines of an export that they said";
    match user_named(dir, name) {
        Ok(Some(user)) => Ok((RoomKey::Direct(user), format!("@{name}"))),
        Ok(None) => Err(format!("nobody is called {name} here; whoever was, has another name or none now: {id}")),
        Err(error) => Err(format!("{}: {error}; without names, {id}", dir.display())),
    }
}

fn export(dir: &Path, rooms: &[Wanted], to: Option<&Path>) -> Result<String, String> {
    if !is_kept(dir) {
        return Err(format!("{} is no data directory: it has nothing to export", dir.display()));
    }
    let places = rooms.iter().map(|room| place(dir, room)).collect::<Result<Vec<_>, _>>()?;
    let rooms: &[RoomKey] = &places.iter().map(|(room, _)| room.clone()).collect::<Vec<_>>();
    let failed = |error: ExchangeError| match error {
        ExchangeError::NoRoom(room @ RoomKey::Direct(_)) => {
            let called = places.iter().find(|(place, _)| *place == room).map(|(_, called)| called.clone());
            let called = called.unwrap_or_else(|| room.to_string());
            format!("{}: nobody has said anything to {called} alone, or it is kept no more", dir.display())
        }
        ExchangeError::Io(error) => format!("{}: {error}", to.map_or(Path::new("stdout"), |to| to).display()),
        error => format!("{}: {error}", dir.display()),
    };
    let done = match to {
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            export_history(dir, rooms, &mut out).map_err(failed)?
        }
        Some(path) => write_new(path, |out| export_history(dir, rooms, out)).map_err(|error| match error {
            ExchangeError::Io(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                format!("{} is there already; name a file that is not", path.display())
            }
            error => failed(error),
        })?,
    };
    Ok(format!("exported {} of {}", counted(done.records, "message"), counted(done.rooms, "room")))
}

/// So many of them.
fn counted(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

fn say(text: impl fmt::Display) {
    // Without a stderr there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// How a file begins that gzip made.
const GZIP: &[u8] = b"\x1f\x8b";
const COMMANDS: [&str; 3] = ["export", "import", "backup"];
