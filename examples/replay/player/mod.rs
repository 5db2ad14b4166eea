//! Plays recordings against a server.

mod compare;
mod connection;
mod recording;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use compare::Known;
use connection::Connection;
pub(crate) use recording::read;
use recording::{Frame, Step, What};

/// Where each wire is to be found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets(HashMap<String, String>);

/// How fast it goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    /// Nothing comes before its recorded time.
    Recorded,
    /// Everything comes as soon as what was heard before it is heard.
    Fast,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) connections: usize,
    /// Frames that were compared.
    pub(crate) frames: usize,
    /// Recordings that end before their connections did.
    pub(crate) cut: usize,
    pub(crate) differences: Vec<Difference>,
}

/// Something that did not come as it was recorded.
#[derive(Debug)]
pub(crate) struct Difference {
    /// File and line.
    place: String,
    recorded: String,
    heard: String,
}

impl Targets {
    /// This machine, at the usual ports.
    pub(crate) fn usual() -> Self {
        let ports =
            [("http", 7000), ("pair", 6078), ("minechat-listen", 5000), ("minechat-write", 5050), ("console", 9009)];
        Self(ports.map(|(wire, port)| (wire.to_owned(), format!("127.0.0.1:{port}"))).into())
    }

    /// Another place for a wire; `None` when there is no such wire.
    pub(crate) fn set(&mut self, wire: &str, at: &str) -> Option<()> {
        *self.0.get_mut(wire)? = at.to_owned();
        Some(())
    }

    fn of(&self, wire: &str) -> Option<&str> {
        let wire = if matches!(wire, "rooms" | "registry") { "http" } else { wire };
        self.0.get(wire).map(String::as_str)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:", self.place)?;
        writeln!(f, "  recorded {}", self.recorded)?;
        write!(f, "  heard    {}", self.heard)
    }
}

/// Plays the steps, and compares what is heard.
pub(crate) async fn play(steps: &[Step], targets: &Targets, pace: Pace) -> Report {
    let mut player = Player { targets, known: Known::default(), open: HashMap::new(), report: Report::default() };
    let (begun, first) = (Instant::now(), steps.first().map_or(0, |step| step.at));
    for step in steps {
        if pace == Pace::Recorded {
            sleep_until(begun + Duration::from_millis(step.at - first)).await;
        }
        if player.report.differences.len() >= MOST_DIFFERENCES {
            break;
        }
        if let Err((recorded, heard)) = player.step(step).await {
            // What follows on a connection that is lost would only say so again.
            player.open.remove(&step.connection);
            player.report.differences.push(Difference { place: step.place.clone(), recorded, heard });
        }
    }
    player.report
}

struct Player<'a> {
    targets: &'a Targets,
    known: Known,
    open: HashMap<usize, Connection>,
    report: Report,
}

/// What was recorded, and what was heard.
type Lost = (String, String);

impl Player<'_> {
    async fn step(&mut self, step: &Step) -> Result<(), Lost> {
        if let What::Begins(wire) = &step.what {
            let lost = |why: String| (format!("a connection by {wire}"), why);
            let at = self.targets.of(wire).ok_or_else(|| lost("nobody knows where that is".into()))?;
            let connection = Connection::open(wire, at).await.map_err(|error| lost(format!("{at}: {error}")))?;
            self.open.insert(step.connection, connection);
            self.report.connections += 1;
            return Ok(());
        }
        let Some(connection) = self.open.get_mut(&step.connection) else { return Ok(()) };
        match &step.what {
            What::Begins(_) | What::In(Frame::Pong(_)) => {}
            What::In(frame) => {
                connection.unread = compare::is_unread(frame);
                let frame = frame.clone().map(|text| self.known.fill(&text));
                connection.send(&frame).await.map_err(|error| (format!("sent {frame}"), error.to_string()))?;
            }
            What::InEnd => connection.end().await,
            // Whether a ping comes hangs on the time that goes by.
            What::Out(Frame::Ping(payload)) if payload == "idle" => {}
            What::Out(recorded) => {
                let mut heard = connection.next().await.map_err(|why| (recorded.to_string(), why))?;
                let mut recorded = recorded.clone();
                if connection.unread {
                    (recorded, heard) = (compare::status(recorded), compare::status(heard));
                }
                self.report.frames += 1;
                if !self.known.same(&recorded, &heard) {
                    let recorded = self.known.fill_known(&recorded.to_string());
                    let place = step.place.clone();
                    self.report.differences.push(Difference { place, recorded, heard: heard.to_string() });
                }
            }
            What::Over(why) => {
                let connection = self.open.remove(&step.connection);
                if why != "over" {
                    self.report.cut += 1;
                } else if let Some(mut connection) = connection
                    && let Some(heard) = connection.rest().await
                {
                    return Err(("nothing more".into(), heard));
                }
            }
        }
        Ok(())
    }
}

/// Differences that are told.
const MOST_DIFFERENCES: usize = 100;
