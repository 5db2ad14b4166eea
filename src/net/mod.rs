//! Sockets for everybody above: accepting without ever failing, HTTP served and asked under our own limits.

pub(crate) mod backoff;
pub(crate) mod base;
pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod exchange;
pub(crate) mod http;
pub(crate) mod io;
pub(crate) mod lately;
pub(crate) mod listener;
pub(crate) mod spoken;
pub(crate) mod upgrade;
pub(crate) mod websocket;
