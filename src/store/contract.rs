//! The contract suites of the stores: run each on an own backend in its tests.

pub use super::accounts::contract::account_contract;
pub use super::history::contract::history_contract;
pub use super::registry::contract::registry_contract;
pub use super::rules::contract::rule_contract;
