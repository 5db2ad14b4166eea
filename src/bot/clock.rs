//! What time it is.

use async_trait::async_trait;
use jiff::Zoned;

use super::{Ask, Bot};

/// Tells the server's local time: `!time`, `cmd!current_time`. The time zone is the system's.
#[derive(Clone, Copy, Debug)]
pub struct Clock;

#[async_trait]
impl Bot for Clock {
    fn word(&self) -> &str {
        "time"
    }

    fn command(&self) -> &str {
        "current_time"
    }

    async fn answer(&self, ask: &Ask<'_>) -> Option<String> {
        ask.argument.is_empty().then(|| told(&Zoned::now()))
    }
}

fn told(now: &Zoned) -> String {
    format!("Current time: {:02}:{:02}:{:02}", now.hour(), now.minute(), now.second())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::{Offset, TimeZone};

    use super::*;

    #[test]
    fn the_time_is_told_by_the_clock_on_the_wall() {
        let evening = Timestamp::from_second(1_700_077_617).unwrap();
        for (hours, expected) in [(0, "19:46:57"), (3, "22:46:57"), (5, "00:46:57"), (-12, "07:46:57")] {
            let zone = TimeZone::fixed(Offset::constant(hours));
            assert_eq!(told(&evening.to_zoned(zone)), format!("Current time: {expected}"));
        }
    }
}
