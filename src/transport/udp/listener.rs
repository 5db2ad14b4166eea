//! A listening UDP socket: hears messages, acknowledges those that ask for it, echoes health probes.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::outbox::{now, passing, sleep_until};
use super::receiver::Receiver;
use super::{BATCH, BUFFER, PROBE, SOCKET_BUFFER};
use crate::address::Host;
use crate::codec::talk::{self, Frame, Order};
use crate::limits::Limits;
use crate::message::Message;
use crate::transport::{Guard, Inbox};

/// Opens a socket on the first address of the host that can be had, IPv4 before IPv6.
pub(super) async fn bind(host: &Host, port: u16) -> io::Result<UdpSocket> {
    let mut all: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), port)).await?.collect();
    all.sort_by_key(SocketAddr::is_ipv6);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for at in all {
        match open(at) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn open(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if at.ip() == Ipv6Addr::UNSPECIFIED {
        // "Everywhere" means IPv4 too, where the system can do that.
        let _ = socket.set_only_v6(false);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    // The system may give less; then bursts are lost sooner and sent again.
    let _ = SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER);
    Ok(socket)
}

/// Hears until the inbox is no longer wanted.
pub(super) async fn listen(socket: UdpSocket, inbox: Inbox, guard: Option<Arc<dyn Guard>>, limits: Limits) {
    let stop = inbox.stopped().clone();
    let mut stopped = pin!(stop.cancelled());
    let receiver = Receiver::new(&limits, inbox.clone());
    let (limit, asked) = (limits.message, JoinSet::new());
    let mut ear = Ear { socket: &socket, receiver, inbox, guard, asked, limit, answer: Vec::new() };
    let mut buffer = vec![0; BUFFER];
    loop {
        let due = ear.receiver.next_due();
        let ready = tokio::select! {
            () = &mut stopped => break,
            () = sleep_until(due) => false,
            Some(answered) = ear.asked.join_next() => {
                if let Ok(Some(datagram)) = answered {
                    ear.take(now(), datagram);
                }
                false
            }
            _ = socket.readable() => true,
        };
        ear.receiver.tick(now());
        if ready {
            match ear.drain(&mut buffer) {
                Ok(Drained::All) => {}
                Ok(Drained::Some) => tokio::task::yield_now().await,
                Err(error) => {
                    tracing::warn!(%error, "cannot read datagrams; trying again in {} ms", PAUSE.as_millis());
                    let _ = tokio::time::timeout(PAUSE, &mut stopped).await;
                }
            }
        }
    }
    ear.receiver.finish();
}

enum Drained {
    All,
    Some,
}

struct Ear<'a> {
    socket: &'a UdpSocket,
    receiver: Receiver,
    inbox: Inbox,
    guard: Option<Arc<dyn Guard>>,
    /// What the guard has not answered at once; a message that may not come in becomes nothing.
    asked: JoinSet<Option<Datagram>>,
    limit: usize,
    answer: Vec<u8>,
}

/// A message as it came.
struct Datagram {
    message: Message,
    order: Option<Order>,
    length: usize,
    from: SocketAddr,
}

impl Ear<'_> {
    /// Hears what is there, and not so much of it that the program could not take its messages meanwhile.
    fn drain(&mut self, buffer: &mut [u8]) -> io::Result<Drained> {
        let now = now();
        for _ in 0..BATCH {
            match self.socket.try_recv_from(buffer) {
                Ok((length, from)) => self.hear(now, &buffer[..length], from),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Drained::All),
                // An ICMP error about an answer of ours.
                Err(error) if passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Drained::Some)
    }

    fn hear(&mut self, now: Instant, datagram: &[u8], from: SocketAddr) {
        match talk::decode(datagram, self.limit) {
            Ok(Frame::Message(message, order)) => {
                let datagram = Datagram { message, order, length: datagram.len(), from };
                match self.guard.clone() {
                    None => self.take(now, datagram),
                    Some(guard) => self.ask(now, guard, datagram),
                }
            }
            Ok(Frame::HealthCheck) => {}
            Ok(Frame::Ack(_)) => self.inbox.count_lost(),
            Err(_) => match probed(datagram) {
                Some(uuid) => self.say(uuid, from),
                None => self.inbox.count_lost(),
            },
        }
    }

    /// Takes a message at once if the guard knows the answer at once, as otherwise what has no number could be overtaken.
    fn ask(&mut self, now: Instant, guard: Arc<dyn Guard>, datagram: Datagram) {
        let inbox = self.inbox.clone();
        let mut asking: Pin<Box<_>> = Box::pin(async move {
            let admitted = guard.admit(&datagram.message, datagram.from.ip().to_canonical()).await;
            if admitted.is_err() {
                inbox.count_lost();
            }
            admitted.is_ok().then_some(datagram)
        });
        match asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(datagram)) => self.take(now, datagram),
            Poll::Ready(None) => {}
            Poll::Pending if self.asked.len() < MOST_ASKED => drop(self.asked.spawn(asking)),
            Poll::Pending => self.inbox.count_lost(),
        }
    }

    fn take(&mut self, now: Instant, datagram: Datagram) {
        let Datagram { message, order, length, from } = datagram;
        self.answer.clear();
        if let Some(id) = &message.id {
            talk::encode_ack(id, &mut self.answer);
        }
        let taken = self.receiver.hear(now, from.ip(), message, order.as_ref());
        if taken && self.answer.len() < length {
            self.say(&self.answer, from);
        }
    }

    /// An answer that the socket has no room for is as good as lost on the way: whoever wants it asks again.
    fn say(&self, answer: &[u8], to: SocketAddr) {
        let _ = self.socket.try_send_to(answer, to);
    }
}

/// The hyphenated UUID of a health probe.
fn probed(datagram: &[u8]) -> Option<&[u8]> {
    let uuid = datagram.strip_prefix(PROBE)?;
    let hyphenated = uuid.len() == uuid::fmt::Hyphenated::LENGTH && Uuid::try_parse_ascii(uuid).is_ok();
    hyphenated.then_some(uuid)
}

/// Messages about which a guard is asked at a time. One more is dropped and counted; senders that wait for an
/// acknowledgement send it again.
const MOST_ASKED: usize = 64;
const PAUSE: Duration = Duration::from_millis(100);
