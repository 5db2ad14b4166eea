//! One secret per registry and name, kept in a private file so that the next start is known as the same user.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};

use crate::name::UserName;
use crate::secret::{Password, Secret};

/// A secret, and the lock that keeps a second client from using it at the same time.
#[derive(Debug)]
pub(super) struct KeptSecret {
    pub(super) secret: Secret,
    /// Held as long as this lives; `None` when another client holds it, and the secret is a fresh one.
    lock: Option<File>,
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
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Self { secret: Secret::random(), lock: None }),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let path = directory.join(format!("{id}.secret"));
        let secret = match fs::read_to_string(&path) {
            Ok(text) => Secret::new(text.trim_end()).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let secret = match secret {
            Some(secret) => secret,
            None => {
                let secret = Secret::random();
                write_whole(directory, &path, &format!("{}\n", secret.reveal()))?;
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

/// Reads an account's secret from a file that only its owner can read.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn read_secret(path: &Path) -> Result<Password, String> {
    let failed = |error: io::Error| error.to_string();
    let file = File::open(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(format!("others may read it; chmod 600 {} first", path.display()));
        }
    }
    let mut text = String::new();
    file.take(MOST_SECRET).read_to_string(&mut text).map_err(failed)?;
    Password::new(text.trim_end_matches(['\r', '\n'])).map_err(|error| error.to_string())
}

/// Asks for an account's secret on the terminal, which shows nothing of what is typed.
///
/// # Errors
/// Why there is none.
pub(super) fn ask_secret(prompt: &str) -> Result<Password, String> {
    let failed = |error: io::Error| format!("the terminal: {error}");
    let mut out = io::stdout().lock();
    let silence = Silence::begin().map_err(failed)?;
    let shown = write!(out, "{prompt}").and_then(|()| out.flush());
    let mut line = String::new();
    let read = shown.and_then(|()| io::stdin().lock().take(MOST_SECRET).read_line(&mut line));
    drop(silence);
    // The line break that was typed was not shown either.
    let _ = writeln!(out);
    read.map_err(failed)?;
    Password::new(line.trim_end_matches(['\r', '\n'])).map_err(|error| error.to_string())
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
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Takes from others what they may do with a file. What is no file on a disk, as a terminal, is left as it is.
///
/// # Errors
/// What the system says: it is somebody else's.
pub(super) fn make_private(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let about = file.metadata()?;
        if about.is_file() && about.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

/// Opens a file that only its owner can read, making it if it is missing, and private if it is not.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let file = options.open(path)?;
    make_private(&file)?;
    Ok(file)
}

/// Writes a private file so that it is there whole or not at all, also after a power cut. The caller holds the lock.
fn write_whole(directory: &Path, path: &Path, text: &str) -> io::Result<()> {
    let draft: PathBuf = path.with_extension("draft");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private_file(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = directory;
    Ok(())
}

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
