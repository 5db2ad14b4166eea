//! Files and directories that only their owner may look into, and that are there whole or not at all.

#[cfg(any(feature = "net", feature = "sqlite"))]
use std::fs;
#[cfg(any(feature = "sqlite", feature = "terminal"))]
use std::fs::DirBuilder;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
#[cfg(feature = "net")]
use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::path::Path;
#[cfg(any(feature = "net", feature = "sqlite"))]
use std::path::PathBuf;
#[cfg(feature = "sqlite")]
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(feature = "sqlite")]
use uuid::Uuid;

/// A file that one process at a time has, and one place in it.
///
/// It is unlocked when this is dropped. To close it would not be enough: a child process that is just being started has every
/// open file of its parent, and the lock with it, until it becomes another program.
#[derive(Debug)]
pub(crate) struct LockedFile(File);

impl LockedFile {
    /// Locks it, without waiting.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] when somebody has it; else what the system says.
    pub(crate) fn try_lock(file: File) -> Result<Self, TryLockError> {
        file.try_lock()?;
        Ok(Self(file))
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for LockedFile {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // What cannot be unlocked is as it would have been.
        let _ = self.0.unlock();
    }
}

/// What is made by these options only its owner may read and write.
pub(crate) fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes a directory, and those above it, for its owner alone. One that is there is left as it is.
///
/// # Errors
/// What the system says.
#[cfg(any(feature = "sqlite", feature = "terminal"))]
pub(crate) fn owner_only_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Has what a directory says of its files outlive a power cut. Where a directory cannot be opened to be synced, nothing is
/// done.
///
/// # Errors
/// What the system says.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Syncs the directory in which a file is.
///
/// # Errors
/// What the system says.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_directory(parent.unwrap_or(Path::new(".")))
}

/// Takes from others what they may do with a file. What is no file on a disk, as a terminal, is left as it is.
///
/// # Errors
/// What the system says: it is somebody else's.
#[cfg(feature = "net")]
pub(crate) fn make_private(file: &File) -> io::Result<()> {
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

/// The path of a file of the same name with more behind it.
#[cfg(feature = "net")]
pub(crate) fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// Makes a file for its owner alone, with this in it; it can be read and added to. One of that name, which a crash left, goes
/// first: it may be open to others.
///
/// # Errors
/// What the system says.
#[cfg(feature = "net")]
pub(crate) fn make(path: &Path, bytes: &[u8]) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = owner_only(OpenOptions::new().read(true).append(true).create_new(true)).open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Makes a file, or replaces it, by way of a draft beside it: whenever this ends there is one or the other, whole, also after
/// a power cut.
///
/// # Errors
/// What the system says.
#[cfg(feature = "terminal")]
pub(crate) fn replace(path: &Path, draft: &Path, bytes: &[u8]) -> io::Result<()> {
    let replaced = make(draft, bytes).and_then(|file| file.sync_all()).and_then(|()| fs::rename(draft, path));
    if replaced.is_err() {
        let _ = fs::remove_file(draft);
    }
    replaced.and_then(|()| sync_parent(path))
}

/// Where a file or a directory is made until it is whole: beside its place, by a name that nobody else uses. What is still
/// there when this is dropped is taken away. What is found there later is of no use: who made it was killed.
#[cfg(feature = "sqlite")]
#[derive(Debug)]
pub(crate) struct Partial(PathBuf);

#[cfg(feature = "sqlite")]
impl Partial {
    /// Begins it by `make`.
    ///
    /// # Errors
    /// What that says; and that the program ends ([`take_away_partials`]).
    pub(crate) fn begin<T>(path: &Path, make: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<(Self, T)> {
        let partial = partial_name(path);
        let mut begun = begun();
        if begun.over {
            return Err(io::Error::other("the program ends"));
        }
        let made = make(&partial)?;
        begun.paths.push(partial.clone());
        Ok((Self(partial), made))
    }
}

#[cfg(feature = "sqlite")]
impl Deref for Partial {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

#[cfg(feature = "sqlite")]
impl Drop for Partial {
    fn drop(&mut self) {
        remove(&self.0);
        begun().paths.retain(|path| *path != self.0);
    }
}

/// Takes away all that is not whole yet, for a program that ends without waiting for that; nothing is begun any more.
#[cfg(all(feature = "server", feature = "terminal"))]
pub(crate) fn take_away_partials() {
    let paths = {
        let mut begun = begun();
        begun.over = true;
        begun.paths.clone()
    };
    for path in paths {
        // Who makes it may be at it, and what they open by its name would come to stand there again.
        for _ in 0..TRIES {
            let away = partial_name(&path);
            if fs::rename(&path, &away).is_err() {
                break;
            }
            remove(&away);
        }
    }
}

/// What is not whole yet.
#[cfg(feature = "sqlite")]
#[derive(Debug)]
struct Begun {
    paths: Vec<PathBuf>,
    /// Nothing else is begun.
    over: bool,
}

#[cfg(feature = "sqlite")]
fn begun() -> MutexGuard<'static, Begun> {
    static BEGUN: Mutex<Begun> = Mutex::new(Begun { paths: Vec::new(), over: false });
    BEGUN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name of its own, which begins as that of the path does and is longer only where that is short: a file system bounds names.
#[cfg(feature = "sqlite")]
fn partial_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ends = name.char_indices().map(|(at, letter)| at + letter.len_utf8());
    let name = &name[..ends.take_while(|end| *end <= PARTIAL_NAME).last().unwrap_or_default()];
    path.with_file_name(format!(".{name}.{}.partial", Uuid::new_v4().simple()))
}

#[cfg(feature = "sqlite")]
fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        let _ = fs::remove_dir_all(path);
    }
}

/// Writes a file that is not there yet, for its owner alone: it is there when it is whole, also after a power cut, or not at
/// all.
///
/// # Errors
/// What `write` says, or the system: [`io::ErrorKind::AlreadyExists`] when it is there, which is left as it is.
#[cfg(all(feature = "server", feature = "terminal"))]
pub(crate) fn write_new<T, E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T, E> {
    // Before all the work.
    free(path)?;
    let (draft, file) = Partial::begin(path, |draft| make(draft, b""))?;
    let mut out = io::BufWriter::new(file);
    let done = write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    // Unlike a new name, a second one replaces nothing; but not every disk has such.
    match fs::hard_link(&*draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error.into()),
        Err(_) => free(path).and_then(|()| fs::rename(&*draft, path))?,
        Ok(()) => drop(draft),
    }
    sync_parent(path)?;
    Ok(done)
}

/// Refuses a place where something is; a link, wherever it leads, is.
#[cfg(all(feature = "server", feature = "terminal"))]
fn free(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Bytes of a name that are in that of what is not whole yet: enough to recognise it by.
#[cfg(feature = "sqlite")]
const PARTIAL_NAME: usize = 48;
/// How often what comes to stand there again is taken away.
#[cfg(all(feature = "server", feature = "terminal"))]
const TRIES: usize = 8;

#[cfg(test)]
#[cfg(all(unix, feature = "terminal"))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_let_go_can_be_had_at_once_though_a_process_being_started_has_the_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(dir.path().join("file"))
                .unwrap()
        };
        let held = LockedFile::try_lock(open()).unwrap();
        assert!(matches!(LockedFile::try_lock(open()), Err(TryLockError::WouldBlock)));
        // As a fork leaves it: one more descriptor of the same opening.
        let inherited = held.try_clone().unwrap();
        drop(held);
        let again = LockedFile::try_lock(open());
        assert!(again.is_ok(), "{again:?}");
        drop(inherited);
        assert!(matches!(LockedFile::try_lock(open()), Err(TryLockError::WouldBlock)));
    }

    #[test]
    fn what_is_made_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        owner_only_directory(&inner).unwrap();
        assert_eq!((mode(&inner), mode(&dir.path().join("a"))), (0o700, 0o700));
        let (path, draft) = (inner.join("file"), inner.join("file.new"));
        // A draft that a crash left, as others may read it.
        fs::write(&draft, "half").unwrap();
        for text in ["first", "2nd"] {
            replace(&path, &draft, text.as_bytes()).unwrap();
            assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), (text, 0o600));
            assert!(!draft.exists());
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        make_private(&File::open(&path).unwrap()).unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_no_draft_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, draft) = (dir.path().join("directory"), dir.path().join("draft"));
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, &draft, b"text").is_err());
        assert!(path.is_dir() && !draft.exists());
        assert_eq!(beside(&path, ".old"), dir.path().join("directory.old"));
    }

    #[test]
    #[cfg(feature = "server")]
    fn a_new_file_replaces_nothing_also_when_that_came_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let whole = |out: &mut dyn Write| out.write_all(b"whole");
        write_new(&path, |out| {
            whole(out)?;
            assert!(!path.exists(), "it is not there before it is whole");
            Ok::<_, io::Error>(())
        })
        .unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("whole", 0o600));
        let taken = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        taken(write_new(&path, |_| -> io::Result<()> { panic!("it is there already") }).unwrap_err());
        fs::remove_file(&path).unwrap();
        let late = |out: &mut dyn Write| fs::write(&path, "another's").and_then(|()| whole(out));
        taken(write_new(&path, late).unwrap_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &path).unwrap();
        taken(write_new(&path, whole).unwrap_err());
        let broken = |out: &mut dyn Write| whole(out).and(Err::<(), io::Error>(io::ErrorKind::StorageFull.into()));
        assert!(write_new(&dir.path().join("other"), broken).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    #[cfg(feature = "server")]
    fn every_name_that_a_file_may_have_can_be_written_to() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["x".repeat(255), "я".repeat(127), format!("x{}", "\u{1f600}".repeat(63)), "a".into()] {
            let path = dir.path().join(&name);
            write_new(&path, |out| out.write_all(b"whole"))
                .unwrap_or_else(|error: io::Error| panic!("{name}: {error}"));
            assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "no draft is left");
    }
}
