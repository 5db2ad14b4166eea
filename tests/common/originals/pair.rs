//! A pair server of another make, with its faults: nicknames stay taken when a line drops, a text to somebody whose line
//! dropped ends the connection of whoever said it, nothing is held back at a prompt, and pings are answered late or never.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const FIN_TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// What becomes of pings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pings {
    Never,
    /// Behind the answer to the next text.
    Late,
}

pub(crate) struct Original {
    pub(crate) port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    users: Mutex<HashMap<String, User>>,
    rooms: HashSet<String>,
    pings: Pings,
    /// How often a nickname is refused whose line dropped.
    leaks: usize,
    /// Lines of an earlier number are cut.
    era: watch::Sender<u64>,
}

/// A nickname that somebody has, or had.
struct User {
    tell: mpsc::Sender<Vec<u8>>,
    paired: Option<String>,
    here: bool,
    refusals: usize,
}

impl Original {
    pub(crate) async fn start(leaks: usize, pings: Pings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (users, rooms) = (Mutex::default(), HashSet::from(["lobby".to_owned()]));
        let state = Arc::new(State { users, rooms, pings, leaks, era: watch::Sender::new(0) });
        let serving = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, mut era) = (serving.clone(), serving.era.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        _ = Connection::serve(stream, &state) => {}
                        _ = era.changed() => {}
                    }
                });
            }
        });
        Self { port, state, task }
    }

    /// Drops every line. The nicknames stay, as they do.
    pub(crate) fn cut(&self) {
        for user in self.state.users.lock().unwrap().values_mut() {
            (user.here, user.refusals) = (false, self.state.leaks);
        }
        self.state.era.send_modify(|era| *era += 1);
    }

    /// Drops every line, and begins with nobody.
    pub(crate) fn restart(&self) {
        self.state.users.lock().unwrap().clear();
        self.state.era.send_modify(|era| *era += 1);
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        self.task.abort();
        self.restart();
    }
}

struct Connection<'a> {
    state: &'a State,
    stream: OwnedWriteHalf,
    frames: mpsc::Receiver<(u8, Vec<u8>)>,
    told: mpsc::Receiver<Vec<u8>>,
    tell: mpsc::Sender<Vec<u8>>,
    /// The payloads of pings that were not answered.
    pings: Vec<Vec<u8>>,
}

impl Connection<'_> {
    /// `None` when the line dropped.
    async fn serve(stream: TcpStream, state: &State) -> Option<()> {
        let stream = upgrade(stream, "").await.0;
        // Frames are read whole, whatever else happens meanwhile.
        let (mut reader, stream) = stream.into_split();
        let (forward, frames) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Some(frame) = read_masked(&mut reader).await {
                if forward.send(frame).await.is_err() {
                    return;
                }
            }
        });
        let (tell, told) = mpsc::channel(1024);
        let mut connection = Connection { state, stream, frames, told, tell, pings: Vec::new() };
        let name = connection.name().await?;
        let done = connection.chat(&name).await;
        let mut users = state.users.lock().unwrap();
        match done {
            Some(()) => drop(users.remove(&name)),
            None => {
                if let Some(user) = users.get_mut(&name) {
                    (user.here, user.refusals) = (false, state.leaks);
                }
            }
        }
        done
    }

    async fn name(&mut self) -> Option<String> {
        loop {
            let name = self.text().await?;
            let free = {
                let mut users = self.state.users.lock().unwrap();
                match users.get_mut(&name) {
                    Some(user) if user.here => false,
                    Some(user) if user.refusals > 0 => {
                        user.refusals -= 1;
                        false
                    }
                    _ => {
                        let user = User { tell: self.tell.clone(), paired: None, here: true, refusals: 0 };
                        users.insert(name.clone(), user);
                        true
                    }
                }
            };
            self.say(if free { "1" } else { "0" }).await?;
            if free {
                return Some(name);
            }
        }
    }

    async fn chat(&mut self, name: &str) -> Option<()> {
        let whom = loop {
            let whom = self.text().await?;
            let there = {
                let mut users = self.state.users.lock().unwrap();
                let there = users.contains_key(&whom) || self.state.rooms.contains(&whom);
                if there && let Some(user) = users.get_mut(name) {
                    user.paired = Some(whom.clone());
                }
                there
            };
            self.say(if there { "1" } else { "0" }).await?;
            if there {
                break whom;
            }
        };
        loop {
            let text = self.text().await?;
            let room = self.state.rooms.contains(&whom);
            let to: Option<Vec<_>> = {
                let users = self.state.users.lock().unwrap();
                let others = users.iter().filter(|(other, user)| {
                    if room { user.paired.as_ref() == Some(&whom) && *other != name } else { **other == whom }
                });
                let others: Vec<_> = others.map(|(_, user)| (user.tell.clone(), user.here)).collect();
                // It writes to a line that is gone, or finds nobody, and falls.
                let falls = others.iter().any(|(_, here)| !here) || (!room && others.is_empty());
                (!falls).then(|| others.into_iter().map(|(tell, _)| tell).collect())
            };
            if text == ":quit:" {
                for tell in to.unwrap_or_default() {
                    let _ = tell.send(format!("[server] User {name} left").into()).await;
                }
                self.write(CLOSE, &1000_u16.to_be_bytes()).await?;
                return Some(());
            }
            if text.is_empty() {
                continue;
            }
            let Some(to) = to else {
                self.write(CLOSE, &1011_u16.to_be_bytes()).await?;
                return None;
            };
            for tell in to {
                tell.send(format!("[{name}] {text}").into()).await.ok()?;
            }
            let kind = if room { "room" } else { "user" };
            self.say(&format!("[server] Message sent to {kind} {whom}")).await?;
            for payload in std::mem::take(&mut self.pings) {
                self.write(PONG, &payload).await?;
            }
        }
    }

    /// The next text. What others say goes out meanwhile.
    async fn text(&mut self) -> Option<String> {
        loop {
            let (first, payload) = tokio::select! {
                frame = self.frames.recv() => frame?,
                line = self.told.recv() => {
                    self.write(FIN_TEXT, &line?).await?;
                    continue;
                }
            };
            match first {
                FIN_TEXT => return String::from_utf8(payload).ok(),
                PING if self.state.pings == Pings::Late => self.pings.push(payload),
                PING | PONG => {}
                _ => return None,
            }
        }
    }

    async fn say(&mut self, text: &str) -> Option<()> {
        self.write(FIN_TEXT, text.as_bytes()).await
    }

    async fn write(&mut self, first: u8, payload: &[u8]) -> Option<()> {
        self.stream.write_all(&frame(first, payload)).await.ok()
    }
}

/// Answers an upgrade; the stream and the head of the request.
pub(crate) async fn upgrade(mut stream: TcpStream, headers: &str) -> (TcpStream, String) {
    let head = read_head(&mut stream).await;
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap_or_default();
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {accept}\r\n{headers}\r\n"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    (stream, head)
}

pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A frame of a server.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(short as u8),
        middle @ 126..0x1_0000 => {
            frame.push(126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

/// The next frame of a client: its first byte and its payload; `None` at the end.
pub(crate) async fn read_masked(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let length = stream.read_u8().await.ok()?;
    assert!(length & 0x80 != 0, "clients mask");
    let length = match length & 0x7f {
        126 => usize::from(stream.read_u16().await.ok()?),
        127 => usize::try_from(stream.read_u64().await.ok()?).unwrap(),
        short => usize::from(short),
    };
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).await.ok()?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Some((first, payload))
}
