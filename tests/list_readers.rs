//! Whoever reads a long list slowly does not hold one of their own in the registry's memory. Alone in its program,
//! because it reads the memory of the whole process.
#![cfg(all(feature = "net", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::registry::Server;
use talk::address::{Address, Entry, Host, Placement, Protocol};
use talk::limits::Limits;
use talk::message::Timestamp;
use talk::name::UserName;
use talk::store::{Claim, MemoryRegistry, RegistryStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn slow_readers_of_one_list_share_it() {
    let limits = Limits::default();
    let store = MemoryRegistry::new(&limits);
    let host = Host::new(&["h".repeat(63).as_str(); 3].join(".")).unwrap();
    let entry = Entry::plain(Address::network(Protocol::HTTP, host, 1));
    let claim = Claim { placement: Placement::of(&entry), secret: None, ttl: None };
    for number in 0..30_000 {
        let name = UserName::new(&format!("user-{number}")).unwrap();
        store.insert(&name, &claim, Timestamp::from_millis(1)).await.unwrap();
    }
    let server = Server::over(Arc::new(store), &limits).await;
    let mut readers = Vec::new();
    let mut before = 0;
    for number in 0..100 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut reader = socket.connect(server.at).await.unwrap();
        reader.write_all(b"GET /v1/users HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        // Its answer has begun.
        let status = reader.read_u64().await.unwrap().to_be_bytes();
        assert_eq!(&status, b"HTTP/1.1");
        readers.push(reader);
        if number == 0 {
            before = resident();
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB for 99 readers of 6 MB", grown >> 20);
}
