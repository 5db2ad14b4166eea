//! How it scrolls with a long history. What takes how long is printed, and not asserted: it is the machine's.

use serde_json::json;

#[tokio::test]
async fn ten_thousand_messages_are_loaded_and_scrolled_through() {
    let (_home, _server, _chromium, alice, ()) = super::alone_after(async |server| {
        super::fill(server, 10_000, |n| format!("number {n}, {}", "said at some length ".repeat(n as usize % 9))).await
    })
    .await;
    let loaded = "document.querySelectorAll('#messages .message').length";
    let mut count = 0;
    while count < 10_000 {
        alice.until(&format!("(document.getElementById('log').scrollTop = 0) || {loaded} > {count}")).await;
        count = alice.js(loaded).await.as_u64().unwrap();
    }
    assert_eq!(count, 10_000);
    let ends = alice.js("[...document.querySelectorAll('.body')].map((one) => one.textContent.split(',')[0]).filter((_, n, all) => n === 0 || n === all.length - 1)").await;
    assert_eq!(ends, json!(["number 1", "number 10000"]));

    alice
        .js("(window.frames = [], window.last = performance.now(), window.frame = (now) => { frames.push(now - last); last = now; requestAnimationFrame(frame); }, requestAnimationFrame(frame), 0)")
        .await;
    let wheel = |delta: i32| json!({"type": "mouseWheel", "x": 600, "y": 400, "deltaX": 0, "deltaY": delta});
    for _ in 0..100 {
        alice.devtools("Input.dispatchMouseEvent", wheel(700)).await;
    }
    let mut frames: Vec<f64> = serde_json::from_value(alice.js("frames.slice(1)").await).unwrap();
    let down = alice.js("document.getElementById('log').scrollTop").await.as_f64().unwrap();
    assert!(down > 10_000.0, "{down}");
    frames.sort_by(f64::total_cmp);
    let share = |part: f64| frames[((frames.len() - 1) as f64 * part) as usize];
    let quick = frames.iter().filter(|frame| **frame < 50.0).count() as f64 / frames.len() as f64;
    println!(
        "100 wheel steps over 10,000 messages: {} frames, {:.1} % under 50 ms, median {:.1} ms, 95 % {:.1} ms, longest {:.1} ms",
        frames.len(),
        quick * 100.0,
        share(0.5),
        share(0.95),
        share(1.0),
    );
    alice.is_clean().await;
}
