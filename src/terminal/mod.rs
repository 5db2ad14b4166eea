//! What the binaries add to the library: options, settings files, and the terminal.
//!
//! Only here and in the binaries are arguments and the environment read, signals handled and lines printed.

mod chat;
mod client;
mod commands;
mod credentials;
mod full;
mod guide;
mod history;
mod input;
#[cfg(feature = "server")]
mod keep;
mod line;
mod look;
mod manual;
pub mod options;
mod outbox;
mod plain;
#[cfg(feature = "sqlite")]
mod registry;
mod screen;
mod secrets;
mod serve;
#[cfg(feature = "server")]
mod server;
mod session;
pub mod settings;
mod signals;
mod start;
mod way;
mod words;

pub use client::ClientOptions;
#[cfg(feature = "server")]
pub use keep::{Keeping, Wanted, keep};
#[cfg(feature = "sqlite")]
pub use registry::RegistryOptions;
pub use serve::{print_console, report, serve};
#[cfg(feature = "server")]
pub use server::{Given, ServerOptions};
pub use start::run;
