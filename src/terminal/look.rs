//! Who looks at the output, and how it looks there.

use super::plain;
use super::screen::{Shown, Style};
use super::settings::Environment;

/// Whether there is a person in front of the program, and whether colours reach them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Look {
    pub(super) person: bool,
    pub(super) colours: bool,
}

impl Look {
    /// `terminal`: whether both stdin and stdout are one.
    pub(super) fn of(terminal: bool, environment: &Environment) -> Self {
        let is = |name: &str, value: &str| environment.get(name).is_some_and(|set| set == value);
        // On these no line can be edited.
        let person = terminal && !["", "dumb", "cons25", "emacs"].iter().any(|term| is("TERM", term));
        let colours_unwanted = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { person, colours: person && !colours_unwanted }
    }

    pub(super) fn style(self) -> Style {
        Style { colours: self.colours, error: if self.person { "!" } else { "talk-client:" }, ..Style::default() }
    }
}

/// Tells what went wrong where there is no screen.
pub(super) fn complain(style: Style, text: &str) {
    let (Shown::Out(text) | Shown::Err(text)) = style.error(text);
    // Without a stderr there is nobody to tell.
    let _ = plain::print(Shown::Err(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_show_them() {
        let look = |terminal: bool, variables: &[(&str, &str)]| {
            let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
            Look::of(terminal, &super::super::settings::environment(variables))
        };
        assert_eq!(look(true, &[("TERM", "xterm")]), Look { person: true, colours: true });
        assert_eq!(look(true, &[("NO_COLOR", "")]), Look { person: true, colours: true });
        assert_eq!(look(true, &[("NO_COLOR", "1")]), Look { person: true, colours: false });
        assert_eq!(look(true, &[("TERM", "dumb")]), Look::default());
        assert_eq!(look(false, &[]), Look::default());
    }
}
