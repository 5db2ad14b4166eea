//! The transport of `examples/own_transport.rs` passes the suite of all transports: what it needs is public.
#![cfg(all(unix, feature = "net"))]
#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub, clippy::duplicate_mod)]
#[path = "../examples/own_transport.rs"]
mod example;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use example::Unix;
use talk::address::Address;
use talk::limits::Limits;
use talk::testing::transport::{self as contract, Subject};
use talk::transport::Transport;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

/// Each listener gets a socket of its own in a directory that goes with the test.
struct OverUnix {
    directory: tempfile::TempDir,
    used: AtomicUsize,
}

impl OverUnix {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), used: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl Subject for OverUnix {
    fn transport(&self, limits: &Limits) -> Arc<dyn Transport> {
        Arc::new(Unix::new(limits))
    }

    fn address(&self) -> Address {
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        let path: PathBuf = self.directory.path().join(format!("{number}.sock"));
        Unix::address(path.to_str().unwrap()).unwrap()
    }

    fn guards(&self) -> bool {
        false
    }

    async fn throw(&self, at: &Address, bytes: &[u8]) {
        let Address::Other { locator, .. } = at else { panic!("{at}") };
        let mut stream = UnixStream::connect(locator.as_str()).await.unwrap();
        // The listener may have hung up before the end, which is its right.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
    }
}

#[tokio::test]
async fn a_transport_of_ones_own_passes_the_suite() {
    contract::all(&OverUnix::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_so_with_several_threads() {
    contract::all(&OverUnix::new()).await;
}

#[test]
fn it_is_one_short_file() {
    assert!(include_str!("../examples/own_transport.rs").lines().count() < 200);
}
