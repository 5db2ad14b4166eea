//! What others write, however they mean it.

use serde_json::{Value, json};

#[tokio::test]
async fn hostile_names_and_texts_are_nothing_but_text() {
    let (_home, server, _chromium, alice) = super::alone().await;
    let styles = "['body', '#title', '#text', '.primary', '#log'].map((css) => { const style = \
                  getComputedStyle(document.querySelector(css)); return [style.color, style.backgroundColor, style.display, style.fontSize]; })";
    let before = alice.js(styles).await;
    let size = alice.js("document.documentElement.scrollWidth").await;

    let hostile = hostile();
    let mut mallory = server.rich(&server.guest("mallory").await).await;
    mallory.command("enter", json!({"room": "global"})).await;
    for text in &hostile {
        mallory.command("message", json!({"room": "global", "body": text})).await;
    }
    mallory.command("direct", json!({"to": "alice", "body": &hostile[0]})).await;
    alice.until(&format!("document.querySelectorAll('#messages .body').length === {}", hostile.len())).await;
    assert_eq!(alice.bodies().await, hostile);

    // No server lets such names through; a page does not rely on it.
    for (name, seq) in hostile.iter().zip(1..) {
        for frame in frames(name, seq) {
            alice.js(&format!("hear({frame})")).await;
        }
    }
    alice.until(&format!("document.querySelectorAll('#users li').length > {}", hostile.len())).await;
    alice.click("[data-open=people]").await;
    let names = alice.texts("#messages .from").await;
    assert!(hostile.iter().all(|name| names.contains(name)), "{names:?}");
    let titles = alice.texts("#directs .place").await;
    assert!(hostile.iter().all(|name| titles.iter().any(|title| title.starts_with(name.as_str()))), "{titles:?}");
    // A conversation with such a name opens, searches and is reloaded like any other.
    alice.click("#directs li:last-child .place").await;
    alice.until_says("#title", hostile.last().unwrap()).await;
    alice.click("[data-open=found]").await;
    alice.type_in("#search", "<script>\n").await;
    alice.until("document.getElementById('search-status').textContent !== ''").await;
    alice.click("#rooms .place").await;
    alice.type_in("#search", "<script>\n").await;
    alice.until("document.querySelectorAll('#results mark').length > 0").await;
    alice.click("#results button").await;
    alice.until("document.querySelector('.message.found') !== null").await;
    alice.is_clean().await;
    alice.reload().await;
    alice.until_says("#count", "here").await;

    assert_eq!(alice.js("window.canary === undefined && document.title.includes('Talk')").await, json!(true));
    let made = "[...document.querySelectorAll('.body *, .from *, .note *, .place script, .place img, iframe, object, embed, base, \
                body style, body script, body link, a[href^=javascript]')].map((one) => one.outerHTML)";
    assert_eq!(alice.js(made).await, json!([]));
    assert_eq!(alice.js(styles).await, before);
    assert_eq!(alice.js("document.documentElement.scrollWidth").await, size);
    // Nothing reaches over what belongs to others: what is larger than its line is cut.
    let spills = "[...document.querySelectorAll('#messages .message')].filter((one) => getComputedStyle(one).overflowX !== 'clip')";
    assert_eq!(alice.js(&format!("{spills}.length")).await, json!(0));
    assert_eq!(
        alice.js("document.getElementById('log').scrollWidth <= document.getElementById('log').clientWidth").await,
        json!(true)
    );
    alice.is_clean().await;
}

#[tokio::test]
async fn what_is_found_takes_no_more_room_than_others_leave_it() {
    let (_home, server, _chromium, alice) = super::alone().await;
    let mut mallory = server.rich(&server.guest("mallory").await).await;
    mallory.command("enter", json!({"room": "global"})).await;
    let tall = [format!("needle{}", "\n|".repeat(1000)), format!("needle Z{}", "\u{0335}\u{0489}".repeat(2000))];
    for text in &tall {
        mallory.command("message", json!({"room": "global", "body": text})).await;
    }
    alice.until(&format!("document.querySelectorAll('#messages .body').length === {}", tall.len())).await;
    alice.click("[data-open=found]").await;
    alice.type_in("#search", "needle\n").await;
    alice.until(&format!("document.querySelectorAll('#results mark').length === {}", tall.len())).await;
    let beyond = "[...document.querySelectorAll('#results button')].filter((one) => {
        return one.getBoundingClientRect().height > 300 || getComputedStyle(one).overflowY !== 'clip';
    }).length";
    assert_eq!(alice.js(beyond).await, json!(0));
    alice.is_clean().await;
}

#[tokio::test]
async fn a_link_is_read_as_it_leads_whatever_turns_the_text_around_it() {
    let (_home, server, _chromium, alice) = super::alone().await;
    let mut mallory = server.rich(&server.guest("mallory").await).await;
    mallory.command("enter", json!({"room": "global"})).await;
    let bank = "moc.knab.www//:sptth";
    let turned = [
        format!("\u{202e}https://elsewhere.example/{bank}"),
        format!("\u{2067}\u{202e}https://elsewhere.example/{bank}"),
        format!("https://elsewhere.example/\u{202e}{bank}"),
        format!("\u{202e}see https://elsewhere.example/a\u{2069}\u{202c}\u{202e}{bank}"),
    ];
    for text in &turned {
        mallory.command("message", json!({"room": "global", "body": text})).await;
    }
    alice.until(&format!("document.querySelectorAll('#messages a').length === {}", turned.len())).await;
    // Each letter of what can be clicked stands right of the one before.
    let turned = "[...document.querySelectorAll('#messages a')].filter((one) => {
        const range = document.createRange(), text = one.firstChild;
        const left = Array.from(text.data, (_, n) => (range.setStart(text, n), range.setEnd(text, n + 1), range.getBoundingClientRect().left));
        return !left.every((x, n) => n === 0 || x > left[n - 1]);
    }).map((one) => one.href)";
    assert_eq!(alice.js(turned).await, json!([]));
    let hosts = "[...document.querySelectorAll('#messages a')].every((one) => one.host === 'elsewhere.example')";
    assert_eq!(alice.js(hosts).await, json!(true));
    alice.is_clean().await;
}

#[tokio::test]
async fn however_many_come_and_go_at_once_people_are_listed_once() {
    let (_home, _server, _chromium, alice) = super::alone().await;
    alice.until_says("#count", "1 here").await;
    alice.js("(window.drawn = 0, new MutationObserver((all) => { drawn += all.length; }).observe(document.getElementById('count'), { childList: true }), 0)").await;
    let crowd = "(() => { for (let n = 0; n < 1000; n += 1) hear({ type: 'presence', room: 'global', user: `m${n % 10}`,
        state: n % 20 < 10 ? 'joined' : 'left' }); hear({ type: 'presence', room: 'global', user: 'bob', state: 'joined' }); })()";
    alice.js(crowd).await;
    alice.until_says("#count", "2 here").await;
    alice.until_says("#users", "bob").await;
    let drawn = alice.js("drawn").await;
    assert!(drawn.as_u64().unwrap() < 10, "{drawn}");
    alice.is_clean().await;
}

/// Texts that were made to be more than text.
fn hostile() -> Vec<String> {
    let mut all: Vec<String> = [
        "<script>window.canary = 1; alert(1)</script>",
        "<img src=x onerror=\"window.canary = 2; alert(2)\">",
        "<style>* { display: none !important; color: red !important }</style>",
        "\"><svg onload=alert(3)><link rel=stylesheet href=//example.com/x.css>",
        "javascript:window.canary=4",
        "<a href=\"javascript:alert(5)\">here</a>",
        "\u{202e}gnp.exe\u{2066}\u{2067}",
        "{{constructor.constructor('window.canary = 6')()}} ${alert(6)}",
        "<iframe srcdoc=\"<script>parent.canary = 7</script>\"></iframe>",
        "__proto__",
        "constructor",
        "</title></textarea></style></script><body onload=alert(8)>",
    ]
    .map(String::from)
    .into();
    all.push(format!("Z{}", "\u{0335}\u{0489}".repeat(2000)));
    all.push("W".repeat(2000));
    all
}

/// What a server could say of somebody by that name.
fn frames(name: &str, seq: u32) -> [Value; 8] {
    let message = |room: &str| {
        json!({
            "type": "message", "room": room, "epoch": "<b>", "seq": seq, "prev": seq - 1, "ts": 1_767_225_600_000_u64,
            "from": name, "body": name,
        })
    };
    [
        json!({"type": "presence", "room": "global", "user": name, "state": "joined"}),
        json!({"type": "presence", "room": "global", "user": name, "state": "renamed", "to": format!("{name} 2")}),
        json!({"type": "typing", "room": "global", "user": name}),
        json!({"type": "error", "code": "muted", "body": name}),
        json!({"type": name, "room": "global"}),
        json!({"type": "system", "body": format!("global\n{name}"), "list": "rooms", "sessions": [1, 9]}),
        message("@0197f3c8a2b47d319c572f6de14a8b90"),
        message("global"),
    ]
}
