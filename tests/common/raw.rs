//! Bytes to a listener of ours, and what it says to them.

use std::time::Duration;

use talk::address::Address;
use talk::message::Message;
use talk::transport::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far longer than anything here takes: what hangs fails instead.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// The port that a listener got.
pub(crate) fn port(incoming: &Incoming) -> u16 {
    match incoming.local_address() {
        Address::Network { port, .. } => *port,
        other => panic!("{other}"),
    }
}

pub(crate) async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

/// Sends bytes on a new connection, closes our side, and returns all that comes back.
pub(crate) async fn exchange(port: u16, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = connect(port).await;
    stream.write_all(bytes.as_ref()).await.unwrap();
    read_all(stream).await
}

/// What comes until the other side closes, or resets.
pub(crate) async fn read_all(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    let read = async { while matches!(stream.read_buf(&mut all).await, Ok(read) if read > 0) {} };
    tokio::time::timeout(LONG, read).await.expect("the connection ends");
    String::from_utf8_lossy(&all).into_owned()
}

/// The next message that a listener hears.
pub(crate) async fn next(incoming: &mut Incoming) -> Message {
    tokio::time::timeout(LONG, incoming.next()).await.expect("a message comes").expect("it listens")
}

/// A POST to `/v1/message` on a connection that ends with it.
pub(crate) fn post(body: &str) -> String {
    request("POST /v1/message", "content-type: application/json\r\n", body)
}

pub(crate) fn request(line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

pub(crate) fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}
