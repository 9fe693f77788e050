//! The `command` adapter: a tool's arguments become one run of a program.
//!
//! There is no shell. Each template is one element of argv, a path stays below its folder, and
//! what was started dies with the call, children included.

use std::{collections::HashMap, path::PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use secrecy::ExposeSecret as _;

mod argv;
mod process;

use super::process::{cut as last, find, search_path, variables};
use super::{Adapter, Secrets};
use crate::call::{CallContext, Invocation, Outcome, Output};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Arguments, Checked, CommandSettings, OutputFormat, Run};
use crate::secret::{Environment, Text};
use crate::upstream::Limit;
use process::{Ended, Program};

/// Programs on this machine.
#[derive(Debug)]
pub(super) struct CommandAdapter {
    cwd: PathBuf,
    env: Vec<(String, String)>,
    max_memory: u64,
    max_output: usize,
    runs: HashMap<String, (PathBuf, Run)>,
}

impl CommandAdapter {
    /// Looks up folder and programs; the reason when one is not there.
    pub(super) fn new(
        checked: &Checked,
        settings: &CommandSettings,
        environment: &Environment,
    ) -> Result<Self, String> {
        let resolve = |text: &Text| text.resolve(environment).map_err(|missing| missing.to_string());
        let cwd = checked.folder().join(resolve(&settings.cwd)?);
        let cwd = cwd.canonicalize().map_err(|_| format!("its folder {} does not exist", cwd.display()))?;
        let env = variables(&settings.env, &settings.inherit_env, environment)?;
        let mut runs = HashMap::new();
        for tool in &checked.connector.tools {
            let Some(run) = &tool.run else { continue };
            let program = run.program.as_ref().or(settings.program.as_ref()).ok_or("it names no program")?;
            let program = resolve(program)?;
            let found = find(&program, search_path(environment), checked.folder())?;
            runs.insert(tool.name.clone(), (found, run.clone()));
        }
        Ok(Self {
            cwd,
            env,
            max_memory: settings.max_memory_bytes.unwrap_or(0),
            max_output: settings.max_output_bytes,
            runs,
        })
    }
}

#[async_trait]
impl Adapter for CommandAdapter {
    async fn call(&self, invocation: &Invocation, cx: &CallContext) -> Result<Outcome> {
        let found = self.runs.get(&invocation.entry.tool);
        let (path, run) = found.ok_or_else(|| Error::new(ErrorKind::Internal, "the tool has no program"))?;
        let mut arguments = invocation.arguments.clone();
        argv::keep_below(&self.cwd, &run.paths, &mut arguments)?;

        let secrets = &invocation.credential.env;
        let limit = Limit::smaller(self.max_output, "maxOutputBytes", cx.max_result);
        let program = Program {
            path,
            args: argv::render(&run.args, &arguments)?,
            cwd: &self.cwd,
            env: self
                .env
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .chain(secrets.iter().map(|(name, value)| (name.as_str(), value.expose_secret())))
                .collect(),
            stdin: stdin(run, invocation, &arguments),
            max_memory: self.max_memory,
            max_output: limit.bytes,
        };
        let ended = process::run(program, &cx.downstream).await?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let failed = |why: String| {
            // Some programs say on standard output why they failed.
            let stdout = String::from_utf8_lossy(&ended.stdout);
            let said = if ended.stderr.trim().is_empty() { stdout.trim() } else { ended.stderr.trim() };
            let hidden = Secrets::of(secrets).hide(said);
            let tail = last(&hidden);
            Output::failure(if tail.is_empty() { why } else { format!("{why}: {tail}") })
        };
        let output = match ended.code {
            _ if ended.truncated => cut(run.output, &ended, limit)?,
            Some(code) if run.ok_exit_codes.contains(&code) => output(run.output, &ended).unwrap_or_else(failed),
            Some(code) => failed(format!("{name} failed with exit code {code}")),
            None => failed(format!("{name} was killed by signal {}", ended.signal.unwrap_or_default())),
        };
        Ok(output.into())
    }

    async fn probe(&self) -> Result<()> {
        for (path, _) in self.runs.values() {
            if tokio::fs::metadata(path).await.is_err() {
                return Err(Error::new(ErrorKind::Unreachable, "one of its programs is gone"));
            }
        }
        match tokio::fs::metadata(&self.cwd).await {
            Ok(folder) if folder.is_dir() => Ok(()),
            _ => Err(Error::new(ErrorKind::Unreachable, "its folder is gone")),
        }
    }
}

/// What the program reads: a text, or a file somebody gave to the client.
fn stdin(run: &Run, invocation: &Invocation, arguments: &Arguments) -> Option<Bytes> {
    let text = || run.stdin.as_ref()?.render(arguments).map(Bytes::from);
    run.stdin_file.as_ref().and_then(|name| Some(invocation.files.get(name)?.bytes.clone())).or_else(text)
}

fn output(format: OutputFormat, ended: &Ended) -> Result<Output, String> {
    let text = String::from_utf8_lossy(&ended.stdout);
    match format {
        OutputFormat::Text if text.trim().is_empty() => Ok(Output::text("(no output)")),
        OutputFormat::Text => Ok(Output::text(text)),
        OutputFormat::Json => match serde_json::from_str(&text) {
            Ok(value) => Ok(Output::json(value)),
            Err(error) => Err(format!("its output is not JSON ({error})")),
        },
    }
}

/// Text keeps its beginning; half a JSON value is of no use.
fn cut(format: OutputFormat, ended: &Ended, limit: Limit) -> Result<Output> {
    match format {
        OutputFormat::Text => {
            let text = String::from_utf8_lossy(&ended.stdout);
            let Limit { bytes, setting } = limit;
            Ok(Output::text(format!("{text}\n[cut after {bytes} bytes (`{setting}`); ask for less at a time]")))
        }
        OutputFormat::Json => Err(limit.exceeded("the output")),
    }
}
