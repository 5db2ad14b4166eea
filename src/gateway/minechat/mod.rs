//! Minechat: everybody hears on one port, and speaks on the other. Whoever listens has no name; whoever speaks has an
//! account, whose secret is a key that the server makes, which clients call a hash.

mod account;
mod answers;
mod listen;
mod write;

pub use listen::MinechatListen;
pub use write::MinechatWrite;
