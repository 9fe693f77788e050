//! `call`: one tool, on the same road as every client's call.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use super::{CallArgs, Failure, Format, for_terminal, print};
use crate::app::{App, Signals};
use crate::call::{Downstream, Notice, Output, Step, ToolCall};
use crate::caller::Caller;
use crate::config::Config;
use crate::params::Params;
use crate::protocol::to_json;
use crate::secret::Environment;

pub(super) fn call(config: Config, environment: Environment, args: &CallArgs) -> Result<(), Failure> {
    let arguments = arguments(&args.json)?;
    let app = App::open(config, environment)?;
    let (mut downstream, steps) = Downstream::listening();
    downstream.wants_progress = true;
    let runtime = super::runtime()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let call = app.gateway().call(
            Caller::Local,
            ToolCall { name: args.tool.clone(), params: Params::of("arguments", &arguments) },
            downstream,
        );
        let shown = async { tokio::join!(call, show(steps)).0 };
        tokio::select! {
            outcome = app.with_connectors(shown) => io::Result::Ok(Some(outcome)),
            () = signals.next() => Ok(None),
        }
    })?;
    runtime.block_on(app.gateway().audit().close());
    runtime.shutdown_background();
    let outcome = match outcome {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Output::failure(error.message()).into(),
        None => Output::failure("the call was cancelled").into(),
    };
    let failed = outcome.is_error();
    let result = to_json(outcome);
    match args.format.format {
        Format::Json => print(&format!("{result:#}"))?,
        Format::Text => {
            let content = result.get("content").and_then(Value::as_array);
            content.into_iter().flatten().try_for_each(|content| print(&readable(content)))?;
        }
    }
    if failed { Err(Failure::No) } else { Ok(()) }
}

fn arguments(given: &str) -> Result<Params, Failure> {
    let mut text = given.to_owned();
    if given == "-" {
        text.clear();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::Usage(format!("standard input cannot be read: {error}")))?;
    }
    serde_json::from_str(&text).map_err(|error| Failure::Usage(format!("--json wants a JSON object: {error}")))
}

async fn show(mut notices: Receiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        if let Notice::Progress(Step { message: Some(message), .. }) = notice {
            let _ = writeln!(io::stderr(), "… {}", for_terminal(&message));
        }
    }
}

fn readable(content: &Value) -> String {
    let text = |key: &str| content.get(key).and_then(Value::as_str);
    if let Some(text) = text("text") {
        return if io::stdout().is_terminal() { for_terminal(text) } else { text.to_owned() };
    }
    let resource = content.get("resource").unwrap_or(content);
    let kind = resource.get("mimeType").and_then(Value::as_str).or(text("type")).unwrap_or("something");
    let data = ["data", "blob", "text"].iter().find_map(|key| resource.get(*key)?.as_str()).unwrap_or_default();
    format!("[{kind}, {} characters; `--format json` prints them]", data.len())
}
