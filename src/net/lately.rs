//! What is remembered of users for a while: so many of them, the one that was noted longest ago forgotten first.

use std::collections::{BTreeMap, HashMap};

use crate::name::UserName;

/// Something about each of the users that were noted last.
#[derive(Debug)]
pub(crate) struct Lately<T> {
    known: HashMap<UserName, (u64, T)>,
    /// By when they were noted, oldest first.
    order: BTreeMap<u64, UserName>,
    next: u64,
    most: usize,
}

impl<T> Lately<T> {
    /// Remembers so many.
    pub(crate) fn new(most: usize) -> Self {
        Self { known: HashMap::new(), order: BTreeMap::new(), next: 0, most: most.max(1) }
    }

    pub(crate) fn get(&self, name: &UserName) -> Option<&T> {
        self.known.get(name).map(|(_, noted)| noted)
    }

    /// Notes something about a user, in place of what was noted before.
    pub(crate) fn note(&mut self, name: &UserName, what: T) {
        let before = self.known.insert(name.clone(), (self.next, what));
        if let Some((place, _)) = before {
            self.order.remove(&place);
        }
        self.order.insert(self.next, name.clone());
        self.next += 1;
        if self.known.len() > self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_noted_longest_ago_goes_first() {
        let name = |name: &str| UserName::new(name).unwrap();
        let mut lately = Lately::new(2);
        lately.note(&name("ann"), 1);
        lately.note(&name("bob"), 2);
        lately.note(&name("ann"), 3);
        lately.note(&name("cid"), 4);
        assert_eq!(lately.get(&name("ann")), Some(&3));
        assert_eq!(lately.get(&name("bob")), None);
        assert_eq!(lately.get(&name("cid")), Some(&4));
        assert_eq!(lately.known.len(), lately.order.len());
    }
}
