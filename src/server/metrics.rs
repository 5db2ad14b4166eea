//! What a server counts, in the OpenMetrics text format.

use std::fmt::{self, Debug};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::recorder;
use crate::gateway::peer::CountedGreetings;
use crate::gateway::{CountedUnsigned, syslog};
use crate::hub::{Counted, Gauges};
use crate::measure::Durations;
use crate::net::listener;
use crate::store::SqliteLoad;

/// What is told at one moment.
#[derive(Clone, Debug)]
pub(super) struct Scrape {
    pub(super) since: SystemTime,
    pub(super) ready: bool,
    pub(super) connections: listener::Counted,
    /// Connections of each wire besides HTTP, and those on them that have not signed in. `None` while it starts.
    pub(super) wires: Option<(Vec<(&'static str, listener::Counted)>, CountedUnsigned)>,
    /// Greetings to newcomers over UDP, to rooms that peers write to. `None` while it starts.
    pub(super) greetings: Option<CountedGreetings>,
    /// Answers by the first digit of their status, from 1 on.
    pub(super) answers: [u64; 5],
    /// `None` while it starts.
    pub(super) hub: Option<(Gauges, Counted)>,
    /// `None` when nothing is told to syslog.
    pub(super) syslog: Option<syslog::Counted>,
    /// `None` when nothing is recorded.
    pub(super) recordings: Option<recorder::Counted>,
    pub(super) stores: Vec<(&'static str, SqliteLoad)>,
}

impl Scrape {
    pub(super) fn text(self) -> String {
        let mut registry = Registry::with_prefix("talk");
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }

    fn hub(out: &mut Out<'_>, now: &Gauges, counted: &Counted) -> fmt::Result {
        out.gauge("users", "Users of the rooms, connected or still resumable", now.users)?;
        out.gauge("sessions", "Sessions in the rooms", now.sessions)?;
        out.gauge("rooms", "Rooms in which somebody is", now.rooms)?;
        out.bytes("queue", "Waiting for all members who do not read, together", now.queued_bytes)?;
        out.bytes("queue_max", "Waiting for the member for whom most waits", now.queued_bytes_max)?;
        out.gauge("queue_messages", "Messages waiting for members who do not read", now.queued_messages)?;
        out.counter("sessions_opened", "Sessions opened", counted.opened)?;
        let cuts = counted.cuts.iter().map(|(cut, count)| (cut.code(), *count));
        out.counters("sessions_ended", "Sessions that the server ended, by reason", "reason", cuts)?;
        out.counter("messages_accepted", "Messages accepted", counted.accepted.count())?;
        let refused = counted.refused.iter().copied();
        out.counters("commands_refused", "Commands refused, messages among them, by code", "code", refused)?;
        let help = "Time of the oldest message of each turn, from the door of its room to every member's way out";
        out.durations("accepted", help, [(None, &counted.accepted)])
    }

    fn syslog(out: &mut Out<'_>, counted: &syslog::Counted) -> fmt::Result {
        out.gauge("syslog_connected", "Whether the way to the syslog receiver is open", counted.connected.into())?;
        let waiting = usize::try_from(counted.waiting).unwrap_or(usize::MAX);
        out.gauge("syslog_waiting", "Texts waiting for the syslog receiver", waiting)?;
        out.counter("syslog_written", "Texts written to syslog", counted.written)?;
        out.counter("syslog_cut", "Texts that were too long, and written in part", counted.cut)?;
        let dropped = counted.dropped.into_iter();
        out.counters("syslog_dropped", "Texts not written to syslog, by reason", "reason", dropped)
    }

    fn recordings(out: &mut Out<'_>, counted: &recorder::Counted) -> fmt::Result {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        out.bytes("recordings", "Bytes of all recordings in their directory", count(counted.bytes))?;
        out.gauge(
            "recordings_open",
            "Connections that are being recorded, or were up to a bound",
            count(counted.open),
        )?;
        out.counter("recorded_lines", "Lines written to recordings", counted.lines)?;
        let ended = counted.ended.into_iter();
        out.counters("recordings_ended", "Recordings that ended, or could not begin, by reason", "reason", ended)
    }

    fn wires(
        out: &mut Out<'_>,
        wires: &[(&'static str, listener::Counted)],
        unsigned: &CountedUnsigned,
    ) -> fmt::Result {
        if wires.is_empty() {
            return Ok(());
        }
        let of =
            |count: fn(&listener::Counted) -> u64| wires.iter().map(move |(wire, counted)| (*wire, count(counted)));
        let open = wires.iter().map(|(wire, counted)| (*wire, counted.open));
        out.gauges("wire_connections", "Connections of the wires besides HTTP", "wire", open)?;
        out.counters("wire_connections_accepted", "Connections let in there", "wire", of(|counted| counted.accepted))?;
        let help = "Connections turned away there, being too many from one address";
        out.counters("wire_connections_refused", help, "wire", of(|counted| counted.refused))?;
        let waiting = usize::try_from(unsigned.open).unwrap_or(usize::MAX);
        out.gauge("unsigned", "Connections there that have not signed in yet", waiting)?;
        let cut = [("crowded_out", unsigned.crowded_out), ("timed_out", unsigned.timed_out)];
        out.counters("unsigned_cut", "Connections cut before they signed in, by reason", "reason", cut.into_iter())
    }

    fn stores(out: &mut Out<'_>, stores: &[(&'static str, SqliteLoad)]) -> fmt::Result {
        if stores.is_empty() {
            return Ok(());
        }
        let waiting = stores.iter().map(|(store, load)| (*store, load.waiting));
        out.gauges("store_waiting", "Writes waiting for a store's next transaction", "store", waiting)?;
        let commits = stores.iter().map(|(store, load)| (Some(("store", *store)), &load.commits));
        out.durations("store_commit", "Time of each commit, with the sync where commits are synced", commits)
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut Out(encoder);
        out.info("build", "The version that runs", ("version", env!("CARGO_PKG_VERSION")))?;
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        out.seconds("start_time", "When it started, since the Unix epoch", since)?;
        out.gauge("ready", "Whether /readyz says that it is ready", usize::from(self.ready))?;
        out.gauge("connections", "Connections, those of sessions included", self.connections.open)?;
        out.counter("connections_accepted", "Connections let in", self.connections.accepted)?;
        let help = "Connections turned away, being too many from one address";
        out.counter("connections_refused", help, self.connections.refused)?;
        if let Some((wires, unsigned)) = &self.wires {
            Self::wires(out, wires, unsigned)?;
        }
        if let Some(counted) = &self.greetings {
            let CountedGreetings { acknowledged, unanswered, dropped } = *counted;
            let outcomes = [("acknowledged", acknowledged), ("unanswered", unanswered), ("dropped", dropped)];
            let help = "Words to newcomers over UDP, who have to acknowledge one, by what became of them";
            out.counters("peer_greetings", help, "outcome", outcomes.into_iter())?;
        }
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(self.answers);
        out.counters("http_answers", "Answers by the class of their status; 1xx are upgrades", "status", classes)?;
        if let Some((now, counted)) = &self.hub {
            Self::hub(out, now, counted)?;
        }
        if let Some(counted) = &self.syslog {
            Self::syslog(out, counted)?;
        }
        if let Some(counted) = &self.recordings {
            Self::recordings(out, counted)?;
        }
        Self::stores(out, &self.stores)
    }
}

/// Writes one family after the other.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn info(&mut self, name: &str, help: &str, label: (&str, &str)) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&[label])
    }

    fn gauge(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        encode_gauge(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?, value)
    }

    fn bytes(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        encode_gauge(self.0.encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Gauge)?, value)
    }

    fn seconds(&mut self, name: &str, help: &str, value: Duration) -> fmt::Result {
        let mut gauge = self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
        gauge.encode_gauge(&value.as_secs_f64())
    }

    fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'l str, usize)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (of, value) in values {
            encode_gauge(family.encode_family(&[(label, of)])?, value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut counter = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        counter.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'l str, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (of, value) in values {
            let label = [(label, of)];
            let mut counter = family.encode_family(&label)?;
            counter.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    fn durations<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Option<(&'l str, &'l str)>, &'l Durations)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (label, durations) in values {
            match label {
                Some(label) => encode_durations(&mut family.encode_family(&[label])?, durations)?,
                None => encode_durations(&mut family, durations)?,
            }
        }
        Ok(())
    }
}

fn encode_gauge(mut gauge: MetricEncoder<'_>, value: usize) -> fmt::Result {
    gauge.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
}

fn encode_durations(histogram: &mut MetricEncoder<'_>, durations: &Durations) -> fmt::Result {
    let bounds = Durations::BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(durations.counts).collect();
    histogram.encode_histogram::<NoLabelSet>(durations.sum.as_secs_f64(), durations.count(), &buckets, None)
}

/// What scrapers are told that it is.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
