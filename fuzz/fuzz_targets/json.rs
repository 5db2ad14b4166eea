//! JSON from strangers: stricter than serde_json, never different where it agrees, and stable when written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use talk::codec::json::object;

fuzz_target!(|bytes: &[u8]| {
    let Ok(ours) = object(bytes) else { return };
    let theirs: Value = serde_json::from_slice(bytes).expect("what we take, serde_json takes");
    assert_eq!(theirs.as_object(), Some(&ours));
    let written = serde_json::to_vec(&ours).expect("a value can be written");
    let again = object(&written).expect("what we wrote, we read");
    assert!(same(&Value::Object(again), &Value::Object(ours)));
});

/// Equal but for the last bits of a fraction, which serde_json reads quickly and not exactly.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || (a.is_f64() && b.is_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && same(a, b))
        }
        _ => one == other,
    }
}
