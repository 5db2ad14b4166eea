//! The console protocol over real sockets, byte for byte as the clients in the field speak it.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod bots;
mod hostile;
mod pace;
mod printed;
mod wire;
