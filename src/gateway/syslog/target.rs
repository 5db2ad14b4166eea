//! Where syslog records go.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use crate::address::{Host, authority, parse_port};

/// Where syslog records go: `unix:PATH`, `udp:HOST:PORT` or `tcp:HOST:PORT`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Target {
    /// A socket of this machine: one that takes datagrams, or else one that takes a stream, in which a line feed stands
    /// behind each record. Only on Unix.
    Unix(PathBuf),
    /// Datagrams.
    Udp(Host, u16),
    /// A stream, in which its length stands before each record.
    Tcp(Host, u16),
}

/// The text names no place for records.
#[derive(Clone, Copy, Debug, Error, Eq, PartialEq)]
#[error("unix:PATH, udp:HOST:PORT or tcp:HOST:PORT is wanted")]
pub struct TargetError;

impl FromStr for Target {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (kind, place) = text.split_once(':').ok_or(TargetError)?;
        match kind {
            "unix" if !place.is_empty() && !place.contains('\0') => Ok(Self::Unix(place.into())),
            "udp" => host_and_port(place).map(|(host, port)| Self::Udp(host, port)),
            "tcp" => host_and_port(place).map(|(host, port)| Self::Tcp(host, port)),
            _ => Err(TargetError),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Udp(host, port) => write!(f, "udp:{}", authority(host.as_str(), *port)),
            Self::Tcp(host, port) => write!(f, "tcp:{}", authority(host.as_str(), *port)),
        }
    }
}

fn host_and_port(place: &str) -> Result<(Host, u16), TargetError> {
    let (host, port) = place.rsplit_once(':').ok_or(TargetError)?;
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    // An IPv6 literal has brackets here, and nothing else has.
    let host = match literal {
        Some(literal) if literal.contains(':') => literal,
        None if !host.contains(':') => host,
        _ => return Err(TargetError),
    };
    Ok((Host::new(host).map_err(|_| TargetError)?, parse_port(port).map_err(|_| TargetError)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_as_it_is_written() {
        for text in ["unix:/dev/log", "unix:a b", "udp:127.0.0.1:514", "udp:logs.example:1514", "tcp:[::1]:6514"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for text in [
            "",
            "off",
            "unix",
            "unix:",
            "unix:a\0b",
            "/dev/log",
            "udp:",
            "udp:514",
            "udp:h",
            "udp:h:",
            "udp:h:0",
            "udp:h:65536",
            "udp:h:+1",
            "tcp:::1:514",
            "tcp:[::1]",
            "tcp:[h]:1",
            "tcp:[1.2.3.4]:1",
            "tcp:a b:1",
            "tcp://h:1",
            "tls:h:1",
            "UDP:h:1",
        ] {
            assert_eq!(text.parse::<Target>(), Err(TargetError), "{text}");
        }
    }
}
