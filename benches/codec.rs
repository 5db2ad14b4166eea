//! The peers' and the registry's codecs, on a text of 128 bytes and on a long one with escapes.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use talk::address::{Address, Entry, Protocol};
use talk::codec::registry::{self, Version};
use talk::codec::talk::{Order, decode, encode_ack, encode_v1, encode_v2};
use talk::limits::Limits;
use talk::message::{Message, MessageId};
use talk::name::UserName;

fn peers(criterion: &mut Criterion) {
    let limit = Limits::default().message;
    let ann = UserName::new("ann").unwrap();
    let id = MessageId::random();
    let order = Order { run: MessageId::random(), n: 1000, base: Some(990) };
    let texts = [("ascii-128", "x".repeat(128)), ("mixed-8k", "привет, \"мир\"\n👍 ".repeat(250))];
    let mut group = criterion.benchmark_group("codec/peers");
    for (kind, text) in &texts {
        let message = Message::new(ann.clone(), text);
        let (v1, v2) = (encode_v1(&message), encode_v2(&message, &id, Some(&order)));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new("encode-v1", kind), |b| b.iter(|| encode_v1(black_box(&message))));
        group.bench_function(BenchmarkId::new("encode-v2", kind), |b| {
            b.iter(|| encode_v2(black_box(&message), &id, Some(&order)));
        });
        group.bench_function(BenchmarkId::new("decode-v1", kind), |b| b.iter(|| decode(black_box(&v1), limit)));
        group.bench_function(BenchmarkId::new("decode-v2", kind), |b| b.iter(|| decode(black_box(&v2), limit)));
    }
    group.finish();

    let mut ack = Vec::new();
    encode_ack(&id, &mut ack);
    let mut group = criterion.benchmark_group("codec/ack");
    group.bench_function("encode", |b| {
        let mut out = Vec::with_capacity(64);
        b.iter(|| {
            out.clear();
            encode_ack(black_box(&id), &mut out);
        });
    });
    group.bench_function("decode", |b| b.iter(|| decode(black_box(&ack), limit)));
    group.bench_function("decode-garbage", |b| b.iter(|| decode(black_box(b"id-checker 0190"), limit)));
    group.finish();
}

fn registry_forms(criterion: &mut Criterion) {
    let bob = UserName::new("bob").unwrap();
    let entry = Entry::acknowledging(Address::loopback(Protocol::UDP, 8080));
    let mut group = criterion.benchmark_group("codec/registry");
    for (kind, version) in [("v1", Version::V1), ("v2", Version::V2)] {
        let post = registry::encode_post(&bob, &entry, version).unwrap();
        let put = registry::encode_put(&entry, version).unwrap();
        group.bench_function(BenchmarkId::new("encode-post", kind), |b| {
            b.iter(|| registry::encode_post(black_box(&bob), &entry, version));
        });
        group.bench_function(BenchmarkId::new("decode-post", kind), |b| {
            b.iter(|| registry::decode_post(black_box(&post), version));
        });
        group.bench_function(BenchmarkId::new("decode-put", kind), |b| {
            b.iter(|| registry::decode_put(black_box(&put), version));
        });
    }
    let list: serde_json::Map<_, _> = (0..1000)
        .map(|number| (format!("user-{number}"), registry::entry_value(&entry, None, Version::V2).unwrap()))
        .collect();
    let list = serde_json::to_vec(&list).unwrap();
    group.throughput(Throughput::Elements(1000));
    group.bench_function("decode-list-1000", |b| b.iter(|| registry::decode_users(black_box(&list), 1000)));
    group.finish();
}

criterion_group!(benches, peers, registry_forms);
criterion_main!(benches);
