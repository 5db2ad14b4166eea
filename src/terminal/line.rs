//! Input and output on a terminal: a line with history and completion, above which other lines appear.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustyline::completion;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, ExternalPrinter, Helper};

use super::commands::Commands;
use super::full;
use super::input::{Prompt, Typed};
use super::screen::Shown;
use super::secrets::private_file;
#[cfg(unix)]
use super::way::say_last;
use crate::text::SafeText;

/// Where the completed word begins in what is typed, and what it may become.
pub(super) type Completer = Arc<dyn Fn(&str) -> (usize, Vec<String>) + Send + Sync>;

/// The line being edited.
pub(super) struct Line {
    editor: Editor<Assistant, FileHistory>,
    history: Option<PathBuf>,
    unkept: Option<String>,
    gate: Arc<Gate>,
}

impl Line {
    /// Takes hold of the terminal; `history` is kept in that private file, if it can be.
    ///
    /// # Errors
    /// What the terminal says.
    pub(super) fn open(completer: Completer, history: Option<PathBuf>, gate: Arc<Gate>) -> Result<Self, ReadlineError> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(HISTORY)?
            .history_ignore_dups(true)?
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Assistant { completer, gate: gate.clone() }));
        let kept = history.as_deref().map_or(Ok(()), |history| {
            private_file(history)?;
            editor.load_history(history)
        });
        // Whoever types does so without it, too.
        let (history, unkept) = match kept {
            Ok(()) => (history, None),
            Err(error) => (None, Some(error.to_string())),
        };
        Ok(Self { editor, history, unkept, gate })
    }

    /// Why the lines are not kept for the next start.
    pub(super) fn unkept(&self) -> Option<&str> {
        self.unkept.as_deref()
    }

    /// What shows lines above the one being edited.
    ///
    /// # Errors
    /// What the terminal says.
    pub(super) fn printer(&mut self) -> Result<impl FnMut(Shown) -> io::Result<()> + Send + use<>, ReadlineError> {
        let mut above = self.editor.create_external_printer()?;
        let (hand, handed) = sync_channel::<String>(1);
        let gate = self.gate.clone();
        // By a thread of its own: while nobody edits a line, the editor may let it wait for ever.
        thread::Builder::new().name("above".into()).spawn(move || {
            for line in handed {
                if gate.begins() {
                    gate.handed(above.print(line).is_ok());
                }
            }
        })?;
        let gate = self.gate.clone();
        let mut before = None;
        Ok(move |shown| {
            let (Shown::Out(text) | Shown::Err(text)) = shown;
            while !gate.print_directly(|| write_line(&text))? {
                hand.send(format!("{text}\n")).map_err(io::Error::other)?;
                match gate.handed_over()? {
                    HandedOver::Taken => {
                        before = Some(text);
                        return Ok(());
                    }
                    HandedOver::TooLate => {}
                    // It waits because the one before it was not taken either.
                    HandedOver::Stuck => {
                        return before.take().into_iter().chain([text]).try_for_each(|line| write_line(&line));
                    }
                }
            }
            Ok(())
        })
    }

    /// Lets the user edit a line.
    pub(super) fn read(&mut self, prompt: &Prompt) -> Typed {
        self.gate.set(Output::Coming);
        let typed = match self.editor.readline(&Live { prompt, gate: &self.gate }) {
            Ok(line) => {
                self.remember(&line);
                return Typed::Line(line);
            }
            Err(ReadlineError::Eof) => Typed::End,
            Err(ReadlineError::Interrupted) => Typed::Interrupt,
            Err(_) => Typed::End,
        };
        self.gate.set(Output::Direct);
        typed
    }

    fn remember(&mut self, line: &str) {
        let added = self.editor.add_history_entry(line).unwrap_or(false);
        if let (true, Some(history)) = (added, &self.history) {
            // A full disk must not end a conversation; the line stays in this run's history.
            if let Err(error) = self.editor.append_history(history) {
                tracing::debug!(%error, "the history cannot be kept");
            }
        }
    }
}

/// A prompt that is painted as the connection is at that moment.
struct Live<'a> {
    prompt: &'a Prompt,
    gate: &'a Gate,
}

impl rustyline::Prompt for Live<'_> {
    fn raw(&self) -> &str {
        if self.gate.offline.load(Ordering::Relaxed) { &self.prompt.offline } else { &self.prompt.online }
    }
}

/// Where a line of output may go at this moment.
///
/// The line editor takes output of others only while it waits for keys. What is handed to it between the Enter key and
/// the next prompt would appear out of order: it writes that at once, before a line that it already has. So everything
/// is held until the editor waits again, and the Enter key waits for a line that is just being handed over.
#[derive(Debug)]
pub(super) struct Gate {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// What is typed waits for a connection.
    offline: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    output: Output,
    handing: Handing,
    /// The editor takes nothing.
    broken: bool,
    /// No other line will be asked for.
    last: bool,
    /// Output goes straight to the terminal, and nobody edits a line until it has.
    writing: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Output {
    /// No line is being edited: straight to the terminal.
    Direct,
    /// A line is about to be edited: soon above it.
    Coming,
    /// A line is being edited: above it.
    Above,
    /// The line was entered.
    Held,
}

/// How far a line is on its way to the editor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Handing {
    /// None is.
    None,
    /// It may go there.
    Meant,
    /// The editor was given it then, and may have no room yet.
    Since(Instant),
    /// The line that is edited was entered before.
    TooLate,
}

/// What became of a line that was meant for the editor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum HandedOver {
    /// The editor has it, or will before any other.
    Taken,
    /// It was not given to the editor.
    TooLate,
    /// It waits behind a line that the editor has not taken, and neither will be.
    Stuck,
}

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        let inner =
            Inner { output: Output::Direct, handing: Handing::None, broken: false, last: false, writing: false };
        Arc::new(Self { inner: Mutex::new(inner), changed: Condvar::new(), offline: AtomicBool::new(false) })
    }

    /// Which text of the prompt counts, from the next line on that is shown above it.
    pub(super) fn set_offline(&self, offline: bool) {
        self.offline.store(offline, Ordering::Relaxed);
    }

    /// Lines will be asked for, one after the other.
    pub(super) fn hold(&self) {
        self.lock().last = false;
    }

    /// No other line will be asked for: what is held may go out.
    pub(super) fn release(&self) {
        self.lock().last = true;
        self.changed.notify_all();
    }

    fn set(&self, to: Output) {
        self.written().output = to;
        self.changed.notify_all();
    }

    /// The editor waits for keys. It also says so while it tidies up behind the Enter key, when it is no longer true.
    fn editing(&self) {
        let mut inner = self.written();
        if inner.output == Output::Coming {
            inner.output = Output::Above;
            self.changed.notify_all();
        }
    }

    /// The Enter key was pressed. Waits until the editor has what it is just given, unless it has no room for that.
    fn entered(&self) {
        let mut inner = self.written();
        inner.output = Output::Held;
        self.changed.notify_all();
        while let Handing::Since(since) = inner.handing {
            let left = GIVEN.saturating_sub(since.elapsed());
            if left.is_zero() {
                return;
            }
            inner = self.wait_at_most(left, inner).0;
        }
    }

    /// Whether a line may still be given to the editor.
    fn begins(&self) -> bool {
        let mut inner = self.written();
        let still = inner.output == Output::Above;
        inner.handing = if still { Handing::Since(Instant::now()) } else { Handing::TooLate };
        self.changed.notify_all();
        still
    }

    /// Waits until output may go somewhere. True when `write` was called for it; false when it is to be handed to the editor.
    fn print_directly(&self, write: impl FnOnce() -> io::Result<()>) -> io::Result<bool> {
        let (mut inner, until) = (self.lock(), Instant::now() + HELD);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            inner = match inner.output {
                Output::Above if inner.handing == Handing::None => {
                    inner.handing = Handing::Meant;
                    return Ok(false);
                }
                Output::Coming => self.wait(inner),
                Output::Above if !inner.last => self.wait(inner),
                Output::Held if !inner.last && !left.is_zero() => self.wait_at_most(left, inner).0,
                Output::Held => {
                    // Whoever is to ask for the next line may wait until there is room for what is to be shown first.
                    inner.output = Output::Direct;
                    break;
                }
                Output::Above | Output::Direct => break,
            };
        }
        inner.writing = true;
        drop(inner);
        // The terminal may take nothing any more: whoever leaves must not find a lock that is held for that.
        let written = write();
        self.lock().writing = false;
        self.changed.notify_all();
        written.map(|()| true)
    }

    /// Waits for what becomes of the line that was meant for the editor.
    fn handed_over(&self) -> io::Result<HandedOver> {
        let mut inner = self.lock();
        loop {
            match inner.handing {
                Handing::Meant | Handing::Since(_) => {}
                Handing::None if inner.broken => return Err(io::Error::other("the terminal takes nothing")),
                Handing::None => return Ok(HandedOver::Taken),
                Handing::TooLate => {
                    inner.handing = Handing::None;
                    return Ok(HandedOver::TooLate);
                }
            }
            // It takes what there is at once while it waits for keys, and nothing at any other time.
            let limit = match inner.output {
                Output::Held if !inner.last => HELD,
                Output::Coming | Output::Above if !inner.last => {
                    inner = self.wait(inner);
                    continue;
                }
                _ => LATE,
            };
            let timeout;
            (inner, timeout) = self.wait_at_most(limit, inner);
            if !timeout || !matches!(inner.handing, Handing::Since(_)) {
                continue;
            }
            if inner.output == Output::Held && !inner.last {
                // Both follow with the next prompt.
                inner.output = Output::Direct;
                return Ok(HandedOver::Taken);
            }
            return Ok(HandedOver::Stuck);
        }
    }

    /// The editor has room for another line, or takes none any more.
    fn handed(&self, taken: bool) {
        let mut inner = self.lock();
        inner.handing = Handing::None;
        inner.broken |= !taken;
        self.changed.notify_all();
    }

    /// Locks it for somebody who edits a line, when no other output is under way: no prompt appears in between.
    fn written(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        while inner.writing {
            inner = self.wait(inner);
        }
        inner
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner)
    }

    /// True: it waited for so long.
    fn wait_at_most<'a>(&self, limit: Duration, inner: MutexGuard<'a, Inner>) -> (MutexGuard<'a, Inner>, bool) {
        let (inner, timeout) = self.changed.wait_timeout(inner, limit).unwrap_or_else(PoisonError::into_inner);
        (inner, timeout.timed_out())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Gives the terminal back as it was found: a signal may end the program while a line is being edited.
#[derive(Debug)]
pub(super) struct Restore {
    #[cfg(unix)]
    before: Option<nix::sys::termios::Termios>,
}

impl Restore {
    pub(super) fn new() -> Self {
        Self {
            #[cfg(unix)]
            before: nix::sys::termios::tcgetattr(io::stdin()).ok(),
        }
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        // What drew it may not have come to that.
        full::give_back();
        #[cfg(unix)]
        {
            use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
            let (Some(before), Ok(now)) = (&self.before, tcgetattr(io::stdin())) else { return };
            if now.local_flags == before.local_flags {
                return;
            }
            // Leave the half-typed line behind, and switch bracketed paste off as the editor would have done.
            say_last(|out| out.write_all(b"\x1b[?2004l\r\n"));
            // Without waiting for what a terminal has not taken.
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

/// Completes commands and names, and tells the gate when a line is being edited.
struct Assistant {
    completer: Completer,
    gate: Arc<Gate>,
}

impl Helper for Assistant {}

impl Highlighter for Assistant {}

impl completion::Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((self.completer)(&line[..at]))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    /// Shows nothing: it is called when the prompt appears and with every key.
    fn hint(&self, _: &str, _: usize, _: &Context<'_>) -> Option<String> {
        self.gate.editing();
        None
    }
}

impl Validator for Assistant {
    /// Takes every line: it is called with the Enter key.
    fn validate(&self, _: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        self.gate.entered();
        Ok(ValidationResult::Valid(None))
    }
}

/// Completes commands, and names behind those that take one.
pub(super) fn complete(typed: &str, commands: &Commands, names: impl FnOnce() -> Vec<String>) -> (usize, Vec<String>) {
    if let Some(at) = commands.names_at(typed) {
        let beginning = &typed[at..];
        // The editor writes them to the terminal as they are, and strangers chose them.
        let fits = |name: &String| name.starts_with(beginning) && SafeText(name).to_string() == *name;
        let mut fitting: Vec<String> = names().into_iter().filter(fits).collect();
        fitting.sort_unstable();
        return (at, fitting);
    }
    if !typed.starts_with(':') {
        return (typed.len(), Vec::new());
    }
    let mut fitting = commands.completions();
    fitting.retain(|command| command.starts_with(typed));
    if fitting.is_empty() {
        fitting = commands.other_completions();
        fitting.retain(|command| command.starts_with(typed));
    }
    (0, fitting)
}

/// Lines of history kept.
pub(super) const HISTORY: usize = 1000;
/// How long a line is held for the next prompt: far longer than that usually takes.
const HELD: Duration = Duration::from_secs(1);
/// How long it takes at most until the editor has looked whether it may write a line itself.
const GIVEN: Duration = Duration::from_millis(20);
/// How long the editor may take for a line when it may have stopped to take any.
const LATE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    fn nothing() -> io::Result<()> {
        Ok(())
    }

    fn completed(typed: &str) -> (usize, Vec<String>) {
        complete(typed, &Commands::of_peer(), || vec!["bob".into(), "bo".into(), "ann".into()])
    }

    #[test]
    fn commands_and_names_are_completed() {
        assert_eq!(completed(":us"), (0, vec![":user ".to_owned()]));
        assert_eq!(completed(":u").1, [":update", ":user "]);
        assert_eq!(completed(":").1, [":exit", ":help", ":message ", ":status", ":update", ":user "]);
        assert_eq!((completed(":ms").1, completed(":qu").1), (vec![":msg ".to_owned()], vec![":quit".to_owned()]));
        assert_eq!(completed(":user b"), (6, vec!["bo".to_owned(), "bob".to_owned()]));
        assert_eq!(completed(":user ").1.len(), 3);
        assert_eq!(completed(":user x").1.len(), 0);
        assert_eq!(completed("hi").1.len(), 0);
        let hostile =
            || ["b\u{1b}]52;c;eA==\u{7}", "b\u{9b}2J", "b\u{202e}ob", "b\nob", "bé"].map(str::to_owned).into();
        assert_eq!(complete(":user b", &Commands::of_peer(), hostile).1, ["bé"]);
    }

    #[test]
    fn output_is_held_from_the_enter_key_to_the_next_prompt() {
        let gate = Gate::new();
        gate.set(Output::Held);
        let (tell, told) = mpsc::channel();
        let waiting = thread::spawn({
            let gate = gate.clone();
            move || tell.send(gate.print_directly(nothing).unwrap()).unwrap()
        });
        gate.editing();
        assert!(told.try_recv().is_err(), "it is still held");
        gate.set(Output::Coming);
        gate.editing();
        assert!(!told.recv().unwrap(), "it belongs above the line");
        waiting.join().unwrap();
        gate.set(Output::Held);
        gate.release();
        assert!(gate.print_directly(nothing).unwrap(), "no other prompt comes");
    }

    #[test]
    fn whoever_leaves_does_not_wait_for_what_is_being_written_and_whoever_edits_does() {
        let gate = Gate::new();
        let ((begun, begins), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel::<()>());
        let writing = thread::spawn({
            let gate = gate.clone();
            move || {
                gate.print_directly(|| {
                    begun.send(()).unwrap();
                    goes_on.recv().map_err(io::Error::other)
                })
            }
        });
        begins.recv().unwrap();
        gate.release();
        gate.hold();
        let editing = thread::spawn({
            let gate = gate.clone();
            move || gate.set(Output::Coming)
        });
        thread::yield_now();
        assert_eq!(gate.lock().output, Output::Direct, "no prompt appears in between");
        go_on.send(()).unwrap();
        assert!(writing.join().unwrap().unwrap());
        editing.join().unwrap();
        assert_eq!(gate.lock().output, Output::Coming);
    }

    #[test]
    fn output_is_not_held_from_whoever_must_see_it_to_ask_for_a_line() {
        let gate = Gate::new();
        gate.set(Output::Held);
        assert!(gate.print_directly(nothing).unwrap());
        // Nor where the editor has not taken what it was given before.
        gate.set(Output::Coming);
        gate.editing();
        assert!(!gate.print_directly(nothing).unwrap());
        assert!(gate.begins());
        gate.set(Output::Held);
        assert_eq!(gate.handed_over().unwrap(), HandedOver::Taken, "it follows with the next prompt");
        assert!(gate.print_directly(nothing).unwrap());
    }

    #[test]
    fn the_enter_key_is_behind_what_the_editor_is_given_and_before_what_it_is_not() {
        let gate = Gate::new();
        gate.set(Output::Coming);
        gate.editing();
        assert!(!gate.print_directly(nothing).unwrap());
        gate.entered();
        // It would be written at once, and the editor may still have another.
        assert!(!gate.begins());
        assert_eq!(gate.handed_over().unwrap(), HandedOver::TooLate);
        gate.set(Output::Coming);
        gate.editing();
        assert!(!gate.print_directly(nothing).unwrap());
        assert!(gate.begins());
        let (tell, told) = mpsc::channel();
        let entering = thread::spawn({
            let gate = gate.clone();
            move || {
                gate.entered();
                tell.send(()).unwrap();
            }
        });
        while gate.lock().output != Output::Held {
            thread::yield_now();
        }
        gate.handed(true);
        assert_eq!(gate.handed_over().unwrap(), HandedOver::Taken);
        told.recv().unwrap();
        entering.join().unwrap();
    }

    #[test]
    fn what_the_editor_does_not_take_at_the_end_is_shown_all_the_same() {
        for last in [Output::Direct, Output::Held, Output::Above] {
            let gate = Gate::new();
            gate.set(Output::Coming);
            gate.editing();
            assert!(!gate.print_directly(nothing).unwrap());
            assert!(gate.begins());
            gate.set(last);
            gate.release();
            assert_eq!(gate.handed_over().unwrap(), HandedOver::Stuck);
            assert!(gate.print_directly(nothing).unwrap());
        }
    }
}
