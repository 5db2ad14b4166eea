//! WebSocket frames byte by byte, as strangers may send them.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::raw::{LONG, connect};

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The head of an upgrade.
pub(crate) fn upgrade(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// An open WebSocket, and the head of the 101.
pub(crate) async fn open(port: u16, path: &str, headers: &str) -> (TcpStream, String) {
    let mut stream = connect(port).await;
    stream.write_all(upgrade(path, headers).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(LONG, stream.read_u8()).await.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (stream, head)
}

/// A whole masked frame.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(0x80 | TEXT, payload.as_bytes())
}

/// A masked frame with that first byte.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64);
    frame.extend([7, 7, 7, 7]);
    frame.extend(payload.iter().map(|b| b ^ 7));
    frame
}

/// The first bytes of a masked frame, up to its mask.
pub(crate) fn header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..126 => header.push(0x80 | length as u8),
        126..65536 => {
            header.push(0x80 | 126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend(length.to_be_bytes());
        }
    }
    header
}

/// The next frame of a server: its opcode and payload; `None` at the end.
pub(crate) async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let read = async {
        let first = stream.read_u8().await.ok()?;
        let length = match stream.read_u8().await.ok()? {
            126 => usize::from(stream.read_u16().await.ok()?),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.ok()?;
        Some((first & 0xf, payload))
    };
    tokio::time::timeout(LONG, read).await.expect("a frame or the end comes")
}

/// The text of the next frame.
pub(crate) async fn read_text(stream: &mut TcpStream) -> String {
    let (opcode, payload) = read_frame(stream).await.expect("a frame");
    assert_eq!(opcode, TEXT);
    String::from_utf8(payload).unwrap()
}

/// The code and reason of the Close that comes, whatever else comes before it.
pub(crate) async fn read_close(stream: &mut TcpStream) -> Option<(u16, String)> {
    loop {
        let (opcode, payload) = read_frame(stream).await?;
        if opcode == CLOSE {
            let code = u16::from_be_bytes([*payload.first()?, *payload.get(1)?]);
            return Some((code, String::from_utf8_lossy(&payload[2..]).into_owned()));
        }
    }
}
