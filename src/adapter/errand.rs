//! A program that is run to its end for what it does, not for what it says.

use std::{path::Path, process::Stdio};

use super::process::{self, Group, Reaped, Tail, cut, find, search_path};
use crate::secret::Environment;

/// Such a program.
#[derive(Debug, Clone, Copy)]
pub struct Errand<'a> {
    /// By name or path. Never run through a shell.
    pub program: &'a str,
    /// What it is given.
    pub args: &'a [&'a str],
    /// Where it runs.
    pub folder: &'a Path,
    /// Variables of ours it may see besides `PATH`.
    pub inherit: &'a [&'a str],
}

/// Whether a program of this name is on this machine.
pub fn is_installed(program: &str, environment: &Environment) -> bool {
    find(program, search_path(environment), Path::new("/")).is_ok()
}

impl Errand<'_> {
    /// Runs it; the reason, with its last words, when it fails. Dropping the future kills it and its children.
    pub async fn run(self, environment: &Environment) -> Result<(), String> {
        let Self { program, args, folder, inherit } = self;
        let failed = |error: std::io::Error| format!("the program {program} could not be run: {error}");
        let path = search_path(environment);
        let mut command = process::command(&find(program, path, folder)?, 0).map_err(failed)?;
        command.args(args).current_dir(folder).env("PATH", path);
        command.envs(inherit.iter().filter_map(|name| Some((*name, environment.get(name)?))));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (tail, stderr) = (Tail::default(), child.stderr.take());
        let (group, mut child) = (Group::led_by(child.id()), Reaped::new(child));
        let status = {
            let waited = async {
                let status = child.wait().await;
                // Whatever it left behind would hold its standard error open.
                group.kill();
                status
            };
            tokio::join!(waited, tail.read(stderr)).0.map_err(failed)?
        };
        if status.success() {
            return Ok(());
        }
        let code = status.code().map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        let words = tail.text();
        Err(format!("{program} ended with {code}: {}", cut(words.trim())))
    }
}
