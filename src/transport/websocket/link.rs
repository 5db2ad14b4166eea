//! The task that sends to one peer: it keeps the connection, hears the confirmations, and knows what waits for one.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tracing::debug;

use super::connect::{Line, NoLine, connect};
use crate::address::{Address, Host};
use crate::codec::talk::{self, Frame as TalkFrame};
use crate::limits::Limits;
use crate::message::{Message, MessageId};
use crate::text::SafeText;
use crate::transport::{Sent, TransportError};

/// One message, and whom to tell what became of it.
#[derive(Debug)]
pub(super) struct Job {
    message: Message,
    id: MessageId,
    answer: oneshot::Sender<Result<Sent, TransportError>>,
}

impl Job {
    pub(super) fn new(message: &Message, answer: oneshot::Sender<Result<Sent, TransportError>>) -> Self {
        let id = message.id.clone().unwrap_or_else(MessageId::random);
        Self { message: message.clone(), id, answer }
    }

    fn end(self, fate: Result<Sent, TransportError>) {
        // Whoever stopped waiting does not want to know.
        let _ = self.answer.send(fate);
    }
}

/// The task of one peer.
pub(super) struct Link {
    at: Address,
    host: Host,
    port: u16,
    limits: Arc<Limits>,
    jobs: mpsc::Receiver<Job>,
    /// The path that the peer took last.
    path: usize,
    /// Messages that were written and wait for their confirmation, the oldest first.
    waiting: VecDeque<Waiting>,
    /// How many messages before them gave up waiting on this connection of version 1: the next `OK`s are theirs.
    late: u64,
    /// When the last message was written.
    used: Instant,
}

struct Waiting {
    job: Job,
    until: Instant,
    /// Written for the second time.
    again: bool,
}

/// How a connection ended.
#[derive(Debug)]
struct Lost {
    /// The peer's words when it refused what it read.
    refused: Option<String>,
}

impl Link {
    pub(super) fn new(at: Address, host: Host, port: u16, limits: Arc<Limits>, jobs: mpsc::Receiver<Job>) -> Self {
        Self { at, host, port, limits, jobs, path: 0, waiting: VecDeque::new(), late: 0, used: Instant::now() }
    }

    /// Sends what comes until nobody can send any more.
    pub(super) async fn run(mut self) {
        let mut line = None;
        loop {
            let Some(open) = &mut line else {
                let Some(job) = self.jobs.recv().await else { return };
                line = self.first(job).await;
                continue;
            };
            let until = self.waiting.front().map(|w| w.until);
            let wake = until.unwrap_or(self.used + IDLE);
            tokio::select! {
                frame = open.socket.next() => {
                    if let Err(lost) = self.hear(open, frame).await {
                        line = self.recover(open.v2, lost).await;
                    }
                }
                () = tokio::time::sleep_until(wake) => {
                    if until.is_some() {
                        self.expire(open.v2);
                    } else if let Some(Line { socket, .. }) = line.take() {
                        close(socket, None).await;
                    }
                }
                job = self.jobs.recv(), if self.waiting.len() < MAX_WAITING => {
                    let Some(job) = job else { break };
                    line = self.next(line, job).await;
                }
            }
        }
        if let Some(Line { socket, .. }) = line {
            close(socket, Some(CloseCode::Away)).await;
        }
    }

    /// Sends a message for which there is no connection yet.
    async fn first(&mut self, job: Job) -> Option<Line> {
        if job.answer.is_closed() {
            return None;
        }
        let mut line = match self.connect().await {
            Ok(line) => line,
            Err(error) => {
                job.end(Err(error.clone().at(&self.at)));
                // Whoever waits behind it would only wait for the same.
                while let Ok(job) = self.jobs.try_recv() {
                    job.end(Err(error.clone().at(&self.at)));
                }
                return None;
            }
        };
        match self.write(&mut line, &job).await {
            Ok(()) => {
                self.wait_for(job, false);
                Some(line)
            }
            Err(error) => {
                job.end(Err(error.at(&self.at)));
                None
            }
        }
    }

    /// Sends a message over the connection there is, or over a new one if that is dead.
    async fn next(&mut self, line: Option<Line>, job: Job) -> Option<Line> {
        if job.answer.is_closed() {
            return line;
        }
        let Some(mut line) = line else { return self.first(job).await };
        if self.waiting.is_empty() && !self.is_alive(&mut line).await {
            debug!(at = %self.at, "the kept connection is dead");
            return self.first(job).await;
        }
        match self.write(&mut line, &job).await {
            Ok(()) => {
                self.wait_for(job, false);
                Some(line)
            }
            Err(NoLine::TimedOut) => {
                let v2 = line.v2;
                drop(line);
                job.end(Err(TransportError::TimedOut { at: self.at.clone() }));
                self.recover(v2, Lost { refused: None }).await
            }
            Err(_) => {
                // The frame did not go out whole, so nobody has read it.
                let v2 = line.v2;
                drop(line);
                match self.recover(v2, Lost { refused: None }).await {
                    Some(line) => Box::pin(self.once(line, job)).await,
                    None => self.first(job).await,
                }
            }
        }
    }

    /// Whether a connection that was silent is still there, asked of the system: the reader may not have been woken yet.
    async fn is_alive(&mut self, line: &mut Line) -> bool {
        match SockRef::from(line.socket.get_ref()).peek(&mut [MaybeUninit::uninit(); 1]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
        // Something came, perhaps a Close: let the reader hear of it, then read it.
        tokio::task::yield_now().await;
        for _ in 0..MAX_WAITING {
            let Some(frame) = line.socket.next().now_or_never() else { return true };
            if self.hear(line, frame).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Sends a message over a connection that was just made.
    async fn once(&mut self, mut line: Line, job: Job) -> Option<Line> {
        if let Err(error) = self.write(&mut line, &job).await {
            job.end(Err(error.at(&self.at)));
            return self.recover(line.v2, Lost { refused: None }).await;
        }
        self.wait_for(job, false);
        Some(line)
    }

    async fn connect(&mut self) -> Result<Line, NoLine> {
        let line = connect(&self.host, self.port, self.path, &self.limits).await?;
        self.path = line.path;
        self.late = 0;
        Ok(line)
    }

    async fn write(&self, line: &mut Line, job: &Job) -> Result<(), NoLine> {
        let bytes = if line.v2 { talk::encode_v2(&job.message, &job.id, None) } else { talk::encode_v1(&job.message) };
        let text = String::from_utf8(bytes).unwrap_or_default();
        let sending = line.socket.send(Frame::text(text));
        match tokio::time::timeout(self.limits.request_timeout, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(NoLine::Unreachable(error.to_string())),
            Err(_) => Err(NoLine::TimedOut),
        }
    }

    fn wait_for(&mut self, job: Job, again: bool) {
        self.used = Instant::now();
        self.waiting.push_back(Waiting { job, until: self.used + self.limits.confirm_timeout, again });
    }

    /// Takes in what the peer says.
    async fn hear(&mut self, line: &mut Line, frame: Option<Result<Frame, Error>>) -> Result<(), Lost> {
        match frame {
            Some(Ok(Frame::Text(text))) if line.v2 => {
                if let Ok(TalkFrame::Ack(id)) = talk::decode(text.as_bytes(), self.limits.message)
                    && let Some(at) = self.waiting.iter().position(|w| w.job.id == id)
                    && let Some(waiting) = self.waiting.remove(at)
                {
                    waiting.job.end(Ok(Sent::Delivered));
                }
                Ok(())
            }
            Some(Ok(Frame::Text(text))) => {
                if text.trim().eq_ignore_ascii_case("ok") {
                    if self.late > 0 {
                        self.late -= 1;
                    } else if let Some(waiting) = self.waiting.pop_front() {
                        waiting.job.end(Ok(Sent::Delivered));
                    }
                }
                Ok(())
            }
            Some(Ok(Frame::Close(frame))) => {
                let refused = frame.and_then(|frame| refusal(&frame));
                // The answer to a Close leaves only while the socket is read.
                let farewell = async { while let Some(Ok(_)) = line.socket.next().await {} };
                let _ = tokio::time::timeout(FAREWELL, farewell).await;
                Err(Lost { refused })
            }
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => {
                debug!(at = %self.at, %error, "the connection broke");
                Err(Lost { refused: None })
            }
            None => Err(Lost { refused: None }),
        }
    }

    /// Gives up waiting for those whose time is over.
    fn expire(&mut self, v2: bool) {
        let now = Instant::now();
        while self.waiting.front().is_some_and(|w| w.until <= now) {
            if let Some(waiting) = self.waiting.pop_front() {
                waiting.job.end(Ok(Sent::Unconfirmed));
                self.late += u64::from(!v2);
            }
        }
    }

    /// Decides what becomes of those who wait on a connection that is gone, and sends again what may be sent again.
    async fn recover(&mut self, v2: bool, lost: Lost) -> Option<Line> {
        if let Some(reason) = lost.refused {
            // In version 1 nobody knows which of them it was; none after it was read.
            let count = if v2 { self.waiting.len().min(1) } else { self.waiting.len() };
            for waiting in self.waiting.drain(..count) {
                waiting.job.end(Err(TransportError::Refused { at: self.at.clone(), reason: reason.clone() }));
            }
        }
        if !v2 {
            self.end_waiting(|_| Ok(Sent::Unconfirmed));
        }
        let mut again: VecDeque<_> = std::mem::take(&mut self.waiting);
        again.retain(|waiting| !waiting.job.answer.is_closed());
        if again.is_empty() {
            return None;
        }
        let line = self.connect().await;
        let mut line = match line {
            Ok(line) => line,
            Err(error) => {
                for waiting in again {
                    waiting.job.end(Err(error.clone().at(&self.at)));
                }
                return None;
            }
        };
        let broke = |at: &Address| TransportError::Unreachable {
            at: at.clone(),
            reason: "the connection broke before the message was acknowledged, twice".into(),
        };
        let mut broken = false;
        for Waiting { job, again, .. } in again {
            if again || broken {
                job.end(Err(broke(&self.at)));
            } else if !line.v2 {
                // Without ids a second copy could not be told from a second message.
                job.end(Ok(Sent::Unconfirmed));
            } else if self.write(&mut line, &job).await.is_ok() {
                self.wait_for(job, true);
            } else {
                broken = true;
                job.end(Err(broke(&self.at)));
            }
        }
        if broken {
            self.end_waiting(|at| Err(broke(at)));
            return None;
        }
        Some(line)
    }

    fn end_waiting(&mut self, fate: impl Fn(&Address) -> Result<Sent, TransportError>) {
        for waiting in self.waiting.drain(..) {
            waiting.job.end(fate(&self.at));
        }
    }
}

/// Says goodbye and waits a moment for the answer.
pub(super) async fn close(mut socket: WebSocketStream<TcpStream>, code: Option<CloseCode>) {
    let frame = CloseFrame { code: code.unwrap_or(CloseCode::Normal), reason: "".into() };
    let farewell = async {
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// The reason of a Close that says: what you sent is wrong.
fn refusal(frame: &CloseFrame) -> Option<String> {
    match frame.code {
        CloseCode::Unsupported | CloseCode::Invalid | CloseCode::Policy | CloseCode::Size => {
            Some(format!("{} ({})", SafeText(&frame.reason), u16::from(frame.code)))
        }
        _ => None,
    }
}

/// How long a connection is kept without a message.
const IDLE: Duration = Duration::from_secs(5 * 60);
/// How long a Close may take.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);
/// Messages to one peer that wait for their confirmation; then no more are written until one is settled.
const MAX_WAITING: usize = 1024;
