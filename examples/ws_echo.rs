//! WebSockets that return what they are sent, by the code that takes room sessions: the far end for suites that test the
//! protocol, such as Autobahn's, and for load generators.
//!
//! ```text
//! cargo run --release --example ws_echo -- --port 9001 --max 16777216
//! ```
//!
//! `--port 0` lets the system choose; `--max` is the longest message in bytes. One line says where it listens. With
//! Autobahn's `fuzzingclient` on the same machine, its server is `ws://127.0.0.1:9001`.

#![allow(clippy::print_stdout)]

use std::error::Error;

use bytes::{BufMut, BytesMut};
use talk::codec::rooms::frame;
use talk::gateway::{FrameServer, Received};
use talk::limits::Limits;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = listen(std::env::args().skip(1)).await?;
        println!("listening on {}", server.local_addr());
        server.serve(echo, std::future::pending()).await;
        Ok(())
    })
}

pub(crate) async fn listen(mut arguments: impl Iterator<Item = String>) -> Result<FrameServer, Box<dyn Error>> {
    let (mut port, mut most) = (9001, 16 << 20);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or("usage: ws_echo [--port PORT] [--max BYTES]")?;
        match argument.as_str() {
            "--port" => port = value.parse()?,
            "--max" => most = value.parse()?,
            _ => return Err("usage: ws_echo [--port PORT] [--max BYTES]".into()),
        }
    }
    let mut limits = Limits::default();
    limits.frame = most;
    // Two of the longest may wait for a client that sends before it reads, with their headers.
    limits.member_bytes = limits.member_bytes.max(2 * (most + 10));
    Ok(FrameServer::bind(&"127.0.0.1".parse()?, port, &limits).await?)
}

pub(crate) fn echo(message: Received<'_>, out: &mut BytesMut) {
    match message {
        Received::Text(text) => frame::text(out, |out| out.put_slice(text.as_bytes())),
        Received::Binary(bytes) => frame::binary(out, |out| out.put_slice(bytes)),
    }
}
