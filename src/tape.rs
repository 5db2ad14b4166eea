//! What connections hear and write, for whoever records it.
//!
//! A [`Recorder`] is given to what serves: [`gateway::Context::recorded`](crate::gateway::Context::recorded),
//! [`gateway::http::RoomService::recorded`](crate::gateway::http::RoomService::recorded),
//! [`registry::RegistryService::recorded`](crate::registry::RegistryService::recorded). It makes a [`Tape`] for each
//! connection that it wants to know of. What is noted is the frames of a wire, decoded, and where in them a secret
//! stands; without a recorder nothing is made, copied or asked for.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

/// Makes a tape for each connection.
pub trait Recorder: fmt::Debug + Send + Sync {
    /// A connection came by `wire` (`pair`, `console`, ...), and will write so. `None` when it is not to be recorded.
    fn tape(&self, wire: &'static str, written: Framing) -> Option<Arc<dyn Tape>>;
}

/// Takes what one connection hears and writes, in order. Dropped when the connection is over.
///
/// Its methods are called from the tasks of connections and rooms: they must not wait.
pub trait Tape: Send + Sync {
    /// A secret that the server tells or learns here. Nothing of it may show in what is noted from now on, on whichever
    /// tape.
    fn secret(&self, secret: &str);

    /// A whole frame came in or, where [`Frame`] says so, goes out. The pieces belong together, without anything between.
    fn note(&self, way: Way, frame: Frame, pieces: &[Piece<'_>]);

    /// The socket took these bytes: whole frames of the wire's [`Framing`], or parts of some, of which the rest comes next.
    /// Those of HTTP are not among them.
    fn wrote(&self, bytes: &Bytes);

    /// The other end will say nothing more.
    fn ended(&self);
}

/// How frames stand one behind the other in what is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Framing {
    /// WebSocket frames, unmasked (RFC 6455), behind the HTTP that is noted frame by frame; or HTTP alone.
    WebSocket,
    /// Lines that end with a line feed.
    Lines,
    /// JSON objects.
    Objects,
}

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// To the server.
    In,
    /// From the server.
    Out,
}

/// What kind of frame it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Frame {
    /// A text of a WebSocket, a line without its end, an object.
    Text,
    /// Bytes of a WebSocket.
    Binary,
    /// A WebSocket's ping.
    Ping,
    /// A WebSocket's pong.
    Pong,
    /// A WebSocket's Close with its code; the pieces are its reason.
    Close(Option<u16>),
    /// An HTTP message: its first line, those header fields that matter, an empty line, its body. Requests come in,
    /// answers go out.
    Http,
}

/// A part of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Piece<'a> {
    /// What anybody may read who may read what is said.
    Plain(&'a [u8]),
    /// A secret, or what stands where one is looked for.
    Secret(&'a str),
    /// So many bytes of which nobody knows whether they hold a secret.
    Unread(usize),
}

/// The tape of an HTTP connection, made with the first request that is to be recorded. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Reel {
    recorder: Arc<dyn Recorder>,
    tape: Arc<OnceLock<Option<Taped>>>,
}

/// A tape that somebody has.
#[derive(Clone)]
struct Taped(Arc<dyn Tape>);

impl Reel {
    pub(crate) fn new(recorder: Arc<dyn Recorder>) -> Self {
        Self { recorder, tape: Arc::default() }
    }

    /// The connection's tape; `wire` is whose it becomes if there is none yet.
    pub(crate) fn tape(&self, wire: &'static str) -> Option<Arc<dyn Tape>> {
        let made = || self.recorder.tape(wire, Framing::WebSocket).map(Taped);
        self.tape.get_or_init(made).clone().map(|taped| taped.0)
    }
}

impl fmt::Debug for Taped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tape")
    }
}
