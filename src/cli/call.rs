//! `call`: one tool, on the same road as every client's call.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use tokio::sync::mpsc::Receiver;

use super::{CallArgs, Failure, Format, print};
use crate::app::{App, Signals};
use crate::call::{Caller, Content, Output, Progress, Step};
use crate::config::Config;
use crate::manifest::Arguments;
use crate::protocol::to_json;
use crate::secret::Environment;

pub(super) fn call(config: Config, environment: Environment, args: &CallArgs) -> Result<(), Failure> {
    let arguments = arguments(&args.json)?;
    let app = App::open(config, environment)?;
    let (progress, steps) = Progress::channel();
    let runtime = super::runtime()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let call = app.gateway().call(Caller::Local, &args.tool, arguments, progress);
        tokio::select! {
            (outcome, ()) = async { tokio::join!(call, show(steps)) } => io::Result::Ok(Some(outcome)),
            () = signals.next() => Ok(None),
        }
    })?;
    runtime.shutdown_background();
    let output = match outcome {
        Some(Ok(output)) => output,
        Some(Err(error)) => Output::failure(error.message()),
        None => Output::failure("the call was cancelled"),
    };
    let failed = output.is_error;
    match args.format.format {
        Format::Json => print(&format!("{:#}", to_json(output)))?,
        Format::Text => output.content.iter().try_for_each(|content| print(&readable(content)))?,
    }
    if failed { Err(Failure::No) } else { Ok(()) }
}

fn arguments(given: &str) -> Result<Arguments, Failure> {
    let mut text = given.to_owned();
    if given == "-" {
        text.clear();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::Usage(format!("standard input cannot be read: {error}")))?;
    }
    serde_json::from_str(&text).map_err(|error| Failure::Usage(format!("--json wants a JSON object: {error}")))
}

async fn show(mut steps: Receiver<Step>) {
    while let Some(step) = steps.recv().await {
        let _ = writeln!(io::stderr(), "… {}", step.message);
    }
}

fn readable(content: &Content) -> String {
    match content {
        // An upstream's text may hold commands for the terminal.
        Content::Text(text) if io::stdout().is_terminal() => {
            text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
        }
        Content::Text(text) => text.clone(),
        Content::Image(data, media_type)
        | Content::Audio(data, media_type)
        | Content::Blob { data, media_type, .. } => {
            format!("[{media_type}, {} bytes; `--format json` prints them]", data.len())
        }
    }
}
