//! A way to a server that can be cut, closed, and made to lose what either end says.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct Gate {
    pub(crate) port: u16,
    state: Arc<watch::Sender<State>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// Connections of an earlier number are cut.
    era: u64,
    open: bool,
    /// What comes from the server is lost on connections of this era.
    swallows: bool,
    /// What comes from clients is.
    muffles: bool,
    to: u16,
}

impl Gate {
    pub(crate) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let state =
            Arc::new(watch::Sender::new(State { era: 0, open: true, swallows: false, muffles: false, to: port }));
        let seen = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = *seen.borrow();
                if state.open {
                    tokio::spawn(carry(stream, state, seen.subscribe()));
                }
            }
        });
        Self { port: own, state, task }
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| {
            (state.era, state.swallows, state.muffles) = (state.era + 1, false, false);
        });
    }

    /// Cuts every connection, and lets none through until it is opened.
    pub(crate) fn shut(&self) {
        self.state.send_modify(|state| {
            (state.era, state.open, state.swallows, state.muffles) = (state.era + 1, false, false, false);
        });
    }

    /// Waits until there is no connection any more.
    pub(crate) async fn carries_nothing(&self) {
        self.state.closed().await;
    }

    pub(crate) fn open(&self) {
        self.state.send_modify(|state| state.open = true);
    }

    /// From now on nothing comes from the server, until the next cut.
    pub(crate) fn swallow(&self) {
        self.state.send_modify(|state| state.swallows = true);
    }

    /// From now on nothing comes to the server, until the next cut.
    pub(crate) fn muffle(&self) {
        self.state.send_modify(|state| state.muffles = true);
    }

    /// Cuts every connection; new ones lead to another server.
    pub(crate) fn lead_to(&self, port: u16) {
        self.state.send_modify(|state| (state.era, state.to) = (state.era + 1, port));
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
        self.shut();
    }
}

async fn carry(client: TcpStream, began: State, mut state: watch::Receiver<State>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", began.to)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let seen = state.clone();
    let up = carry_on(&mut from_client, &mut to_server, || seen.borrow().muffles);
    let down = carry_on(&mut from_server, &mut to_client, || seen.borrow().swallows);
    let _: Result<(), std::io::Error> = tokio::select! {
        done = up => done,
        done = down => done,
        _ = state.wait_for(|state| state.era != began.era) => Ok(()),
    };
}

async fn carry_on(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    loses: impl Fn() -> bool,
) -> Result<(), std::io::Error> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        if !loses() {
            to.write_all(&buffer[..read]).await?;
        }
    }
}
