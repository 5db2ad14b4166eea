//! The body of what our services answer, in a type of our own: they are mounted in servers of others.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Frame, SizeHint};

/// The body of an answer: whole, and of known length.
#[derive(Debug)]
pub struct Body(Full<Bytes>);

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl From<Full<Bytes>> for Body {
    fn from(whole: Full<Bytes>) -> Self {
        Self(whole)
    }
}

/// An answer for hyper in pieces: it copies what it is given before it writes, and a whole list of users would lie once
/// more in memory for each client that reads it slowly.
pub(super) struct Pieces<F> {
    whole: Full<Bytes>,
    rest: Bytes,
    /// Hears after each piece whether that was all.
    handed: F,
}

impl<F: Fn(bool) + Unpin> Pieces<F> {
    pub(super) fn new(whole: Full<Bytes>, handed: F) -> Self {
        Self { whole, rest: Bytes::new(), handed }
    }
}

impl<F: Fn(bool) + Unpin> hyper::body::Body for Pieces<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.whole).poll_frame(cx)) {
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                other => return Poll::Ready(other),
            }
        }
        let most = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(most);
        (self.handed)(self.is_end_stream());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.whole.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let whole = self.whole.size_hint().exact().unwrap_or_default();
        SizeHint::with_exact(whole + self.rest.len() as u64)
    }
}

/// Bytes that lie in hyper's buffer for a client that does not read.
const PIECE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use hyper::body::Body as _;

    #[tokio::test]
    async fn a_long_answer_comes_in_pieces_and_is_the_same() {
        let whole: Bytes = (0..200_000_u32).map(|n| n as u8).collect();
        let (tell, told) = std::sync::mpsc::channel();
        let mut pieces = Pieces::new(Full::new(whole.clone()), |all| tell.send(all).unwrap());
        let mut got = Vec::new();
        while let Some(piece) = pieces.frame().await {
            let piece = piece.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            got.extend_from_slice(&piece);
            assert_eq!(pieces.size_hint().exact(), Some((whole.len() - got.len()) as u64));
            assert_eq!(pieces.is_end_stream(), got.len() == whole.len());
        }
        assert_eq!(got, whole);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [false, false, false, true]);
        assert!(Pieces::new(Full::new(Bytes::new()), |_| ()).is_end_stream());
    }
}
