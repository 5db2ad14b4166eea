//! A WebSocket receiver of another make in a few lines.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::raw::LONG;

/// What a fake does with a message.
pub(crate) enum Reply {
    Nothing,
    Text(String),
    /// A Close with code and reason.
    Close(u16, &'static str),
    /// The connection is dropped.
    Drop,
}

pub(crate) struct FakeWebSocket {
    pub(crate) port: u16,
    heard: mpsc::Receiver<String>,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl FakeWebSocket {
    /// Takes upgrades at `path` only, selects `protocol` if any, and answers each message by a function.
    pub(crate) async fn start(
        path: &'static str,
        protocol: Option<&'static str>,
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, heard) = mpsc::channel(1024);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, paths) = (Arc::new(answer), asked.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tell, answer, paths) = (tell.clone(), answer.clone(), paths.clone());
                tokio::spawn(async move {
                    #[allow(clippy::result_large_err)]
                    let check = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
                        paths.lock().unwrap().push(request.uri().path().to_owned());
                        if request.uri().path() != path {
                            let mut refusal = ErrorResponse::new(Some("nothing here".into()));
                            *refusal.status_mut() = 404.try_into().unwrap();
                            return Err(refusal);
                        }
                        if let Some(protocol) = protocol {
                            response.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
                        }
                        Ok(response)
                    };
                    let Ok(mut socket) = accept_hdr_async(stream, check).await else { return };
                    while let Some(Ok(message)) = socket.next().await {
                        let Message::Text(text) = message else { continue };
                        let reply = answer(&text);
                        let _ = tell.send(text.to_string()).await;
                        match reply {
                            Reply::Nothing => {}
                            Reply::Text(text) => socket.send(Message::text(text)).await.unwrap(),
                            Reply::Close(code, reason) => {
                                let frame = CloseFrame { code: code.into(), reason: reason.into() };
                                let _ = socket.close(Some(frame)).await;
                            }
                            Reply::Drop => return,
                        }
                    }
                });
            }
        });
        Self { port, heard, asked, task }
    }

    /// The next message, as it came.
    pub(crate) async fn next(&mut self) -> String {
        tokio::time::timeout(LONG, self.heard.recv()).await.expect("a message comes").unwrap()
    }

    /// The paths that were asked for so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for FakeWebSocket {
    fn drop(&mut self) {
        self.task.abort();
    }
}
