//! Minechat as others serve it: answers may come late or never, connections are dropped in the midst of a message, and
//! lines come that nobody knows.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::super::minechat::{HELLO, NICKNAME, SENT, WELCOME};

/// Both ports, as long as this is held.
pub(crate) struct Original {
    pub(crate) listen: u16,
    pub(crate) write: u16,
    state: Arc<State>,
    tasks: [JoinHandle<()>; 2],
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Quirk {
    /// It is heard by everybody, and answered when [`Original::release`] is called.
    Late,
    /// It is heard by everybody, and never answered.
    Never,
    /// It is heard by everybody, and the connection is closed.
    Drops,
    /// It is heard by nobody, and the connection is closed.
    Loses,
}

struct State {
    /// Hashes and nicknames.
    accounts: Mutex<Vec<(String, String)>>,
    listeners: Mutex<Vec<mpsc::Sender<String>>>,
    /// What becomes of the next messages; those after them are heard and answered.
    quirks: Mutex<VecDeque<Quirk>>,
    late: Semaphore,
    /// Lines that nobody knows come between all others.
    noise: bool,
    seen: watch::Sender<Seen>,
}

/// What happened so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// What was heard by everybody.
    pub(crate) said: Vec<String>,
    pub(crate) pings: usize,
    pub(crate) listeners: usize,
    pub(crate) writers: usize,
}

impl Original {
    pub(crate) async fn start() -> Self {
        Self::with(false).await
    }

    pub(crate) async fn noisy() -> Self {
        Self::with(true).await
    }

    async fn with(noise: bool) -> Self {
        let state = Arc::new(State {
            accounts: Mutex::default(),
            listeners: Mutex::default(),
            quirks: Mutex::default(),
            late: Semaphore::new(0),
            noise,
            seen: watch::Sender::default(),
        });
        let (listen, write) = (bind().await, bind().await);
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let (heard, spoken) = (port(&listen), port(&write));
        let (at, to) = (state.clone(), state.clone());
        let tasks = [
            tokio::spawn(serve(listen, move |stream| listener(stream, at.clone()))),
            tokio::spawn(serve(write, move |stream| writer(stream, to.clone()))),
        ];
        Self { listen: heard, write: spoken, state, tasks }
    }

    /// An account of an earlier time.
    pub(crate) fn know(&self, hash: &str, nickname: &str) {
        self.state.accounts.lock().unwrap().push((hash.into(), nickname.into()));
    }

    /// What becomes of the next messages.
    pub(crate) fn next(&self, quirks: &[Quirk]) {
        self.state.quirks.lock().unwrap().extend(quirks);
    }

    /// Lets one late answer go out.
    pub(crate) fn release(&self) {
        self.state.late.add_permits(1);
    }

    /// Says something to everybody.
    pub(crate) fn say(&self, line: &str) {
        self.state.say(line);
    }

    /// Waits for something to happen.
    pub(crate) async fn until(&self, wanted: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.state.seen.subscribe();
        let waiting = seen.wait_for(wanted);
        let found = tokio::time::timeout(super::super::raw::LONG, waiting).await;
        found.unwrap_or_else(|_| panic!("only {:?}", self.state.seen.borrow())).unwrap().clone()
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl State {
    fn say(&self, line: &str) {
        self.listeners.lock().unwrap().retain(|listener| listener.try_send(format!("{line}\n")).is_ok());
        self.seen.send_modify(|seen| seen.said.push(line.to_owned()));
    }
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn serve<F: Future<Output = Option<()>> + Send + 'static>(
    listener: TcpListener,
    session: impl Fn(TcpStream) -> F,
) {
    let mut sessions = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        sessions.spawn(session(stream));
    }
}

async fn listener(stream: TcpStream, state: Arc<State>) -> Option<()> {
    let (tell, mut told) = mpsc::channel(100);
    state.listeners.lock().unwrap().push(tell);
    state.seen.send_modify(|seen| seen.listeners += 1);
    let (_read, mut write) = stream.into_split();
    if state.noise {
        write.write_all(b"-- welcome to our chat --\n\n").await.ok()?;
    }
    while let Some(line) = told.recv().await {
        write.write_all(line.as_bytes()).await.ok()?;
    }
    Some(())
}

async fn writer(stream: TcpStream, state: Arc<State>) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    state.seen.send_modify(|seen| seen.writers += 1);
    if state.noise {
        say(&mut write, &state, "-- be kind --\n").await?;
    }
    say(&mut write, &state, HELLO).await?;
    let hash = lines.next_line().await.ok()??;
    let known = state.accounts.lock().unwrap().iter().find(|(known, _)| *known == hash).cloned();
    let (hash, nickname) = match known {
        Some(account) => account,
        None => {
            if !hash.is_empty() {
                say(&mut write, &state, "null\n").await?;
            }
            say(&mut write, &state, NICKNAME).await?;
            let wish = lines.next_line().await.ok()??;
            let mut accounts = state.accounts.lock().unwrap();
            let taken = accounts.iter().any(|(_, nickname)| *nickname == wish);
            let nickname = if taken { format!("Jolly {wish}") } else { wish };
            accounts.push((uuid::Uuid::new_v4().to_string(), nickname));
            accounts.last().cloned()?
        }
    };
    let account = format!("{{\"nickname\": \"{nickname}\", \"account_hash\": \"{hash}\"}}\n");
    say(&mut write, &state, &account).await?;
    say(&mut write, &state, WELCOME).await?;
    loop {
        let mut message = Vec::new();
        loop {
            let line = lines.next_line().await.ok()??;
            if line.trim().is_empty() {
                break;
            }
            message.push(line);
        }
        if message.is_empty() {
            state.seen.send_modify(|seen| seen.pings += 1);
            say(&mut write, &state, SENT).await?;
            continue;
        }
        let quirk = state.quirks.lock().unwrap().pop_front();
        if quirk == Some(Quirk::Loses) {
            return None;
        }
        state.say(&format!("{nickname}: {}", message.join(" ")));
        match quirk {
            Some(Quirk::Drops | Quirk::Loses) => return None,
            Some(Quirk::Never) => continue,
            Some(Quirk::Late) => state.late.acquire().await.ok()?.forget(),
            None => {}
        }
        say(&mut write, &state, SENT).await?;
    }
}

async fn say(write: &mut OwnedWriteHalf, state: &State, line: &str) -> Option<()> {
    write.write_all(line.as_bytes()).await.ok()?;
    if state.noise {
        write.write_all(b"(the weather is fine)\r\n\n").await.ok()?;
    }
    Some(())
}
