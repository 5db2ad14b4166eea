//! Plays a recording of `talk-server --record DIR` back against a server, and tells what it says otherwise.
//!
//! ```text
//! cargo run --example replay -- DIR-OR-FILE [--fast] [--http HOST:PORT] [--pair HOST:PORT]
//!     [--minechat-listen HOST:PORT] [--minechat-write HOST:PORT] [--console HOST:PORT]
//! ```
//!
//! Without addresses it looks on this machine at the usual ports. The server should be as the recorded one was when it
//! started: a fresh one, if that was fresh. What came in is sent at the pace at which it came, with `--fast` as soon as
//! what was heard before it is heard again. Exits with 0 when everything came as recorded, 1 when something differs, and
//! 2 when it cannot be played.
//!
//! Times (`ts`, `expires`, `issued`, `ends`, `retry-after`, HH:MM:SS) may be any. Secrets, epochs and ids of the server's making
//! may be others, but each must be the same wherever it was the same. Idle pings are passed over.

#![allow(clippy::print_stdout, clippy::print_stderr)]

pub(crate) mod player;

use std::path::PathBuf;
use std::process::ExitCode;

use player::{Pace, Targets};

const USAGE: &str = "usage: replay PATH [--fast] [--http HOST:PORT] [--pair HOST:PORT] [--minechat-listen HOST:PORT] \
                     [--minechat-write HOST:PORT] [--console HOST:PORT]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(std::env::args().skip(1)).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything came as it was recorded.
pub(crate) async fn run(mut arguments: impl Iterator<Item = String>) -> Result<bool, String> {
    let (mut path, mut pace, mut targets) = (None, Pace::Recorded, Targets::usual());
    while let Some(argument) = arguments.next() {
        if argument == "--fast" {
            pace = Pace::Fast;
        } else if let Some(wire) = argument.strip_prefix("--") {
            let at = arguments.next().ok_or(USAGE)?;
            targets.set(wire, &at).ok_or(USAGE)?;
        } else if path.replace(PathBuf::from(argument)).is_some() {
            return Err(USAGE.into());
        }
    }
    let steps = player::read(&path.ok_or(USAGE)?)?;
    let report = player::play(&steps, &targets, pace).await;
    for difference in &report.differences {
        println!("{difference}");
    }
    let Report { connections, frames, cut, .. } = &report;
    println!("{connections} connections, {frames} frames compared, {} differences", report.differences.len());
    if *cut > 0 {
        println!("{cut} recordings end before their connections did");
    }
    Ok(report.differences.is_empty())
}

use player::Report;
