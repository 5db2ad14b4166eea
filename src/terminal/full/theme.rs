//! How a full screen looks.

use ratatui::style::{Color, Modifier, Style};

use crate::terminal::settings::Environment;

/// A set of colours.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::terminal) enum Theme {
    #[default]
    Dark,
    Light,
    /// No colours: what matters is bold, dim, underlined or reversed.
    Plain,
}

impl Theme {
    /// # Errors
    /// What a theme may be.
    pub(in crate::terminal) fn named(name: &str) -> Result<Self, &'static str> {
        match name {
            "dark" => Ok(Self::Dark),
            "light" => Ok(Self::Light),
            "plain" => Ok(Self::Plain),
            _ => Err("a theme is dark, light or plain"),
        }
    }

    /// The one that fits the terminal, as far as it says what it looks like.
    pub(in crate::terminal) fn of(environment: &Environment) -> Self {
        let set = |name: &str| environment.get(name).and_then(|value| value.to_str()).filter(|value| !value.is_empty());
        let bright = |ground: &str| matches!(ground.rsplit(';').next(), Some("7" | "15"));
        match () {
            () if set("NO_COLOR").is_some() => Self::Plain,
            () if set("COLORFGBG").is_some_and(bright) => Self::Light,
            () => Self::Dark,
        }
    }

    pub(super) fn palette(self) -> Palette {
        match self {
            Self::Dark => Palette {
                faint: Style::new().fg(Color::Indexed(245)),
                rule: Style::new().fg(Color::Indexed(239)),
                bar: Style::new().fg(Color::Indexed(252)).bg(Color::Indexed(236)),
                good: Style::new().fg(Color::Indexed(114)).bg(Color::Indexed(236)),
                bad: Style::new().fg(Color::Indexed(216)).bg(Color::Indexed(236)),
                news: Style::new().fg(Color::Indexed(222)).add_modifier(Modifier::BOLD),
                called: Style::new().fg(Color::Indexed(211)).add_modifier(Modifier::BOLD),
                own: Style::new().fg(Color::Indexed(255)).add_modifier(Modifier::BOLD),
                error: Style::new().fg(Color::Indexed(210)),
                chosen: Style::new().fg(Color::Indexed(231)).bg(Color::Indexed(24)),
                found: Style::new().fg(Color::Indexed(16)).bg(Color::Indexed(222)),
                key: Style::new().fg(Color::Indexed(117)),
                names: &[75, 78, 80, 110, 113, 141, 149, 173, 176, 179, 186, 209],
            },
            Self::Light => Palette {
                faint: Style::new().fg(Color::Indexed(241)),
                rule: Style::new().fg(Color::Indexed(250)),
                bar: Style::new().fg(Color::Indexed(236)).bg(Color::Indexed(254)),
                good: Style::new().fg(Color::Indexed(22)).bg(Color::Indexed(254)),
                bad: Style::new().fg(Color::Indexed(124)).bg(Color::Indexed(254)),
                news: Style::new().fg(Color::Indexed(94)).add_modifier(Modifier::BOLD),
                called: Style::new().fg(Color::Indexed(125)).add_modifier(Modifier::BOLD),
                own: Style::new().fg(Color::Indexed(16)).add_modifier(Modifier::BOLD),
                error: Style::new().fg(Color::Indexed(124)),
                chosen: Style::new().fg(Color::Indexed(231)).bg(Color::Indexed(25)),
                found: Style::new().fg(Color::Indexed(16)).bg(Color::Indexed(222)),
                key: Style::new().fg(Color::Indexed(25)),
                names: &[19, 22, 25, 30, 53, 54, 58, 88, 90, 91, 94, 130],
            },
            Self::Plain => Palette {
                faint: Style::new().add_modifier(Modifier::DIM),
                rule: Style::new().add_modifier(Modifier::DIM),
                bar: Style::new().add_modifier(Modifier::REVERSED),
                good: Style::new().add_modifier(Modifier::REVERSED),
                bad: Style::new().add_modifier(Modifier::REVERSED.union(Modifier::BOLD)),
                news: Style::new().add_modifier(Modifier::BOLD),
                called: Style::new().add_modifier(Modifier::BOLD.union(Modifier::UNDERLINED)),
                own: Style::new().add_modifier(Modifier::BOLD),
                error: Style::new().add_modifier(Modifier::BOLD),
                chosen: Style::new().add_modifier(Modifier::REVERSED),
                found: Style::new().add_modifier(Modifier::REVERSED),
                key: Style::new().add_modifier(Modifier::BOLD),
                names: &[],
            },
        }
    }
}

/// The colours of each thing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    /// Times, marks, and what this program says.
    pub(super) faint: Style,
    /// Lines between things.
    pub(super) rule: Style,
    pub(super) bar: Style,
    /// In a bar: all is well, or not.
    pub(super) good: Style,
    pub(super) bad: Style,
    /// Something unread.
    pub(super) news: Style,
    /// Somebody says one's own name.
    pub(super) called: Style,
    /// One's own name.
    pub(super) own: Style,
    pub(super) error: Style,
    /// Where one is.
    pub(super) chosen: Style,
    pub(super) found: Style,
    pub(super) key: Style,
    names: &'static [u8],
}

impl Palette {
    /// The colour of a name: always the same.
    pub(super) fn name(&self, name: &str) -> Style {
        let sum = name.bytes().fold(5381_u32, |sum, byte| sum.wrapping_mul(33) ^ u32::from(byte));
        let colours = u32::try_from(self.names.len()).unwrap_or_default();
        let at = sum.checked_rem(colours).and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| self.names.get(at)) {
            Some(colour) => Style::new().fg(Color::Indexed(*colour)),
            None => Style::new().add_modifier(Modifier::BOLD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::settings::environment;

    #[test]
    fn the_theme_is_the_one_that_fits_unless_no_colours_are_wanted() {
        let of = |variables: &[(&str, &str)]| {
            Theme::of(&environment(variables.iter().map(|(name, value)| (name.into(), value.into()))))
        };
        assert_eq!((of(&[]), of(&[("COLORFGBG", "15;0")])), (Theme::Dark, Theme::Dark));
        assert_eq!((of(&[("COLORFGBG", "0;15")]), of(&[("COLORFGBG", "0;default;7")])), (Theme::Light, Theme::Light));
        assert_eq!((of(&[("NO_COLOR", "1")]), of(&[("NO_COLOR", "")])), (Theme::Plain, Theme::Dark));
        assert!(Theme::named("blue").is_err());
    }

    #[test]
    fn a_name_keeps_its_colour_and_plain_has_none() {
        let dark = Theme::Dark.palette();
        assert_eq!(dark.name("ann"), dark.name("ann"));
        assert_ne!(dark.name("ann"), dark.name("bob"));
        assert_eq!(Theme::Plain.palette().name("ann").fg, None);
    }
}
