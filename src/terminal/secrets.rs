//! One secret per registry and name, kept in a private file so that the next start is known as the same user.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use thiserror::Error;

use super::words::{Language, Word};
use crate::files::{LockedFile, make_private, owner_only, owner_only_directory, replace};
use crate::name::UserName;
use crate::secret::{Password, Secret};

/// A secret, and the lock that keeps a second client from using it at the same time.
#[derive(Debug)]
pub(super) struct KeptSecret {
    pub(super) secret: Secret,
    /// Held as long as this lives; `None` when another client holds it, and the secret is a fresh one.
    lock: Option<LockedFile>,
}

impl KeptSecret {
    /// The secret for this registry and name; a fresh one, kept nowhere, when another client runs under that name.
    ///
    /// `directory` is made, readable by its owner only, if it is missing.
    ///
    /// # Errors
    /// When the files cannot be made, read or locked.
    pub(super) fn take(directory: &Path, registry: &str, name: &UserName) -> io::Result<Self> {
        private_directory(directory)?;
        // The file's name comes from a hash, never from what somebody typed.
        let id = blake3::hash(format!("{registry}\n{name}").as_bytes()).to_hex();
        // The lock is a file of its own: the secret's is replaced as a whole, and a lock would stay with the old one.
        let lock = private_file(&directory.join(format!("{id}.lock")))?;
        let lock = match LockedFile::try_lock(lock) {
            Ok(lock) => lock,
            Err(TryLockError::WouldBlock) => return Ok(Self { secret: Secret::random(), lock: None }),
            Err(TryLockError::Error(error)) => return Err(error),
        };
        let path = directory.join(format!("{id}.secret"));
        let read = |mut file: File| io::read_to_string(&mut file);
        let secret = match open_file(OpenOptions::new().read(true), &path).and_then(read) {
            Ok(text) => Secret::new(text.trim_end()).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let secret = match secret {
            Some(secret) => secret,
            None => {
                let secret = Secret::random();
                replace(&path, &path.with_extension("draft"), format!("{}\n", secret.reveal()).as_bytes())?;
                secret
            }
        };
        Ok(Self { secret, lock: Some(lock) })
    }

    /// Whether another client runs under this name.
    pub(super) fn is_in_use(&self) -> bool {
        self.lock.is_none()
    }
}

/// Reads an account's secret from a file that only its owner can read. A pipe is one only where the program was given it
/// open, as by `<(pass show talk)` of a shell.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn read_secret(path: &Path, language: Language) -> Result<Password, String> {
    let failed = |error: io::Error| why(&error, language);
    let given = path.parent().is_some_and(|parent| OPEN.iter().any(|open| parent == Path::new(open)));
    let file = if given { File::open(path) } else { open_file(OpenOptions::new().read(true), path) };
    let file = file.map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt};
        let about = file.metadata().map_err(failed)?;
        if !(about.is_file() || given && about.file_type().is_fifo()) {
            return Err(failed(io::Error::other(NoFile)));
        }
        let mode = about.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(format!("others may read it; chmod 600 {} first", path.display()));
        }
    }
    let mut text = String::new();
    file.take(MOST_SECRET).read_to_string(&mut text).map_err(failed)?;
    Password::new(text.trim_end_matches(['\r', '\n'])).map_err(|error| error.to_string())
}

/// Why nobody told a secret that can be one.
#[derive(Debug)]
pub(super) enum NoSecret {
    /// Nobody could be asked.
    Unasked(io::Error),
    /// What was typed cannot be one.
    Unfit,
}

/// Asks for an account's secret on the terminal, which shows nothing of what is typed.
///
/// # Errors
/// [`NoSecret`].
pub(super) fn ask_secret(prompt: &str) -> Result<Password, NoSecret> {
    let mut out = io::stdout().lock();
    let silence = Silence::begin().map_err(NoSecret::Unasked)?;
    let shown = write!(out, "{prompt}").and_then(|()| out.flush());
    let mut line = String::new();
    let read = shown.and_then(|()| io::stdin().lock().take(MOST_SECRET).read_line(&mut line));
    drop(silence);
    // The line break that was typed was not shown either.
    let _ = writeln!(out);
    read.map_err(NoSecret::Unasked)?;
    Password::new(line.trim_end_matches(['\r', '\n'])).map_err(|_| NoSecret::Unfit)
}

/// While it lives, the terminal shows nothing of what is typed.
struct Silence {
    #[cfg(unix)]
    before: nix::sys::termios::Termios,
}

impl Silence {
    #[cfg(unix)]
    fn begin() -> io::Result<Self> {
        use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { before })
    }

    #[cfg(not(unix))]
    fn begin() -> io::Result<Self> {
        Err(io::Error::other("a secret cannot be asked for here; use --secret-file"))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        #[cfg(unix)]
        let _ = nix::sys::termios::tcsetattr(io::stdin(), nix::sys::termios::SetArg::TCSANOW, &self.before);
    }
}

/// Makes a directory that only its owner can look into.
pub(super) fn private_directory(path: &Path) -> io::Result<()> {
    owner_only_directory(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Opens a file that only its owner can read, making it if it is missing, and private if it is not.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = open_file(owner_only(options.read(true).append(true).create(true)), path)?;
    make_private(&file)?;
    Ok(file)
}

/// Opens a file without ever waiting for somebody at its other end.
///
/// # Errors
/// What the system says; and that it is none: a pipe or a directory. A device such as `/dev/null` is let pass, of which
/// neither reading nor writing waits.
pub(super) fn open_file(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let mut options = options.clone();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A pipe would be waited for where no signal is heard.
        options.custom_flags(nix::libc::O_NONBLOCK);
    }
    // What it is says more than why it could not be opened.
    match options.open(path) {
        Ok(file) => be_file(&file.metadata()?).map(|()| file),
        Err(error) => Err(fs::metadata(path).and_then(|about| be_file(&about)).err().unwrap_or(error)),
    }
}

/// Refuses what [`open_file`] would refuse, for those who open a file by themselves. One that is missing is fine.
///
/// # Errors
/// As there.
pub(super) fn may_be_opened(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(about) => be_file(&about),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn be_file(about: &fs::Metadata) -> io::Result<()> {
    #[cfg(unix)]
    let device = std::os::unix::fs::FileTypeExt::is_char_device(&about.file_type());
    #[cfg(not(unix))]
    let device = false;
    if about.is_file() || device { Ok(()) } else { Err(io::Error::other(NoFile)) }
}

/// It is a pipe, a directory, a socket.
#[derive(Debug, Error)]
#[error("{}", Language::English.text(Word::NoFile))]
struct NoFile;

/// Why a file cannot be used. What the system says is in its own words.
pub(super) fn why(error: &io::Error, language: Language) -> String {
    match error.get_ref() {
        Some(inner) if inner.is::<NoFile>() => language.text(Word::NoFile).to_owned(),
        _ => error.to_string(),
    }
}

/// Where a program finds what it was given open.
const OPEN: [&str; 2] = ["/dev/fd", "/proc/self/fd"];
/// Bytes of a file, or of a line, that are looked at for a secret: more than one has.
const MOST_SECRET: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn take(directory: &Path, registry: &str, name: &str) -> KeptSecret {
        KeptSecret::take(directory, registry, &UserName::new(name).unwrap()).unwrap()
    }

    #[test]
    fn the_next_start_has_the_same_secret_and_others_have_others() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("talk/client");
        let first = take(&directory, "http://a", "ann").secret.hash();
        assert_eq!(take(&directory, "http://a", "ann").secret.hash(), first);
        assert_ne!(take(&directory, "http://a", "bob").secret.hash(), first);
        assert_ne!(take(&directory, "http://b", "ann").secret.hash(), first);
    }

    #[test]
    fn a_second_client_of_a_name_gets_a_fresh_secret() {
        let directory = tempfile::tempdir().unwrap();
        let first = take(directory.path(), "http://a", "ann");
        let second = take(directory.path(), "http://a", "ann");
        assert!(!first.is_in_use() && second.is_in_use());
        assert_ne!(first.secret.hash(), second.secret.hash());
        let kept = first.secret.hash();
        drop((first, second));
        assert_eq!(take(directory.path(), "http://a", "ann").secret.hash(), kept);
    }

    #[test]
    fn a_damaged_secret_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        drop(take(directory.path(), "http://a", "ann"));
        let secret = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|e| e == "secret");
        let file = fs::read_dir(directory.path()).unwrap().map(Result::unwrap).find(secret).unwrap().path();
        fs::write(&file, "a b\0").unwrap();
        let fresh = take(directory.path(), "http://a", "ann").secret.hash();
        assert_eq!(take(directory.path(), "http://a", "ann").secret.hash(), fresh);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_files_and_no_name_shows_in_them() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("client");
        drop(take(&directory, "http://registry", "...ann"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        let mut files = 0;
        for file in fs::read_dir(&directory).unwrap() {
            let file = file.unwrap();
            assert_eq!(mode(&file.path()), 0o600);
            assert!(!file.file_name().to_string_lossy().contains("ann"));
            files += 1;
        }
        assert_eq!(files, 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_read_from_a_file_or_from_what_was_given_open_and_nothing_else_is_waited_for() {
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (file, pipe) = (directory.path().join("secret"), directory.path().join("pipe"));
        fs::write(&file, "a long secret\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read_secret(&file, Language::English).is_ok());
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for no_file in [&pipe, directory.path(), Path::new("/dev/null")] {
            for (language, says) in [(Language::English, "it is no file"), (Language::Russian, "это не файл")]
            {
                let path = no_file.to_owned();
                let (tell, told) = std::sync::mpsc::channel();
                std::thread::spawn(move || tell.send(read_secret(&path, language)));
                let read = told.recv_timeout(std::time::Duration::from_secs(60)).expect("nobody is waited for");
                assert_eq!(read.unwrap_err(), says, "{}", no_file.display());
            }
        }
        let (given, mut other) = io::pipe().unwrap();
        other.write_all(b"a long secret\n").unwrap();
        drop(other);
        let path = format!("/dev/fd/{}", given.as_raw_fd());
        assert!(read_secret(Path::new(&path), Language::English).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_that_others_could_read_is_made_private_before_anything_is_written() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "before\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        private_file(&path).unwrap().write_all(b"secret\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\nsecret\n");
        assert!(private_file(Path::new("/dev/null")).is_ok());
    }
}
