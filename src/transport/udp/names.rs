//! Host names of receivers, looked up and kept for a short time.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::address::Host;

/// A cache of looked-up names.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: Mutex<HashMap<Host, Arc<tokio::sync::Mutex<Answer>>>>,
}

type Answer = Option<(IpAddr, Instant)>;

/// While this is kept, whoever asks for the same name next still waits: sends leave in the order in which they came.
pub(super) struct Turn {
    _turn: Option<OwnedMutexGuard<Answer>>,
}

impl Names {
    /// The address of a host; that of a literal comes without waiting.
    pub(super) async fn address(&self, host: &Host) -> io::Result<(IpAddr, Turn)> {
        if let Some(ip) = host.ip() {
            return Ok((ip.to_canonical(), Turn { _turn: None }));
        }
        let slot = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MAX_NAMES && !known.contains_key(host) {
                known.retain(|_, slot| Arc::strong_count(slot) > 1);
            }
            known.entry(host.clone()).or_default().clone()
        };
        let mut answer = slot.lock_owned().await;
        let fresh = answer.filter(|(_, asked)| asked.elapsed() < FRESH);
        let ip = match fresh {
            Some((ip, _)) => ip,
            None => look_up(host).await?,
        };
        *answer = fresh.or_else(|| Some((ip, Instant::now())));
        Ok((ip, Turn { _turn: Some(answer) }))
    }
}

/// The first IPv4 address of a host, or else its first IPv6 one: listeners of this kind choose in the same way.
async fn look_up(host: &Host) -> io::Result<IpAddr> {
    let all: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.map(|at| at.ip().to_canonical()).collect();
    let found = all.iter().find(|ip| ip.is_ipv4()).or(all.first());
    found.copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

const FRESH: Duration = Duration::from_secs(30);
/// Names kept; for one more those that nobody waits for are forgotten.
const MAX_NAMES: usize = 1024;
