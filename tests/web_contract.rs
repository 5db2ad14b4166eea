//! HTTP and WebSocket pass the suite of all transports.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::raw::connect;
use common::raw_websocket::{frame, open};
use common::suite::suite;
use talk::address::{Address, Entry, Host, Protocol};
use talk::limits::Limits;
use talk::testing::transport::{self as contract, Subject};
use talk::transport::{Http, Transport, WebSocket};
use tokio::io::AsyncWriteExt;

/// Peers of the second version on a host, or of the first.
struct OverHttp {
    host: &'static str,
    acknowledges: bool,
}

#[async_trait]
impl Subject for OverHttp {
    fn transport(&self, limits: &Limits) -> Arc<dyn Transport> {
        Arc::new(Http::with_limits(limits))
    }

    fn address(&self) -> Address {
        Address::network(Protocol::HTTP, Host::new(self.host).unwrap(), 0)
    }

    fn entry(&self, at: Address) -> Entry {
        if self.acknowledges { Entry::acknowledging(at) } else { Entry::plain(at) }
    }

    fn recognises_duplicates(&self) -> bool {
        self.acknowledges
    }

    fn keeps_line_breaks(&self) -> bool {
        self.acknowledges
    }

    async fn throw(&self, at: &Address, bytes: &[u8]) {
        let mut stranger = connect(port(at)).await;
        let head = format!("POST /v1/message HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", bytes.len());
        // Once as a body, and once with nothing around it.
        stranger.write_all(&[head.as_bytes(), bytes].concat()).await.unwrap();
        connect(port(at)).await.write_all(bytes).await.unwrap();
    }
}

/// Two of ours agree on the version by themselves.
struct OverWebSocket {
    host: &'static str,
}

#[async_trait]
impl Subject for OverWebSocket {
    fn transport(&self, limits: &Limits) -> Arc<dyn Transport> {
        Arc::new(WebSocket::with_limits(limits))
    }

    fn address(&self) -> Address {
        Address::network(Protocol::WEBSOCKET, Host::new(self.host).unwrap(), 0)
    }

    async fn throw(&self, at: &Address, bytes: &[u8]) {
        let (mut stranger, _) = open(port(at), "/", "").await;
        // Once as a text, and once as what should be frames.
        stranger.write_all(&frame(0x81, bytes)).await.unwrap();
        let (mut stranger, _) = open(port(at), "/", "").await;
        stranger.write_all(bytes).await.unwrap();
    }
}

fn port(at: &Address) -> u16 {
    let Address::Network { port, .. } = at else { panic!("{at}") };
    *port
}

suite!(http_to_peers_that_acknowledge, OverHttp { host: "127.0.0.1", acknowledges: true });
suite!(http_to_peers_of_the_first_version, OverHttp { host: "127.0.0.1", acknowledges: false });
suite!(websocket, OverWebSocket { host: "127.0.0.1" });

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_suite_passes_over_http_with_several_threads() {
    contract::all(&OverHttp { host: "127.0.0.1", acknowledges: true }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_suite_passes_over_websocket_with_several_threads() {
    contract::all(&OverWebSocket { host: "127.0.0.1" }).await;
}
