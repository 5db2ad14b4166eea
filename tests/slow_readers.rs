//! Whoever takes an answer in drops holds it in the server's memory: such a reader is cut.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::registry::{PATIENCE, Server};
use talk::address::{Address, Entry, Host, Placement, Protocol};
use talk::limits::Limits;
use talk::message::Timestamp;
use talk::name::UserName;
use talk::store::{Claim, MemoryRegistry, RegistryStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_an_answer_in_drops_is_cut() {
    let mut limits = Limits::default();
    limits.body_timeout = Duration::from_millis(300);
    let store = MemoryRegistry::new(&limits);
    let host = Host::new(&["h".repeat(63).as_str(); 3].join(".")).unwrap();
    let entry = Entry::plain(Address::network(Protocol::HTTP, host, 1));
    let claim = Claim { placement: Placement::of(&entry), secret: None, ttl: None };
    let users = 60_000;
    for number in 0..users {
        let name = UserName::new(&format!("user-{number}")).unwrap();
        store.insert(&name, &claim, Timestamp::from_millis(1)).await.unwrap();
    }
    let server = Server::over(Arc::new(store), &limits).await;

    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.at).await.unwrap();
    stream.write_all(b"GET /v1/users HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut total = 0;
    let drops = async {
        let (mut drop, mut ticks) = ([0; 256], tokio::time::interval(Duration::from_millis(20)));
        // Something is taken each time, so that the connection never stands still for long.
        while let Ok(read @ 1..) = stream.read(&mut drop).await {
            total += read;
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, drops).await.expect("the reader is still served");
    assert!(total < users * 200, "{total} bytes are the whole answer");

    let mut answer = Vec::new();
    let mut stream = tokio::net::TcpStream::connect(server.at).await.unwrap();
    stream.write_all(b"GET /v1/users HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.len() > users * 200 && answer.ends_with(b"}"), "a reader that keeps up gets it whole");
}
