//! The command line.
#![expect(clippy::doc_markdown, reason = "these comments are help texts, shown as they are")]

use std::{io, net::IpAddr, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

mod add;
mod approve;
mod audit;
mod bench;
mod call;
mod check;
mod config;
mod connect;
mod doctor;
mod grants;
mod health;
mod import;
mod keys;
mod list;
mod plan;
mod remote;
mod select;
mod serve;
mod service_map;
mod status;
mod users;

use crate::app::AppError;
use crate::config::Layers;
use crate::error::Problem;
use crate::manifest::{file_schema, overlay};
use crate::secret::Environment;

/// Turns a folder of connector manifests into one MCP server.
#[derive(Debug, Parser)]
#[command(name = "switchboard", version, about, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve MCP over HTTP: Streamable HTTP and the older SSE transport, on /mcp
    Serve(ServeArgs),
    /// Serve MCP to the client that started this program, over standard input and output
    Stdio(StdioArgs),
    /// Check settings and manifests: all problems, what is in force, what each connector offers
    Check(FormatArgs),
    /// Show the settings in force and what says so, or everything there is to set
    Config(config::ConfigArgs),
    /// List the tools clients see
    List(FormatArgs),
    /// Find the tools that fit what has to be done, as models do that search for tools
    Select(select::SelectArgs),
    /// Measure: how well tools are found
    Bench(bench::BenchArgs),
    /// Call one tool the way a client would
    Call(CallArgs),
    /// Let a connector act for you, the person at this machine, where its calls take that you agree
    Connect(connect::ConnectArgs),
    /// Take back what `connect` let a connector do
    Disconnect(connect::DisconnectArgs),
    /// List who let connectors act for them, and take that back
    Grants(grants::GrantsArgs),
    /// Make a manifest from what describes an API elsewhere
    Import(import::ImportArgs),
    /// Show how the connectors of a running server are
    Status(StatusArgs),
    /// Ask a running server whether it takes requests: exit code 0 or 1, for health checks
    Health(health::HealthArgs),
    /// Add a connector to a running server, and wait until it runs; SWITCHBOARD_KEY holds the key that is shown
    Add(Box<add::AddArgs>),
    /// Remove a connector that was added to a running server
    Remove(add::RemoveArgs),
    /// Show what upstreams say of their tools now beside what was agreed to, and agree to it
    Approve(approve::ApproveArgs),
    /// Show what manifests as they are now would change for clients, before a server loads them
    Plan(plan::PlanArgs),
    /// Make, list and revoke API keys
    Keys(keys::KeysArgs),
    /// Add, list and remove the people who may sign in, with `auth.mode: built-in`
    Users(users::UsersArgs),
    /// Look at the records of calls and administrative acts: whether they are whole, and the newest
    Audit(audit::AuditArgs),
    /// Find what is wrong: here, or with any MCP server as ChatGPT or Claude would meet it
    Doctor(doctor::DoctorArgs),
    /// Print the signed service map of the manifests, without a running server
    ServiceMap(service_map::ServiceMapArgs),
    /// Verify the signatures of a service map: with CONNECTORS_SIGNATURE_KEY, or a server's public keys
    Verify(service_map::VerifyArgs),
    /// Print the JSON Schema of manifests, for editors
    Schema,
}

#[derive(Debug, Args)]
struct Common {
    /// Configuration file (YAML or JSON) [env: SWITCHBOARD_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of manifests, or one manifest [env: CONNECTORS_MANIFEST_PATH] [default: manifests]
    #[arg(long, global = true, value_name = "PATH")]
    manifests: Option<PathBuf>,
    /// Where what has to outlive the program is kept [env: SWITCHBOARD_DATA_DIR] [default: ~/.local/share/switchboard]
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Folder of pages and their assets, instead of the built-in ones [env: APPS_BUNDLE_DIR]
    #[arg(long, global = true, value_name = "FOLDER")]
    apps_bundle_dir: Option<PathBuf>,
    /// Stop when a manifest has a problem, instead of leaving the connector out
    #[arg(long, global = true)]
    strict: bool,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Address to listen on [env: HOST] [default: 127.0.0.1]
    #[arg(long)]
    host: Option<IpAddr>,
    /// Port to listen on, 0 for any free one [env: PORT] [default: 3026]
    #[arg(long)]
    port: Option<u16>,
    /// Address clients use when a tunnel or proxy stands before this one [env: BASE_URL]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Another host requests may name; repeat or separate by commas [env: ALLOWED_HOSTS]
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    allowed_host: Vec<String>,
    /// Another web origin that may call [env: ALLOWED_ORIGINS]
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    allowed_origin: Vec<String>,
    /// What callers show: nothing, an API key, a token of an issuer elsewhere, or one of the issuer in this program [env: AUTH_MODE]
    #[arg(long, value_name = "MODE", value_parser = ["none", "api-key", "oauth", "built-in"])]
    auth: Option<String>,
    /// Let everybody connect and see the list; each tool says for itself what it takes [env: AUTH_MIXED]
    #[arg(long)]
    mixed: bool,
    /// Address or network of a proxy whose X-Forwarded-* headers are believed [env: TRUSTED_PROXIES]
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    trusted_proxy: Vec<String>,
    /// Which tools clients are shown: all, those to search by, or all while they cost little [env: TOOLS_EXPOSURE] [default: all]
    #[arg(long, value_name = "EXPOSURE", value_parser = ["all", "search", "auto"])]
    exposure: Option<String>,
}

#[derive(Debug, Args)]
struct StdioArgs {
    /// Show the client what this profile of the settings holds
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Show it only these connectors, tools or categories; repeat or separate by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    tools: Vec<String>,
    /// Which of them it is shown: all, those to search by, or all while they cost little [env: TOOLS_EXPOSURE] [default: all]
    #[arg(long, value_name = "EXPOSURE", value_parser = ["all", "search", "auto"])]
    exposure: Option<String>,
}

#[derive(Debug, Args)]
struct FormatArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
struct StatusArgs {
    /// Address of the server [env: HOST] [default: 127.0.0.1]
    #[arg(long)]
    host: Option<IpAddr>,
    /// Port of the server [env: PORT] [default: 3026]
    #[arg(long)]
    port: Option<u16>,
    /// Show how the adding of connectors went instead, by the HTTP API
    #[arg(long)]
    deployments: bool,
    #[command(flatten)]
    server: remote::ServerArgs,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Args)]
struct CallArgs {
    /// The tool's name, as `switchboard list` shows it
    tool: String,
    /// Its arguments: a JSON object, or `-` to read one from standard input
    #[arg(long, value_name = "OBJECT", default_value = "{}")]
    json: String,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For scripts
    Json,
}

/// How a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    App(#[from] AppError),
    #[error("{0}")]
    Usage(String),
    #[error("the answer cannot be written: {0}")]
    Output(#[from] io::Error),
    /// The command did its work, and the answer is no. Everything is said already.
    #[error("")]
    No,
}

/// Runs the program. Exit code 0 is success, 1 a "no" (a problem found, a failed call), 2 wrong
/// usage or settings, 130 a stop at once.
pub fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>, environment: Environment) -> ExitCode {
    let cli = Cli::command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = start(cli, environment);
    let mut stderr = io::stderr().lock();
    let say = |stderr: &mut io::StderrLock<'_>, text: &dyn std::fmt::Display| {
        let _ = io::Write::write_fmt(stderr, format_args!("{text}\n"));
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::No) => ExitCode::FAILURE,
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::App(AppError::StoppedAtOnce)) => ExitCode::from(130),
        Err(Failure::App(AppError::Problems(problems))) => {
            for problem in &problems {
                say(&mut stderr, problem);
            }
            ExitCode::from(2)
        }
        Err(failure @ (Failure::Usage(_) | Failure::App(_) | Failure::Output(_))) => {
            say(&mut stderr, &format!("switchboard: {failure}"));
            ExitCode::from(2)
        }
    }
}

fn start(cli: Cli, environment: Environment) -> Result<(), Failure> {
    if matches!(cli.command, Command::Schema) {
        return schema();
    }
    if let Command::Bench(args) = &cli.command {
        return bench::bench(args);
    }
    if let Command::Doctor(args) = &cli.command
        && args.is_elsewhere()
    {
        return doctor::visit(None, &environment, args);
    }
    let file = cli.common.config.clone().or_else(|| environment.get("SWITCHBOARD_CONFIG").map(PathBuf::from));
    let layers = Layers { file, environment: environment.clone(), flags: flags(&cli) };
    if let Command::Config(args) = &cli.command
        && args.describe
    {
        return config::describe(args.format.format, &Cli::command());
    }
    if let Command::Health(args) = &cli.command {
        return health::health(&layers, args);
    }
    let config = layers.load().map_err(AppError::Problems)?;
    match cli.command {
        Command::Serve(_) => serve::serve(config, layers),
        Command::Stdio(args) => serve::stdio(config, layers, &args),
        Command::Config(args) => config::config(&config, &layers, args.format.format),
        Command::Check(args) => check::check(config, environment, args.format),
        Command::List(args) => list::list(config, environment, args.format),
        Command::Select(args) => select::select(config, environment, args),
        Command::Call(args) => call::call(config, environment, &args),
        Command::Status(args) if args.deployments => {
            add::deployments(&remote::Remote::new(&args.server, &config, &environment), args.format.format)
        }
        Command::Connect(args) => connect::connect(config, environment, &args),
        Command::Disconnect(args) => connect::disconnect(config, environment, &args),
        Command::Status(args) => status::status(&config, args.format.format),
        Command::Add(args) => add::add(&config, &environment, &args),
        Command::Remove(args) => add::remove(&config, &environment, &args),
        Command::Approve(args) => approve::approve(&config, &args),
        Command::Plan(args) => plan::plan(config, &environment, &args),
        Command::Import(args) => import::import(&config, &environment, &args),
        Command::Grants(args) => grants::grants(config, environment, args),
        Command::Keys(args) => keys::run(&config, &args),
        Command::Users(args) => users::users(config, environment, args),
        Command::Audit(args) => audit::audit(&config, &args),
        Command::Doctor(args) => doctor::doctor(config, &environment, &args),
        Command::ServiceMap(args) => service_map::service_map(config, environment, &args),
        Command::Verify(args) => service_map::verify(&config, &environment, &args),
        Command::Schema | Command::Bench(_) | Command::Health(_) => Ok(()),
    }
}

/// What the command line says, in the configuration file's form.
fn flags(cli: &Cli) -> Map<String, Value> {
    let mut flags = json!({
        "manifests": cli.common.manifests,
        "dataDir": cli.common.data_dir,
        "appsBundleDir": cli.common.apps_bundle_dir,
        "strict": cli.common.strict.then_some(true),
    });
    if let Command::Serve(serve) = &cli.command {
        let list = |items: &[String]| (!items.is_empty()).then(|| items.to_vec());
        let auth = [("mode", json!(serve.auth)), ("mixed", json!(serve.mixed.then_some(true)))];
        let settings = json!({
            "host": serve.host,
            "port": serve.port,
            "publicUrl": serve.public_url,
            "allowedHosts": list(&serve.allowed_host),
            "allowedOrigins": list(&serve.allowed_origin),
            "trustedProxies": list(&serve.trusted_proxy),
        });
        let auth = auth.into_iter().filter(|(_, value)| !value.is_null());
        let auth: Map<String, Value> = auth.map(|(name, value)| (name.to_owned(), value)).collect();
        if let Some(exposure) = &serve.exposure {
            overlay(&mut flags, json!({ "tools": { "exposure": exposure } }));
        }
        if !auth.is_empty() {
            overlay(&mut flags, json!({ "auth": auth }));
        }
        overlay(&mut flags, settings);
    }
    if let Command::Status(status) = &cli.command {
        overlay(&mut flags, json!({ "host": status.host, "port": status.port }));
    }
    let Value::Object(flags) = flags else { return Map::new() };
    flags.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

fn schema() -> Result<(), Failure> {
    print(&format!("{:#}", file_schema()))
}

/// Writes to standard output.
fn print(text: &str) -> Result<(), Failure> {
    use io::Write as _;
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Somebody else's text may hold commands for the terminal.
fn for_terminal(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Writes to standard error, beside an answer.
fn show(text: &str) -> Result<(), Failure> {
    use io::Write as _;
    Ok(writeln!(io::stderr().lock(), "{text}")?)
}

/// Shows problems on standard error.
fn show_problems(problems: &[Problem]) {
    use io::Write as _;
    let mut stderr = io::stderr().lock();
    for problem in problems {
        let _ = writeln!(stderr, "{problem}");
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
