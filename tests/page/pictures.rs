//! What the page looks like, as pictures: scripts/screenshots.sh keeps them.

use std::path::PathBuf;

use serde_json::json;

use crate::browser::{Chromium, Look, Tab};
use crate::common::durable::{Durable, UNLIMITED};

#[tokio::test]
async fn pictures_of_the_page_are_made_light_dark_and_on_a_phone() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[UNLIMITED]);
    let chromium = Chromium::start();
    let mut others = Vec::new();
    for (name, rooms) in
        [("marta", ["global", "garden"]), ("ben", ["global", "bread"]), ("oluwaseun", ["global", "garden"])]
    {
        let mut other = server.rich(&server.guest(name).await).await;
        for room in rooms {
            other.command("createroom", json!({"name": room})).await;
            other.command("enter", json!({"room": room})).await;
        }
        others.push(other);
    }
    let said = [
        (0, "Good morning! The tomatoes survived the night."),
        (0, "All twelve of them."),
        (1, "Twelve? You planted ten."),
        (2, "Two came up by themselves where the compost was. I would not argue with them."),
        (1, "Fair. Bread at nine, whoever wants some: https://bread.example/saturday"),
    ];
    for (n, (who, text)) in said.into_iter().enumerate() {
        let id = format!("p{n}");
        others[who].command("message", json!({"room": "global", "body": text, "id": id})).await;
        others[who].of_type("accepted").await;
    }

    for (n, (who, text)) in [
        (0, "Who has a ladder? The pears will not wait."),
        (2, "I do, and a basket for each of you."),
        (0, "Then at four, by the old wall."),
    ]
    .into_iter()
    .enumerate()
    {
        others[who].command("message", json!({"room": "garden", "body": text, "id": format!("g{n}")})).await;
        others[who].of_type("accepted").await;
    }

    let anna = chromium.open(server.port, Look::default()).await;
    // It is morning where she is, whenever this runs.
    let east = 8 - i64::from(hour());
    // There is no zone further west than 12 hours.
    let east = if east < -12 { east + 24 } else { east };
    let zone = format!("Etc/GMT{}{}", if east < 0 { "+" } else { "-" }, east.abs());
    anna.devtools("Emulation.setTimezoneOverride", json!({"timezoneId": zone})).await;
    anna.reload().await;
    picture(&anna, "page-sign-in").await;
    anna.sign_in("anna").await;
    anna.until("document.querySelectorAll('#messages .message').length === 5").await;
    anna.say("Two loaves for me, please ☀️").await;
    anna.say("And I can bring the plum jam from last year.").await;
    anna.until("document.querySelectorAll('#messages .message').length === 7").await;
    others[2].command("message", json!({"room": "global", "body": "anna, the plum jam is the reason I come"})).await;
    for other in &mut others {
        other.command("received", json!({"room": "global", "seq": 7})).await;
    }
    anna.until("[...document.querySelectorAll('.state')].at(-1).textContent === 'delivered'").await;
    others[0].command("direct", json!({"to": "anna", "body": "Shall we surprise ben with a cake?"})).await;
    anna.until_says("#directs .badge", "1").await;
    anna.until("document.querySelectorAll('#messages .message').length === 8").await;
    anna.click("[data-open=people]").await;
    anna.type_in("#text", "That is what jam is ").await;
    anna.until_says("#others .place", "garden").await;
    others[1].command("typing", json!({"room": "global"})).await;
    anna.until_says("#typing", "ben is writing").await;
    picture(&anna, "page-light").await;
    anna.look(Look { dark: true, ..Look::default() }).await;
    picture(&anna, "page-dark").await;
    anna.look(Look::PHONE).await;
    anna.click("[data-close=people]").await;
    anna.click("[data-open=places]").await;
    anna.until_says("#others .place", "garden").await;
    anna.js(
        "[...document.querySelectorAll('#others .place')].find((one) => one.textContent.startsWith('garden')).click()",
    )
    .await;
    anna.until_says("#messages .body", "old wall").await;
    anna.say("I bring the jars").await;
    anna.until_says("#messages .body", "I bring the jars").await;
    anna.until("[...document.querySelectorAll('#messages .state')].at(-1).textContent === 'accepted'").await;
    picture(&anna, "page-phone").await;
    anna.click("[data-open=places]").await;
    picture(&anna, "page-phone-rooms").await;
}

/// The hour of the day, in UTC.
fn hour() -> u8 {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    u8::try_from(seconds / 3600 % 24).unwrap()
}

/// Takes a picture, asserts that it is small, and keeps it where the environment says.
async fn picture(tab: &Tab, name: &str) {
    let png = tab.screenshot().await;
    assert!((2_000..150 * 1024).contains(&png.len()), "{name}: {} bytes", png.len());
    if let Some(into) = std::env::var_os("TALK_SCREENSHOTS").map(PathBuf::from) {
        std::fs::write(into.join(format!("{name}.png")), png).unwrap();
    }
}
