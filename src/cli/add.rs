//! `add` and `remove`: connectors of a running server.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::{ArgGroup, Args};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::remote::{Remote, ServerArgs};
use super::{Failure, Format, FormatArgs, print};
use crate::config::Config;
use crate::secret::Environment;

/// So often a deployment is asked about.
const LOOK: Duration = Duration::from_millis(300);

/// What is added, and from where.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true)))]
pub(super) struct AddArgs {
    /// What the connector is to be called: lower-case letters, digits and `-`
    name: String,
    /// An API: the address of its OpenAPI document
    #[arg(long, group = "source", value_name = "URL")]
    openapi: Option<String>,
    /// An MCP server at an address
    #[arg(long, group = "source", value_name = "URL")]
    http: Option<String>,
    /// An MCP server at an address, by the older SSE transport
    #[arg(long, group = "source", value_name = "URL")]
    sse: Option<String>,
    /// An MCP server in a package of npm, with its exact version
    #[arg(long, group = "source", value_name = "PACKAGE@VERSION")]
    npm: Option<String>,
    /// An MCP server that is a program of the server's machine
    #[arg(long, group = "source", value_name = "PROGRAM")]
    stdio: Option<String>,
    /// An MCP server in a container image
    #[arg(long, group = "source", value_name = "IMAGE")]
    docker: Option<String>,
    /// An MCP server in a repository at GitHub
    #[arg(long, group = "source", value_name = "OWNER/NAME")]
    github: Option<String>,
    /// The folder in the repository
    #[arg(long, value_name = "FOLDER", requires = "github")]
    path: Option<String>,
    /// Where the API is, when its document does not say
    #[arg(long, value_name = "URL", requires = "openapi")]
    base_url: Option<String>,
    /// A header the upstream is shown; repeat for more
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// A variable of the program; repeat for more
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Groups it with others
    #[arg(long)]
    category: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Do not wait until it runs
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// The program's arguments
    #[arg(last = true, value_name = "ARGUMENT")]
    args: Vec<String>,
}

/// What is removed.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// What the connector is called
    name: String,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn add(config: &Config, environment: &Environment, args: &AddArgs) -> Result<(), Failure> {
    let order = order(args);
    let remote = Remote::new(&args.server, config, environment);
    let deployment = super::runtime()?.block_on(async {
        let taken = remote.ask(Method::POST, "/mcp/add", Some(&order)).await?;
        if args.no_wait { Ok(taken) } else { wait(&remote, &taken).await }
    })?;
    let text = |key: &str| deployment.get(key).and_then(Value::as_str).map(super::for_terminal).unwrap_or_default();
    if args.format.format == Format::Json {
        print(&format!("{deployment:#}"))?;
    } else {
        match text("status").as_str() {
            "running" => {
                let tools = deployment.get("toolsDiscovered").and_then(Value::as_u64).unwrap_or(0);
                print(&format!("{} runs, with {tools} tools", args.name))?;
            }
            "failed" => print(&format!("{} could not be brought up: {}", args.name, text("error")))?,
            _ => print(&format!("{} is being brought up: deployment {}", args.name, text("deploymentId")))?,
        }
    }
    if text("status") == "failed" { Err(Failure::No) } else { Ok(()) }
}

pub(super) fn remove(config: &Config, environment: &Environment, args: &RemoveArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.server, config, environment);
    let path = format!("/mcp/custom/{}", escaped(&args.name));
    super::runtime()?.block_on(remote.ask(Method::DELETE, &path, None))?;
    print(&format!("{} is gone", args.name))
}

/// The order as the API takes it.
fn order(args: &AddArgs) -> Value {
    let sources = [
        ("openapi", "url", &args.openapi),
        ("http", "url", &args.http),
        ("sse", "url", &args.sse),
        ("npm", "package", &args.npm),
        ("stdio", "command", &args.stdio),
        ("docker", "image", &args.docker),
        ("github", "repository", &args.github),
    ];
    let mut source = Map::new();
    for (kind, key, given) in sources {
        if let Some(given) = given {
            source.insert("type".into(), json!(kind));
            source.insert(key.into(), json!(given));
        }
    }
    let pairs = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
    let more = [
        ("path", json!(args.path), args.path.is_some()),
        ("baseUrl", json!(args.base_url), args.base_url.is_some()),
        ("headers", json!(pairs(&args.header)), !args.header.is_empty()),
        ("env", json!(pairs(&args.env)), !args.env.is_empty()),
        ("args", json!(args.args), !args.args.is_empty()),
    ];
    source.extend(more.into_iter().filter(|(_, _, given)| *given).map(|(key, value, _)| (key.to_owned(), value)));
    let mut order = json!({ "name": args.name, "source": source });
    if let Some(order) = order.as_object_mut() {
        let texts = [("category", &args.category), ("description", &args.description)];
        order.extend(texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text.as_ref()?)))));
    }
    order
}

/// Waits until a deployment is over, and shows how far it is where somebody looks.
async fn wait(remote: &Remote, taken: &Value) -> Result<Value, Failure> {
    let id = taken.get("deploymentId").and_then(Value::as_str).unwrap_or_default();
    let path = format!("/mcp/deployments/{}", escaped(id));
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(100), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos:>3}% {msg}") {
        bar.set_style(style);
    }
    loop {
        let deployment = remote.ask(Method::GET, &path, None).await?;
        let text = |key: &str| deployment.get(key).and_then(Value::as_str).unwrap_or_default();
        bar.set_position(deployment.get("progress").and_then(Value::as_u64).unwrap_or(0));
        bar.set_message(super::for_terminal(text("message")));
        if matches!(text("status"), "running" | "failed") {
            bar.finish_and_clear();
            return Ok(deployment);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A name as part of a path.
pub(super) fn escaped(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("write it as `Name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn variable(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write it as `NAME=value`")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Shows the deployments of a server, the newest first.
pub(super) fn deployments(remote: &Remote, format: Format) -> Result<(), Failure> {
    let told = super::runtime()?.block_on(remote.ask(Method::GET, "/mcp/deployments", None))?;
    if format == Format::Json {
        return print(&format!("{told:#}"));
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["connector", "status", "", "tools", "started", "deployment", "why"]);
    for deployment in told.get("deployments").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| deployment.get(key).and_then(Value::as_str).map(super::for_terminal).unwrap_or_default();
        let number = |key: &str| deployment.get(key).and_then(Value::as_u64);
        table.add_row([
            text("name"),
            text("status"),
            number("progress").map_or(String::new(), |progress| format!("{progress}%")),
            number("toolsDiscovered").map_or(String::new(), |tools| tools.to_string()),
            text("startedAt"),
            text("deploymentId"),
            text("error"),
        ]);
    }
    print(&table.to_string())
}
