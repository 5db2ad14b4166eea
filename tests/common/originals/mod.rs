//! Servers as others made them, with their quirks, for clients to get on with.

pub mod minechat;
