//! The keys of a configuration: what each is called, where its value stands, and what it may be.

use std::path::PathBuf;
use std::time::Duration;

use toml::Value;

use super::config::{Config, SHOWN, WirePort};
use crate::address::Host;
use crate::codec::syslog::Format;
use crate::gateway::peer::RoomEntry;
use crate::gateway::syslog::Target;
use crate::name::{MAX_NAME, Nickname, RoomName};
use crate::store::Durability;
use crate::text::beginning;

/// One setting.
pub(super) struct Key {
    /// With its table: `limits.grace`.
    pub(super) name: &'static str,
    /// A word for whoever reads a configuration.
    pub(super) about: &'static str,
    /// Its value; `None` when it has none.
    pub(super) show: fn(&Config) -> Option<Value>,
    /// Takes a value of TOML, or tells what is wanted.
    pub(super) read: fn(&mut Config, &Value) -> Result<(), String>,
    /// Takes what somebody typed, or tells what is wanted.
    pub(super) parse: fn(&mut Config, &str) -> Result<(), String>,
}

macro_rules! key {
    ($name:expr, $kind:ty, $($field:ident).+, $about:literal) => {
        Key {
            name: $name,
            about: $about,
            show: |config| <$kind>::show(&config.$($field).+),
            read: |config, value| {
                config.$($field).+ = <$kind>::read(value).ok_or_else(|| <$kind>::instead_of(value))?;
                Ok(())
            },
            parse: |config, text| {
                let value = <$kind>::typed(text).ok_or_else(<$kind>::wanted)?;
                config.$($field).+ = <$kind>::read(&value).ok_or_else(|| <$kind>::instead_of(&value))?;
                Ok(())
            },
        }
    };
}

macro_rules! limit {
    ($field:ident, $kind:ty, $about:literal) => {
        key!(concat!("limits.", stringify!($field)), $kind, limits.$field, $about)
    };
}

/// All of them, table by table.
pub(super) const KEYS: &[Key] = &[
    key!(
        "admins",
        Admins,
        admins,
        "accounts that moderate every room; make each before others can: [\"ann\", \"bob\"]"
    ),
    key!("data", Directory, data, "the directory for users, history and rules"),
    key!(
        "record",
        Recordings,
        record,
        "the directory for a recording of each connection, with all that is said there but secrets; or off"
    ),
    key!("memory", Switch, memory, "keep nothing past the process; 'data' does not count then"),
    key!(
        "durability",
        Durable,
        durability,
        "when a message is accepted: once synced to disk (fsync), or once the system has it (os)"
    ),
    key!(
        "room_peers",
        RoomPeers,
        room_peers,
        "rooms that peers write to, each at a port of its own on legacy.host: [\"lobby=lobby@http:8090\"]"
    ),
    key!("server.host", Place, host, "the address to listen on"),
    key!("server.port", Port, port, "the port to listen on; 0 lets the system choose"),
    key!("server.origins", Origins, origins, "origins whose pages may use the rooms: [\"https://chat.example\"]"),
    key!(
        "server.hosts",
        Hosts,
        hosts,
        "names that the rooms answer to, besides 'localhost' and server.host: [\"chat.example\"]"
    ),
    key!(
        "server.drain_delay",
        Seconds<0>,
        drain_delay,
        "seconds that /readyz answers 503 before a stop begins, for load balancers"
    ),
    key!("server.page", Switch, page, "whether there is a page to chat on, at /"),
    key!("legacy.host", Place, legacy.host, "the address at which the wires of other chat systems listen"),
    key!("legacy.room", Room, legacy.room, "the room that minechat and console chat lead to"),
    key!(
        "pair.port",
        Wire,
        legacy.pair_port,
        "pair chat: a port, \"off\", or \"usual\", which is 6078 unless somebody else has that"
    ),
    key!(
        "minechat.listen_port",
        Wire,
        legacy.minechat_listen_port,
        "where minechat is heard: a port, \"off\", or \"usual\", which is 5000 unless somebody else has that"
    ),
    key!(
        "minechat.write_port",
        Wire,
        legacy.minechat_write_port,
        "where minechat is written: a port, \"off\", or \"usual\", which is 5050 unless somebody else has that"
    ),
    key!(
        "minechat.heartbeat",
        Seconds<0>,
        legacy.minechat_heartbeat,
        "seconds after which something is said to those who hear it; 0: never"
    ),
    key!(
        "console.port",
        Wire,
        legacy.console_port,
        "console chat: a port, \"off\", or \"usual\", which is 9009 unless somebody else has that"
    ),
    key!(
        "console.print_messages",
        Switch,
        legacy.console_print_messages,
        "whether what console users say is printed where the server runs"
    ),
    key!(
        "syslog.to",
        Receiver,
        syslog,
        "where each text is told, direct ones too: unix:/dev/log, udp:HOST:PORT, tcp:HOST:PORT, or off"
    ),
    key!("syslog.format", Form, syslog_format, "in which form: rfc5424, or the older rfc3164"),
    key!("retention.age_days", Days, retention.age, "days that a message is kept; 0: for good"),
    key!("retention.count", Bound, retention.count, "messages that are kept of a room; 0: all"),
    key!("retention.bytes", Bound, retention.bytes, "bytes of messages that are kept of a room; 0: all"),
    limit!(message, Count<1>, "bytes of a message's text"),
    limit!(frame, Count<1>, "bytes of a WebSocket message, and of each frame"),
    limit!(http_body, Count<1>, "bytes of a request body"),
    limit!(http_head, Count<1>, "bytes of a request head"),
    limit!(http_headers, Count<1>, "header fields of a request"),
    limit!(uri, Count<1>, "bytes of a request target"),
    limit!(connections_per_address, Count<1>, "connections from one address, or one IPv6 network of 64 bits"),
    limit!(loopback_exempt, Switch, "whether connections from this machine do not count there"),
    limit!(unsigned, Count<1>, "connections that have not signed in, besides those of HTTP; the oldest goes first"),
    limit!(unsigned_per_address, Count<1>, "the same from one address, or one IPv6 network of 64 bits"),
    limit!(sign_in_timeout, Seconds<1>, "seconds to sign in there"),
    limit!(head_timeout, Seconds<1>, "seconds for a request head to arrive"),
    limit!(body_timeout, Seconds<1>, "seconds for a request body to arrive, and for an answer to be taken"),
    limit!(connect_timeout, Seconds<1>, "seconds for a connection to a peer to be made"),
    limit!(request_timeout, Seconds<1>, "seconds for a peer to answer"),
    limit!(confirm_timeout, Seconds<0>, "seconds for a peer to confirm by WebSocket; then a message is unconfirmed"),
    limit!(inbox, Count<1>, "messages of peers that wait for a room"),
    limit!(grace, Seconds<0>, "seconds that a stop waits for requests and sessions"),
    limit!(duplicate_window, Seconds<0>, "seconds that a message's id is remembered, so that it is never said twice"),
    limit!(duplicate_ids, Count<1>, "ids remembered of one room or sender"),
    limit!(duplicate_senders, Count<1>, "peers whose ids are remembered, of each room that they write to"),
    limit!(duplicate_total, Count<1>, "ids remembered of all peers that write to a room, and of all messages to peers"),
    limit!(users, Count<1>, "users of the rooms, and entries of the registry"),
    limit!(history_count, Long, "messages of a room that a history in memory keeps"),
    limit!(history_bytes, Long, "bytes of a room that a history in memory keeps"),
    limit!(history_total, Long, "bytes of all rooms that a history in memory keeps"),
    limit!(history_ids, Count<1>, "ids of messages that a history remembers"),
    limit!(sessions_per_user, Count<1>, "sessions of one user"),
    limit!(offline_messages, Long, "direct messages that wait for a user who is away"),
    limit!(rules_per_room, Count<1>, "bans and mutes of one room"),
    limit!(blocks_per_user, Count<1>, "users that one user blocks"),
    limit!(idle_timeout, Seconds<0>, "seconds of silence after which a session that answered a ping is over; 0: never"),
    limit!(rooms, Count<1>, "rooms at the same time"),
    limit!(rooms_per_user, Count<1>, "rooms that one user may make, and that one session may be in"),
    limit!(commands_per_second, Small<0>, "commands per second of one session on average; 0: any number"),
    limit!(commands_burst, Small<1>, "commands of one session at once"),
    limit!(member_bytes, Count<1>, "bytes that wait for a member who does not read"),
    limit!(member_messages, Count<1>, "messages that wait for a member who does not read"),
    limit!(console_messages, Count<1>, "messages that wait for a console client, which hears four objects a second"),
    limit!(syslog_queue, Count<1>, "texts that wait for the syslog receiver"),
    limit!(syslog_record, Count<1>, "bytes of a syslog record over TCP and on this machine; at least 480 are written"),
    limit!(recordings, Long, "bytes of all recordings in their directory"),
    limit!(store_queue, Count<1>, "writes that wait for a store"),
];

/// One kind of value: how it is read, typed and shown.
trait Kind {
    type Value;
    fn wanted() -> String;
    /// What is wanted in the place of a value that was refused.
    fn instead_of(_refused: &Value) -> String {
        Self::wanted()
    }
    fn read(value: &Value) -> Option<Self::Value>;
    /// What was typed, as it would stand in TOML; or in a way that is typed more easily.
    fn typed(text: &str) -> Option<Value> {
        toml_value(text)
    }
    fn show(value: &Self::Value) -> Option<Value>;
}

/// A number of at least `LEAST`.
struct Count<const LEAST: i64>;
struct Small<const LEAST: i64>;
struct Long;
struct Port;
/// A number where 0 says that there is no bound.
struct Bound;
/// Seconds, as a whole number or not; with `LEAST` 1 any but none.
struct Seconds<const LEAST: u8>;
struct Days;
struct Switch;
struct Place;
struct Directory;
struct Durable;
struct Room;
struct Wire;
struct RoomPeers;
struct Origins;
struct Hosts;
struct Admins;
/// A syslog receiver, or `off`.
struct Receiver;
struct Form;
/// A directory, or `off`.
struct Recordings;

impl<const LEAST: i64> Kind for Count<LEAST> {
    type Value = usize;
    fn wanted() -> String {
        format!("a number from {LEAST} to {MOST}")
    }
    fn read(value: &Value) -> Option<usize> {
        usize::try_from(number(value, LEAST, MOST)?).ok()
    }
    fn show(value: &usize) -> Option<Value> {
        shown(*value)
    }
}

impl<const LEAST: i64> Kind for Small<LEAST> {
    type Value = u32;
    fn wanted() -> String {
        format!("a number from {LEAST} to {}", u32::MAX)
    }
    fn read(value: &Value) -> Option<u32> {
        u32::try_from(number(value, LEAST, u32::MAX.into())?).ok()
    }
    fn show(value: &u32) -> Option<Value> {
        shown(*value)
    }
}

impl Kind for Long {
    type Value = u64;
    fn wanted() -> String {
        Count::<1>::wanted()
    }
    fn read(value: &Value) -> Option<u64> {
        u64::try_from(number(value, 1, MOST)?).ok()
    }
    fn show(value: &u64) -> Option<Value> {
        shown(*value)
    }
}

impl Kind for Port {
    type Value = u16;
    fn wanted() -> String {
        "a port from 0 to 65535".into()
    }
    fn read(value: &Value) -> Option<u16> {
        u16::try_from(number(value, 0, u16::MAX.into())?).ok()
    }
    fn show(value: &u16) -> Option<Value> {
        shown(*value)
    }
}

impl Kind for Wire {
    type Value = WirePort;
    fn wanted() -> String {
        "a port from 0 to 65535, off, or usual (its own port, unless somebody else has that)".into()
    }
    fn read(value: &Value) -> Option<WirePort> {
        match value.as_str() {
            Some("off") => Some(WirePort::Off),
            Some("usual") => Some(WirePort::Usual),
            Some(_) => None,
            None => Port::read(value).map(WirePort::At),
        }
    }
    fn typed(text: &str) -> Option<Value> {
        Some(toml_value(text).unwrap_or_else(|| text.into()))
    }
    fn show(value: &WirePort) -> Option<Value> {
        match value {
            WirePort::Off => Some("off".into()),
            WirePort::Usual => Some("usual".into()),
            WirePort::At(port) => shown(*port),
        }
    }
}

impl Kind for RoomPeers {
    type Value = Vec<RoomEntry>;
    fn wanted() -> String {
        "a list like [\"lobby=lobby@http:8090\"]".into()
    }
    fn instead_of(refused: &Value) -> String {
        let why = |error| format!("{error}; something like lobby=lobby@http:8090");
        instead_of_item::<Self>(refused, |text| text.parse::<RoomEntry>().err().map(why))
    }
    fn read(value: &Value) -> Option<Vec<RoomEntry>> {
        list(value, |text| text.parse().ok())
    }
    fn typed(text: &str) -> Option<Value> {
        Some(typed_list(text))
    }
    fn show(value: &Vec<RoomEntry>) -> Option<Value> {
        Some(value.iter().map(ToString::to_string).collect::<Vec<_>>().into())
    }
}

impl Kind for Room {
    type Value = RoomName;
    fn wanted() -> String {
        format!("a room's name, 1 to {MAX_NAME} of the characters A-Z a-z 0-9 _ . - and neither '.' nor '..',")
    }
    fn read(value: &Value) -> Option<RoomName> {
        RoomName::new(value.as_str()?).ok()
    }
    fn typed(text: &str) -> Option<Value> {
        Some(typed_text(text))
    }
    fn show(value: &RoomName) -> Option<Value> {
        Some(value.as_str().into())
    }
}

impl Kind for Bound {
    type Value = Option<u64>;
    fn wanted() -> String {
        Count::<0>::wanted()
    }
    fn read(value: &Value) -> Option<Option<u64>> {
        let number = u64::try_from(number(value, 0, MOST)?).ok()?;
        Some((number > 0).then_some(number))
    }
    fn show(value: &Option<u64>) -> Option<Value> {
        shown(value.unwrap_or(0))
    }
}

impl<const LEAST: u8> Kind for Seconds<LEAST> {
    type Value = Duration;
    fn wanted() -> String {
        let least = if LEAST == 0 { "from 0" } else { "above 0" };
        format!("a number of seconds {least} to {MOST_SECONDS}")
    }
    fn read(value: &Value) -> Option<Duration> {
        duration(value, 1.0).filter(|duration| LEAST == 0 || !duration.is_zero())
    }
    fn show(value: &Duration) -> Option<Value> {
        Some(in_units(*value, 1))
    }
}

impl Kind for Days {
    type Value = Option<Duration>;
    fn wanted() -> String {
        format!("a number of days from 0 to {}", MOST_SECONDS / DAY)
    }
    fn read(value: &Value) -> Option<Option<Duration>> {
        // The value is small, and exact.
        Some(duration(value, DAY as f64)?).map(|age| (!age.is_zero()).then_some(age))
    }
    fn show(value: &Option<Duration>) -> Option<Value> {
        Some(in_units(value.unwrap_or_default(), DAY))
    }
}

impl Kind for Switch {
    type Value = bool;
    fn wanted() -> String {
        "true or false".into()
    }
    fn read(value: &Value) -> Option<bool> {
        value.as_bool()
    }
    fn show(value: &bool) -> Option<Value> {
        Some((*value).into())
    }
}

impl Kind for Place {
    type Value = Host;
    fn wanted() -> String {
        "a host name or an IP address".into()
    }
    fn read(value: &Value) -> Option<Host> {
        Host::new(value.as_str()?).ok()
    }
    fn typed(text: &str) -> Option<Value> {
        Some(typed_text(text))
    }
    fn show(value: &Host) -> Option<Value> {
        Some(value.as_str().into())
    }
}

impl Kind for Directory {
    type Value = Option<PathBuf>;
    fn wanted() -> String {
        "the path of a directory".into()
    }
    fn read(value: &Value) -> Option<Option<PathBuf>> {
        let text = value.as_str()?;
        (!text.is_empty() && !text.contains('\0')).then(|| Some(text.into()))
    }
    fn typed(text: &str) -> Option<Value> {
        Some(typed_text(text))
    }
    fn show(value: &Option<PathBuf>) -> Option<Value> {
        value.as_ref().map(|path| path.to_string_lossy().into_owned().into())
    }
}

impl Kind for Durable {
    type Value = Durability;
    fn wanted() -> String {
        "fsync or os".into()
    }
    fn read(value: &Value) -> Option<Durability> {
        let text = value.as_str()?;
        [Durability::Fsync, Durability::Os].into_iter().find(|durability| word(*durability) == text)
    }
    fn typed(text: &str) -> Option<Value> {
        Some(typed_text(text))
    }
    fn show(value: &Durability) -> Option<Value> {
        Some(word(*value).into())
    }
}

impl Kind for Origins {
    type Value = Vec<String>;
    fn wanted() -> String {
        "a list like [\"https://chat.example\"]".into()
    }
    fn instead_of(refused: &Value) -> String {
        let right = "an origin like https://chat.example or http://localhost:8080, without a path,";
        instead_of_item::<Self>(refused, |text| (!is_origin(text)).then(|| right.into()))
    }
    fn read(value: &Value) -> Option<Vec<String>> {
        list(value, |text| is_origin(text).then(|| text.to_owned()))
    }
    fn typed(text: &str) -> Option<Value> {
        Some(typed_list(text))
    }
    fn show(value: &Vec<String>) -> Option<Value> {
        Some(value.clone().into())
    }
}

impl Kind for Hosts {
    type Value = Vec<String>;
    fn wanted() -> String {
        "a list like [\"chat.example\"]".into()
    }
    fn instead_of(refused: &Value) -> String {
        let right = "a host name or an IP address like chat.example, without a port,";
        instead_of_item::<Self>(refused, |text| Host::new(text).is_err().then(|| right.into()))
    }
    fn read(value: &Value) -> Option<Vec<String>> {
        list(value, |text| Host::new(text).ok().map(|host| host.as_str().to_owned()))
    }
    fn typed(text: &str) -> Option<Value> {
        Some(typed_list(text))
    }
    fn show(value: &Vec<String>) -> Option<Value> {
        Some(value.clone().into())
    }
}

impl Kind for Admins {
    type Value = Vec<Nickname>;
    fn wanted() -> String {
        "a list like [\"ann\", \"bob\"]".into()
    }
    fn instead_of(refused: &Value) -> String {
        let why = |error| format!("{error}; a nickname");
        instead_of_item::<Self>(refused, |text| Nickname::new(text).err().map(why))
    }
    fn read(value: &Value) -> Option<Vec<Nickname>> {
        list(value, |text| Nickname::new(text).ok())
    }
    fn typed(text: &str) -> Option<Value> {
        Some(typed_list(text))
    }
    fn show(value: &Vec<Nickname>) -> Option<Value> {
        Some(value.iter().map(Nickname::as_str).collect::<Vec<_>>().into())
    }
}

impl Kind for Receiver {
    type Value = Option<Target>;
    fn wanted() -> String {
        "unix:PATH, udp:HOST:PORT, tcp:HOST:PORT or off".into()
    }
    fn read(value: &Value) -> Option<Option<Target>> {
        match value.as_str()? {
            OFF => Some(None),
            target => Some(Some(target.parse().ok()?)),
        }
    }
    fn typed(text: &str) -> Option<Value> {
        Some(typed_text(text))
    }
    fn show(value: &Option<Target>) -> Option<Value> {
        Some(value.as_ref().map_or_else(|| OFF.into(), |target| target.to_string().into()))
    }
}

impl Kind for Recordings {
    type Value = Option<PathBuf>;
    fn wanted() -> String {
        "the path of a directory, or off".into()
    }
    fn read(value: &Value) -> Option<Option<PathBuf>> {
        if value.as_str() == Some(OFF) { Some(None) } else { Directory::read(value) }
    }
    fn typed(text: &str) -> Option<Value> {
        Some(typed_text(text))
    }
    fn show(value: &Option<PathBuf>) -> Option<Value> {
        if value.is_none() { Some(OFF.into()) } else { Directory::show(value) }
    }
}

impl Kind for Form {
    type Value = Format;
    fn wanted() -> String {
        "rfc5424 or rfc3164".into()
    }
    fn read(value: &Value) -> Option<Format> {
        value.as_str()?.parse().ok()
    }
    fn typed(text: &str) -> Option<Value> {
        Some(typed_text(text))
    }
    fn show(value: &Format) -> Option<Value> {
        Some(value.as_str().into())
    }
}

fn word(durability: Durability) -> &'static str {
    match durability {
        Durability::Os => "os",
        Durability::Fsync => "fsync",
    }
}

/// What was typed, as TOML has it.
fn toml_value(text: &str) -> Option<Value> {
    let mut table: toml::Table = format!("value = {text}").parse().ok()?;
    table.remove("value").filter(|_| table.is_empty())
}

/// Text as it is, or in quotes as TOML and [`Config::to_toml`] have it.
fn typed_text(text: &str) -> Value {
    toml_value(text).filter(Value::is_str).unwrap_or_else(|| text.into())
}

/// A list as TOML has it, or words between commas.
fn typed_list(text: &str) -> Value {
    let words = || text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>().into();
    toml_value(text).filter(Value::is_array).unwrap_or_else(words)
}

fn list<T>(value: &Value, take: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(|item| take(item.as_str()?)).collect()
}

/// What is wanted in the place of the first item of a list of which `why` says what is wrong; which one it is where there
/// are several.
fn instead_of_item<K: Kind>(refused: &Value, why: impl Fn(&str) -> Option<String>) -> String {
    let items: Option<Vec<_>> = refused.as_array().and_then(|items| items.iter().map(Value::as_str).collect());
    let items = items.unwrap_or_default();
    match items.iter().find_map(|item| Some((item, why(item)?))) {
        Some((_, why)) if items.len() == 1 => why,
        Some((item, why)) => format!("{:?}: {why}", beginning(item, SHOWN)),
        None => K::wanted(),
    }
}

fn number(value: &Value, least: i64, most: i64) -> Option<i64> {
    value.as_integer().filter(|number| (least..=most).contains(number))
}

fn duration(value: &Value, unit: f64) -> Option<Duration> {
    // Whole numbers up to the most are exact.
    let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64))?;
    Duration::try_from_secs_f64(number * unit).ok().filter(|d| *d <= Duration::from_secs(MOST_SECONDS))
}

fn in_units(duration: Duration, unit: u64) -> Value {
    match duration.subsec_nanos() == 0 && duration.as_secs().is_multiple_of(unit) {
        true => i64::try_from(duration.as_secs() / unit).unwrap_or(i64::MAX).into(),
        false => (duration.as_secs_f64() / unit as f64).into(),
    }
}

fn shown(number: impl TryInto<i64>) -> Option<Value> {
    Some(number.try_into().unwrap_or(i64::MAX).into())
}

/// Scheme, host and perhaps a port, as browsers send it.
fn is_origin(text: &str) -> bool {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    authority.and_then(|a| a.parse::<hyper::http::uri::Authority>().ok()).is_some_and(|a| !a.as_str().contains('@'))
}

const OFF: &str = "off";
/// The largest number that a bound may be: far past any machine, and no danger to sums.
const MOST: i64 = 1 << 40;
/// The longest time: a hundred years.
const MOST_SECONDS: u64 = 36_500 * DAY;
/// Seconds.
const DAY: u64 = 86_400;
