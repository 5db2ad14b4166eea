//! The example that load generators talk to: it listens by every transport, and takes without end what it is sent.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../examples/sink.rs"]
mod sink;

use talk::address::Entry;
use talk::limits::Limits;
use talk::message::Message;
use talk::name::UserName;
use talk::transport::{Http, Sent, Transport, Udp, WebSocket};

#[tokio::test]
async fn the_sink_takes_more_than_any_inbox_holds_over_every_transport() {
    let arguments = ["--http", "0", "--udp", "0", "--websocket", "0"].map(String::from).to_vec();
    let transports: [Box<dyn Transport>; 3] = [Box::new(Http::new()), Box::new(Udp::new()), Box::new(WebSocket::new())];
    for (incoming, transport) in sink::listen(arguments).await.unwrap().into_iter().zip(transports) {
        let to = Entry::acknowledging(incoming.local_address().clone());
        let taking = tokio::spawn(sink::drop_all(incoming));
        let message = Message::new(UserName::new("ann").unwrap(), "dropped");
        for _ in 0..Limits::default().inbox + 100 {
            assert_eq!(transport.send(&to, &message).await.unwrap(), Sent::Delivered);
        }
        taking.abort();
    }
}

#[tokio::test]
async fn the_sink_says_how_it_is_used() {
    for arguments in [&[][..], &["--http"], &["--pigeon", "1"], &["--udp", "x"]] {
        assert!(sink::listen(arguments.iter().map(|a| (*a).to_owned()).collect()).await.is_err(), "{arguments:?}");
    }
}
