//! Nicknames for whoever prefers one that cannot be had, or none at all.

use unicode_normalization::UnicodeNormalization;

use crate::name::{MAX_NAME, Nickname, is_blank, is_selector};
use crate::text::is_invisible;

/// What is left of a typed nickname without what a nickname must not hold; it may be empty.
#[must_use]
pub fn clean_nickname(typed: &str) -> String {
    let shown = typed.chars().filter(|c| !forbidden(*c)).map(|c| if is_blank(c) { ' ' } else { c });
    let shown: String = shown.nfc().collect();
    let mut clean = String::with_capacity(shown.len());
    for c in shown.chars() {
        if c == ' ' {
            // A colon before a space would end the nickname.
            clean.truncate(clean.trim_end_matches(':').len());
        }
        clean.push(c);
    }
    clip(clean.trim(), MAX_NAME).to_owned()
}

/// Nicknames to try one after the other: the wish, as [`clean_nickname`] left it, if there is one and it is not reserved;
/// then the wish with an adjective in front; without a wish generated ones. Chance comes from `seed`.
pub fn nicknames(wish: &str, seed: u64) -> impl Iterator<Item = Nickname> {
    let mut chance = Chance(seed);
    let first = Nickname::new(wish).ok();
    let others = (0..TRIES).map(move |n| {
        let noun = if wish.is_empty() { chance.pick(NOUNS) } else { wish };
        let mut front = format!("{} ", chance.pick(ADJECTIVES));
        if n >= SHORT {
            front.push_str(&chance.pick(ADJECTIVES).to_lowercase());
            front.push(' ');
        }
        let number = if n >= LONG { format!(" {}", 100 + chance.next() % 900_000) } else { String::new() };
        // All letters and digits: each is a character.
        let room = MAX_NAME - front.len() - number.len();
        format!("{front}{}{number}", clip(noun, room))
    });
    first.into_iter().chain(others.filter_map(|name| Nickname::new(&name).ok()))
}

fn forbidden(c: char) -> bool {
    c.is_control() || is_invisible(c) || is_selector(c) || matches!(c, '#' | char::REPLACEMENT_CHARACTER)
}

/// The first characters of a text, without a space at its end.
fn clip(text: &str, most: usize) -> &str {
    let end = text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
    text[..end].trim_end()
}

/// `SplitMix64` (Steele, Lea, Flood 2014): enough for a choice of words.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        // There are far fewer words than a usize counts.
        words[(self.next() % words.len() as u64) as usize]
    }
}

/// Nicknames that are tried: with one adjective, then with two, then with a number.
const TRIES: usize = 24;
const SHORT: usize = 12;
const LONG: usize = 20;

const ADJECTIVES: &[&str] = &[
    "Agile", "Amber", "Bold", "Brave", "Bright", "Brisk", "Calm", "Candid", "Cheerful", "Clever", "Cosmic", "Cozy",
    "Curious", "Daring", "Dapper", "Deft", "Eager", "Early", "Fair", "Fancy", "Fearless", "Fleet", "Fluffy", "Fond",
    "Frank", "Gentle", "Giddy", "Glad", "Golden", "Graceful", "Happy", "Hardy", "Honest", "Humble", "Jolly", "Keen",
    "Kind", "Lively", "Loyal", "Lucky", "Mellow", "Merry", "Mighty", "Modest", "Neat", "Nimble", "Noble", "Patient",
    "Placid", "Plucky", "Polite", "Proud", "Quick", "Quiet", "Rapid", "Serene", "Shiny", "Silver", "Sincere", "Sly",
    "Snug", "Steady", "Sunny", "Swift", "Tidy", "Vivid", "Warm", "Wise", "Witty", "Zen", "Zesty",
];
const NOUNS: &[&str] = &[
    "badger", "beaver", "bison", "camel", "cheetah", "cobra", "condor", "coyote", "crane", "cricket", "dolphin",
    "donkey", "eagle", "falcon", "ferret", "finch", "fox", "gecko", "gibbon", "hamster", "hare", "hawk", "hedgehog",
    "heron", "ibex", "iguana", "jackal", "jaguar", "koala", "lemur", "leopard", "lion", "lizard", "llama", "lynx",
    "marmot", "marten", "mole", "moose", "newt", "ocelot", "octopus", "orca", "osprey", "otter", "owl", "panda",
    "parrot", "pelican", "penguin", "puffin", "puma", "quail", "rabbit", "raccoon", "raven", "salmon", "seal", "sloth",
    "sparrow", "squirrel", "stork", "swan", "tapir", "tiger", "toucan", "turtle", "walrus", "weasel", "wolf", "wombat",
    "yak", "zebra",
];
