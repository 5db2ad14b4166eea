//! Accounts of minechat, in files as its clients have always kept them: the line in which the server told the account.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::secrets::{make_private, private_file};
use crate::client::Account;
use crate::codec::minechat::{self, Answer};
use crate::secret::Secret;

/// Reads the account that is kept in a file; `None` when there is no file. One that others may read is made private.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn read(path: &Path) -> Result<Option<Account>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let mut text = String::new();
    (&file).take(MOST).read_to_string(&mut text).map_err(|error| failed(&error))?;
    let (nickname, hash) = match minechat::hear_answer(text.trim()) {
        Some(Answer::Account { nickname, hash }) => (nickname, hash),
        // Some keep nothing but the hash.
        _ => (String::new(), text.trim().to_owned()),
    };
    match Secret::new(&hash) {
        Ok(hash) => {
            // Other programs left it open to others; when that cannot be changed, it is as it was. What holds no account
            // is none of ours to change.
            let _ = make_private(&file);
            Ok(Some(Account { nickname, hash }))
        }
        Err(_) => Err(failed(&"there is no account in it")),
    }
}

/// Keeps an account, whole or not at all, where nobody else can read it. The one that was there before, if it is another,
/// is appended to the file of the same name with `.old` behind it.
///
/// # Errors
/// What the system says.
pub(super) fn write(path: &Path, account: &Account) -> io::Result<()> {
    if let Ok(Some(before)) = read(path)
        && before.hash.hash() != account.hash.hash()
    {
        let mut old = private_file(&beside(path, ".old"))?;
        old.write_all(line(&before).as_bytes())?;
        old.sync_all()?;
    }
    // Another program may keep an account there at this moment.
    let draft = beside(path, &format!(".{}", Uuid::new_v4().simple()));
    let kept = write_new(&draft, &line(account)).and_then(|()| fs::rename(&draft, path));
    if kept.is_err() {
        let _ = fs::remove_file(&draft);
    }
    kept?;
    #[cfg(unix)]
    {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn line(account: &Account) -> String {
    minechat::account(&account.nickname, account.hash.reveal())
}

fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// Bytes of a file that are looked at: more than an account has.
const MOST: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

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
