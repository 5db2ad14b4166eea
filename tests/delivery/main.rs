//! The delivery contract at the hub: nothing accepted is lost, one order for each room, and whoever was away hears
//! exactly the rest, or where it is missing. Time stands still in these tests but where nothing else is to be done.
#![allow(clippy::unwrap_used)]

mod blocks;
#[path = "../common/clock.rs"]
mod clock;
mod failures;
mod history;
mod ids;
mod kit;
mod offline;
mod order;
mod receipts;
mod resume;
