//! What several integration tests share.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    unused_macros,
    clippy::unwrap_used,
    reason = "each test takes its part"
)]

pub mod bad_frames;
pub mod clock;
#[cfg(feature = "net")]
pub mod console;
#[cfg(all(feature = "server", feature = "terminal"))]
pub mod durable;
pub mod exposition;
pub mod fake_http;
pub mod fake_websocket;
#[cfg(feature = "net")]
pub mod fakes;
#[cfg(all(target_os = "linux", feature = "server", feature = "terminal"))]
pub mod full_screen;
pub mod gate;
#[cfg(all(feature = "sqlite", feature = "terminal", unix))]
pub mod json_program;
#[cfg(all(unix, feature = "server", feature = "terminal"))]
pub mod liars;
#[cfg(feature = "net")]
pub mod listener;
pub mod minechat;
#[cfg(all(unix, feature = "server", feature = "terminal"))]
pub mod modes;
pub mod openapi;
pub mod originals;
pub mod page;
pub mod pair;
pub mod pair_chat;
#[cfg(all(feature = "sqlite", feature = "terminal", unix))]
pub mod programs;
pub mod raw;
pub mod raw_websocket;
pub mod registry;
#[cfg(feature = "net")]
pub mod room_peers;
pub mod rooms;
pub mod schema;
#[cfg(all(unix, feature = "server", feature = "terminal"))]
pub mod server_program;
#[cfg(all(target_os = "linux", feature = "server", feature = "terminal"))]
pub mod ssh;
pub mod suite;
#[cfg(feature = "terminal")]
pub mod svg;
#[cfg(all(unix, feature = "net"))]
pub mod syslog;
#[cfg(all(unix, feature = "terminal"))]
pub mod terminal;
pub mod window;
#[cfg(all(unix, feature = "server", feature = "terminal"))]
pub mod wires_program;
