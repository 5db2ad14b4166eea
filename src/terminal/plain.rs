//! Input and output when stdin or stdout is no terminal: lines from a pipe, lines into a pipe.

use std::io::{self, BufRead, Read, Write};

use super::input::{Prompt, Typed};
use super::screen::Shown;
use super::words::Word;

/// Prints output to stdout and errors to stderr, each line at once.
pub(super) fn print(shown: Shown) -> io::Result<()> {
    match shown {
        Shown::Out(text) => {
            let mut out = io::stdout().lock();
            writeln!(out, "{text}")?;
            out.flush()
        }
        Shown::Err(text) => writeln!(io::stderr().lock(), "{text}"),
    }
}

/// Reads stdin, a line with each call.
pub(super) fn reader() -> impl FnMut(&Prompt) -> Typed + Send + 'static {
    let mut broken = false;
    move |_| read_or_end(&mut io::stdin().lock(), &mut broken)
}

/// Reads a line. What cannot be read now cannot be read later either: it is told once, and is the end.
fn read_or_end(from: &mut impl BufRead, broken: &mut bool) -> Typed {
    if *broken {
        return Typed::End;
    }
    read_line(from).unwrap_or_else(|error| {
        *broken = true;
        Typed::Bad(Word::NoInput, error.to_string())
    })
}

fn read_line(from: &mut impl BufRead) -> io::Result<Typed> {
    let mut line = Vec::new();
    if from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(Typed::End);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if line.len() as u64 == LONGEST_LINE {
        // The rest is no line of its own.
        let _ = from.skip_until(b'\n');
        return Ok(Typed::Bad(Word::LongLine, LONGEST_LINE.to_string()));
    }
    Ok(String::from_utf8(line).map_or_else(|_| Typed::Bad(Word::NoText, String::new()), Typed::Line))
}

/// The longest line read, in bytes. 1 MiB: far past any text that a peer takes; it bounds what a broken pipe costs.
const LONGEST_LINE: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_either_way_or_with_the_input() {
        let mut from: &[u8] = b"one\ntwo\r\n\nlast";
        let line = |text: &str| Typed::Line(text.into());
        assert_eq!(read_line(&mut from).unwrap(), line("one"));
        assert_eq!(read_line(&mut from).unwrap(), line("two"));
        assert_eq!(read_line(&mut from).unwrap(), line(""));
        assert_eq!(read_line(&mut from).unwrap(), line("last"));
        assert_eq!(read_line(&mut from).unwrap(), Typed::End);
    }

    #[test]
    fn a_bad_line_costs_only_itself() {
        let mut bytes = vec![b'x'; LONGEST_LINE as usize + 5];
        bytes.extend_from_slice(b"\n\xff\nnext\n");
        let mut from = bytes.as_slice();
        assert!(matches!(read_line(&mut from).unwrap(), Typed::Bad(Word::LongLine, _)));
        assert!(matches!(read_line(&mut from).unwrap(), Typed::Bad(Word::NoText, _)));
        assert_eq!(read_line(&mut from).unwrap(), Typed::Line("next".into()));
    }

    #[test]
    fn an_input_that_cannot_be_read_is_told_once_and_is_the_end() {
        struct Directory;
        impl Read for Directory {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::IsADirectory.into())
            }
        }
        let (mut from, mut broken) = (io::BufReader::new(Directory), false);
        let told = read_or_end(&mut from, &mut broken);
        assert!(matches!(told, Typed::Bad(Word::NoInput, _)));
        assert_eq!(read_or_end(&mut from, &mut broken), Typed::End);
    }
}
