//! One session of rooms over a WebSocket.

use std::net::IpAddr;
use std::pin::pin;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message as Frame;
use tracing::debug;

use super::websocket::{self, Opened, Pulse, Silence, Way};
use crate::codec::rooms::{self, Mode, Plain, Rich};
use crate::hub::{Batch, Cut, Encoding, Hub, Lifetime, OpenError, Seat};
use crate::limits::Limits;
use crate::message::{Closing, Command, MessageId, Refusal, RoomKey};
use crate::name::RoomName;
use crate::net::http::Upgrade;
use crate::secret::Secret;

/// Serves one session from the upgrade to its end.
pub(super) async fn serve(upgrade: Upgrade, way: Way, hub: Hub, token: Secret, mode: Mode, from: Option<IpAddr>) {
    let opened = Box::pin(websocket::open(upgrade, way, encoding(mode), hub.limits())).await;
    let Some(opened) = opened else { return };
    let lifetime = match mode {
        Mode::Plain => Lifetime::Session,
        Mode::Rich => Lifetime::Kept,
    };
    let seat = match Box::pin(hub.open(&token, opened.outbox.clone(), lifetime, from)).await {
        Ok(seat) => seat,
        Err(error) => {
            debug!(%error, "no session");
            let code = if error == OpenError::Unavailable { 1013 } else { 1008 };
            websocket::close(&opened.outbox, code, &error.to_string());
            return Box::pin(opened.out.finish(&opened.outbox)).await;
        }
    };
    // What the handshake needed is not part of what stays.
    Box::pin(converse(opened, seat, hub, mode)).await;
}

async fn converse(opened: Opened, mut seat: Seat, hub: Hub, mode: Mode) {
    let Opened { outbox, mut out, way_in, place } = opened;
    let limits = hub.limits().clone();
    drop(hub);
    let mut frames = way_in.frames(&limits).await;
    if mode == Mode::Plain
        && let Err(why) = Box::pin(seat.run(Command::Enter(RoomName::global()))).await
    {
        seat.refuse(why, None);
    }
    let mut pulse = Pulse::new(&limits);
    {
        let mut carry = pin!(out.carry(&outbox));
        let mut timer = pin!(tokio::time::sleep_until(pulse.until()));
        loop {
            let frame = tokio::select! {
                biased;
                frame = websocket::next(&mut frames, carry.as_mut()) => frame,
                () = timer.as_mut(), if pulse.beats() => {
                    match pulse.silence(Instant::now()) {
                        Silence::Short => {}
                        Silence::TooLong => {
                            seat.count_cut(Cut::Silent);
                            websocket::close(&outbox, 1001, "nothing was heard of you");
                        }
                        Silence::Long => {
                            outbox.offer(&Batch::raw(websocket::question()));
                        }
                    }
                    timer.as_mut().reset(pulse.until());
                    continue;
                }
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(end) => {
                    if end.is_some() {
                        seat.count_cut(Cut::Protocol);
                    }
                    websocket::goodbye(&outbox, end);
                    break;
                }
            };
            pulse.beat();
            if let Some(asked) = serve_frame(&mut seat, frame, mode, &limits, &mut pulse) {
                Box::pin(asked.carry_out(&mut seat)).await;
            }
        }
    }
    // The others hear of it now, not when the last byte is out.
    drop(seat);
    Box::pin(out.finish(&outbox)).await;
    drop(place);
}

/// What a session's frame asks for that may have to wait.
enum Asked {
    Command(Command),
    End(Closing, Refusal),
}

impl Asked {
    async fn carry_out(self, seat: &mut Seat) {
        match self {
            Self::Command(command) => {
                let id = id_of(&command).cloned();
                if let Err(why) = seat.run(command).await {
                    seat.refuse(why, id);
                }
            }
            Self::End(why, refusal) => seat.end(why, Some(refusal)).await,
        }
    }
}

/// Does what a session's frame asks for, but for what may have to wait.
fn serve_frame(seat: &mut Seat, frame: Frame, mode: Mode, limits: &Limits, pulse: &mut Pulse) -> Option<Asked> {
    if !frame.is_text() && !pulse.allows_control() {
        // Who is told much answers much, whoever tells it: the next answer says as much.
        return (!frame.is_pong()).then_some(Asked::End(Closing::TooFast, Refusal::TooFast));
    }
    match frame {
        Frame::Text(text) => {
            if !pulse.allows_command() {
                return Some(Asked::End(Closing::TooFast, Refusal::TooFast));
            }
            let (refusal, id) = match rooms::decode(text.as_bytes(), mode, limits.message) {
                Ok(command) => {
                    let id = id_of(&command).cloned();
                    match seat.try_run(command) {
                        Ok(waits) => return waits.map(Asked::Command),
                        Err(why) => (why, id),
                    }
                }
                Err(refused) => refused,
            };
            seat.refuse(refusal, id);
        }
        Frame::Binary(_) => {
            seat.count_cut(Cut::Protocol);
            websocket::close(seat.outbox(), 1003, "commands are text frames");
        }
        Frame::Pong(payload) => {
            pulse.answered();
            if let (Mode::Plain, Some(seq)) = (mode, rooms::confirmed(&payload)) {
                let room = RoomKey::Direct(seat.user());
                return Some(Asked::Command(Command::Received { room, seq }));
            }
        }
        // Pings and Closes have been answered.
        _ => {}
    }
    None
}

fn id_of(command: &Command) -> Option<&MessageId> {
    match command {
        Command::Say { id, .. } | Command::Direct { id, .. } => id.as_ref(),
        _ => None,
    }
}

fn encoding(mode: Mode) -> &'static Encoding {
    match mode {
        Mode::Plain => &PLAIN,
        Mode::Rich => &RICH,
    }
}

static PLAIN: Encoding = Encoding::new("rooms", &Plain).confirming();
static RICH: Encoding = Encoding::new("rooms.v2", &Rich).confirming();
