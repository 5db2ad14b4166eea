//! A real browser on a server's page: Chromium, without a window of its own, driven through WebDriver.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::panic::Location;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::http::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::extensions::query::{ElementQueryable, ElementWaitable};
use thirtyfour::prelude::*;
use thirtyfour::session::http::{Body, HttpClient};
use thirtyfour::{ChromeCapabilities, ChromiumLikeCapabilities};

/// Starts browsers; killed with all of them when dropped.
pub(crate) struct Chromium {
    driver: Child,
    url: String,
    /// Where the browsers keep what they keep, while they run.
    _home: TempDir,
}

/// What a browser looks like, and to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) dark: bool,
    pub(crate) language: &'static str,
}

/// A browser with one page. Dropped, it is closed.
pub(crate) struct Tab {
    driver: WebDriver,
}

impl Chromium {
    pub(crate) fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut said = Vec::new();
        for _ in 0..STARTS {
            let mut command = Command::new("chromedriver");
            command.arg("--port=0").env("HOME", home.path()).env("TMPDIR", home.path()).env("TZ", "UTC");
            // A group of its own, so that no browser outlives it.
            command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut driver = command.spawn().unwrap_or_else(|error| panic!("chromedriver: {error}; see scripts/test"));
            let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
            let told = lines.by_ref().inspect(|line| said.push(line.clone())).find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse::<u16>().ok()
            });
            if let Some(port) = told {
                // What else it says is read and forgotten, so that it never waits for a reader.
                std::thread::spawn(move || lines.for_each(drop));
                return Self { driver, url: format!("http://127.0.0.1:{port}"), _home: home };
            }
            // It takes one port of both families of addresses, and ends when a connection has it in the other one.
            said.push(format!("{:?}", driver.wait()));
        }
        panic!("chromedriver does not start: {said:#?}");
    }

    /// Opens a browser with nothing kept, on the page of a server.
    pub(crate) async fn open(&self, port: u16, look: Look) -> Tab {
        let mut wanted = ChromeCapabilities::new();
        // Containers let nobody make the sandbox it wants; what it shows here are our own pages.
        for argument in
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        {
            wanted.add_arg(argument).unwrap();
        }
        wanted.add_arg(&format!("--lang={}", look.language)).unwrap();
        wanted.add_arg(&format!("--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1")).unwrap();
        wanted.add_experimental_option("prefs", json!({"intl.accept_languages": look.language})).unwrap();
        wanted.set_browser_log_level(thirtyfour::LoggingPrefsLogLevel::All).unwrap();
        let driver = WebDriver::builder(&self.url, wanted).client(Http::new()).await.expect("a browser starts");
        let tab = Tab { driver };
        tab.look(look).await;
        tab.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": WATCH})).await;
        tab.visit(port).await;
        tab
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-s", "KILL", "--", &format!("-{}", self.driver.id())]).status();
        let _ = self.driver.wait();
    }
}

impl Default for Look {
    fn default() -> Self {
        Self { width: 1100, height: 760, dark: false, language: "en" }
    }
}

impl Look {
    pub(crate) const PHONE: Self = Self { width: 360, height: 640, dark: false, language: "en" };
}

impl Tab {
    pub(crate) async fn visit(&self, port: u16) {
        self.visit_at("127.0.0.1", port).await;
    }

    pub(crate) async fn visit_at(&self, host: &str, port: u16) {
        self.driver.goto(format!("http://{host}:{port}/")).await.unwrap();
        self.until("!document.getElementById('signin').hidden || !document.getElementById('chat').hidden").await;
    }

    /// Leaves the page for one of the server's files on which nothing of it runs.
    pub(crate) async fn leave(&self, port: u16) {
        self.driver.goto(format!("http://127.0.0.1:{port}/icon.svg")).await.unwrap();
    }

    pub(crate) async fn look(&self, look: Look) {
        let Look { width, height, dark, .. } = look;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!({"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }});
        self.devtools("Emulation.setEmulatedMedia", json!({"features": [scheme]})).await;
    }

    pub(crate) async fn reload(&self) {
        self.refresh().await;
        self.until("!document.getElementById('signin').hidden || !document.getElementById('chat').hidden").await;
    }

    /// Reloads it, and does not wait for the page to come up.
    pub(crate) async fn refresh(&self) {
        self.driver.refresh().await.unwrap();
    }

    /// Opens another tab beside this one, and goes there, on which nothing of the page runs, and which has the name of a
    /// tab, or waits for it, until `release()`; it has it when `held`.
    pub(crate) async fn holder(&self, port: u16, name: &str) {
        let new = self.driver.new_tab().await.unwrap();
        self.driver.switch_to_window(new).await.unwrap();
        self.driver.goto(format!("http://127.0.0.1:{port}/icon.svg")).await.unwrap();
        let name = json!(format!("talk.{name}"));
        self.js(&format!(
            "(navigator.locks.request({name}, () => {{ window.held = true; return new Promise((done) => {{ window.release = done; }}); }}), 0)"
        ))
        .await;
    }

    /// Closes the tab, and opens another in the same browser, which is on the network.
    pub(crate) async fn another_tab(&self, host: &str, port: u16) {
        let old = self.driver.window().await.unwrap();
        let new = self.driver.new_tab().await.unwrap();
        self.driver.switch_to_window(old).await.unwrap();
        self.driver.close_window().await.unwrap();
        self.driver.switch_to_window(new).await.unwrap();
        self.visit_at(host, port).await;
    }

    /// Opens another tab beside this one, as a copy of it: what is of one tab alone is the same there.
    pub(crate) async fn copy(&self, port: u16) {
        let kept = self.js("JSON.stringify(sessionStorage)").await;
        let new = self.driver.new_tab().await.unwrap();
        self.driver.switch_to_window(new).await.unwrap();
        self.visit(port).await;
        self.js(&format!("Object.assign(sessionStorage, JSON.parse({kept}))")).await;
        self.reload().await;
    }

    /// Opens another tab beside this one, in the same browser, and goes there.
    pub(crate) async fn beside(&self, port: u16) {
        let new = self.driver.new_tab().await.unwrap();
        self.driver.switch_to_window(new).await.unwrap();
        self.visit(port).await;
    }

    /// Goes to the nth tab of the browser.
    pub(crate) async fn turn_to(&self, nth: usize) {
        let tab = self.driver.windows().await.unwrap().swap_remove(nth);
        self.driver.switch_to_window(tab).await.unwrap();
    }

    /// Asks the browser itself.
    pub(crate) async fn devtools(&self, method: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(method, parameters).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Cuts the browser off from the network, or lets it back.
    pub(crate) async fn offline(&self, offline: bool) {
        self.devtools("Network.enable", json!({})).await;
        let conditions = json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.devtools("Network.emulateNetworkConditions", conditions).await;
    }

    /// What an expression is on the page.
    pub(crate) async fn js(&self, expression: &str) -> Value {
        let answer = self.driver.execute(format!("return ({expression})"), vec![]).await;
        answer.unwrap_or_else(|error| panic!("{expression}: {error}")).json().clone()
    }

    pub(crate) async fn text(&self, css: &str) -> String {
        let text = self.js(&format!("document.querySelector({}).textContent", json!(css))).await;
        text.as_str().unwrap().to_owned()
    }

    /// The texts of all that match.
    pub(crate) async fn texts(&self, css: &str) -> Vec<String> {
        let texts = format!("[...document.querySelectorAll({})].map((one) => one.textContent)", json!(css));
        serde_json::from_value(self.js(&texts).await).unwrap()
    }

    /// Waits until an expression holds on the page.
    #[track_caller]
    pub(crate) fn until(&self, condition: &str) -> impl Future<Output = ()> {
        self.until_at(Location::caller(), condition.to_owned())
    }

    /// Waits until the text of what matches holds some words.
    #[track_caller]
    pub(crate) fn until_says(&self, css: &str, words: &str) -> impl Future<Output = ()> {
        let (css, words) = (json!(css), json!(words));
        let all = format!("[...document.querySelectorAll({css})]");
        self.until_at(Location::caller(), format!("{all}.some((one) => one.textContent.includes({words}))"))
    }

    /// A script of the driver's has 30 s, and a slow machine more than that: it asks again.
    async fn until_at(&self, at: &Location<'_>, condition: String) {
        let script = format!(
            "const done = arguments[0], end = performance.now() + {LONG_MS};
             const look = () => {{
                 let held = false;
                 try {{ held = Boolean({condition}); }} catch {{ /* Not yet. */ }}
                 if (held || performance.now() > end) done(held);
                 else setTimeout(look, 10);
             }};
             look();"
        );
        let mut last = None;
        for _ in 0..LONG_TIMES {
            let held = self.driver.execute_async(&script, vec![]).await;
            if held.as_ref().is_ok_and(|held| held.json() == &json!(true)) {
                return;
            }
            last = Some(held);
        }
        let page = self.driver.execute("return document.body.innerText", vec![]).await;
        let page = page.map(|page| page.json().clone());
        panic!("at {at}: never {condition}: {last:?}; the page: {page:?}; {:?}", self.log().await);
    }

    /// Clicks as a hand would: what is covered, or not to be seen, cannot be clicked.
    pub(crate) async fn click(&self, css: &str) {
        self.element(css).await.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Clicks there, and types.
    pub(crate) async fn type_in(&self, css: &str, text: &str) {
        let typed = self.element(css).await.send_keys(text.replace('\n', "\u{e007}")).await;
        typed.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Types wherever the focus is.
    pub(crate) async fn keys(&self, keys: impl Into<TypingData>) {
        let chain = self.driver.action_chain_with_delay(Some(Duration::ZERO), Some(Duration::ZERO));
        let keys: String = keys.into().as_vec().into_iter().collect();
        chain.send_keys(keys).perform().await.unwrap();
    }

    /// Types with a key held.
    pub(crate) async fn held(&self, key: Key, keys: impl Into<TypingData>) {
        let keys: String = keys.into().as_vec().into_iter().collect();
        let chain = self.driver.action_chain_with_delay(Some(Duration::ZERO), Some(Duration::ZERO));
        chain.key_down(key.clone()).send_keys(keys).key_up(key).perform().await.unwrap();
    }

    /// Signs in, and waits until everything is there.
    pub(crate) async fn sign_in(&self, nickname: &str) {
        self.type_in("#nickname", &format!("{nickname}\n")).await;
        // Of whoever was here before there may be a count yet.
        let inside = "!document.getElementById('chat').hidden && document.getElementById('count').textContent !== ''";
        self.until(inside).await;
    }

    /// Writes where the page is, and sends it.
    pub(crate) async fn say(&self, text: &str) {
        self.type_in("#text", &format!("{text}\n")).await;
    }

    /// What was said where the page is.
    pub(crate) async fn bodies(&self) -> Vec<String> {
        self.texts("#messages .body").await
    }

    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        self.driver.screenshot_as_png().await.unwrap()
    }

    /// What the browser complains of since it was last asked, but a server that cannot be reached.
    pub(crate) async fn log(&self) -> Vec<String> {
        let log = self.driver.browser_log().await.unwrap_or_default();
        let kept = log.into_iter().map(|entry| entry.message);
        kept.filter(|message| !message.contains("net::ERR_") && !message.contains("WebSocket connection to")).collect()
    }

    /// Asserts that nothing went wrong that nobody would see: no rule of the page's policy was broken, nothing was
    /// asked of anybody else, nothing was thrown, no box was opened.
    #[track_caller]
    pub(crate) fn is_clean(&self) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let watched = self.js("window.watched").await;
            assert_eq!(watched, json!({"violations": [], "boxes": [], "errors": []}), "at {at}");
            let asked = "performance.getEntriesByType('resource').map((one) => one.name)
                .filter((name) => new URL(name).origin !== location.origin)";
            assert_eq!(self.js(asked).await, json!([]), "at {at}");
            let log = self.log().await;
            assert!(log.is_empty(), "at {at}: {log:#?}");
        }
    }

    async fn element(&self, css: &str) -> WebElement {
        let element = self.driver.query(By::Css(css)).first().await;
        let element = element.unwrap_or_else(|error| panic!("{css}: {error}"));
        element.wait_until().displayed().await.unwrap_or_else(|error| panic!("{css}: {error}"));
        element
    }
}

/// Carries requests to the driver.
struct Http(Client<HttpConnector, Full<Bytes>>);

impl Http {
    fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }
}

#[async_trait::async_trait]
impl HttpClient for Http {
    async fn send(&self, request: Request<Body<'_>>) -> WebDriverResult<Response<Bytes>> {
        let failed = |error: &dyn std::error::Error| WebDriverError::HttpError(error.to_string());
        let request = request.map(|body| match body {
            Body::Empty => Full::default(),
            Body::Json(json) => Full::new(json.to_string().into()),
        });
        let (head, body) = self.0.request(request).await.map_err(|error| failed(&error))?.into_parts();
        let body = body.collect().await.map_err(|error| failed(&error))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    async fn new(&self) -> Arc<dyn HttpClient> {
        Arc::new(Self::new())
    }
}

/// Runs before the page's own script: remembers what should not be, and every state that a message was ever shown in;
/// `hear` has the page hear a frame that no server sends.
const WATCH: &str = r#"
    window.watched = { violations: [], boxes: [], errors: [] };
    window.states = [];
    document.addEventListener("securitypolicyviolation", (event) => {
        watched.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
    for (const box of ["alert", "confirm", "prompt", "open", "print"]) window[box] = (words) => { watched.boxes.push(`${box} ${words}`); };
    addEventListener("error", (event) => watched.errors.push(String(event.message)));
    addEventListener("unhandledrejection", (event) => watched.errors.push(String(event.reason)));
    new MutationObserver(() => {
        for (const state of document.querySelectorAll(".state")) if (!states.includes(state.textContent)) states.push(state.textContent);
    }).observe(document, { subtree: true, childList: true, characterData: true });
    window.WebSocket = class extends WebSocket {
        constructor(...all) {
            super(...all);
            window.hear = (frame) => this.onmessage({ data: JSON.stringify(frame) });
        }
    };
"#;
/// How often the driver is started until it has a port.
const STARTS: usize = 10;
/// A name of this machine that browsers take for another one, to which they are less open.
pub(crate) const ELSEWHERE: &str = "chat.example";
/// All together far longer than anything here takes: what hangs fails instead. One is less than a script may take.
const LONG_MS: u32 = 25_000;
const LONG_TIMES: u32 = 3;
