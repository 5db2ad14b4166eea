//! Talk to other users from the terminal: `talk-client --name ann`.

use std::process::ExitCode;

use talk::terminal::ClientOptions;
use talk::terminal::options::arguments;
use talk::terminal::settings::environment;

fn main() -> ExitCode {
    let options = arguments(std::env::args_os())
        .and_then(|arguments| ClientOptions::read(&arguments, environment(std::env::vars_os())));
    match options {
        Ok(options) => options.run(),
        Err(exit) => exit.print("talk-client"),
    }
}
