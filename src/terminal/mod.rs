//! What the binaries add to the library: options, settings files, and the terminal.
//!
//! Only here and in the binaries are arguments and the environment read, signals handled and lines printed.

pub mod options;
pub mod settings;
