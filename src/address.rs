//! Where a peer listens: a protocol, a host and a port, or another transport's locator, with the features it claims.

mod placement;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

pub use placement::{Place, Placement};

/// Why an address was refused; the display text says what would be right.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[non_exhaustive]
pub enum AddressError {
    /// The protocol is no token.
    #[error("a protocol is 1 to 16 letters, digits, '+', '-' or '.', such as HTTP, UDP or WEBSOCKET")]
    Protocol,
    /// The host is neither a DNS name nor an IP literal.
    #[error("a host is a DNS name, an IPv4 address or an IPv6 address without brackets, at most 253 bytes")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("a port is an integer from 1 to 65535, in digits only")]
    Port,
    /// A locator is empty, too long, or holds a control character.
    #[error("a locator is 1 to {MAX_LOCATOR} bytes of text without control characters")]
    Locator,
    /// A feature is no token, or there are too many.
    #[error("features are at most {MAX_FEATURES} names of 1 to 32 characters a-z 0-9 . _ -")]
    Feature,
}

/// The name of a transport protocol: any case in, upper case out.
///
/// The three constants are what the field's registries know; others are open to plug-in transports.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Protocol(Cow<'static, str>);

impl Protocol {
    /// `POST /v1/message` to a peer.
    pub const HTTP: Self = Self(Cow::Borrowed("HTTP"));
    /// One datagram a message.
    pub const UDP: Self = Self(Cow::Borrowed("UDP"));
    /// One text frame a message.
    pub const WEBSOCKET: Self = Self(Cow::Borrowed("WEBSOCKET"));

    /// Parses a protocol name in any letter case.
    ///
    /// # Errors
    /// [`AddressError::Protocol`] when it is not 1 to 16 letters, digits, `+`, `-` or `.`.
    pub fn new(name: &str) -> Result<Self, AddressError> {
        for known in [Self::HTTP, Self::UDP, Self::WEBSOCKET] {
            if known.0.eq_ignore_ascii_case(name) {
                return Ok(known);
            }
        }
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        if name.is_empty() || name.len() > 16 || !name.bytes().all(fits) {
            return Err(AddressError::Protocol);
        }
        Ok(Self(name.to_ascii_uppercase().into()))
    }

    /// Whether this is one of the three protocols that every registry of the field knows.
    #[must_use]
    pub fn is_standard(&self) -> bool {
        [Self::HTTP, Self::UDP, Self::WEBSOCKET].contains(self)
    }

    /// The upper-case name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Protocol {
    type Err = AddressError;
    fn from_str(name: &str) -> Result<Self, AddressError> {
        Self::new(name)
    }
}

/// A DNS name, or an IPv4 or IPv6 literal (without brackets), at most 253 bytes.
///
/// IP literals are kept in their canonical form (RFC 5952; an IPv4-mapped IPv6 address becomes IPv4). DNS names are
/// letters, digits, `-` and `_` in labels of 1 to 63, kept as given; one whose last label is a number is refused, as
/// it would be read as an IPv4 address somewhere (WHATWG URL, section 3.5).
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Host(Arc<str>);

impl Host {
    /// Parses a host.
    ///
    /// # Errors
    /// [`AddressError::Host`].
    pub fn new(host: &str) -> Result<Self, AddressError> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(ip.into());
        }
        let label_fits = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let last = host.rsplit('.').next().unwrap_or_default();
        let hexadecimal = last.get(..2).is_some_and(|p| p.eq_ignore_ascii_case("0x"));
        let numeric = last.bytes().all(|b| b.is_ascii_digit())
            || (hexadecimal && last.bytes().skip(2).all(|b| b.is_ascii_hexdigit()));
        if host.len() > 253 || numeric || !host.split('.').all(label_fits) {
            return Err(AddressError::Host);
        }
        Ok(Self(host.into()))
    }

    /// The host as text, an IPv6 literal without brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The IP address, when the host is a literal.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    /// Whether this is `0.0.0.0` or `::`: good to listen on, useless to be found at.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self(ip.to_canonical().to_string().into())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Host {
    type Err = AddressError;
    fn from_str(host: &str) -> Result<Self, AddressError> {
        Self::new(host)
    }
}

/// Parses a port from 1 to 65535 written in digits only: no sign, no spaces, no fraction.
///
/// # Errors
/// [`AddressError::Port`].
pub fn parse_port(text: &str) -> Result<u16, AddressError> {
    let port = if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None };
    port.filter(|port| *port != 0).ok_or(AddressError::Port)
}

/// Where a peer is reached, or where to listen.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Address {
    /// A host and a port.
    Network {
        /// The transport.
        protocol: Protocol,
        /// The host.
        host: Host,
        /// The port; 0 only in an address to listen on, where the system then chooses.
        port: u16,
    },
    /// Anything that is not a host and a port; only plug-in transports have such addresses.
    Other {
        /// The transport, never one of the three standard ones.
        protocol: Protocol,
        /// The place, in the transport's own notation.
        locator: Locator,
    },
}

impl Address {
    /// A host and a port.
    #[must_use]
    pub fn network(protocol: Protocol, host: Host, port: u16) -> Self {
        Self::Network { protocol, host, port }
    }

    /// A socket address under a protocol.
    #[must_use]
    pub fn socket(protocol: Protocol, at: SocketAddr) -> Self {
        Self::network(protocol, at.ip().into(), at.port())
    }

    /// The loopback address 127.0.0.1.
    #[must_use]
    pub fn loopback(protocol: Protocol, port: u16) -> Self {
        Self::network(protocol, IpAddr::V4(Ipv4Addr::LOCALHOST).into(), port)
    }

    /// A plug-in transport's own place.
    ///
    /// # Errors
    /// [`AddressError::Protocol`] for one of the three standard protocols, whose addresses are host and port;
    /// [`AddressError::Locator`] when the locator is empty, too long or holds a control character.
    pub fn other(protocol: Protocol, locator: &str) -> Result<Self, AddressError> {
        if protocol.is_standard() {
            return Err(AddressError::Protocol);
        }
        Ok(Self::Other { protocol, locator: Locator::new(locator)? })
    }

    /// The transport that reaches this address.
    #[must_use]
    pub fn protocol(&self) -> &Protocol {
        match self {
            Self::Network { protocol, .. } | Self::Other { protocol, .. } => protocol,
        }
    }

    /// Host and port as they stand in a URL (`[::1]:8080`), for a network address.
    #[must_use]
    pub fn authority(&self) -> Option<String> {
        match self {
            Self::Network { host, port, .. } => Some(authority(host.as_str(), *port)),
            Self::Other { .. } => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { protocol, host, port } => {
                let scheme = protocol.as_str().to_ascii_lowercase();
                write!(f, "{scheme}://{}", authority(host.as_str(), *port))
            }
            Self::Other { protocol, locator } => {
                write!(f, "{}:{}", protocol.as_str().to_ascii_lowercase(), locator.as_str())
            }
        }
    }
}

/// What counts as one place to come from: of IPv6 the network of 64 bits, all of which one host may use. On a link all
/// hosts share one such network.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) if !v6.is_unicast_link_local() => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        other => other,
    }
}

/// Host and port as they stand in a URL: an IPv6 literal in brackets.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The place of a peer in a plug-in transport's own notation: 1 to [`MAX_LOCATOR`] bytes, no control characters.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Locator(Arc<str>);

impl Locator {
    /// Takes a locator.
    ///
    /// # Errors
    /// [`AddressError::Locator`].
    pub fn new(locator: &str) -> Result<Self, AddressError> {
        if locator.is_empty() || locator.len() > MAX_LOCATOR || locator.chars().any(char::is_control) {
            return Err(AddressError::Locator);
        }
        Ok(Self(locator.into()))
    }

    /// The locator as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The longest locator, in bytes.
pub const MAX_LOCATOR: usize = 512;

/// The most features one entry may claim.
pub const MAX_FEATURES: usize = 16;

/// What a peer says it understands beyond the first version of the wire; sorted, each at most once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Features(BTreeSet<Arc<str>>);

impl Features {
    /// Messages with an `id` are acknowledged: the second version of the wire.
    pub const ACK: &'static str = "ack";
    /// Who listens there is no user but a room: what is said to it is heard by all who are in it.
    pub const ROOM: &'static str = "room";

    /// No features: a peer of the first version.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The features that this crate's own transports have.
    #[must_use]
    pub fn ours() -> Self {
        Self(BTreeSet::from([Self::ACK.into()]))
    }

    /// The features of a room that this crate's transports listen for.
    #[must_use]
    pub fn of_room() -> Self {
        Self(BTreeSet::from([Self::ACK.into(), Self::ROOM.into()]))
    }

    /// Collects feature names.
    ///
    /// # Errors
    /// [`AddressError::Feature`] when one is not 1 to 32 of `a-z 0-9 . _ -`, or there are more than [`MAX_FEATURES`].
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, AddressError> {
        let mut features = BTreeSet::new();
        for name in names {
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
            if name.is_empty() || name.len() > 32 || !name.bytes().all(fits) || features.len() == MAX_FEATURES {
                return Err(AddressError::Feature);
            }
            features.insert(name.into());
        }
        Ok(Self(features))
    }

    /// Whether the peer claims the feature.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.0.contains(feature)
    }

    /// Whether nothing is claimed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

/// What a registry knows of a peer: where it is and what it understands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Where the peer listens.
    pub address: Address,
    /// What it understands.
    pub features: Features,
}

impl Entry {
    /// A peer of the first version of the wire.
    #[must_use]
    pub fn plain(address: Address) -> Self {
        Self { address, features: Features::none() }
    }

    /// A peer that acknowledges messages.
    #[must_use]
    pub fn acknowledging(address: Address) -> Self {
        Self { address, features: Features::ours() }
    }

    /// Whether messages to this peer carry an id and are acknowledged.
    #[must_use]
    pub fn acknowledges(&self) -> bool {
        self.features.has(Features::ACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_come_in_any_case_and_leave_in_upper_case() {
        assert_eq!(Protocol::new("webSocket").unwrap(), Protocol::WEBSOCKET);
        assert_eq!(Protocol::new("unix").unwrap().as_str(), "UNIX");
        for bad in ["", "a b", "ｈttp", "12345678901234567"] {
            assert_eq!(Protocol::new(bad), Err(AddressError::Protocol));
        }
    }

    #[test]
    fn hosts_are_names_or_literals() {
        for good in ["localhost", "0.0.0.0", "::", "a.example", "my_service", "xn--e1afmkfd.example", "1.example"] {
            assert_eq!(Host::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            " ",
            "a b",
            "[::1]",
            "a..b",
            ".a",
            "a.",
            "-a",
            "a-",
            "256.1.1.1",
            "1.2.3",
            "0x7f.1.0x1",
            "127.0.0.01",
            "a/b",
            "a:80",
            "user@host",
            "fe80::1%eth0",
            "пример.рф",
            "a\u{0}",
            "1.2.3.4.5",
            "host\n",
            "http://a",
        ] {
            assert_eq!(Host::new(bad), Err(AddressError::Host), "{bad:?}");
        }
        assert!(Host::new(&format!("{}.example", "a".repeat(64))).is_err());
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        assert_eq!(long.len(), 253);
        assert!(Host::new(&long).is_ok());
        assert!(Host::new(&format!("{long}d")).is_err());
    }

    #[test]
    fn ip_literals_are_canonical() {
        assert_eq!(Host::new("::ffff:127.0.0.1").unwrap().as_str(), "127.0.0.1");
        assert_eq!(Host::new("0:0:0:0:0:0:0:1").unwrap().as_str(), "::1");
        assert!(Host::new("0:0:0:0:0:0:0:0").unwrap().is_unspecified());
    }

    #[test]
    fn ports_are_digits_from_1_to_65535() {
        assert_eq!(parse_port("1"), Ok(1));
        assert_eq!(parse_port("65535"), Ok(65535));
        assert_eq!(parse_port("0080"), Ok(80));
        for bad in ["", "0", "65536", "+80", "-1", "80.7", " 80", "80 ", "8e1", "٨٠", "0x50"] {
            assert_eq!(parse_port(bad), Err(AddressError::Port), "{bad:?}");
        }
    }

    #[test]
    fn addresses_read_like_urls() {
        let v6 = Address::network(Protocol::UDP, Host::new("::1").unwrap(), 5);
        assert_eq!(v6.to_string(), "udp://[::1]:5");
        let unix = Address::other(Protocol::new("unix").unwrap(), "/tmp/bob.sock").unwrap();
        assert_eq!(unix.to_string(), "unix:/tmp/bob.sock");
        assert!(Address::other(Protocol::HTTP, "x").is_err());
        assert!(Address::other(Protocol::new("unix").unwrap(), &"x".repeat(513)).is_err());
    }

    #[test]
    fn features_are_few_short_tokens() {
        let features = Features::new(["room", "ack", "ack"]).unwrap();
        assert_eq!(features.iter().collect::<Vec<_>>(), ["ack", "room"]);
        assert!(Features::new(["Ack"]).is_err());
        assert!(Features::new([""]).is_err());
        let many: Vec<String> = (0..17).map(|i| format!("f{i}")).collect();
        assert!(Features::new(many.iter().map(String::as_str)).is_err());
        assert!(Features::new(many[..16].iter().map(String::as_str)).is_ok());
    }
}
