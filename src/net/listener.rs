//! A TCP listener whose accept never fails, and the count of connections per remote address.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tracing::warn;

use crate::address::{Host, network};
use crate::limits::Limits;

/// Opens a listening socket; port 0 lets the system choose.
pub(crate) async fn bind(host: &Host, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((host.as_str(), port)).await
}

/// The next connection, with Nagle's algorithm off. Errors (a connection reset in the queue, no free descriptors) are
/// logged and waited out: the loop that calls this never ends because of them.
pub(crate) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    warn!(%error, "cannot set TCP_NODELAY");
                }
                return (stream, SocketAddr::new(from.ip().to_canonical(), from.port()));
            }
            Err(error) => {
                let of_one_connection = matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::ConnectionRefused
                );
                if !of_one_connection {
                    warn!(%error, "cannot accept a connection; trying again in {} ms", ACCEPT_PAUSE.as_millis());
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Connections per remote address. Loopback is exempt unless it is told to be counted. Cloning shares the count.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    limit: usize,
    loopback_exempt: bool,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    totals: Arc<Totals>,
}

/// All connections, those of loopback too.
#[derive(Debug, Default)]
struct Totals {
    open: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
}

/// Connections of all addresses together.
#[cfg(any(feature = "server", test))]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Counted {
    /// Open now.
    pub(crate) open: usize,
    /// Ever let in.
    pub(crate) accepted: u64,
    /// Ever turned away.
    pub(crate) refused: u64,
}

/// One connection's place in the count, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    /// `None`: of loopback, which is exempt.
    ip: Option<IpAddr>,
    connections: Connections,
}

impl Connections {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            limit: limits.connections_per_address,
            loopback_exempt: limits.loopback_exempt,
            open: Arc::default(),
            totals: Arc::default(),
        }
    }

    /// A count of its own, for one wire of several: what is open from one address is counted over all of them.
    pub(crate) fn beside(&self) -> Self {
        Self { totals: Arc::default(), ..self.clone() }
    }

    #[cfg(any(feature = "server", test))]
    pub(crate) fn counted(&self) -> Counted {
        Counted {
            open: self.totals.open.load(Ordering::Relaxed),
            accepted: self.totals.accepted.load(Ordering::Relaxed),
            refused: self.totals.refused.load(Ordering::Relaxed),
        }
    }

    /// A place for one more connection from `ip`, or `None` over the limit.
    pub(crate) fn enter(&self, ip: IpAddr) -> Option<Place> {
        if self.loopback_exempt && ip.is_loopback() {
            return Some(self.place(None));
        }
        let ip = network(ip);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(ip).or_insert(0);
        if *count >= self.limit {
            self.totals.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *count += 1;
        Some(self.place(Some(ip)))
    }

    fn place(&self, ip: Option<IpAddr>) -> Place {
        self.totals.open.fetch_add(1, Ordering::Relaxed);
        self.totals.accepted.fetch_add(1, Ordering::Relaxed);
        Place { ip, connections: self.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.totals.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(ip) = self.ip {
            let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = open.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&ip);
                }
            }
        }
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(limit: usize) -> Connections {
        let mut limits = Limits::default();
        limits.connections_per_address = limit;
        Connections::of(&limits)
    }

    #[test]
    fn the_count_is_per_address_given_back_and_spares_loopback() {
        let connections = limited(2);
        let [near, nearer, far] = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"].map(|ip| ip.parse().unwrap());
        let network = [connections.enter(near).unwrap(), connections.enter(nearer).unwrap()];
        assert!(connections.enter(near).is_none(), "one host has a whole network of addresses");
        assert!(connections.enter(far).is_some());
        drop(network);
        let (one, two) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = connections.enter(one).unwrap();
        let _second = connections.enter(one).unwrap();
        assert!(connections.enter(one).is_none());
        assert!(connections.enter(two).is_some());
        drop(first);
        assert!(connections.enter(one).is_some());
        let loopback: Vec<_> = (0..10).map(|_| connections.enter("127.0.0.1".parse().unwrap())).collect();
        assert!(loopback.iter().all(Option::is_some));
        assert_eq!(connections.open.lock().unwrap().len(), 1);
        assert_eq!(connections.counted(), Counted { open: 11, accepted: 17, refused: 2 });
        // Another wire has what is left of the address, and numbers of its own.
        let wire = connections.beside();
        let _third = wire.enter(one).unwrap();
        assert!(wire.enter(one).is_none() && connections.enter(one).is_none());
        assert_eq!(wire.counted(), Counted { open: 1, accepted: 1, refused: 1 });
    }
}
