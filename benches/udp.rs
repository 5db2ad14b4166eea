//! UDP: a message there and its acknowledgement back, beside a bare echo; and both state machines over a simulated
//! link that loses datagrams, without a socket.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use talk::address::{Address, Entry, Protocol};
use talk::transport::{Transport, Udp};
// Named from the root by the machines' sources.
use talk::{address, codec, limits, message, name, transport};
use tokio::net::UdpSocket;

#[allow(dead_code, unused_imports)]
#[path = "../src/transport/ids.rs"]
mod ids;
#[allow(dead_code, unused_imports)]
#[path = "../src/transport/memory.rs"]
mod memory;

/// The machines are private to the crate: their sources are taken in here.
#[allow(dead_code, unused_imports)]
#[path = "../src/transport/udp"]
mod udp {
    mod receiver;
    mod sender;
    mod simulation;

    use std::time::Duration;

    /// How many of so many messages arrive over a link that loses so many of a hundred datagrams.
    pub(crate) fn simulate(messages: usize, lost: u64) -> usize {
        let weather = simulation::Weather { lost, doubled: 0, longest: Duration::from_millis(20) };
        let mut world = simulation::World::new(7, weather);
        (0..messages).for_each(|number| world.send(number));
        world.run();
        world.heard.len()
    }
}

/// Texts of 128 bytes.
fn sample() -> message::Message {
    message::Message::new(name::UserName::new("ann").unwrap(), &"x".repeat(128))
}

fn round_trips(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("udp/round-trip");

    let (there, here) = runtime.block_on(async {
        let there = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let here = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        here.connect(there.local_addr().unwrap()).await.unwrap();
        (there, here)
    });
    runtime.spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = there.recv_from(&mut buffer).await {
            there.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    let bytes = codec::talk::encode_v2(&sample(), &message::MessageId::random(), None);
    group.bench_function("bare echo", |bencher| {
        bencher.to_async(&runtime).iter(async || {
            here.send(&bytes).await.unwrap();
            here.recv(&mut [0; 2048]).await.unwrap()
        });
    });

    let udp = Udp::with_limits(&limits::Limits::default());
    let at = Address::loopback(Protocol::UDP, 0);
    let mut incoming: transport::Incoming = runtime.block_on(udp.listen(&at)).unwrap();
    let entry = Entry::acknowledging(incoming.local_address().clone());
    runtime.spawn(async move { while incoming.next().await.is_some() {} });
    group.bench_function("send, acknowledged", |bencher| {
        bencher.to_async(&runtime).iter(async || udp.send(&entry, &sample()).await.unwrap());
    });
    group.finish();
}

fn lossy_link(criterion: &mut Criterion) {
    const MESSAGES: usize = 1000;
    let mut group = criterion.benchmark_group("udp/simulated-link");
    group.throughput(Throughput::Elements(MESSAGES as u64)).measurement_time(Duration::from_secs(5));
    for lost in [0, 5, 20] {
        group.bench_with_input(BenchmarkId::new("lost-percent", lost), &lost, |bencher, lost| {
            bencher.iter(|| assert_eq!(udp::simulate(MESSAGES, *lost), MESSAGES));
        });
    }
    group.finish();
}

criterion_group!(benches, round_trips, lossy_link);
criterion_main!(benches);
