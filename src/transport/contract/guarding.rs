//! Listeners that do not hear everybody.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Subject;
use super::stage::{A_WHILE, Stage, confirmed, text, within};
use crate::limits::Limits;
use crate::message::Message;
use crate::transport::{Gate, Guard, Sent, TransportError, Turned};

/// A guard is asked about every message, with where it came from, before anything is confirmed. What it turns away is
/// neither confirmed nor heard, and while it thinks about one sender others are heard.
pub async fn a_guard_decides_who_is_heard(subject: &dyn Subject) {
    let doorman = Arc::new(Doorman::default());
    let listening = subject.transport(&Limits::default());
    let guarded = within("listening", listening.listen_guarded(&subject.address(), Gate::new(doorman.clone()))).await;
    if !subject.guards() {
        assert!(matches!(guarded, Err(TransportError::Unguarded(_))), "{guarded:?}");
        return;
    }
    let incoming = guarded.unwrap_or_else(|error| panic!("{error}"));
    let entry = subject.entry(incoming.local_address().clone());
    let sending = subject.transport(&Limits::default());
    let mut stage = Stage { listening, incoming, sending, entry, confirms: subject.confirms() };
    stage.send_and_hear("first").await;
    let turned = timeout(A_WHILE, stage.sending.send(&stage.entry, &text(AWAY))).await;
    assert!(!matches!(turned, Ok(Ok(Sent::Delivered))), "turned away, and confirmed");
    // A connection that was ended for it is another's no longer.
    stage.sending = subject.transport(&Limits::default());
    stage.send_and_hear("second").await;

    let (sending, entry) = (stage.sending.clone(), stage.entry.clone());
    let waiting = tokio::spawn(async move { sending.send(&entry, &text(SLOW)).await });
    within("a question", doorman.asked_slowly.acquire()).await.expect("a question").forget();
    stage.sending = subject.transport(&Limits::default());
    stage.send_and_hear("others meanwhile").await;
    assert!(!stage.confirms || !waiting.is_finished(), "confirmed before the guard let it in");
    doorman.answered.add_permits(1);
    let sent = within("sending", waiting).await.expect("the sender failed");
    assert!(matches!(sent, Ok(sent) if confirmed(sent, stage.confirms)), "{sent:?}");
    assert_eq!(&*stage.hear().await.text, SLOW);
    stage.expect_silence();

    let asked = doorman.asked.lock().unwrap_or_else(PoisonError::into_inner);
    for expected in ["first", AWAY, "second", SLOW, "others meanwhile"] {
        assert!(asked.iter().any(|(text, _)| text == expected), "nobody asked about {expected:?}: {asked:?}");
    }
    assert!(asked.iter().all(|(_, source)| source.is_loopback()), "{asked:?}");
}

/// Turns one text away, and lets another wait.
#[derive(Debug)]
struct Doorman {
    asked: Mutex<Vec<(String, IpAddr)>>,
    asked_slowly: Semaphore,
    answered: Semaphore,
}

impl Default for Doorman {
    fn default() -> Self {
        Self { asked: Mutex::default(), asked_slowly: Semaphore::new(0), answered: Semaphore::new(0) }
    }
}

#[async_trait]
impl Guard for Doorman {
    async fn admit(&self, message: &Message, source: IpAddr) -> Result<(), Turned> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((message.text.to_string(), source));
        match &*message.text {
            AWAY => return Err(Turned::Away("not you".into())),
            SLOW => {
                self.asked_slowly.add_permits(1);
                if let Ok(answered) = self.answered.acquire().await {
                    // A message that is sent again is answered like the first.
                    drop(answered);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

const AWAY: &str = "to be turned away";
const SLOW: &str = "to be thought about";
