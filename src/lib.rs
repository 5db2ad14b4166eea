//! Talk: one chat engine, many wires.

pub mod address;
pub mod codec;
#[cfg(feature = "net")]
mod error;
pub mod limits;
pub mod message;
pub mod name;
#[cfg(feature = "net")]
mod net;
#[cfg(feature = "net")]
pub mod peer;
#[cfg(feature = "net")]
pub mod registry;
pub mod secret;
pub mod store;
pub mod text;
pub mod transport;

#[cfg(feature = "net")]
pub use error::Error;
