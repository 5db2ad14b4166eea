//! A way to the terminal beside the lock that everybody holds who prints, for what must not hang where printing does.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A terminal, with a buffer of its own, so that a screen goes out in one piece.
pub(super) type Out = BufWriter<Way>;

/// Opens one.
///
/// # Errors
/// What the terminal says.
pub(super) fn out() -> io::Result<Out> {
    Ok(BufWriter::with_capacity(BUFFER, Way::new()?))
}

/// Says the last words to a terminal, and waits until it has taken them; but no longer than [`PATIENCE`], as it may take
/// nothing any more.
pub(super) fn say_last(words: impl FnOnce(&mut Out) -> io::Result<()> + Send + 'static) {
    let (done, over) = mpsc::channel::<()>();
    let last = thread::Builder::new().name("restore".into()).spawn(move || {
        // A terminal that is gone needs nothing back.
        if let Ok(mut out) = out() {
            let _ = words(&mut out).and_then(|()| out.flush());
        }
        drop(done);
    });
    if last.is_ok() {
        let _: Result<(), _> = over.recv_timeout(PATIENCE);
    }
}

/// Stdout.
#[derive(Debug)]
pub(super) struct Way(File);

impl Way {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use std::os::fd::AsFd;
        Ok(Self(io::stdout().as_fd().try_clone_to_owned()?.into()))
    }

    #[cfg(windows)]
    fn new() -> io::Result<Self> {
        use std::os::windows::io::AsHandle;
        Ok(Self(io::stdout().as_handle().try_clone_to_owned()?.into()))
    }
}

impl Write for Way {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// How long a terminal that takes nothing is waited for.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes that go out at once: more than a large screen has.
const BUFFER: usize = 128 * 1024;
