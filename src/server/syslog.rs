//! What is said, told to syslog in the name of this process.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::config::Config;
use crate::gateway::syslog::Syslog;
use crate::message::Timestamp;

/// Starts it, if it is wanted.
pub(super) fn start(config: &Config) -> Option<Arc<Syslog>> {
    let target = config.syslog.clone()?;
    let zone = TimeZone::system();
    let ahead = move |at: Timestamp| {
        let at = i64::try_from(at.as_millis()).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        at.map_or(0, |at| zone.to_offset(at).seconds())
    };
    let syslog = Syslog::builder(target).format(config.syslog_format).limits(&config.limits);
    let syslog = syslog.process(std::process::id()).local_time(ahead);
    Some(Arc::new(match host() {
        Some(host) => syslog.host(host).start(),
        None => syslog.start(),
    }))
}

/// What the machine is called, if it says.
fn host() -> Option<String> {
    #[cfg(unix)]
    return nix::unistd::gethostname().ok()?.into_string().ok();
    #[cfg(not(unix))]
    return None;
}
