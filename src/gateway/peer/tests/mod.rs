//! Who is a member, what it is sent, and what becomes known of that.

mod direct;
mod membership;
mod stage;
