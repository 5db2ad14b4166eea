//! The contract suites for whoever writes an own transport: what this crate's own pass, yours pass too.

pub use crate::store::contract as store;
pub use crate::transport::contract as transport;
