//! `talk-client --json` on pipes.

use std::process::Command;

use serde_json::Value;

use super::programs::ClientProgram;

/// A client whose lines are objects.
pub(crate) struct Program(pub(crate) ClientProgram);

impl Program {
    pub(crate) fn start(command: Command) -> Self {
        Self(ClientProgram::start(command))
    }

    /// Starts, and waits until there is a connection; how the first line says what it can do.
    pub(crate) fn connected(command: Command) -> (Self, Value) {
        let mut program = Self::start(command);
        let hello = program.event("hello");
        program.event("connected");
        (program, hello)
    }

    /// The next event of that kind.
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        self.find(|event| event["event"] == kind)
    }

    /// The next event for which `wanted` says yes; everything before must be an object, too.
    pub(crate) fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let parse = |line: &str| -> Value {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(value["event"].is_string(), "{line}");
            value
        };
        parse(&self.0.line(|line| wanted(&parse(line))))
    }

    pub(crate) fn tell(&mut self, command: Value) {
        self.0.type_line(&command.to_string());
    }
}
