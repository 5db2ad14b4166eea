//! The registry over HTTP: who is where.

mod client;

pub use client::{RegistryClient, RegistryError};
