//! A room server in memory.
//!
//! ```text
//! cargo run --release --example rooms -- --port 7000 --unlimited
//! ```
//!
//! `--port 0` lets the system choose; `--unlimited` switches the rate limit off. One line says where it listens.

#![allow(clippy::print_stdout)]

use std::error::Error;

use talk::gateway::{RoomServer, http};
use talk::hub::Hub;
use talk::limits::Limits;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut port, mut limits) = (7000, Limits::default());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--port" => port = arguments.next().ok_or("--port needs a number")?.parse()?,
            "--unlimited" => limits.commands_per_second = 0,
            _ => return Err("usage: rooms [--port PORT] [--unlimited]".into()),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let service = http::service(Hub::with_limits(&limits));
        let server = RoomServer::bind(&"127.0.0.1".parse()?, port, service).await?;
        println!("listening on {}", server.local_addr());
        server.serve(std::future::pending()).await;
        Ok(())
    })
}
