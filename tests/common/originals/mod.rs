//! Servers as others made them, with their quirks, for clients to get on with.

#[cfg(feature = "net")]
pub mod console;
pub mod minechat;
#[cfg(feature = "net")]
pub mod pair;
