//! What is said about where a user is, and the entry it makes.

use super::{Address, Entry, Features, Host, Locator, Protocol};

/// What somebody says about where a user is: perhaps less than a whole entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Placement {
    /// The protocol, when it was said.
    pub protocol: Option<Protocol>,
    /// The place under that protocol.
    pub place: Place,
    /// The features, when they were said (only version 2 can).
    pub features: Option<Features>,
}

/// A place under a protocol.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// Host and port.
    Network(Host, u16),
    /// A plug-in protocol's own notation.
    Other(Locator),
}

impl Placement {
    /// The placement that says all of `entry`.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let place = match &entry.address {
            Address::Network { host, port, .. } => Place::Network(host.clone(), *port),
            Address::Other { locator, .. } => Place::Other(locator.clone()),
        };
        Self { protocol: Some(entry.address.protocol().clone()), place, features: Some(entry.features.clone()) }
    }

    /// The entry that this makes of an existing one, or of none.
    ///
    /// Without a protocol the existing one is kept (`HTTP` for a new entry). Without features the existing ones are
    /// kept where protocol and place stay the same, and dropped otherwise.
    #[must_use]
    pub fn apply(&self, existing: Option<&Entry>) -> Entry {
        let kept = existing.map(|entry| entry.address.protocol());
        let address = match &self.place {
            Place::Network(host, port) => {
                let kept = kept.filter(|protocol| protocol.is_standard());
                let protocol = self.protocol.as_ref().or(kept).unwrap_or(&Protocol::HTTP);
                Address::network(protocol.clone(), host.clone(), *port)
            }
            Place::Other(locator) => {
                let protocol = self.protocol.as_ref().or(kept).unwrap_or(&Protocol::HTTP);
                Address::Other { protocol: protocol.clone(), locator: locator.clone() }
            }
        };
        let features = match (&self.features, existing) {
            (Some(features), _) => features.clone(),
            (None, Some(entry)) if entry.address == address => entry.features.clone(),
            _ => Features::none(),
        };
        Entry { address, features }
    }
}
