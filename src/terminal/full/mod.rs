//! A full screen, over the same conversation as the line mode: that tells it what happens, and does what is typed.
//!
//! [`View`] knows what there is to see, and no terminal; this module has the terminal and the loop between both.

mod backend;
mod cells;
mod climb;
mod drafts;
mod draw;
mod editor;
mod entry;
mod escapes;
mod failed;
mod form;
mod found;
mod hear;
mod keys;
mod list;
mod recall;
mod search;
#[cfg(test)]
mod tests;
mod theme;
mod tty;
mod view;
mod window;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event as Key};
use ratatui::crossterm::queue;
use ratatui::crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use ratatui::layout::Rect;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::backend::Careful;
use self::drafts::Saving;
use self::editor::Recall;
use self::keys::Deed;
use self::recall::Kept;
pub(super) use self::theme::Theme;
pub(super) use self::tty::give_back;
use self::view::{Connection, View};
use super::chat::Manner;
use super::commands::Commands;
use super::input::{Input, Typed};
use super::plain;
use super::screen::{Item, Screen, Style};
use super::start::Log;
use super::way;
use super::words::Word;
use crate::client::{Ability, Event, TextId};

/// What only a full screen is told.
#[derive(Debug)]
pub(super) enum Told {
    /// A conversation begins.
    Begins {
        can: Vec<Ability>,
        commands: Commands,
        name: Option<String>,
        /// Where the user will be.
        rooms: Vec<String>,
        /// The file for what is half typed, if that is kept.
        drafts: Option<PathBuf>,
    },
    /// Something is asked before there is anybody to talk to. `or_none`: an empty answer is one, too.
    Asks {
        what: Word,
        or_none: bool,
    },
    /// A text waits to be said; what becomes of it follows.
    Taken {
        id: TextId,
        to: Option<String>,
        text: Arc<str>,
    },
    Event(Event),
}

/// Takes the terminal for a full screen.
///
/// # Errors
/// What the terminal says.
pub(super) fn open(manner: &Manner, log: &Log) -> io::Result<(Input, Screen)> {
    let (lines, typed) = mpsc::channel(TYPED);
    let mut view = View::new(manner.clone(), lines);
    if let Some((kept, lines)) = manner.typed.clone().and_then(Kept::open) {
        (view.kept, view.recall) = (Some(kept), Recall::new(lines));
    }
    let runtime = Handle::try_current().map_err(io::Error::other)?;
    // A theme that was chosen is one, whatever the environment says.
    ratatui::crossterm::style::force_color_output(view.theme != Theme::Plain);
    tty::take()?;
    let (tell, keys) = mpsc::channel(KEYS);
    thread::Builder::new().name("keys".into()).spawn(move || {
        // It ends with the program, or with the terminal.
        while waits_for_key().is_ok() {
            let Ok(key) = event::read() else { return };
            // What came in the same piece is there at once.
            let at_once = || event::poll(AT_ONCE).ok().filter(|there| *there).and_then(|_| event::read().ok());
            for key in escapes::joined(key, at_once) {
                if tell.blocking_send(key).is_err() {
                    return;
                }
            }
        }
    })?;
    // What it shows has its own colours.
    let last = Style { language: manner.language, ..manner.look.style() };
    let style = Style { colours: false, ..last };
    let screen = Screen::full(style, move |items| {
        runtime.block_on(async {
            let mut saving = Saving::default();
            let ended = run(&mut view, items, keys, &mut saving).await;
            let give_back = |unseen| {
                give_back();
                // What nobody has seen is told where it stays.
                for text in unseen {
                    let _ = plain::print(last.error(text));
                }
            };
            end(&mut view, saving, give_back).await;
            if let Err(error) = ended {
                tracing::debug!(%error, "the terminal is gone");
            }
        });
    })?;
    log.show_on(&screen);
    Ok((Input::of_screen(typed), screen))
}

type Terminal = ratatui::Terminal<Careful<way::Out>>;

/// Shows what comes and does what is typed, until nothing can come any more.
async fn run(
    view: &mut View,
    mut items: mpsc::Receiver<Item>,
    mut keys: mpsc::Receiver<Key>,
    saving: &mut Saving,
) -> io::Result<()> {
    let mut terminal = ratatui::Terminal::new(Careful::new(way::out()?))?;
    let mut stops = Stops::listen()?;
    let (mut drawn, mut stale, mut anew, mut listens) = (Instant::now(), true, false, true);
    let mut held = None;
    paint(&mut terminal, view, true)?;
    loop {
        let due = drawn + FRAME;
        let next = tick(view, drawn);
        // What terminals paste without saying so comes faster than it is said: it waits a moment, and stays in lines.
        let room = view.room();
        held = room.is_some().then(|| held.unwrap_or_else(|| Instant::now() + HELD));
        let until = held.filter(|until| *until > Instant::now());
        tokio::select! {
            biased;
            // Whoever types is never kept waiting by what comes.
            key = keys.recv(), if listens && until.is_none() => match key {
                Some(key) => {
                    stale = true;
                    saving.touch();
                    match view.typed(key) {
                        Deed::Nothing => {}
                        Deed::Redraw => anew = true,
                        Deed::Suspend => {
                            tty::suspend()?;
                            anew = true;
                        }
                        Deed::Leave => leave(view),
                    }
                }
                None => {
                    listens = false;
                    leave(view);
                }
            },
            () = async { if let Some(room) = room { room.await } }, if until.is_some() => {}
            () = async { if let Some(until) = until { tokio::time::sleep_until(until).await } }, if until.is_some() => {}
            () = stops.next() => {
                (stale, anew) = (true, true);
                stop_or_go_on(&mut stops)?;
            }
            () = tokio::time::sleep_until(due), if stale => {
                paint(&mut terminal, view, std::mem::take(&mut anew))?;
                (drawn, stale) = (Instant::now(), false);
            }
            item = items.recv() => match item {
                Some(item) => {
                    stale = true;
                    view.hear(item);
                }
                None => return Ok(()),
            },
            () = saving.due() => {
                if let Some(draft) = view.news_of_drafts() {
                    saving.begin(draft);
                }
            }
            () = tokio::time::sleep_until(next) => stale = true,
        }
    }
}

/// Gives the terminal back, with what nobody has seen, and then keeps what is half typed: a disk may take its time.
async fn end(view: &mut View, mut saving: Saving, give_back: impl FnOnce(Vec<String>)) {
    give_back(std::mem::take(&mut view.unseen));
    saving.over().await;
    if let Some(draft) = view.news_of_drafts() {
        draft.write();
    }
}

/// When something changes on the screen by itself: the seconds to the next try, or who is writing.
fn tick(view: &View, drawn: Instant) -> Instant {
    let second = drawn + Duration::from_secs(1);
    let typing = view.windows.get(view.current).and_then(|window| window.types_until(drawn));
    match &view.connection {
        Connection::Down { .. } => second,
        _ => typing.unwrap_or(drawn + Duration::from_secs(3600)),
    }
}

/// Waits for something to read, with a look now and then whether the terminal is there: one that went without a signal is at
/// its end whenever it is read, and whoever reads without that would read on for ever.
fn waits_for_key() -> io::Result<()> {
    while !event::poll(LOOK)? {
        tty::is_there()?;
    }
    Ok(())
}

/// Draws what changed, or everything `anew`, in one piece.
fn paint(terminal: &mut Terminal, view: &mut View, anew: bool) -> io::Result<()> {
    let Some(_drawing) = tty::drawing() else { return Ok(()) };
    queue!(terminal.backend_mut(), BeginSynchronizedUpdate)?;
    if anew {
        // `Terminal::clear` would ask the terminal where its cursor is, and not every one answers.
        let size = terminal.size()?;
        terminal.resize(Rect::new(0, 0, size.width, size.height))?;
    }
    terminal.draw(|frame| view.draw(frame))?;
    queue!(terminal.backend_mut(), EndSynchronizedUpdate)?;
    Write::flush(terminal.backend_mut())
}

fn leave(view: &mut View) {
    if cfg!(unix) {
        tty::interrupt();
    } else {
        view.send(Typed::Interrupt);
    }
}

/// Signals of whoever stops programs and lets them go on.
struct Stops {
    #[cfg(unix)]
    stop: tokio::signal::unix::Signal,
    #[cfg(unix)]
    go_on: tokio::signal::unix::Signal,
    stops: bool,
}

impl Stops {
    fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            stop: signal(SignalKind::from_raw(nix::sys::signal::Signal::SIGTSTP as i32))?,
            #[cfg(unix)]
            go_on: signal(SignalKind::from_raw(nix::sys::signal::Signal::SIGCONT as i32))?,
            stops: false,
        })
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.stop.recv() => self.stops = true,
            _ = self.go_on.recv() => self.stops = false,
        }
        #[cfg(not(unix))]
        std::future::pending().await
    }
}

fn stop_or_go_on(stops: &mut Stops) -> io::Result<()> {
    // Where it was stopped otherwise, somebody may have used the terminal meanwhile.
    if std::mem::take(&mut stops.stops) { tty::suspend() } else { tty::take() }
}

/// How long keys wait until the conversation can take a line; then it is told that it cannot.
const HELD: Duration = Duration::from_secs(1);
/// How long what belongs to one key may take to come. Nothing is looked for in no time at all.
const AT_ONCE: Duration = Duration::from_millis(25);
/// How long nothing is typed until the terminal is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often a screen is drawn at most.
const FRAME: Duration = Duration::from_millis(33);
/// Lines that were entered and are not read yet; one more stays where it is typed.
const TYPED: usize = 64;
/// Keys that wait to be looked at.
const KEYS: usize = 1024;
