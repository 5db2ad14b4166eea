//! The sockets that a UDP transport sends from, and the task that repeats what is not acknowledged.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::sender::{Datagram, Fate, Full, Sender, Todo, Token};
use super::{BATCH, BUFFER, SOCKET_BUFFER};
use crate::codec::talk::{self, Frame};
use crate::message::{Message, MessageId};

/// Sends; the task behind it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Outbox {
    shared: Arc<Shared>,
    stop: CancellationToken,
    _stopped: DropGuard,
}

/// How a message ended, told to whoever waits for it.
pub(super) type Ending = Result<Fate, NotSent>;

/// The system's refusal to send so many bytes.
#[derive(Debug)]
pub(super) struct NotSent {
    pub(super) bytes: usize,
    pub(super) error: io::Error,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to do earlier than the task thinks, or a new socket to read.
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    sender: Sender<oneshot::Sender<Ending>>,
    v4: Option<Arc<UdpSocket>>,
    v6: Option<Arc<UdpSocket>>,
    /// When the task wakes by itself.
    armed: Option<Instant>,
    driver: Option<JoinHandle<()>>,
}

type Work = Todo<oneshot::Sender<Ending>>;

impl Outbox {
    pub(super) fn new() -> Self {
        let stop = CancellationToken::new();
        Self { shared: Arc::default(), _stopped: stop.clone().drop_guard(), stop }
    }

    /// The socket for that family of addresses.
    pub(super) fn socket(&self, to: SocketAddr) -> io::Result<Arc<UdpSocket>> {
        self.shared.lock().socket(to)
    }

    /// Sends a message of version 2 and repeats it, whether or not somebody waits for its ending.
    pub(super) fn submit(
        &self,
        to: SocketAddr,
        message: Message,
        id: MessageId,
    ) -> io::Result<Result<oneshot::Receiver<Ending>, Full>> {
        let (token, ending) = oneshot::channel();
        let mut work = Work::default();
        let wake = {
            let mut state = self.shared.lock();
            if state.driver.as_ref().is_none_or(JoinHandle::is_finished) {
                // The runtime that held the old sockets is gone with its task.
                (state.v4, state.v6, state.armed) = (None, None, None);
                state.driver = Some(tokio::spawn(drive(self.shared.clone(), self.stop.clone())));
            }
            let fresh = state.sockets() == 0;
            state.socket(to)?;
            if state.sender.submit(now(), to, (message, id, token), &mut work).is_err() {
                return Ok(Err(Full));
            }
            let due = state.sender.next_due();
            let sooner = due.is_some_and(|due| state.armed.is_none_or(|armed| due < armed));
            sooner || fresh
        };
        self.shared.carry_out(&mut work);
        if wake {
            self.shared.wake.notify_one();
        }
        Ok(Ok(ending))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the datagrams on the wire and tells the endings. The lock is free meanwhile.
    fn carry_out(&self, work: &mut Work) {
        while !(work.datagrams.is_empty() && work.settled.is_empty()) {
            for (token, fate) in work.settled.drain(..) {
                let _ = token.send(Ok(fate));
            }
            for datagram in std::mem::take(&mut work.datagrams) {
                if let Err(error) = self.put(&datagram) {
                    let token = self.lock().sender.take_back(now(), datagram.to, datagram.n, work);
                    if let Some(token) = token {
                        let _ = token.send(Err(NotSent { bytes: datagram.bytes.len(), error }));
                    }
                }
            }
        }
    }

    /// A datagram that the socket has no room for, or that meets a passing error, counts as lost on the way.
    fn put(&self, datagram: &Datagram) -> io::Result<()> {
        let socket = self.lock().socket(datagram.to)?;
        // Past tokio, which takes a new socket for unready until it has looked.
        match SockRef::from(&*socket).send_to(&datagram.bytes, &datagram.to.into()) {
            Err(error) if datagram.first && !passing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    fn hear(&self, bytes: &[u8], from: SocketAddr, work: &mut Work) {
        // What is longer is no acknowledgement, and no JSON of strangers need be read for it.
        if bytes.len() > LONGEST_ACK {
            return;
        }
        if let Ok(Frame::Ack(id)) = talk::decode(bytes, LONGEST_ACK) {
            let from = SocketAddr::new(from.ip(), from.port());
            self.lock().sender.acknowledged(now(), from, &id, work);
        }
    }

    /// Reads what is there. Errors are those of single datagrams (ICMP) and end nothing.
    fn drain(&self, socket: &UdpSocket, buffer: &mut [u8], work: &mut Work) {
        for _ in 0..BATCH {
            match socket.try_recv_from(buffer) {
                Ok((length, from)) => self.hear(&buffer[..length], from, work),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {}
            }
        }
    }
}

impl State {
    fn sockets(&self) -> usize {
        usize::from(self.v4.is_some()) + usize::from(self.v6.is_some())
    }

    fn socket(&mut self, to: SocketAddr) -> io::Result<Arc<UdpSocket>> {
        let (place, any) = match to {
            SocketAddr::V4(_) => (&mut self.v4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            SocketAddr::V6(_) => (&mut self.v6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        if let Some(socket) = place {
            return Ok(socket.clone());
        }
        let socket = std::net::UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        let _ = SockRef::from(&socket).set_send_buffer_size(SOCKET_BUFFER);
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        Ok(place.insert(socket).clone())
    }
}

impl Token for oneshot::Sender<Ending> {
    fn abandoned(&self) -> bool {
        self.is_closed()
    }
}

/// Reads acknowledgements and keeps the times of the machine.
async fn drive(shared: Arc<Shared>, stop: CancellationToken) {
    let mut buffer = vec![0; BUFFER];
    let mut work = Work::default();
    loop {
        let (due, v4, v6) = {
            let mut state = shared.lock();
            state.sender.tick(now(), &mut work);
            state.armed = state.sender.next_due();
            (state.armed, state.v4.clone(), state.v6.clone())
        };
        if !(work.datagrams.is_empty() && work.settled.is_empty()) {
            shared.carry_out(&mut work);
            tokio::task::yield_now().await;
            continue;
        }
        let readable = |socket: Option<Arc<UdpSocket>>| async move {
            match &socket {
                Some(open) => open.readable().await.ok(),
                None => std::future::pending().await,
            };
            socket
        };
        let ready = tokio::select! {
            () = stop.cancelled() => return,
            () = shared.wake.notified() => None,
            () = sleep_until(due) => None,
            ready = readable(v4) => ready,
            ready = readable(v6) => ready,
        };
        if let Some(socket) = ready {
            shared.drain(&socket, &mut buffer, &mut work);
            shared.carry_out(&mut work);
        }
    }
}

/// Waits for a moment, or for ever.
pub(super) async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Tokio's clock, so that paused time counts here too.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Errors that say nothing about the next attempt; a refusal (ICMP) may even be another receiver's.
pub(super) fn passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | Interrupted | WouldBlock)
}

/// An id of 64 bytes, each escaped, with the braces and the key.
pub(super) const LONGEST_ACK: usize = 512;
