//! A peer that listens and drops what it hears: the far end for a load generator.
//!
//! ```text
//! cargo run --release --example sink -- --http 9001 --udp 9002 --websocket 9003
//! ```
//!
//! Each option takes a port on 127.0.0.1; port 0 lets the system choose. One line per transport says where it listens.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;

use talk::address::Address;
use talk::transport::{Http, Incoming, Transport, Udp, WebSocket};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut sinks = tokio::task::JoinSet::new();
        for incoming in listen(std::env::args().skip(1).collect()).await? {
            println!("listening on {}", incoming.local_address());
            sinks.spawn(drop_all(incoming));
        }
        sinks.join_all().await;
        Ok(())
    })
}

pub(crate) async fn listen(arguments: Vec<String>) -> Result<Vec<Incoming>, Box<dyn Error>> {
    let usage = "usage: sink [--http PORT] [--udp PORT] [--websocket PORT]";
    if arguments.is_empty() || !arguments.len().is_multiple_of(2) {
        return Err(usage.into());
    }
    let mut sinks = Vec::new();
    for pair in arguments.chunks_exact(2) {
        let transport: Arc<dyn Transport> = match pair[0].as_str() {
            "--http" => Arc::new(Http::new()),
            "--udp" => Arc::new(Udp::new()),
            "--websocket" => Arc::new(WebSocket::new()),
            _ => return Err(usage.into()),
        };
        let at = Address::loopback(transport.protocol(), pair[1].parse()?);
        sinks.push(transport.listen(&at).await?);
    }
    Ok(sinks)
}

pub(crate) async fn drop_all(mut incoming: Incoming) {
    let mut messages = Vec::new();
    while incoming.next_many(&mut messages, AT_ONCE).await > 0 {
        messages.clear();
    }
}

const AT_ONCE: usize = 256;
