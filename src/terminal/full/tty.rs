//! The terminal itself: taken for a full screen, and given back as it was found, whatever happens.

use std::io;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use ratatui::crossterm::terminal::{
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{execute, queue};

use crate::terminal::way::{PATIENCE, out, say_last};

/// Takes the terminal.
///
/// # Errors
/// What it says.
pub(super) fn take() -> io::Result<()> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        // What went wrong is to be read, by somebody whose terminal works.
        panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
    });
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    execute!(out()?, EnterAlternateScreen, EnableBracketedPaste, Hide)
}

/// Gives it back, if it was taken. Nothing is drawn after that.
pub(in crate::terminal) fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // Whoever draws may hang in a terminal that takes nothing; then this must not, too.
    let until = Instant::now() + PATIENCE;
    let mut drawing = DRAWING.try_lock();
    while drawing.is_err() && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
        drawing = DRAWING.try_lock();
    }
    let _ = disable_raw_mode();
    say_last(|out| queue!(out, EndSynchronizedUpdate, DisableBracketedPaste, LeaveAlternateScreen, Show));
}

/// The right to draw, as long as the terminal is taken.
pub(super) fn drawing() -> Option<MutexGuard<'static, ()>> {
    let drawing = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    TAKEN.load(Ordering::SeqCst).then_some(drawing)
}

/// Asks the terminal from which keys come something that every one answers.
///
/// # Errors
/// What the system says: it is gone.
pub(super) fn is_there() -> io::Result<()> {
    #[cfg(unix)]
    nix::sys::termios::tcgetattr(io::stdin())?;
    Ok(())
}

/// Stops the program until the shell wants it back.
#[cfg(unix)]
pub(super) fn suspend() -> io::Result<()> {
    use nix::sys::signal::{Signal, raise};
    give_back();
    raise(Signal::SIGSTOP)?;
    take()
}

#[cfg(not(unix))]
pub(super) fn suspend() -> io::Result<()> {
    Ok(())
}

/// Asks the program to end, as Ctrl-C does where the terminal itself sees to that.
pub(super) fn interrupt() {
    #[cfg(unix)]
    {
        use nix::sys::signal::{Signal, raise};
        let _ = raise(Signal::SIGINT);
    }
}

static TAKEN: AtomicBool = AtomicBool::new(false);
static DRAWING: Mutex<()> = Mutex::new(());

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use nix::pty::openpty;
    use nix::sys::termios::{LocalFlags, tcgetattr};
    use std::fs::File;
    use std::io::Read;
    use std::process::{Command, Stdio};

    #[test]
    fn a_panic_is_read_on_a_terminal_that_works() {
        if std::env::var_os(CHILD).is_some() {
            take().unwrap();
            // As the thread that draws does.
            let _drawing = drawing();
            panic!("out of cheese");
        }
        let pty = openpty(None, None).unwrap();
        let name = "terminal::full::tty::tests::a_panic_is_read_on_a_terminal_that_works";
        let [input, output, errors] = [(); 3].map(|()| Stdio::from(pty.slave.try_clone().unwrap()));
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").stdin(input).stdout(output).stderr(errors);
        let mut running = child.spawn().unwrap();
        // As long as somebody here has that side, the end is not seen.
        drop((child, pty.slave));
        let (mut terminal, mut shown) = (File::from(pty.master), Vec::new());
        // The end of a terminal is an error.
        let _ = terminal.read_to_end(&mut shown);
        assert!(!running.wait().unwrap().success());
        let shown = String::from_utf8_lossy(&shown);
        let places = ["\u{1b}[?1049h", "\u{1b}[?1049l", "out of cheese"].map(|text| shown.find(text));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{shown:?}");
        assert!(tcgetattr(&terminal).unwrap().local_flags.contains(LocalFlags::ICANON));
    }

    /// Set where the test is the program that panics.
    const CHILD: &str = "TALK_TEST_PANICS";
}
