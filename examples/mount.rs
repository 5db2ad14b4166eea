//! The room server inside a program's own hyper server, beside its own pages.
//!
//! ```text
//! cargo run --example mount -- 8000
//! ```
//!
//! `/auth` and `/ws` are the rooms'; every other path is the program's.

#![allow(clippy::print_stdout)]

use std::convert::Infallible;
use std::error::Error;
use std::io;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use talk::gateway::http::{RoomService, service};
use talk::hub::Hub;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(8000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(serve(listener, service(Hub::new())).await?)
}

pub(crate) async fn serve(listener: TcpListener, rooms: RoomService) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        // Chat is many small writes; none of them should wait for the next.
        stream.set_nodelay(true)?;
        let rooms = rooms.clone();
        let service = service_fn(move |request| route(request, rooms.clone()));
        tokio::spawn(async move {
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new());
            // `with_upgrades` is what lets a request become a WebSocket; one that breaks concerns only itself.
            let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

async fn route(
    request: Request<Incoming>,
    rooms: RoomService,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    match request.uri().path() {
        "/auth" | "/ws" => Ok(rooms.call(request).await?.map(BodyExt::boxed)),
        path => Ok(Response::new(Full::from(format!("a page of my own at {path}\n")).boxed())),
    }
}
