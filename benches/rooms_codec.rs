//! The room codec: what each command costs to read, and what each event costs to write, once for all members of a room
//! that speak one wire.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use talk::codec::Encode;
use talk::codec::rooms::{Mode, Plain, Rich, decode, encode_command};
use talk::limits::Limits;
use talk::message::{Command, Epoch, Event, MessageId, Post, Record, RoomKey, Timestamp, UserId};
use talk::name::{Nickname, RoomName};

fn texts() -> [(&'static str, String); 2] {
    [("ascii-128", "x".repeat(128)), ("mixed-8k", "привет, \"мир\"\n👍 ".repeat(250))]
}

fn reading(criterion: &mut Criterion) {
    let limit = Limits::default().message;
    let mut group = criterion.benchmark_group("rooms/decode");
    for (kind, text) in texts() {
        let body: Arc<str> = text.as_str().into();
        let plain = encode_command(&Command::Say { room: None, body: body.clone(), id: None });
        let (room, id) = (Some(RoomName::global()), Some(MessageId::random()));
        let rich = encode_command(&Command::Say { room, body, id });
        group.throughput(Throughput::Bytes(text.len() as u64));
        for (name, mode, frame) in [("plain", Mode::Plain, &plain), ("rich", Mode::Rich, &rich)] {
            assert!(decode(frame.as_bytes(), mode, limit).is_ok());
            group.bench_function(BenchmarkId::new(name, kind), |b| {
                b.iter(|| decode(black_box(frame.as_bytes()), mode, limit));
            });
        }
    }
    group.finish();
}

fn writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rooms/encode");
    for (kind, text) in texts() {
        let record = Record {
            room: RoomKey::Room(RoomName::global()),
            seq: 1_000_000,
            prev: 999_999,
            at: Timestamp::from_millis(1_790_000_000_000),
            user: UserId::random(),
            from: "alice".into(),
            id: Some(MessageId::random()),
            body: text.as_str().into(),
        };
        let message = Event::Message(Arc::new(Post { epoch: Epoch::random(), record }));
        group.throughput(Throughput::Bytes(text.len() as u64));
        encode(&mut group, kind, &message);
    }
    let joined = Event::Joined { room: RoomName::global(), user: Nickname::new("alice").unwrap() };
    group.throughput(Throughput::Elements(1));
    encode(&mut group, "joined", &joined);
    group.finish();
}

fn encode(group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>, kind: &str, event: &Event) {
    for (name, encoder) in [("plain", &Plain as &dyn Encode), ("rich", &Rich)] {
        let mut out = BytesMut::with_capacity(32 * 1024);
        assert!(encoder.encode(event, &mut out));
        group.bench_function(BenchmarkId::new(name, kind), |b| {
            b.iter(|| {
                out.clear();
                encoder.encode(black_box(event), &mut out)
            });
        });
    }
}

criterion_group!(benches, reading, writing);
criterion_main!(benches);
