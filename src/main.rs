//! The `switchboard` program.

use std::{env, io::Write as _, process::ExitCode};

use switchboard::{adapter, cli, secret::Environment};

fn main() -> ExitCode {
    let mut arguments = env::args_os();
    if env::args_os().nth(1).is_some_and(|first| first == adapter::LAUNCH) {
        let Err(error) = adapter::launch(arguments.by_ref().skip(2));
        let _ = writeln!(std::io::stderr(), "the program could not be started: {error}");
        return ExitCode::from(127);
    }
    // A variable that is no Unicode cannot be named in a manifest, so it is not missed.
    let variables =
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    cli::run(arguments, Environment::new(variables))
}
