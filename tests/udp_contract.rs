//! The UDP transport passes the suite of all transports, towards both versions of peers and over both families.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::suite::suite;
use talk::address::{Address, Entry, Host, Protocol};
use talk::limits::Limits;
use talk::testing::transport::{self as contract, Subject};
use talk::transport::{Transport, Udp};
use tokio::net::UdpSocket;

/// Peers of the second version on a host, or of the first.
struct OverUdp {
    host: &'static str,
    acknowledges: bool,
}

#[async_trait]
impl Subject for OverUdp {
    fn transport(&self, limits: &Limits) -> Arc<dyn Transport> {
        Arc::new(Udp::with_limits(limits))
    }

    fn address(&self) -> Address {
        Address::network(Protocol::UDP, Host::new(self.host).unwrap(), 0)
    }

    fn entry(&self, at: Address) -> Entry {
        if self.acknowledges { Entry::acknowledging(at) } else { Entry::plain(at) }
    }

    fn confirms(&self) -> bool {
        self.acknowledges
    }

    fn keeps_line_breaks(&self) -> bool {
        self.acknowledges
    }

    async fn throw(&self, at: &Address, bytes: &[u8]) {
        let Address::Network { host, port, .. } = at else { panic!("{at}") };
        let stranger = UdpSocket::bind((host.as_str(), 0)).await.unwrap();
        stranger.send_to(bytes, (host.as_str(), *port)).await.unwrap();
    }
}

suite!(to_peers_that_acknowledge, OverUdp { host: "127.0.0.1", acknowledges: true });
suite!(to_peers_of_the_first_version, OverUdp { host: "127.0.0.1", acknowledges: false });

#[tokio::test]
async fn the_whole_suite_passes_over_ipv6() {
    contract::all(&OverUdp { host: "::1", acknowledges: true }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_suite_passes_with_several_threads() {
    contract::all(&OverUdp { host: "127.0.0.1", acknowledges: true }).await;
}
