//! Recordings: files of JSON lines, one for each connection.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Which connection of the recording.
    pub(crate) connection: usize,
    /// Milliseconds since the recorder was started.
    pub(crate) at: u64,
    /// File and line.
    pub(crate) place: String,
    pub(crate) what: What,
    order: u64,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum What {
    /// A connection by this wire.
    Begins(String),
    In(Frame),
    Out(Frame),
    /// The client says nothing more.
    InEnd,
    /// Nothing more is recorded, and why.
    Over(String),
}

/// What was sent or heard. In bytes that are no text, what is none is replaced.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Frame {
    Text(String),
    Binary(Vec<u8>),
    Ping(String),
    Pong(String),
    Close(Option<u16>, String),
    Http(String),
}

impl Frame {
    /// The same with other text.
    pub(crate) fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Text(text) => Self::Text(change(text)),
            Self::Http(text) => Self::Http(change(text)),
            Self::Ping(text) => Self::Ping(change(text)),
            Self::Close(code, reason) => Self::Close(code, change(reason)),
            other => other,
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "text {text:?}"),
            Self::Binary(bytes) => write!(f, "{} bytes {:?}", bytes.len(), String::from_utf8_lossy(bytes)),
            Self::Ping(text) => write!(f, "ping {text:?}"),
            Self::Pong(text) => write!(f, "pong {text:?}"),
            Self::Close(Some(code), reason) => write!(f, "close {code} {reason:?}"),
            Self::Close(None, _) => f.write_str("close"),
            Self::Http(text) => write!(f, "http {text:?}"),
        }
    }
}

/// Reads a recording, or a directory of them, in the order in which things happened. Those of several runs of a server
/// come one run after the other.
pub(crate) fn read(path: &Path) -> Result<Vec<Step>, String> {
    let failed = |path: &Path, why: &dyn fmt::Display| format!("{}: {why}", path.display());
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|error| failed(path, &error))?;
        files = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(|e| failed(path, &e))?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
    }
    let mut steps = Vec::new();
    for (connection, file) in files.iter().enumerate() {
        let text = std::fs::read_to_string(file).map_err(|error| failed(file, &error))?;
        for (at, line) in text.lines().enumerate() {
            let place = format!("{}:{}", file.display(), at + 1);
            let step = step(connection, place.clone(), line).map_err(|why| format!("{place}: {why}"))?;
            if (at == 0) != matches!(step.what, What::Begins(_)) {
                return Err(format!("{place}: a recording begins with its head, and has no other"));
            }
            steps.push((run(file), step));
        }
    }
    if steps.is_empty() {
        return Err(failed(path, &"there is no recording"));
    }
    steps.sort_by(|(a, one), (b, other)| a.cmp(b).then(one.order.cmp(&other.order)));
    Ok(steps.into_iter().map(|(_, step)| step).collect())
}

/// What the names of all files of a run begin with.
fn run(file: &Path) -> PathBuf {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let parts: Vec<_> = name.split('-').take(2).collect();
    PathBuf::from(parts.join("-"))
}

fn step(connection: usize, place: String, line: &str) -> Result<Step, String> {
    let line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let number = |key: &str| line[key].as_u64().ok_or_else(|| format!("'{key}' is a number"));
    let (order, at) = (number("n")?, number("at")?);
    let what = if line["talk"] == "recording" {
        if line["version"] != 1 {
            return Err(format!("only version 1 is known, not {}", line["version"]));
        }
        What::Begins(line["wire"].as_str().ok_or("'wire' is a text")?.to_owned())
    } else {
        match (line["dir"].as_str(), &line["end"]) {
            (Some("in"), Value::Bool(true)) => What::InEnd,
            (None, Value::String(why)) => What::Over(why.clone()),
            (Some("in"), Value::Null) => What::In(frame(&line)?),
            (Some("out"), Value::Null) => What::Out(frame(&line)?),
            _ => return Err("it is no frame and no end".into()),
        }
    };
    Ok(Step { connection, at, place, what, order })
}

fn frame(line: &Value) -> Result<Frame, String> {
    let bytes = line["bytes"].as_str().map(|bytes| BASE64_STANDARD.decode(bytes)).transpose();
    let bytes = bytes.map_err(|error| error.to_string())?;
    let text = || match (line["text"].as_str(), &bytes) {
        (Some(text), _) => Ok(text.to_owned()),
        (None, Some(bytes)) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        (None, None) => Err("there is neither 'text' nor 'bytes'".to_owned()),
    };
    Ok(match (line["frame"].as_str(), &bytes) {
        (None, Some(bytes)) => Frame::Binary(bytes.clone()),
        (None, None) => Frame::Text(text()?),
        (Some("ping"), _) => Frame::Ping(text()?),
        (Some("pong"), _) => Frame::Pong(text()?),
        (Some("http"), _) => Frame::Http(text()?),
        (Some("close"), _) => {
            let code = line["code"].as_u64().map(u16::try_from).transpose().map_err(|error| error.to_string())?;
            Frame::Close(code, text()?)
        }
        (Some(other), _) => return Err(format!("no frame is called {other:?}")),
    })
}
