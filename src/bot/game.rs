//! Rock, paper, scissors.

use async_trait::async_trait;

use super::{Ask, Bot, Way};

/// Plays one round: `!rps rock`, `cmd!start_game:rock`. The server chooses by the system's randomness.
#[derive(Clone, Copy, Debug)]
pub struct Game;

#[async_trait]
impl Bot for Game {
    fn word(&self) -> &str {
        "rps"
    }

    fn command(&self) -> &str {
        "start_game"
    }

    async fn answer(&self, ask: &Ask<'_>) -> Option<String> {
        let Some(own) = OPTIONS.iter().position(|option| *option == ask.argument) else {
            let form = match ask.way {
                Way::Room => "!rps option",
                Way::Console => "cmd!start_game:option",
            };
            return Some(format!(
                "Incorrect command format. Please enter again: '{form}' where option is one of the proposed: {}",
                OPTIONS.join(", ")
            ));
        };
        Some(played(chosen()?, own))
    }
}

fn played(server: usize, own: usize) -> String {
    // Each is beaten by the one before it.
    let result = match (server + OPTIONS.len() - own) % OPTIONS.len() {
        0 => "Tie!",
        1 => "You win!",
        _ => "You lose!",
    };
    format!("{result} Server option: {}, your option {}", OPTIONS[server], OPTIONS[own])
}

/// One of the options, each as likely as the others; `None` when the system gives no randomness.
fn chosen() -> Option<usize> {
    loop {
        let mut byte = [0];
        getrandom::fill(&mut byte).ok()?;
        // Of 256 one is left over.
        if byte[0] < u8::MAX {
            return Some(usize::from(byte[0]) % OPTIONS.len());
        }
    }
}

/// In this order they are told, and each beats the last one's next: rock scissors, scissors paper, paper rock.
const OPTIONS: [&str; 3] = ["rock", "scissors", "paper"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_options_ends_as_everybody_knows() {
        let place = |option| OPTIONS.iter().position(|other| *other == option).unwrap();
        for (server, own, result) in [
            ("scissors", "rock", "You win!"),
            ("rock", "paper", "You win!"),
            ("paper", "scissors", "You win!"),
            ("rock", "scissors", "You lose!"),
            ("paper", "rock", "You lose!"),
            ("scissors", "paper", "You lose!"),
            ("rock", "rock", "Tie!"),
            ("paper", "paper", "Tie!"),
            ("scissors", "scissors", "Tie!"),
        ] {
            let expected = format!("{result} Server option: {server}, your option {own}");
            assert_eq!(played(place(server), place(own)), expected);
        }
    }

    #[test]
    fn the_server_chooses_each_option_now_and_then() {
        let mut counts = [0; 3];
        for _ in 0..3000 {
            counts[chosen().unwrap()] += 1;
        }
        // Each is off by this much once in 10^50 runs.
        assert!(counts.iter().all(|count| (600..1400).contains(count)), "{counts:?}");
    }
}
