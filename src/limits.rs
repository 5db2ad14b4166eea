//! Every bound of the program in one place: unit, default, reason, and what happens there.
//!
//! All of them can be set: take [`Limits::default`] and change fields.

use std::time::Duration;

/// The bounds that a program may set. Lengths of names and ids are constants of the format and stand with them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a message's text. 16 KiB: a long page of prose. More is refused (413, close 1009, a dropped datagram).
    pub message: usize,
    /// Bytes of a WebSocket message, and of each frame. 64 KiB holds the largest text with every character escaped.
    /// More closes with 1009, decided by the header: nothing is allocated by a declared length.
    pub frame: usize,
    /// Bytes of an HTTP request body. 64 KiB, for the same reason. More is answered 413.
    pub http_body: usize,
    /// Bytes of an HTTP request head. 16 KiB, what common proxies allow. More is answered 431.
    pub http_head: usize,
    /// Header fields in an HTTP request. 100. More is answered 431.
    pub http_headers: usize,
    /// Bytes of a request target. 8 KiB (RFC 9110, section 4.1). More is answered 414.
    pub uri: usize,
    /// Bytes that a client accepts of a response: 32 MiB holds the list of a full registry. More is an error.
    pub http_response: usize,
    /// Connections from one remote address, or over IPv6 from one network of 64 bits. 256, which spares a large office
    /// behind one address; loopback is exempt. One more is answered 429 and closed. As many peers of one address are
    /// members of one room; one more is told that it is full.
    pub connections_per_address: usize,
    /// Whether loopback connections are not counted. True; false where a proxy on this machine passes strangers on. Then
    /// a page's `Origin` may name a listening peer by any name that it is asked under.
    pub loopback_exempt: bool,
    /// Connections of pair chat, minechat and console chat together that have not signed in. 1,000; loopback is exempt.
    /// One more cuts the oldest.
    pub unsigned: usize,
    /// The same from one remote address, or over IPv6 from one network of 64 bits. 64; loopback is exempt.
    pub unsigned_per_address: usize,
    /// Time to sign in on those wires. 10 minutes: somebody sits at a prompt and types. Then the connection is closed.
    pub sign_in_timeout: Duration,
    /// Time for a request head to arrive, from the first silence on; also for an upgrade. 10 s. Then 408 and a close.
    pub head_timeout: Duration,
    /// Time for a request body to arrive. 30 s. Then 408 and a close. Also for an answer to be taken, or for the next
    /// 1 MiB of a long one; then the connection is reset.
    pub body_timeout: Duration,
    /// Time for a connection to be made. 5 s: a peer on the same continent answers in a tenth of that.
    pub connect_timeout: Duration,
    /// Time for a whole request of ours to be answered. 10 s. Then the send ends with a time-out error.
    pub request_timeout: Duration,
    /// Time for a WebSocket peer to confirm a message. 2 s. Then the send ends `Unconfirmed`; nothing is cut.
    pub confirm_timeout: Duration,
    /// Time that a stop waits for requests in progress. 5 s. Then they are cut.
    pub grace: Duration,
    /// Messages that wait for a listening peer's program. 1,024. A full inbox answers 503 over HTTP, stops reading
    /// WebSockets, and drops and counts datagrams.
    pub inbox: usize,
    /// Events that wait for the program that runs a peer. 1,024. The peer stops taking messages until there is room.
    pub events: usize,
    /// Time that an id is remembered to recognise a message that comes twice. 2 minutes, far past every retry.
    pub duplicate_window: Duration,
    /// Ids remembered per sender. 65,536; then the oldest is forgotten.
    pub duplicate_ids: usize,
    /// Senders (a name at an address) whose ids are remembered. 1,024; then the one silent for longest is forgotten.
    pub duplicate_senders: usize,
    /// Ids remembered of all senders together. 1,048,576 (about 64 MiB); then the oldest of the largest are forgotten.
    /// And those of direct messages that left a hub by its routes, of all users together (about 100 MiB); then the oldest
    /// are forgotten before their time.
    pub duplicate_total: usize,
    /// Users in a registry, and in a hub. 100,000, about 50 MB. One more is answered 507. Also in a list that a client
    /// takes; a longer one is an error.
    pub users: usize,
    /// Records of a room that a history in memory keeps. 10,000: a busy room's day. Then its oldest go.
    pub history_count: u64,
    /// Bytes of a room that a history in memory keeps. 16 MiB. Then its oldest go.
    pub history_bytes: u64,
    /// Bytes of all rooms together that a history in memory keeps. 256 MiB. Then the oldest of all go.
    pub history_total: u64,
    /// Ids of messages that a history remembers for [`duplicate_window`](Self::duplicate_window). 4,194,304: 35,000
    /// messages a second for two minutes, about 500 MiB then. Beyond, the oldest are forgotten before their time.
    pub history_ids: usize,
    /// Sessions of one user. 64. One more ends the one without a connection that would end first; without such, it is
    /// refused.
    pub sessions_per_user: usize,
    /// Direct messages that wait for a user who is away. 1,024, as for one who does not read; a quarter of them of one
    /// author, so that no stranger takes all the room. One more is refused.
    pub offline_messages: u64,
    /// Rooms in a hub. 10,000. One more is refused.
    pub rooms: usize,
    /// Rooms that one user may have made, and that one session may be in. 20. One more is refused.
    pub rooms_per_user: usize,
    /// Bans and mutes of one room, together. 1,000: each check reads them all. One more is refused.
    pub rules_per_room: usize,
    /// Users whom one user blocks. 1,000, for the same reason. One more is refused.
    pub blocks_per_user: usize,
    /// Commands per second that a session may send on average. 20, faster than anybody types; 0 switches it off. More
    /// is warned of once, then the session ends (1008); on wires without WebSockets it is read more slowly.
    pub commands_per_second: u32,
    /// Commands that it may send at once. 60.
    pub commands_burst: u32,
    /// Silence after which a session that answered a ping before is over (1001). 120 s; half way it is asked. Whoever
    /// never answered one is only asked. 0 switches it off.
    pub idle_timeout: Duration,
    /// Bytes that wait for a member of a room who does not read. 1 MiB. Then the member is cut (1008).
    pub member_bytes: usize,
    /// Messages that wait for such a member. 1,024. Then the same.
    pub member_messages: usize,
    /// Messages that wait for a console client, which hears four objects a second; and as many objects. 64: more would
    /// be old news. Then the oldest are skipped, and the client is told how many.
    pub console_messages: usize,
    /// Texts that wait for a syslog receiver. 4,096, 64 MiB of the longest ones. One more is dropped and counted.
    pub syslog_queue: usize,
    /// Bytes of a syslog record over TCP and on this machine. 8,000, below the 8,096 that rsyslog takes whole: of what
    /// is beyond it makes a second record, and a stranger would have written all of that. What is longer is cut. Over
    /// UDP 2,048 at most, in RFC 3164 1,024.
    pub syslog_record: usize,
    /// Bytes of all recordings in a server's directory for them. 256 MiB. Then each of them ends, and says so.
    pub recordings: u64,
    /// Writes that wait for a store's writer thread. 4,096. One more waits in its own task.
    pub store_queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 16 * 1024,
            frame: 64 * 1024,
            http_body: 64 * 1024,
            http_head: 16 * 1024,
            http_headers: 100,
            uri: 8 * 1024,
            http_response: 32 * 1024 * 1024,
            connections_per_address: 256,
            loopback_exempt: true,
            unsigned: 1000,
            unsigned_per_address: 64,
            sign_in_timeout: Duration::from_secs(600),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(2),
            grace: Duration::from_secs(5),
            inbox: 1024,
            events: 1024,
            duplicate_window: Duration::from_secs(120),
            duplicate_ids: 65_536,
            duplicate_senders: 1024,
            duplicate_total: 1 << 20,
            users: 100_000,
            history_count: 10_000,
            history_bytes: 16 * 1024 * 1024,
            history_total: 256 * 1024 * 1024,
            history_ids: 1 << 22,
            sessions_per_user: 64,
            offline_messages: 1024,
            rooms: 10_000,
            rooms_per_user: 20,
            rules_per_room: 1000,
            blocks_per_user: 1000,
            commands_per_second: 20,
            commands_burst: 60,
            idle_timeout: Duration::from_secs(120),
            member_bytes: 1 << 20,
            member_messages: 1024,
            console_messages: 64,
            syslog_queue: 4096,
            syslog_record: 8000,
            recordings: 256 * 1024 * 1024,
            store_queue: 4096,
        }
    }
}

/// The shortest lease a registry grants, in seconds.
pub const MIN_TTL: u32 = 5;
/// The longest lease a registry grants, in seconds: a day.
pub const MAX_TTL: u32 = 86_400;
/// The longest time an expired name stays reserved for its secret: an hour.
pub const MAX_RESERVATION: Duration = Duration::from_secs(3600);
/// How deep JSON from the network may nest.
pub const JSON_DEPTH: usize = 128;
