//! The wires of other chat systems: which of them are open, and where.

use std::io;
use std::net::SocketAddr;

use futures_util::future::join_all;

use super::ServerError;
use super::config::{Config, Legacy, WirePort};
use crate::address::{Host, authority};
use crate::bot::Bots;
use crate::gateway::peer::{Peers, RoomPeer};
use crate::gateway::{Console, ConsoleEvents, Context, Gateway, MinechatListen, MinechatWrite, Pair};

/// The wires that are open, to be served in front of a hub.
#[derive(Debug, Default)]
pub(super) struct Wires {
    gateways: Vec<Box<dyn Gateway>>,
    /// Of each that is not open because somebody else has its own port: what to tell whoever runs the server.
    pub(super) missing: Vec<String>,
    /// What happens at the console port, until somebody takes it.
    pub(super) console: Option<ConsoleEvents>,
}

impl Wires {
    /// Opens those that the configuration asks for. Each wire has its lines here.
    pub(super) async fn bind(config: &Config, bots: &Bots) -> Result<Self, ServerError> {
        let mut wires = Self::default();
        wires.open_pair(config).await?;
        wires.open_minechat(config).await?;
        wires.open_console(config, bots).await?;
        Ok(wires)
    }

    /// Opens the rooms that peers write to, which stand in the registry from then on.
    pub(super) async fn let_peers_in(
        &mut self,
        config: &Config,
        context: &Context,
        peers: &Peers,
    ) -> Result<(), ServerError> {
        let host = &config.legacy.host;
        // "Everywhere" is no place to be found at: then by a name that the server was given.
        let named = config.hosts.iter().find_map(|name| Host::new(name).ok());
        let public = if host.is_unspecified() { named.as_ref() } else { None };
        for entry in &config.room_peers {
            let failed = |source| ServerError::RoomPeer { entry: entry.clone(), source };
            let room = RoomPeer::bind(context, peers, entry.clone(), host, public).await.map_err(failed)?;
            self.gateways.push(Box::new(room));
        }
        Ok(())
    }

    async fn open_minechat(&mut self, config: &Config) -> Result<(), ServerError> {
        let Legacy { host, room, minechat_listen_port, minechat_write_port, minechat_heartbeat, .. } = &config.legacy;
        let (name, option) = ("minechat's listeners", "--minechat-listen-port");
        let wire = Wire { host, name, option, port: *minechat_listen_port, usual: MinechatListen::PORT };
        let bind = async |port| {
            let listen = MinechatListen::bind(host, port).await?.room(room.clone());
            Ok(if minechat_heartbeat.is_zero() { listen } else { listen.heartbeat(*minechat_heartbeat) })
        };
        self.open(wire, bind).await?;
        let (name, option) = ("minechat's writers", "--minechat-write-port");
        let wire = Wire { host, name, option, port: *minechat_write_port, usual: MinechatWrite::PORT };
        self.open(wire, async |port| Ok(MinechatWrite::bind(host, port).await?.room(room.clone()))).await
    }

    /// What each is called, and where it listens.
    pub(super) fn places(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.gateways.iter().map(|gateway| (gateway.name(), gateway.local_addr()))
    }

    /// Serves all of them until the context's stop, and their sessions to their end.
    pub(super) async fn serve(self, context: &Context) {
        drop(self.console);
        join_all(self.gateways.into_iter().map(|gateway| gateway.serve(context.clone()))).await;
    }

    async fn open_pair(&mut self, config: &Config) -> Result<(), ServerError> {
        let Legacy { host, pair_port: port, .. } = &config.legacy;
        let wire = Wire { host, name: "pair chat", option: "--pair-port", port: *port, usual: Pair::PORT };
        let bind = async |port| {
            let pair = Pair::bind(host, port).await?;
            Ok(pair.hosts(config.names_at(host)).origins(config.origins.iter().cloned()))
        };
        self.open(wire, bind).await
    }

    async fn open_console(&mut self, config: &Config, bots: &Bots) -> Result<(), ServerError> {
        let Legacy { host, room, console_port: port, console_print_messages: texts, .. } = &config.legacy;
        let wire = Wire { host, name: "console chat", option: "--console-port", port: *port, usual: Console::PORT };
        let mut told = None;
        let bind = async |port| {
            let mut console = Console::bind(host, port).await?.room(room.clone()).bots(bots.clone());
            told = Some(console.events(&config.limits, *texts));
            Ok(console)
        };
        self.open(wire, bind).await?;
        self.console = told;
        Ok(())
    }

    /// Opens one by `bind`, at its own port if none is named. That one's being taken is no reason not to start.
    async fn open<G: Gateway + 'static>(
        &mut self,
        wire: Wire<'_>,
        bind: impl AsyncFnOnce(u16) -> io::Result<G>,
    ) -> Result<(), ServerError> {
        let port = match wire.port {
            WirePort::Off => return Ok(()),
            WirePort::Usual => wire.usual,
            WirePort::At(port) => port,
        };
        match bind(port).await {
            Ok(gateway) => self.gateways.push(Box::new(gateway)),
            // That somebody else has a usual port is no reason not to start; that the host is wrong is one.
            Err(error) if wire.port == WirePort::Usual && error.kind() == io::ErrorKind::AddrInUse => {
                let Wire { name, option, .. } = wire;
                let why =
                    format!("no {name}: cannot listen on port {port}: {error}; choose another with {option}, or off");
                self.missing.push(why);
            }
            Err(source) => {
                let at = authority(wire.host.as_str(), port);
                return Err(ServerError::Wire { wire: wire.name, option: wire.option, at, source });
            }
        }
        Ok(())
    }
}

/// What is known of a wire before it is open.
#[derive(Clone, Copy)]
struct Wire<'a> {
    host: &'a Host,
    /// What people call it.
    name: &'static str,
    /// The option that says where it listens.
    option: &'static str,
    port: WirePort,
    /// Its own port.
    usual: u16,
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::net::TcpListener;

    use super::*;

    #[derive(Debug)]
    struct Silent(SocketAddr);

    #[async_trait]
    impl Gateway for Silent {
        fn name(&self) -> &'static str {
            "silent"
        }

        fn local_addr(&self) -> SocketAddr {
            self.0
        }

        async fn serve(self: Box<Self>, context: Context) {
            context.stop.cancelled().await;
        }
    }

    async fn bind(port: u16) -> io::Result<Silent> {
        Ok(Silent(TcpListener::bind(("127.0.0.1", port)).await?.local_addr()?))
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_an_error_only_if_it_was_asked_for() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let usual = taken.local_addr().unwrap().port();
        let host = Config::default().legacy.host;
        let wire = |port| Wire { host: &host, name: "silence", option: "--silent-port", port, usual };
        let mut wires = Wires::default();
        for port in [WirePort::Off, WirePort::Usual] {
            wires.open(wire(port), bind).await.unwrap();
            assert_eq!(wires.places().count(), 0);
        }
        let [missing] = &wires.missing[..] else { panic!("{:?}", wires.missing) };
        assert!(missing.starts_with(&format!("no silence: cannot listen on port {usual}: ")), "{missing}");
        let error = wires.open(wire(WirePort::At(usual)), bind).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen for silence on 127.0.0.1:{usual}: ")), "{error}");
        assert!(error.contains("--silent-port"), "{error}");
        wires.open(wire(WirePort::At(0)), bind).await.unwrap();
        drop(taken);
        wires.open(wire(WirePort::Usual), bind).await.unwrap();
        let places: Vec<_> = wires.places().collect();
        assert_eq!((places[0].0, places[1]), ("silent", ("silent", ([127, 0, 0, 1], usual).into())));
    }
}
