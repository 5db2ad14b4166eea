//! Talk to other users from the terminal: `talk-client --name ann`.

use std::process::ExitCode;

use talk::terminal::ClientOptions;
use talk::terminal::options::arguments;
use talk::terminal::settings::environment;

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(exit) => return exit.print("talk-client"),
    };
    match ClientOptions::read(&arguments, environment(std::env::vars_os())) {
        Ok(options) => options.run(),
        Err(exit) => exit.print(&ClientOptions::called(&arguments)),
    }
}
