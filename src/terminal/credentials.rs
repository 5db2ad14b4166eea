//! Accounts of minechat, in files as its clients have always kept them: the line in which the server told the account.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use uuid::Uuid;

use super::secrets::{open_file, private_file, why};
use super::words::{Language, Word};
use crate::client::Account;
use crate::codec::minechat::{self, Answer};
use crate::files::{beside, make_private, replace};
use crate::secret::Secret;

/// Reads the account that is kept in a file; `None` when there is no file. One that others may read is made private.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn read(path: &Path, language: Language) -> Result<Option<Account>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = match open_file(OpenOptions::new().read(true), path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&why(&error, language))),
    };
    let mut text = String::new();
    (&file).take(MOST).read_to_string(&mut text).map_err(|error| failed(&error))?;
    let account = match minechat::hear_answer(text.trim()) {
        Some(Answer::Account { nickname, hash }) => Some((nickname, hash)),
        _ => None,
    };
    // Some keep nothing but the hash, which any file of one word may be: one to which a link leads is left alone.
    let ours = account.is_some() || fs::symlink_metadata(path).is_ok_and(|about| about.is_file());
    let (nickname, hash) = account.unwrap_or_else(|| (String::new(), text.trim().to_owned()));
    match Secret::new(&hash) {
        Ok(hash) => {
            if ours {
                // Other programs left it open to others; when that cannot be changed, it is as it was.
                let _ = make_private(&file);
            }
            Ok(Some(Account { nickname, hash }))
        }
        Err(_) => Err(failed(&language.text(Word::NoAccountInIt))),
    }
}

/// Keeps an account, whole or not at all, where nobody else can read it. The one that was there before, if it is another,
/// is appended to the file of the same name with `.old` behind it.
///
/// # Errors
/// What the system says.
pub(super) fn write(path: &Path, account: &Account) -> io::Result<()> {
    if let Ok(Some(before)) = read(path, Language::default())
        && before.hash.hash() != account.hash.hash()
    {
        let mut old = private_file(&beside(path, ".old"))?;
        old.write_all(line(&before).as_bytes())?;
        old.sync_all()?;
    }
    // Another program may keep an account there at this moment.
    let draft = beside(path, &format!(".{}", Uuid::new_v4().simple()));
    replace(path, &draft, line(account).as_bytes())
}

fn line(account: &Account) -> String {
    minechat::account(&account.nickname, account.hash.reveal())
}

/// Bytes of a file that are looked at: more than an account has.
const MOST: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> Result<Option<Account>, String> {
        super::read(path, Language::English)
    }

    fn account(nickname: &str, hash: &str) -> Account {
        Account { nickname: nickname.into(), hash: Secret::new(hash).unwrap() }
    }

    #[test]
    fn an_account_is_kept_as_the_server_told_it_and_an_earlier_one_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("account.json");
        assert_eq!(read(&path), Ok(None));
        for name in ["ann", "\"саша\"", "bob"] {
            for _ in 0..2 {
                write(&path, &account(name, &format!("key-{}", name.len()))).unwrap();
                assert_eq!(read(&path), Ok(Some(account(name, &format!("key-{}", name.len())))));
            }
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"nickname\": \"bob\", \"account_hash\": \"key-3\"}\n");
        let old = fs::read_to_string(beside(&path, ".old")).unwrap();
        let first = "{\"nickname\": \"ann\", \"account_hash\": \"key-3\"}\n";
        assert_eq!(old, format!("{first}{}", line(&account("\"саша\"", "key-10"))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no draft stays");
        #[cfg(unix)]
        for file in fs::read_dir(dir.path()).unwrap() {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn an_account_takes_the_place_of_another_at_once_and_never_half() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("account.json");
        write(&path, &account("ann", "key")).unwrap();
        let mut before = fs::File::open(&path).unwrap();
        write(&path, &account("bob", "another-key")).unwrap();
        let mut text = String::new();
        before.read_to_string(&mut text).unwrap();
        assert_eq!(text, line(&account("ann", "key")), "what was there is not written over");
        // Whoever reads meanwhile, and whatever a crash leaves, has all of the one or all of the other.
        let accounts = ["bob", "carol"].map(|name| account(name, "another-key"));
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    let there = fs::read_to_string(&path).expect("it is there at every moment");
                    assert!(accounts.iter().any(|account| line(account) == there), "{there:?}");
                }
            });
            for _ in 0..50 {
                accounts.iter().for_each(|account| write(&path, account).unwrap());
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            reading.join().unwrap();
        });
    }

    #[test]
    fn files_of_other_programs_are_read_and_made_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("account");
        for text in ["6f9d8a52-1f2b\n", "{\"account_hash\":\"6f9d8a52-1f2b\",\n\"nickname\":\"\"}"] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path), Ok(Some(account("", "6f9d8a52-1f2b"))));
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            }
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let (other, link) = (dir.path().join("hostname"), dir.path().join("link"));
            std::os::unix::fs::symlink(&other, &link).unwrap();
            for (text, mode) in [("chat\n", 0o644), ("{\"nickname\": \"\", \"account_hash\": \"key\"}", 0o600)] {
                fs::write(&other, text).unwrap();
                fs::set_permissions(&other, fs::Permissions::from_mode(0o644)).unwrap();
                assert!(read(&link).unwrap().is_some());
                assert_eq!(fs::metadata(&other).unwrap().permissions().mode() & 0o777, mode, "{text}");
            }
        }
        for bad in ["", "{\"nickname\": \"ann\"}", "two words", "{"] {
            fs::write(&path, bad).unwrap();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            }
            assert!(read(&path).unwrap_err().contains("no account"), "{bad}");
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o644, "a file of something else stays as it is");
            }
            write(&path, &account("ann", "key")).unwrap();
        }
        assert!(write(&dir.path().join("none/account"), &account("ann", "key")).is_err());
        assert!(read(dir.path()).is_err());
    }
}
