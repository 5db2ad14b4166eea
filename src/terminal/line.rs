//! Input and output on a terminal: a line with history and completion, above which other lines appear.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustyline::completion;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, ExternalPrinter, Helper};

use super::commands::Commands;
use super::input::Typed;
use super::screen::Shown;
use super::secrets::private_file;
use crate::text::SafeText;

/// Where the completed word begins in what is typed, and what it may become.
pub(super) type Completer = Arc<dyn Fn(&str) -> (usize, Vec<String>) + Send + Sync>;

/// The line being edited.
pub(super) struct Line {
    editor: Editor<Assistant, FileHistory>,
    history: Option<PathBuf>,
    gate: Arc<Gate>,
}

impl Line {
    /// Takes hold of the terminal; `history` is kept in that private file.
    ///
    /// # Errors
    /// What the terminal or the file say.
    pub(super) fn open(completer: Completer, history: Option<PathBuf>, gate: Arc<Gate>) -> Result<Self, ReadlineError> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(HISTORY)?
            .history_ignore_dups(true)?
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Assistant { completer, gate: gate.clone() }));
        if let Some(history) = &history {
            private_file(history)?;
            editor.load_history(history)?;
        }
        Ok(Self { editor, history, gate })
    }

    /// What shows lines above the one being edited.
    ///
    /// # Errors
    /// What the terminal says.
    pub(super) fn printer(&mut self) -> Result<impl FnMut(Shown) -> io::Result<()> + Send + use<>, ReadlineError> {
        let mut above = self.editor.create_external_printer()?;
        let gate = self.gate.clone();
        Ok(move |shown| {
            let (Shown::Out(text) | Shown::Err(text)) = shown;
            if gate.print_directly(&text)? {
                return Ok(());
            }
            above.print(text + "\n").map_err(io::Error::other)
        })
    }

    /// Lets the user edit a line.
    pub(super) fn read(&mut self, prompt: &str) -> Typed {
        self.gate.set(Output::Coming);
        let typed = match self.editor.readline(prompt) {
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

/// Where a line of output may go at this moment.
///
/// The line editor takes output of others only while it waits for keys. What is handed to it between the Enter key and
/// the next prompt would appear late, behind what was written directly: so it is held until the editor waits again.
#[derive(Debug)]
pub(super) struct Gate {
    output: Mutex<Output>,
    changed: Condvar,
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

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { output: Mutex::new(Output::Direct), changed: Condvar::new() })
    }

    /// No other line will be asked for: what is held may go out.
    pub(super) fn release(&self) {
        let mut output = self.lock();
        if *output == Output::Held {
            *output = Output::Direct;
            self.changed.notify_all();
        }
    }

    fn set(&self, to: Output) {
        *self.lock() = to;
        self.changed.notify_all();
    }

    /// The editor waits for keys. It also says so while it tidies up behind the Enter key, when it is no longer true.
    fn editing(&self) {
        let mut output = self.lock();
        if *output == Output::Coming {
            *output = Output::Above;
            self.changed.notify_all();
        }
    }

    /// Waits until output may go somewhere. True when it was written; false when it belongs above the line.
    fn print_directly(&self, text: &str) -> io::Result<bool> {
        let output = self.lock();
        let held = |output: &mut Output| matches!(output, Output::Coming | Output::Held);
        let output = self.changed.wait_while(output, held).unwrap_or_else(PoisonError::into_inner);
        if *output == Output::Above {
            return Ok(false);
        }
        // Under the lock, so that no prompt appears in between.
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()?;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        #[cfg(unix)]
        {
            use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
            let (Some(before), Ok(now)) = (&self.before, tcgetattr(io::stdin())) else { return };
            if now.local_flags == before.local_flags {
                return;
            }
            // Leave the half-typed line behind, and switch bracketed paste off as the editor would have done.
            let mut out = io::stdout().lock();
            let _ = out.write_all(b"\x1b[?2004l\r\n").and_then(|()| out.flush());
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, before);
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
        self.gate.set(Output::Held);
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
    (0, commands.completions().into_iter().filter(|command| command.starts_with(typed)).collect())
}

/// Lines of history kept.
const HISTORY: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    fn completed(typed: &str) -> (usize, Vec<String>) {
        complete(typed, &Commands::of_peer(), || vec!["bob".into(), "bo".into(), "ann".into()])
    }

    #[test]
    fn commands_and_names_are_completed() {
        assert_eq!(completed(":us"), (0, vec![":user ".to_owned()]));
        assert_eq!(completed(":u").1, [":update", ":user "]);
        assert_eq!(completed(":").1.len(), 4);
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
            move || tell.send(gate.print_directly("").unwrap()).unwrap()
        });
        gate.editing();
        assert!(told.try_recv().is_err(), "it is still held");
        gate.set(Output::Coming);
        gate.editing();
        assert!(!told.recv().unwrap(), "it belongs above the line");
        waiting.join().unwrap();
        gate.set(Output::Held);
        gate.release();
        assert_eq!(*gate.lock(), Output::Direct);
    }
}
