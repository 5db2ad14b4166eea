//! The example of an own bot: it answers by the console protocol and in the room.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../examples/own_bot.rs"]
mod own_bot;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A client who has said its name.
async fn client(at: std::net::SocketAddr, name: &str) -> TcpStream {
    let mut client = TcpStream::connect(at).await.unwrap();
    client.write_all(format!("{{\"username\":\"{name}\"}}").as_bytes()).await.unwrap();
    client
}

async fn send(client: &mut TcpStream, kind: &str, text: &str) {
    let object = format!("{{\"message_type\":\"{kind}\",\"data\":\"{text}\"}}");
    client.write_all(object.as_bytes()).await.unwrap();
}

/// What comes next, which is one object.
async fn heard(client: &mut TcpStream) -> String {
    let mut object = vec![0; 1024];
    let read = client.read(&mut object).await.unwrap();
    String::from_utf8(object[..read].to_vec()).unwrap()
}

#[tokio::test]
async fn an_own_bot_answers_beside_the_others() {
    let (at, serving) = own_bot::serve(0).await.unwrap();
    tokio::spawn(serving);
    let mut ann = client(at, "ann").await;
    let told = |kind: &str, sender: &str, data: &str| {
        format!(r#"{{"message_type":"{kind}","sender":"{sender}","data":"{data}"}}"#)
    };
    send(&mut ann, "command", "cmd!topic").await;
    let none = "global has no topic, ann; choose one: !topic TEXT";
    assert_eq!(heard(&mut ann).await, told("system_message", "ann", none));
    send(&mut ann, "message", "!topic the weather").await;
    assert_eq!(heard(&mut ann).await, told("message", "talk", "Topic of global: the weather"));
    let mut ben = client(at, "ben").await;
    send(&mut ben, "command", "cmd!topic").await;
    assert_eq!(heard(&mut ben).await, told("system_message", "ben", "Topic of global: the weather"));
    send(&mut ben, "command", "cmd!participants_count").await;
    assert_eq!(heard(&mut ben).await, told("system_message", "ben", "Participants count: 2"));
}
