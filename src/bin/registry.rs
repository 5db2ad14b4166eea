//! The registry, which tells who is where: `registry --port 8088`.

use std::process::ExitCode;

use talk::terminal::RegistryOptions;
use talk::terminal::options::arguments;
use talk::terminal::settings::environment;

fn main() -> ExitCode {
    let options = arguments(std::env::args_os())
        .and_then(|arguments| RegistryOptions::read(&arguments, environment(std::env::vars_os())));
    match options {
        Ok(options) => talk::terminal::run(options.run()),
        Err(exit) => exit.print("registry"),
    }
}
