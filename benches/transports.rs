//! HTTP and WebSocket: a message there and its confirmation back, each beside the same bytes over a bare socket.
#![allow(clippy::unwrap_used)]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use talk::address::{Address, Entry};
use talk::codec::talk::{encode_ack, encode_v2};
use talk::message::{Message, MessageId};
use talk::name::UserName;
use talk::transport::{Http, Transport, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// Texts of 128 bytes.
fn sample() -> Message {
    Message::new(UserName::new("ann").unwrap(), &"x".repeat(128)).with_id(MessageId::random())
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Requests of these bytes there, answers of those back, with nothing looked at on either side.
fn bare(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, request: &[u8], answer: &[u8]) {
    let (request, answer) = (request.to_vec(), answer.to_vec());
    let (asked, answered) = (request.len(), answer.len());
    let here = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        here.set_nodelay(true).unwrap();
        let (mut there, _) = listener.accept().await.unwrap();
        there.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut buffer = vec![0; asked];
            while there.read_exact(&mut buffer).await.is_ok() {
                there.write_all(&answer).await.unwrap();
            }
        });
        tokio::sync::Mutex::new(here)
    });
    group.bench_function("bare socket", |bencher| {
        bencher.to_async(runtime).iter(async || {
            let mut here = here.lock().await;
            here.write_all(&request).await.unwrap();
            here.read_exact(&mut vec![0; answered]).await.unwrap()
        });
    });
}

fn ours(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, transport: &dyn Transport) {
    let at = Address::loopback(transport.protocol(), 0);
    let mut incoming = runtime.block_on(transport.listen(&at)).unwrap();
    let entry = Entry::acknowledging(incoming.local_address().clone());
    runtime.spawn(async move { while incoming.next().await.is_some() {} });
    group.bench_function("send, confirmed", |bencher| {
        bencher.to_async(runtime).iter(async || transport.send(&entry, &sample()).await.unwrap());
    });
}

fn http(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("http/round-trip");
    let message = sample();
    let body = encode_v2(&message, message.id.as_ref().unwrap(), None);
    let length = body.len();
    let head = format!(
        "POST /v1/message HTTP/1.1\r\ncontent-type: application/json\r\nhost: 127.0.0.1:50000\r\ncontent-length: {length}\r\n\r\n"
    );
    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\
        date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n{\"status\":\"ok\"}";
    bare(&mut group, &runtime, &[head.as_bytes(), &body].concat(), answer);
    ours(&mut group, &runtime, &Http::new());
    group.finish();
}

fn websocket(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("websocket/round-trip");
    let message = sample();
    let id = message.id.as_ref().unwrap();
    let body = encode_v2(&message, id, None);
    let mut ack = Vec::new();
    encode_ack(id, &mut ack);
    // A masked frame has 8 bytes before a payload of this length, a short one that is not masked has 2.
    bare(&mut group, &runtime, &[&[0; 8][..], &body].concat(), &[&[0; 2][..], &ack].concat());
    ours(&mut group, &runtime, &WebSocket::new());
    group.finish();
}

criterion_group!(benches, http, websocket);
criterion_main!(benches);
