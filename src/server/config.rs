//! What a server is told: from TOML, key by key, and back.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::keys::{KEYS, Key};
use crate::address::{Host, Protocol};
use crate::codec::syslog::Format;
use crate::gateway::peer::RoomEntry;
use crate::gateway::syslog::Target;
use crate::limits::Limits;
use crate::name::{Nickname, RoomName};
use crate::store::{Durability, Retention};
use crate::text::{beginning, distance};

/// What a server is told. Begin with [`Config::default`], which keeps everything in memory, and change fields, or
/// [`merge`](Config::merge) TOML.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where it listens: 127.0.0.1.
    pub host: Host,
    /// At which port: 7000; with 0 the system chooses one.
    pub port: u16,
    /// Origins (`https://chat.example`) whose pages may use the rooms, besides the server's own.
    pub origins: Vec<String>,
    /// Names that the server goes by in `Host`, besides those of this machine.
    pub hosts: Vec<String>,
    /// Whether there is a page to chat on, at `/`: there is.
    pub page: bool,
    /// How long `/readyz` answers 503 before a stop begins, so that a load balancer sees it: not at all.
    pub drain_delay: Duration,
    /// The directory for everything that is kept.
    pub data: Option<PathBuf>,
    /// The directory for a recording of each connection: nothing is recorded. They hold what is said, also to one alone,
    /// and no secrets.
    pub record: Option<PathBuf>,
    /// Keep nothing past the process; `data` does not count then.
    pub memory: bool,
    /// When a message on disk counts as accepted.
    pub durability: Durability,
    /// Accounts that moderate every room.
    pub admins: Vec<Nickname>,
    /// Where each text is told, said in a room or to somebody alone: nowhere.
    pub syslog: Option<Target>,
    /// In which form.
    pub syslog_format: Format,
    /// What may stay of each room.
    pub retention: Retention,
    /// The wires of other chat systems into the rooms: none of them is open.
    pub legacy: Legacy,
    /// Rooms that peers write to, each at a port of its own on [`Legacy::host`]: none.
    pub room_peers: Vec<RoomEntry>,
    /// Every other bound.
    pub limits: Limits,
}

/// The wires of other chat systems into the rooms.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Legacy {
    /// Where they listen: 127.0.0.1. None of them keeps a secret on its way.
    pub host: Host,
    /// The room that those are in who choose none: `global`.
    pub room: RoomName,
    /// Pair chat; its own port is 6078.
    pub pair_port: WirePort,
    /// Where minechat is heard; its own port is 5000.
    pub minechat_listen_port: WirePort,
    /// Where minechat is written; its own port is 5050.
    pub minechat_write_port: WirePort,
    /// How often something is said to those who hear minechat, so that none of them takes silence for a dead link. Zero:
    /// not at all.
    pub minechat_heartbeat: Duration,
    /// Console chat; its own port is 9009.
    pub console_port: WirePort,
    /// Whether what console users say is told on to whoever runs the server.
    pub console_print_messages: bool,
}

/// Where a wire listens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WirePort {
    /// Nowhere.
    #[default]
    Off,
    /// At its own port. If that is taken, the server goes on without the wire, and says so.
    Usual,
    /// At this port, or the server does not start; with 0 the system chooses one.
    At(u16),
}

/// What is wrong with a configuration. The text names the place, the key and what would be right.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// It is not TOML.
    #[error("{place} is not TOML: line {line}: {reason}")]
    Syntax {
        /// Where it came from.
        place: String,
        /// The line.
        line: usize,
        /// What TOML says.
        reason: String,
    },
    /// There is no such key.
    #[error("{place}: unknown key {key:?}; {known}")]
    Unknown {
        /// Where it came from.
        place: String,
        /// The key.
        key: String,
        /// Which key may be meant, or which ones there are.
        known: String,
    },
    /// A key comes twice, once with `-` and once with `_`.
    #[error("{place}: {key} comes twice, with '-' and with '_'")]
    Twice {
        /// Where it came from.
        place: String,
        /// The key.
        key: &'static str,
    },
    /// A key has a value that it cannot have.
    #[error("{place}: {key} = {value}: {wanted} is wanted")]
    Value {
        /// Where it came from.
        place: String,
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        wanted: String,
    },
    /// Two keys contradict each other.
    #[error("{key} = {value} and {other} = {bound} contradict each other: {why}")]
    Contradiction {
        /// A key.
        key: &'static str,
        /// Its value.
        value: String,
        /// The key that it contradicts.
        other: &'static str,
        /// The value of that one.
        bound: String,
        /// What cannot be then.
        why: &'static str,
    },
    /// Nothing says where to keep data.
    #[error("there is no directory to keep data in: name one, or keep everything in memory")]
    NoData,
}

impl Config {
    /// Takes settings from TOML over those there are. `place` says in errors where the text came from. In keys `-` is as
    /// good as `_`.
    ///
    /// # Errors
    /// [`ConfigError`]; settings before the wrong one may have been taken.
    pub fn merge(&mut self, place: &str, text: &str) -> Result<(), ConfigError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            ConfigError::Syntax { place: place.into(), line, reason: error.message().into() }
        })?;
        self.take(place, "", &table, &mut BTreeSet::new())
    }

    /// Takes one setting from text, as it is typed: `limits.grace` and `10`. Lists are separated by commas; text needs
    /// no quotes.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`] and [`ConfigError::Value`].
    pub fn set(&mut self, place: &str, key: &str, value: &str) -> Result<(), ConfigError> {
        let key = find(place, key)?;
        (key.parse)(self, value).map_err(|wanted| bad(place, key, format!("{:?}", beginning(value, SHOWN)), wanted))
    }

    /// The names that the server goes by: those it was given, and where it listens, unless that is everywhere.
    pub(super) fn names(&self) -> Vec<String> {
        self.names_at(&self.host)
    }

    /// The same of a wire that listens elsewhere.
    pub(super) fn names_at(&self, host: &Host) -> Vec<String> {
        let everywhere = host.as_str().parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        let here = (!everywhere).then(|| host.as_str().to_owned());
        self.hosts.iter().cloned().chain(here).collect()
    }

    /// All settings as TOML that [`merge`](Config::merge) takes, with a word about each.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for key in KEYS {
            let (table, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
            if table != section {
                section = table;
                // Writing to a string does not fail, here and below.
                let _ = write!(out, "\n[{table}]\n");
            }
            let _ = writeln!(out, "# {}", key.about);
            let _ = match (key.show)(self) {
                Some(value) => writeln!(out, "{name} = {value}"),
                None => writeln!(out, "# {name} ="),
            };
        }
        out
    }

    /// Whether the settings go together. [`Server::bind`](super::Server::bind) asks this too.
    ///
    /// # Errors
    /// [`ConfigError::Contradiction`] for the first two that do not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let message = ("limits.message", limits.message);
        for ((key, value), (other, bound), why) in [
            (message, ("limits.frame", limits.frame), "no frame would hold the longest message"),
            (
                message,
                ("limits.member_bytes", limits.member_bytes),
                "the longest message would cut whoever is to hear it",
            ),
            (("limits.uri", limits.uri), ("limits.http_head", limits.http_head), "a head holds its target"),
        ] {
            if value > bound {
                let (value, bound) = (value.to_string(), bound.to_string());
                return Err(ConfigError::Contradiction { key, value, other, bound, why });
            }
        }
        if limits.commands_burst == 0 && limits.commands_per_second != 0 {
            return Err(ConfigError::Contradiction {
                key: "limits.commands_burst",
                value: "0".into(),
                other: "limits.commands_per_second",
                bound: limits.commands_per_second.to_string(),
                why: "no command would be let through; a rate of 0 switches the limit off",
            });
        }
        self.check_room_peers()
    }

    fn check_room_peers(&self) -> Result<(), ConfigError> {
        for (at, entry) in self.room_peers.iter().enumerate() {
            let is_udp = |entry: &RoomEntry| entry.protocol == Protocol::UDP;
            let same_place =
                |other: &&RoomEntry| entry.port != 0 && other.port == entry.port && is_udp(other) == is_udp(entry);
            let before = || self.room_peers[..at].iter();
            let same_name = before().find(|other| other.name == entry.name);
            let (other, why) = match (same_name, before().find(same_place)) {
                (Some(other), _) => (other, "peers know each room by a NAME of its own"),
                (None, Some(other)) => (other, "each room listens at a PORT of its own"),
                (None, None) => continue,
            };
            let key = "room_peers";
            return Err(ConfigError::Contradiction {
                key,
                value: format!("{:?}", other.to_string()),
                other: key,
                bound: format!("{:?}", entry.to_string()),
                why,
            });
        }
        Ok(())
    }

    /// Every key, with a word about it, in the order of [`to_toml`](Config::to_toml).
    pub fn keys() -> impl Iterator<Item = (&'static str, &'static str)> {
        KEYS.iter().map(|key| (key.name, key.about))
    }

    /// The directory for what is kept; `None` for memory.
    ///
    /// # Errors
    /// [`ConfigError::NoData`].
    pub fn directory(&self) -> Result<Option<&PathBuf>, ConfigError> {
        match (self.memory, &self.data) {
            (true, _) => Ok(None),
            (false, Some(dir)) => Ok(Some(dir)),
            (false, None) => Err(ConfigError::NoData),
        }
    }

    fn take(
        &mut self,
        place: &str,
        prefix: &str,
        table: &toml::Table,
        seen: &mut BTreeSet<&'static str>,
    ) -> Result<(), ConfigError> {
        for (written, value) in table {
            let name = if prefix.is_empty() { written.clone() } else { format!("{prefix}.{written}") };
            if let toml::Value::Table(table) = value
                && is_section(&name)
            {
                self.take(place, &name, table, seen)?;
                continue;
            }
            let key = find(place, &name)?;
            if !seen.insert(key.name) {
                return Err(ConfigError::Twice { place: place.into(), key: key.name });
            }
            (key.read)(self, value).map_err(|wanted| {
                let value = beginning(&value.to_string(), SHOWN).into_owned();
                bad(place, key, value, wanted)
            })?;
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST).into(),
            port: 7000,
            origins: Vec::new(),
            hosts: Vec::new(),
            page: true,
            drain_delay: Duration::ZERO,
            data: None,
            record: None,
            memory: true,
            durability: Durability::default(),
            admins: Vec::new(),
            syslog: None,
            syslog_format: Format::default(),
            retention: Retention::default(),
            legacy: Legacy::default(),
            room_peers: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Default for Legacy {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST).into(),
            room: RoomName::global(),
            pair_port: WirePort::Off,
            minechat_listen_port: WirePort::Off,
            minechat_write_port: WirePort::Off,
            minechat_heartbeat: Duration::ZERO,
            console_port: WirePort::Off,
            console_print_messages: false,
        }
    }
}

fn find(place: &str, name: &str) -> Result<&'static Key, ConfigError> {
    let dashless = name.replace('-', "_");
    KEYS.iter().find(|key| key.name == dashless).ok_or_else(|| ConfigError::Unknown {
        place: place.into(),
        key: beginning(name, SHOWN).into_owned(),
        known: known(&dashless),
    })
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.rsplit_once('.').is_some_and(|(table, _)| table == name))
}

/// The key that was meant, or those that there are.
fn known(name: &str) -> String {
    let (table, last) = name.rsplit_once('.').unwrap_or(("", name));
    let names = |wanted: &dyn Fn(&str) -> bool| {
        let names: Vec<_> = KEYS.iter().map(|key| key.name).filter(|name| wanted(name)).collect();
        names.join(", ")
    };
    if is_section(name) {
        return format!("it is a table, with {}", names(&|key| key.starts_with(&format!("{name}."))));
    }
    let elsewhere: Vec<_> =
        KEYS.iter().map(|key| key.name).filter(|key| key.rsplit('.').next() == Some(last)).collect();
    if elsewhere.len() > 1 {
        return format!("did you mean one of {}?", elsewhere.join(", "));
    }
    if let Some(near) = near(name, last) {
        return format!("did you mean {near}?");
    }
    let parts = names(&|key| last.len() > 2 && key.rsplit('.').next().is_some_and(|word| word.contains(last)));
    if !parts.is_empty() {
        return format!("did you mean one of {parts}?");
    }
    match table {
        "" => format!("known are {}, and the tables {}", names(&|key| !key.contains('.')), tables()),
        table if is_section(table) => format!("known are {}", names(&|key| key.starts_with(&format!("{table}.")))),
        _ => format!("the tables are {}", tables()),
    }
}

/// The key of that last word, whichever its table; or else the one that is written nearly so, with its table or without.
fn near(name: &str, last: &str) -> Option<&'static str> {
    let word = |key: &'static str| key.rsplit('.').next().unwrap_or(key);
    if let Some(key) = KEYS.iter().map(|key| key.name).find(|key| word(key) == last) {
        return Some(key);
    }
    // A table that stands there in full is meant.
    let table = name.rsplit_once('.').map(|(table, _)| table).filter(|table| is_section(table));
    let keys = KEYS.iter().map(|key| key.name);
    let keys = keys.filter(|key| table.is_none_or(|table| key.rsplit_once('.').is_some_and(|(of, _)| of == table)));
    let steps = |key| (distance(word(key), last).min(distance(key, name)), key);
    // Of several the one that comes first in the table.
    let (steps, key) = keys.map(steps).min_by_key(|(steps, _)| *steps)?;
    // More than that would be guessing.
    (steps <= MISSPELT && steps * 2 <= last.chars().count()).then_some(key)
}

/// The names of all tables.
fn tables() -> String {
    let mut tables: Vec<_> = KEYS.iter().filter_map(|key| key.name.rsplit_once('.')).map(|(table, _)| table).collect();
    tables.dedup();
    tables.join(", ")
}

fn bad(place: &str, key: &Key, value: String, wanted: String) -> ConfigError {
    ConfigError::Value { place: place.into(), key: key.name, value, wanted }
}

/// Characters of a value that an error repeats.
pub(super) const SHOWN: usize = 60;

/// How many letters off a key's word may be to be suggested.
const MISSPELT: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::default().merge("f.toml", text).unwrap_err().to_string()
    }

    fn set(key: &str, value: &str) -> Result<Config, String> {
        let mut config = Config::default();
        config.set("--set", key, value).map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        assert_eq!(error("prot = 1"), "f.toml: unknown key \"prot\"; did you mean server.port?");
        assert_eq!(
            error("port = 1"),
            "f.toml: unknown key \"port\"; did you mean one of server.port, pair.port, console.port?"
        );
        assert_eq!(error("[server]\nprot = 1"), "f.toml: unknown key \"server.prot\"; did you mean server.port?");
        assert!(error("zzz = 1").starts_with("f.toml: unknown key \"zzz\"; known are admins, data, "));
        assert!(
            error("[server]\nzzzz = 1").starts_with("f.toml: unknown key \"server.zzzz\"; known are server.host, ")
        );
        assert!(error("[sever]\nxport = 1").contains("unknown key \"sever\""));
        assert!(error("limits = 1").starts_with("f.toml: unknown key \"limits\"; it is a table, with limits."));
        assert!(error("[server.port]\nx = 1").contains("server.port = "));
        assert!(error("[limits]\nx.y = 1").contains("unknown key \"limits.x\""));
        assert!(error("memory = true\n= 1").starts_with("f.toml is not TOML: line 2: "));
        assert_eq!(
            error("[server]\ndrain-delay = 1\ndrain_delay = 1"),
            "f.toml: server.drain_delay comes twice, with '-' and with '_'"
        );
        assert!(set("limits", "1").is_err());
        assert!(set("", "1").is_err());
    }

    #[test]
    fn a_typo_is_answered_with_the_key_that_was_meant() {
        for (typed, meant) in [
            ("limits.comands_per_second", "limits.commands_per_second"),
            ("limits.mesage", "limits.message"),
            ("limits.massage", "limits.message"),
            ("limits.Frame", "limits.frame"),
            ("limits.idle_timout", "limits.idle_timeout"),
            ("limts.message", "limits.message"),
            ("limts.mesage", "limits.message"),
            ("mesage", "limits.message"),
            ("retention.age_day", "retention.age_days"),
            ("admin", "admins"),
            ("durabilty", "durability"),
        ] {
            let error = set(typed, "1").expect_err(typed);
            assert_eq!(error, format!("--set: unknown key {typed:?}; did you mean {meant}?"));
        }
        // What looks like nothing is no typo.
        assert!(set("limits.colour", "1").unwrap_err().contains("known are limits.message, "));
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused_by_both_names() {
        for (set, key, other) in [
            ("limits.message = 70000", "limits.message = 70000", "limits.frame = 65536"),
            ("limits.frame = 1000", "limits.message = 16384", "limits.frame = 1000"),
            ("limits.member_bytes = 1000", "limits.message = 16384", "limits.member_bytes = 1000"),
            ("limits.http_head = 1000", "limits.uri = 8192", "limits.http_head = 1000"),
            ("room_peers = ['a=b@http:1', 'c=b@http:2']", "room_peers = \"a=b@http:1\"", "room_peers = \"c=b@http:2\""),
            (
                "room_peers = ['a=b@http:1', 'c=d@websocket:1']",
                "room_peers = \"a=b@http:1\"",
                "room_peers = \"c=d@websocket:1\"",
            ),
        ] {
            let mut config = Config::default();
            config.merge("f.toml", set).unwrap();
            let error = config.check().expect_err(set).to_string();
            assert!(error.starts_with(&format!("{key} and {other} contradict each other: ")), "{set}: {error}");
        }
        // A file cannot say that, a program can.
        let mut config = Config::default();
        config.limits.commands_burst = 0;
        let error = config.check().unwrap_err().to_string();
        assert!(
            error.starts_with("limits.commands_burst = 0 and limits.commands_per_second = 20 contradict"),
            "{error}"
        );
        config.limits.commands_per_second = 0;
        assert_eq!(config.check(), Ok(()));
        for fine in [
            "",
            "limits.message = 1000\nlimits.frame = 1000\nlimits.member_bytes = 1000",
            "room_peers = ['a=b@http:1', 'a=c@udp:1', 'a=d@http:0', 'a=e@http:0']",
        ] {
            let mut config = Config::default();
            config.merge("f.toml", fine).unwrap();
            assert_eq!(config.check(), Ok(()), "{fine}");
        }
    }

    #[test]
    fn every_field_of_the_limits_is_a_key_or_concerns_peers_only() {
        let shown = format!("{:#?}", Limits::default());
        let fields: Vec<_> = shown.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": ")).collect();
        assert!(fields.len() > 30, "{shown}");
        for (field, _) in fields {
            let key = Config::keys().any(|(key, _)| key == format!("limits.{field}"));
            assert!(key != OF_PEERS.contains(&field), "{field}: put it into `KEYS`, or into this list");
        }
        let words = Config::keys().map(|(key, about)| (key, about.len())).filter(|(_, words)| *words < 10);
        assert_eq!(words.count(), 0);
    }

    /// Limits of what a server does not do: it asks no registry, and runs no peer.
    const OF_PEERS: &[&str] = &["http_response", "events"];

    #[test]
    fn every_key_can_be_changed_in_every_way_and_comes_back() {
        for (key, _) in Config::keys() {
            let before = line(&Config::default(), key);
            let value = match key {
                "admins" | "server.hosts" => "abc,def",
                "server.origins" => "https://a.example,http://b.example:8080",
                "data" => "/some/where",
                "memory" | "server.page" | "limits.loopback_exempt" => "false",
                "durability" => "os",
                "server.host" | "legacy.host" => "0.0.0.0",
                "legacy.room" => "lobby",
                "room_peers" => "lobby=hall@http:8090,den=den@udp:0",
                "console.print_messages" => "true",
                "server.port" => "7777",
                "syslog.to" => "tcp:[::1]:514",
                "syslog.format" => "rfc3164",
                "record" => "/var/tapes",
                _ => "123",
            };
            let typed = set(key, value).unwrap();
            let shown = line(&typed, key);
            assert_ne!(shown, before, "{key}");
            let mut read = Config::default();
            read.merge("again", &typed.to_toml()).unwrap();
            assert_eq!(read.to_toml(), typed.to_toml());
            // And nothing else changed.
            let (typed, before) = (typed.to_toml(), Config::default().to_toml());
            assert_eq!(typed.lines().count(), before.lines().count());
            assert_eq!(typed.lines().zip(before.lines()).filter(|(typed, before)| typed != before).count(), 1, "{key}");
        }
    }

    /// What stands in the TOML for a key, its table's name not included.
    fn line(config: &Config, key: &str) -> String {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        let text = config.to_toml();
        let section = match table {
            "" => text.as_str(),
            table => text.split(&format!("[{table}]\n")).nth(1).unwrap(),
        };
        let is = |line: &&str| line.trim_start_matches("# ").starts_with(&format!("{name} ="));
        section.lines().find(is).unwrap_or_else(|| panic!("{key} in {text}")).to_owned()
    }

    #[test]
    fn values_are_checked() {
        for (key, value) in [
            ("server.port", "65536"),
            ("server.port", "-1"),
            ("server.port", "x"),
            ("server.port", ""),
            ("server.port", "1\nx = 2"),
            ("server.host", "a b"),
            ("pair.port", "65536"),
            ("pair.port", "on"),
            ("legacy.room", "a b"),
            ("room_peers", "lobby"),
            ("room_peers", "lobby=talk@http:8090"),
            ("room_peers", "lobby=hall@tcp:8090"),
            ("legacy.room", ""),
            ("console.print_messages", "1"),
            ("minechat.heartbeat", "-1"),
            ("server.host", ""),
            ("server.origins", "chat.example"),
            ("server.origins", "https://chat.example/"),
            ("server.origins", "https://"),
            ("server.origins", "ftp://chat.example"),
            ("server.hosts", "https://chat.example"),
            ("server.hosts", "a b"),
            ("server.drain_delay", "-1"),
            ("data", ""),
            ("memory", "perhaps"),
            ("memory", "1"),
            ("durability", "memory"),
            ("admins", "system"),
            ("admins", "a b\u{202e}c"),
            ("syslog.to", ""),
            ("syslog.to", "/dev/log"),
            ("syslog.to", "udp:localhost"),
            ("syslog.format", "5424"),
            ("retention.count", "-1"),
            ("retention.age_days", "nan"),
            ("retention.age_days", "inf"),
            ("limits.message", "0"),
            ("limits.message", "1.5"),
            ("limits.message", "99999999999999"),
            ("limits.grace", "1e300"),
            ("limits.grace", "nan"),
            ("limits.head_timeout", "0"),
            ("limits.commands_per_second", "4294967296"),
        ] {
            let error = set(key, value).expect_err(&format!("{key} = {value}"));
            assert!(error.starts_with(&format!("--set: {key} = ")) && error.ends_with(" is wanted"), "{error}");
        }
        assert!(error("[server]\nport = '7000'").contains("server.port = \"7000\""));
        assert!(error("memory = 'yes'").ends_with("true or false is wanted"));
        assert!(error("data = 7").contains("data = 7: "));
        assert!(error("admins = 'ann'").contains("admins = "));
        assert!(error("admins = [1]").contains("admins = "));
    }

    #[test]
    fn what_is_zero_is_off() {
        assert_eq!(set("limits.commands_per_second", "0").unwrap().limits.commands_per_second, 0);
        let kept = set("retention.count", "5").unwrap();
        assert_eq!(kept.retention.count, Some(5));
        assert_eq!(set("retention.age_days", "0.5").unwrap().retention.age, Some(Duration::from_secs(43_200)));
        assert_eq!(set("retention.age_days", "0").unwrap().retention, Retention::default());
        assert_eq!(set("limits.grace", "0.25").unwrap().limits.grace, Duration::from_millis(250));
    }

    #[test]
    fn memory_wins_over_a_directory_and_nothing_is_an_error() {
        let mut config = Config::default();
        assert_eq!(config.directory(), Ok(None));
        config.memory = false;
        assert_eq!(config.directory(), Err(ConfigError::NoData));
        config.merge("f", "data = '/d'").unwrap();
        assert_eq!(config.directory(), Ok(Some(&PathBuf::from("/d"))));
        config.memory = true;
        assert_eq!(config.directory(), Ok(None));
    }
}
