//! Under which name a user of the hub writes to a peer, whose wire has fewer names.

use crate::message::UserId;
use crate::name::{MAX_NAME, UserName, is_reserved};

/// The name as it is, where peers can have it and nobody else can be meant by it.
pub(super) fn plain(nickname: &str) -> Option<UserName> {
    let fits = nickname.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !fits || is_reserved(nickname) {
        return None;
    }
    UserName::new(nickname).ok()
}

/// The name as far as peers can have it, and behind a dot, which [`plain`] names do not have, something of the user's
/// id: `alice_2.5f0c9d2e`. So two users are never called the same.
pub(super) fn marked(nickname: &str, user: UserId) -> Option<UserName> {
    let hash = blake3::hash(user.as_bytes());
    let mark: String = hash.as_bytes()[..MARK].iter().map(|byte| format!("{byte:02x}")).collect();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let readable: String =
        nickname.chars().map(|c| if fits(c) { c } else { '_' }).take(MAX_NAME - 1 - 2 * MARK).collect();
    UserName::new(&format!("{readable}.{mark}")).ok()
}

/// Bytes of the id's hash in a name.
const MARK: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_every_peer_can_have_stay_as_they_are() {
        for name in ["alice", "A-b_9", &"x".repeat(64)] {
            assert_eq!(plain(name).unwrap().as_str(), name);
        }
        for name in ["alice#2", "саша", "Zen tester", "a.b", "..", "talk", "System", ""] {
            assert_eq!(plain(name), None, "{name}");
        }
    }

    #[test]
    fn every_other_name_is_marked_so_that_it_is_nobody_elses() {
        let (one, other) = (UserId::random(), UserId::random());
        for name in ["alice#2", "саша", "Zen tester", "a.b", "talk", &"я".repeat(64)] {
            let called = marked(name, one).unwrap();
            assert_ne!(called, marked(name, other).unwrap());
            assert_eq!(plain(called.as_str()), None, "nobody can choose it");
            assert_eq!(called, marked(name, one).unwrap());
        }
        assert!(marked("alice#2", one).unwrap().as_str().starts_with("alice_2."));
    }
}
