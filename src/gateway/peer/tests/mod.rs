//! Who is a member, what it is sent, and what becomes known of that.

mod direct;
mod greeting;
mod kept;
mod membership;
mod stage;
