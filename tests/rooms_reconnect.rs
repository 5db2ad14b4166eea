//! Sessions that come and go by the hundred leave nobody behind.
#![cfg(all(feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use common::durable::{Durable, UNLIMITED};
use common::raw::LONG;
use common::rooms::said;
use serde_json::json;
use tokio::task::JoinSet;

const RECONNECTS: usize = 600;
const AT_ONCE: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_hundred_reconnects_leave_no_ghost() {
    let dir = tempfile::tempdir().unwrap();
    let server = Arc::new(Durable::start(dir.path(), &[UNLIMITED]));
    let mut watcher = server.rich(&server.guest("watcher").await).await;
    watcher.command("enter", json!({ "room": "global" })).await;
    let left = Arc::new(AtomicUsize::new(RECONNECTS));
    let mut coming = JoinSet::new();
    for user in 0..AT_ONCE {
        let (server, left) = (server.clone(), left.clone());
        coming.spawn(async move {
            let (plain, rich) = (format!("plain{user}"), format!("rich{user}"));
            let token = server.guest(&rich).await;
            let take = |left: usize| left.checked_sub(1);
            for round in 0.. {
                if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
                    return;
                }
                if round % 2 == 0 {
                    let mut client = server.rich(&token).await;
                    client.command("enter", json!({ "room": "global" })).await;
                    // Some are gone before they are in.
                    if round % 4 == 0 {
                        client.of_type("presence").await;
                    }
                    continue;
                }
                // The name of whoever just dropped is theirs until the server has seen it.
                let name = format!("{plain}_{round}");
                let mut client = server.plain(&server.guest(&name).await).await;
                if round % 4 == 1 {
                    client.until(&said("system", &format!("{name} joined"))).await;
                }
            }
        });
    }
    coming.join_all().await;

    let deadline = Instant::now() + LONG;
    loop {
        watcher.command("listusers", json!({ "room": "global" })).await;
        let names = watcher.of_type("system").await["body"].as_str().unwrap().to_owned();
        if names == "watcher" {
            break;
        }
        assert!(Instant::now() < deadline, "still there: {names}");
        tokio::task::yield_now().await;
    }
    for user in 0..AT_ONCE {
        server.until_free(&format!("plain{user}_1")).await;
        assert_eq!(server.try_name(&format!("rich{user}")).await, 403, "a rich one may come back");
    }
    let metrics = server.ask("GET /metrics", "", "").await;
    assert!(metrics.contains("talk_sessions 1\n"), "{metrics}");
}
