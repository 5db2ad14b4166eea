//! How things go out on a connection, one by one, beside what is read.

use std::collections::VecDeque;
use std::task::Poll;
use std::time::Duration;

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::time::Instant;

use crate::client::TextId;

/// How the writing goes on a connection.
pub(super) struct Writing {
    /// Texts that were handed to the connection and are not written yet.
    pub(super) texts: VecDeque<TextId>,
    pub(super) unflushed: bool,
    /// When something was written last.
    pub(super) moved: Instant,
    /// When the next thing may be written, as if there were no burst.
    due: Instant,
    pace: (u32, Duration),
}

impl Writing {
    pub(super) fn new(pace: (u32, Duration), now: Instant) -> Self {
        Self { texts: VecDeque::new(), unflushed: false, moved: now, due: now, pace }
    }

    /// Whether one more thing is within the pace.
    pub(super) fn may(&self, now: Instant) -> bool {
        now >= self.when()
    }

    pub(super) fn when(&self) -> Instant {
        let (burst, every) = self.pace;
        let early = every.saturating_mul(burst.saturating_sub(1));
        self.due.checked_sub(early).unwrap_or(self.due)
    }

    pub(super) fn taken(&mut self, id: Option<TextId>) {
        self.texts.extend(id);
        (self.unflushed, self.moved) = (true, Instant::now());
        self.due = self.due.max(self.moved) + self.pace.1;
    }
}

/// One step of a connection.
pub(super) enum Moved<In> {
    Heard(In),
    /// One thing was handed over to be written.
    Taken(Option<TextId>),
    /// All that was handed over is written.
    Flushed,
}

/// Writes and reads what goes at the moment, one thing.
///
/// # Cancel safety
/// Nothing is lost by dropping the future.
pub(super) async fn advance<In, Out, L>(
    line: &mut L,
    outs: &mut VecDeque<(Out, Option<TextId>)>,
    unflushed: bool,
    may_write: bool,
    reading: bool,
) -> Result<Moved<In>, String>
where
    L: Stream<Item = Result<In, String>> + Sink<Out, Error = String> + Unpin,
{
    std::future::poll_fn(|cx| {
        let mut broken = None;
        if may_write && !outs.is_empty() {
            match line.poll_ready_unpin(cx) {
                Poll::Ready(Ok(())) => {
                    if let Some((out, id)) = outs.pop_front() {
                        match line.start_send_unpin(out) {
                            Ok(()) => return Poll::Ready(Ok(Moved::Taken(id))),
                            Err(reason) => broken = Some(reason),
                        }
                    }
                }
                Poll::Ready(Err(reason)) => broken = Some(reason),
                Poll::Pending => {}
            }
        }
        if unflushed && broken.is_none() {
            match line.poll_flush_unpin(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(Moved::Flushed)),
                Poll::Ready(Err(reason)) => broken = Some(reason),
                Poll::Pending => {}
            }
        }
        if reading || broken.is_some() {
            // What still lies there may say why it broke.
            match line.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(heard))) if broken.is_none() || reading => {
                    return Poll::Ready(Ok(Moved::Heard(heard)));
                }
                Poll::Ready(Some(Err(reason))) => return Poll::Ready(Err(reason)),
                Poll::Ready(None) => {
                    return Poll::Ready(Err(broken.unwrap_or_else(|| "the server closed the connection".into())));
                }
                _ => {}
            }
        }
        broken.map_or(Poll::Pending, |reason| Poll::Ready(Err(reason)))
    })
    .await
}
