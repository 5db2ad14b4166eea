//! The way to a receiver of syslog records.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket, lookup_host};
#[cfg(unix)]
use tokio::net::{UnixDatagram, UnixStream};

use super::Target;
use crate::address::Host;
use crate::codec::syslog::Framing;

/// An open way to a receiver.
#[derive(Debug)]
pub(super) enum Link {
    #[cfg(unix)]
    UnixDatagram(UnixDatagram),
    #[cfg(unix)]
    UnixStream(UnixStream),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Link {
    /// Opens the way; over UDP that says nothing about the other end.
    pub(super) async fn open(target: &Target) -> io::Result<Self> {
        match target {
            #[cfg(unix)]
            Target::Unix(path) => Self::open_unix(path).await,
            #[cfg(not(unix))]
            Target::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "there are no such sockets here")),
            Target::Udp(host, port) => Self::open_udp(host, *port).await,
            Target::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                // Between two texts hours may pass, in which a firewall forgets the connection.
                SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
                Ok(Self::Tcp(stream))
            }
        }
    }

    #[cfg(unix)]
    async fn open_unix(path: &std::path::Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        let Err(no_datagrams) = socket.connect(path) else { return Ok(Self::UnixDatagram(socket)) };
        // The error for a socket of the other kind has no portable name.
        match UnixStream::connect(path).await {
            Ok(stream) => Ok(Self::UnixStream(stream)),
            Err(error) if error.kind() == no_datagrams.kind() => Err(error),
            Err(error) => Err(io::Error::new(error.kind(), format!("{no_datagrams}; as a stream: {error}"))),
        }
    }

    async fn open_udp(host: &Host, port: u16) -> io::Result<Self> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for at in lookup_host((host.as_str(), port)).await? {
            let any = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).await?;
            match socket.connect(at).await {
                Ok(()) => return Ok(Self::Udp(socket)),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// How records are told apart here.
    pub(super) fn framing(&self) -> Framing {
        match self {
            #[cfg(unix)]
            Self::UnixDatagram(_) => Framing::Bare,
            #[cfg(unix)]
            Self::UnixStream(_) => Framing::Lines,
            Self::Udp(_) => Framing::Bare,
            Self::Tcp(_) => Framing::Counted,
        }
    }

    /// Sends one datagram, or some of the bytes; how many.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing was sent.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = match self {
            #[cfg(unix)]
            Self::UnixDatagram(socket) => socket.send(bytes).await?,
            #[cfg(unix)]
            Self::UnixStream(stream) => stream.write(bytes).await?,
            Self::Udp(socket) => socket.send(bytes).await?,
            Self::Tcp(stream) => stream.write(bytes).await?,
        };
        if sent == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(sent) }
    }

    /// Whether after this error nothing more gets through; otherwise it concerns one datagram alone.
    pub(super) fn is_lost_by(&self, error: &io::Error) -> bool {
        use io::ErrorKind as Kind;
        self.framing() != Framing::Bare
            || matches!(
                error.kind(),
                Kind::AddrNotAvailable
                    | Kind::BrokenPipe
                    | Kind::ConnectionRefused
                    | Kind::ConnectionReset
                    | Kind::HostUnreachable
                    | Kind::NetworkDown
                    | Kind::NetworkUnreachable
                    | Kind::NotConnected
                    | Kind::NotFound
                    | Kind::TimedOut
            )
    }

    /// Waits until the other end is gone, as far as it tells; why.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub(super) async fn lost(&self) -> io::Error {
        // Receivers say nothing. Who does is not listened to, but must not be cut by a reset for what was not read.
        let mut ignored = [0; 512];
        loop {
            let heard = match self {
                #[cfg(unix)]
                Self::UnixDatagram(_) => std::future::pending().await,
                #[cfg(unix)]
                Self::UnixStream(stream) => {
                    stream.readable().await.and_then(|()| stream.try_read(&mut ignored)).and_then(more)
                }
                Self::Tcp(stream) => {
                    stream.readable().await.and_then(|()| stream.try_read(&mut ignored)).and_then(more)
                }
                // The system tells here that nobody listens there.
                Self::Udp(socket) => socket.recv(&mut ignored).await.map(|_| ()),
            };
            match heard {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return error,
                _ => {}
            }
        }
    }

    /// Ends the way behind what was sent.
    pub(super) async fn close(&mut self) {
        let _ = match self {
            #[cfg(unix)]
            Self::UnixDatagram(_) => Ok(()),
            #[cfg(unix)]
            Self::UnixStream(stream) => stream.shutdown().await,
            Self::Udp(_) => Ok(()),
            Self::Tcp(stream) => stream.shutdown().await,
        };
    }
}

fn more(read: usize) -> io::Result<()> {
    if read == 0 {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the receiver closed the connection"))
    } else {
        Ok(())
    }
}

/// Silence after which the system asks whether the other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
