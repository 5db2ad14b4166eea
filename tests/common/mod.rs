//! What several integration tests share.

#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod fake_http;
pub(crate) mod raw;
