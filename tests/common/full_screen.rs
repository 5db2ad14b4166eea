//! A program on a pseudo-terminal, with a terminal emulator before it: what is asserted is what somebody would see.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{FlowArg, LocalFlags, tcflow, tcgetattr};
use nix::unistd::Pid;

use super::programs::Home;
use super::wires_program::WiresProgram;

/// A program that fills a screen.
pub(crate) struct FullScreen {
    child: Child,
    handle: File,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

/// What came of what the program wrote.
pub(crate) struct Seen {
    parser: vt100::Parser,
    /// How much it wrote.
    pub(crate) bytes: usize,
    /// How often it drew, and how often everything.
    pub(crate) frames: usize,
    whole: usize,
    /// The lowest row to which it went in the last of those.
    lowest: u16,
    ended: bool,
}

impl FullScreen {
    pub(crate) fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        command.env("TERM", "xterm-256color");
        Self::start_as_it_is(&command, columns, rows)
    }

    /// The same, with the environment that was chosen.
    pub(crate) fn start_as_it_is(command: &Command, columns: u16, rows: u16) -> Self {
        // The size is there before the program is.
        let mut shell = Command::new("setsid");
        let size = format!("stty -echo cols {columns} rows {rows} && exec \"$@\"");
        shell.args(["-c", "sh", "-c", &size, "sh"]).arg(command.get_program()).args(command.get_args()).env_clear();
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(directory) = command.get_current_dir() {
            shell.current_dir(directory);
        }
        let pty = openpty(None, None).unwrap();
        let [input, output, errors] = [(); 3].map(|()| pty.slave.try_clone().unwrap());
        let child = shell.stdin(input).stdout(output).stderr(errors).spawn().unwrap();
        // As long as somebody here has that side, the program's end is not seen.
        drop((shell, pty.slave));
        let handle = File::from(pty.master);
        let parser = vt100::Parser::new(size_of(rows), size_of(columns), 0);
        let seen = Arc::new((
            Mutex::new(Seen { parser, bytes: 0, frames: 0, whole: 0, lowest: 0, ended: false }),
            Condvar::new(),
        ));
        let (mut out, to) = (handle.try_clone().unwrap(), seen.clone());
        let reader = thread::spawn(move || {
            let mut bytes = [0; 8192];
            let mut whole = Vec::new();
            loop {
                let count = out.read(&mut bytes).unwrap_or(0);
                let (seen, changed) = &*to;
                let mut seen = seen.lock().unwrap();
                if count == 0 {
                    seen.ended = true;
                    changed.notify_all();
                    return;
                }
                seen.bytes += count;
                // As terminals do that know of it, what is drawn together is shown together.
                whole.extend_from_slice(&bytes[..count]);
                while let Some(end) = find(&whole, DRAWN) {
                    let frame: Vec<u8> = whole.drain(..end + DRAWN.len()).collect();
                    seen.parser.process(&frame);
                    seen.frames += 1;
                    if find(&frame, CLEARED).is_some() {
                        seen.whole += 1;
                        seen.lowest = lowest(&frame);
                    }
                }
                if find(&whole, DRAWING).is_none() {
                    seen.parser.process(&whole);
                    whole.clear();
                }
                changed.notify_all();
            }
        });
        Self { child, handle, seen, reader: Some(reader) }
    }

    /// Somebody in the room, on a screen of 80 by 24.
    pub(crate) fn in_room(server: &WiresProgram, home: &Home, nick: &str, arguments: &str) -> Self {
        let screen = Self::start(server.room(home, nick, &format!("--tui {arguments}")), 80, 24);
        screen.sees(&format!("● {nick} → global"));
        screen
    }

    pub(crate) fn send(&mut self, keys: &str) {
        self.handle.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen is as it should be.
    pub(crate) fn until<T>(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> Option<T>) -> T {
        let deadline = Instant::now() + LONG;
        let mut seen = self.lock();
        loop {
            if let Some(found) = wanted(seen.parser.screen()) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !seen.ended, "{what} is not on the screen:\n{}", text(seen.parser.screen()));
            seen = self.seen.1.wait_timeout(seen, left).unwrap().0;
        }
    }

    /// Waits until the screen shows this.
    pub(crate) fn sees(&self, wanted: &str) {
        self.until(wanted, |screen| text(screen).contains(wanted).then_some(()));
    }

    /// Waits until the screen shows this no more.
    pub(crate) fn sees_no(&self, unwanted: &str) {
        self.until(&format!("(not) {unwanted}"), |screen| (!text(screen).contains(unwanted)).then_some(()));
    }

    /// Waits for a row of which this is true.
    pub(crate) fn row(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.until(what, |screen| text(screen).lines().find(|row| wanted(row)).map(str::to_owned))
    }

    /// The screen as it is.
    pub(crate) fn text(&self) -> String {
        text(self.lock().parser.screen())
    }

    pub(crate) fn screen(&self) -> vt100::Screen {
        self.lock().parser.screen().clone()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.0.lock().unwrap()
    }

    /// Another size of the window; waits until it is drawn so.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let whole = self.lock().whole;
        self.lock().parser.screen_mut().set_size(size_of(rows), size_of(columns));
        let size = ["cols", &columns.to_string(), "rows", &rows.to_string()].map(str::to_owned);
        let status = Command::new("stty").args(size).stdin(self.handle.try_clone().unwrap()).status();
        assert!(status.unwrap().success());
        let deadline = Instant::now() + LONG;
        let mut seen = self.lock();
        // What is drawn for the size before, which was told late, is not what is waited for.
        while seen.whole == whole || seen.lowest != rows {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !seen.ended, "it takes no notice of its size");
            seen = self.seen.1.wait_timeout(seen, left).unwrap().0;
        }
    }

    /// Draws everything again, and compares: what was seen before must be the same, cell by cell.
    pub(crate) fn is_whole(&mut self) {
        self.settle();
        let before = self.screen();
        // What the emulator knows is spoilt, so that all of it must come again.
        self.lock().parser.process(b"\x1b7\x1b[2J\x1b[1;1Htorn\x1b8");
        self.send("\u{c}");
        let wanted = cells(&before);
        self.until(&text(&before), |screen| (cells(screen) == wanted).then_some(()));
    }

    /// The same, where something counts seconds, and a try that fails may be told meanwhile: all rows that were seen
    /// before must come again, and no others but those of such a notice.
    pub(crate) fn is_whole_but_for_the_time(&mut self) {
        let steady = |text: &str| -> Vec<String> {
            let rows = text.lines().filter(|row| !row.contains("the next try is in") && has_words(row));
            rows.map(str::to_owned).collect()
        };
        let before = steady(&self.text());
        self.lock().parser.process(b"\x1b7\x1b[2J\x1b[1;1Htorn\x1b8");
        self.send("\u{c}");
        self.until(&before.join("\n"), |screen| {
            let mut again = before.iter().peekable();
            let mut others = steady(&text(screen));
            others.retain(|row| again.next_if_eq(&row).is_none());
            let told = others.first().is_none_or(|row| row.contains(" * │ "));
            (again.peek().is_none() && told).then_some(())
        });
    }

    /// Waits until nothing more is drawn: what others confirm comes within half a second.
    fn settle(&self) {
        let deadline = Instant::now() + LONG;
        let mut seen = self.lock();
        while Instant::now() < deadline {
            let bytes = seen.bytes;
            let (now, waited) =
                self.seen.1.wait_timeout_while(seen, Duration::from_millis(700), |seen| seen.bytes == bytes).unwrap();
            if waited.timed_out() {
                return;
            }
            seen = now;
        }
    }

    /// Waits until it is stopped, as a shell would.
    pub(crate) fn stopped(&self) {
        let deadline = Instant::now() + LONG;
        let about = format!("/proc/{}/stat", self.child.id());
        while !std::fs::read_to_string(&about).unwrap().contains(") T ") {
            assert!(Instant::now() < deadline, "it is not stopped");
            thread::yield_now();
        }
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// The terminal takes nothing any more.
    pub(crate) fn freeze(&self) {
        let terminal = File::options().write(true).open(format!("/proc/{}/fd/1", self.child.id())).unwrap();
        tcflow(terminal, FlowArg::TCOOFF).unwrap();
    }

    /// Waits for the end of a program whose terminal shows nothing any more.
    pub(crate) fn code(mut self) -> i32 {
        let deadline = Instant::now() + LONG;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::yield_now();
        };
        let flags = tcgetattr(&self.handle).unwrap().local_flags;
        assert!(flags.contains(LocalFlags::ICANON), "the terminal is left as it was found");
        status.code().expect("no signal ends it")
    }

    /// Waits for the end; the exit code, and what the terminal shows then.
    pub(crate) fn ends(mut self) -> (i32, String) {
        let deadline = Instant::now() + LONG;
        let mut seen = self.lock();
        while !seen.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it does not end:\n{}", text(seen.parser.screen()));
            seen = self.seen.1.wait_timeout(seen, left).unwrap().0;
        }
        let screen = seen.parser.screen().clone();
        drop(seen);
        assert!(!screen.alternate_screen(), "the other screen is back");
        assert!(!screen.hide_cursor() && !screen.bracketed_paste(), "and its modes");
        let flags = tcgetattr(&self.handle).unwrap().local_flags;
        assert!(flags.contains(LocalFlags::ICANON), "the terminal is left as it was found");
        let code = self.child.wait().unwrap().code().expect("no signal ends it");
        self.reader.take().unwrap().join().unwrap();
        (code, text(&screen).trim_end().to_owned())
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What somebody reads on a screen: a line for each row, without the spaces at its end.
pub(crate) fn text(screen: &vt100::Screen) -> String {
    let (_, columns) = screen.size();
    let rows: Vec<_> = screen.rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect();
    rows.join("\n")
}

/// Everything that there is to see, with how it looks.
fn cells(screen: &vt100::Screen) -> Vec<String> {
    let (rows, columns) = screen.size();
    let about = |cell: &vt100::Cell| {
        let attributes = (cell.bold(), cell.dim(), cell.underline(), cell.inverse());
        format!("{:?} {:?} {:?} {attributes:?}", cell.contents().trim(), cell.fgcolor(), cell.bgcolor())
    };
    let at = |row| (0..columns.get()).filter_map(move |column| screen.cell(row, column)).map(about);
    (0..rows.get()).map(|row| at(row).collect::<Vec<_>>().join("|")).collect()
}

/// The lowest row to which a frame leads the cursor.
fn lowest(frame: &[u8]) -> u16 {
    let places = String::from_utf8_lossy(frame);
    let rows = places.split("\u{1b}[").skip(1).filter_map(|rest| {
        let (place, _) = rest.split_once('H')?;
        let (row, column) = place.split_once(';')?;
        column.parse::<u16>().ok().and(row.parse().ok())
    });
    rows.max().unwrap_or_default()
}

/// Whether there is more in a row than lines and spaces.
fn has_words(row: &str) -> bool {
    row.chars().any(|c| !matches!(c, ' ' | '│'))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn size_of(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).unwrap()
}

/// What stands before and behind a frame.
const DRAWING: &[u8] = b"\x1b[?2026h";
const DRAWN: &[u8] = b"\x1b[?2026l";
/// What one begins with that draws everything.
const CLEARED: &[u8] = b"\x1b[2J";
/// Far longer than anything here takes: what hangs fails instead.
const LONG: Duration = Duration::from_secs(30);
