//! `plan`: what manifests as they are now would change for clients, before a server loads them.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Failure, Format, FormatArgs, print, show_problems};
use crate::adapter::Phase;
use crate::app::App;
use crate::catalog::diff::Class;
use crate::catalog::poison::visible_line;
use crate::catalog::surface::{Facade, Fate, Moves, PROFILES, Plan, Profile, Surface, ToolChange};
use crate::config::Config;
use crate::error::Problem;
use crate::gateway::{State, loaded_surface};
use crate::manifest::{AdapterSettings, BuiltIn, Connector, Manifests};
use crate::name::{ConnectorId, did_you_mean, public_name};
use crate::secret::{Environment, Text};
use crate::store::Embedded;
use crate::upstream::Upstream;

/// The largest list of tools that is taken from a server, in bytes.
const LARGEST: usize = 64 << 20;
/// How long a server may take to list its tools.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
/// Changes of one tool that are told.
const TOLD: usize = 8;
/// What is shown to the server that is asked.
const KEY: &str = "SWITCHBOARD_KEY";
const PROTOCOL: &str = "2026-07-28";

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// What is in use now: a folder of manifests, or one manifest [default: what a server with this data folder loaded last]
    #[arg(long, value_name = "PATH", conflicts_with = "server")]
    from: Option<PathBuf>,
    /// What is in use now: a running server, such as https://mcp.example.com/mcp; SWITCHBOARD_KEY is shown to it
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// A client to look through: chatgpt, claude, claude-code, codex, copilot, cursor [default: all]
    #[arg(long, value_name = "CLIENT", value_delimiter = ',')]
    profile: Vec<String>,
    /// The change that makes the exit code 1
    #[arg(long, value_enum, default_value_t)]
    fail_on: FailOn,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// One after which calls may fail
    #[default]
    Breaking,
    /// One after which a model may do something else, too
    Risky,
    /// None
    None,
}

pub(super) fn plan(config: Config, environment: &Environment, args: &PlanArgs) -> Result<(), Failure> {
    let profiles = profiles(&args.profile)?;
    let (mut was, mut before) = match (&args.from, &args.server) {
        (Some(from), _) => {
            // An older folder has its own lock.
            let pins = crate::config::PinsConfig { file: None, ..config.pins.clone() };
            let mut side = look(Config { manifests: from.clone(), pins, ..config.clone() }, environment)?;
            let surface = std::mem::take(&mut side.surface);
            (Some(side), surface)
        }
        (None, Some(server)) => (None, super::runtime()?.block_on(listed(server, environment))?),
        (None, None) => (None, loaded(&config)?),
    };
    let mut now = look(config, environment)?;
    name_connectors(&mut before, &now.surface);
    let unseen: Vec<Unseen> = unseen(was.as_mut(), &before, &mut now);
    for hidden in unseen.iter().filter(|it| it.may_change) {
        before.tools.retain(|tool| !hidden.has(tool));
        now.surface.tools.retain(|tool| !hidden.has(tool));
    }
    let plan = Plan::between(&before, &now.surface, &profiles);
    let is_unknown = unseen.iter().any(|it| it.may_change);
    match args.format.format {
        Format::Json => {
            let mut said = json!(plan);
            let looked =
                unseen.iter().map(|it| json!({ "connector": it.id, "reason": it.reason, "mayChange": it.may_change }));
            said.as_object_mut().map(|said| said.insert("notLookedAt".into(), looked.collect()));
            print(&format!("{said:#}"))?;
        }
        Format::Text => {
            print(&text(&plan, &unseen))?;
            show_problems(&now.problems);
        }
    }
    let fails = match args.fail_on {
        FailOn::Breaking => plan.class >= Class::Breaking,
        FailOn::Risky => plan.class >= Class::Risky,
        FailOn::None => false,
    };
    if fails {
        return Err(Failure::No);
    }
    if is_unknown && args.fail_on != FailOn::None {
        let message = "what changes in connectors that were not looked at is not known; set what they need, or give --fail-on none";
        return Err(Failure::Usage(message.into()));
    }
    Ok(())
}

fn profiles(names: &[String]) -> Result<Vec<&'static Profile>, Failure> {
    if names.is_empty() {
        return Ok(PROFILES.iter().collect());
    }
    let known = |name: &String| {
        Profile::named(name).ok_or_else(|| {
            let near = did_you_mean(name, PROFILES.iter().map(|profile| profile.id));
            let all = PROFILES.iter().map(|profile| profile.id).collect::<Vec<_>>().join(", ");
            Failure::Usage(format!("no client `{name}` is known, only {all}{near}"))
        })
    };
    names.iter().map(known).collect()
}

/// What a server would show with these settings.
struct Side {
    surface: Surface,
    problems: Vec<Problem>,
    connectors: BTreeMap<ConnectorId, Connector>,
    /// Connectors that could not be looked at, and why.
    unseen: BTreeMap<ConnectorId, String>,
}

/// A connector that could not be looked at.
struct Unseen {
    id: ConnectorId,
    reason: String,
    /// Whether something may change in it.
    may_change: bool,
}

impl Unseen {
    fn has(&self, tool: &Facade) -> bool {
        let id = self.id.as_str();
        let named = || tool.name().strip_prefix(id).is_some_and(|rest| rest.starts_with('_'));
        tool.connector == id || (tool.connector.is_empty() && named())
    }
}

fn look(config: Config, environment: &Environment) -> Result<Side, Failure> {
    let app = App::open(Config { strict: false, ..config }, environment.clone())?;
    let look = async {
        let live = app.gateway().live();
        let unseen = live.connectors.iter().filter_map(|(id, connector)| match connector.state() {
            State::Unavailable(reason) => Some((id.clone(), reason)),
            State::Live(status) if status.phase == Phase::Down && connector.offer().is_none() => {
                Some((id.clone(), status.reason.unwrap_or_default()))
            }
            State::Live(_) | State::Disabled => None,
        });
        let connectors = live.connectors.iter().map(|(id, it)| (id.clone(), it.checked.connector.clone()));
        Side {
            surface: live.surface(),
            problems: live.problems.clone(),
            connectors: connectors.collect(),
            unseen: unseen.collect(),
        }
    };
    Ok(super::runtime()?.block_on(app.with_connectors(look)))
}

/// The connectors that could not be looked at, on either side.
fn unseen(was: Option<&mut Side>, before: &Surface, now: &mut Side) -> Vec<Unseen> {
    let mut reasons = std::mem::take(&mut now.unseen);
    let was = was.map(|was| {
        reasons.append(&mut was.unseen);
        &*was
    });
    let unseen = reasons.into_iter().map(|(id, reason)| {
        let mut unseen = Unseen { id, reason, may_change: true };
        unseen.may_change = match was {
            Some(was) => {
                let (old, new) = (was.connectors.get(&unseen.id), now.connectors.get(&unseen.id));
                old != new || new.is_some_and(reads_a_file)
            }
            // A server that could not use it either shows nothing of it.
            None => before.tools.iter().any(|tool| unseen.has(tool)),
        };
        unseen
    });
    unseen.collect()
}

/// Whether what it offers stands in a file that may be another on either side.
fn reads_a_file(connector: &Connector) -> bool {
    match &connector.adapter {
        AdapterSettings::OpenApi(settings) => {
            let Text(spec) = &settings.spec;
            !spec.contains("://")
        }
        AdapterSettings::Http(_)
        | AdapterSettings::Mcp(_)
        | AdapterSettings::Command(_)
        | AdapterSettings::Collection(_)
        | AdapterSettings::Gateway(_) => false,
    }
}

/// What a server with this data folder loaded last.
fn loaded(config: &Config) -> Result<Surface, Failure> {
    let folder = config.data_dir.as_deref();
    let folder = folder.ok_or_else(|| Failure::Usage("no data folder is known; give --from or --server".into()))?;
    let store = Embedded::open(folder).map_err(|error| Failure::Usage(error.to_string()))?;
    let found = super::runtime()?.block_on(loaded_surface(&store, config.lock_file().scope()));
    found.map_err(|error| Failure::Usage(error.to_string()))?.ok_or_else(|| {
        let folder = folder.display();
        Failure::Usage(format!("no server has kept in {folder} what it loaded; give --from or --server"))
    })
}

/// What a running server lists.
async fn listed(server: &str, environment: &Environment) -> Result<Surface, Failure> {
    let failed = |why: String| Failure::Usage(format!("{server} does not list its tools: {why}"));
    let url: url::Url = server.parse().map_err(|_| failed("it is no address".into()))?;
    let asked = async {
        let hop = Upstream::default().hop(true, None).map_err(|error| error.to_string())?;
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": PROTOCOL,
            "io.modelcontextprotocol/clientInfo": { "name": "switchboard-plan", "version": env!("CARGO_PKG_VERSION") },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": meta } });
        let mut request = hop
            .request(Method::POST, url)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .header("MCP-Protocol-Version", PROTOCOL)
            .header("Mcp-Method", "tools/list")
            .body(body.to_string());
        if let Some(key) = environment.get(KEY).filter(|key| !key.is_empty()) {
            request = request.bearer_auth(key);
        }
        let request = request.build().map_err(|error| error.to_string())?;
        let mut response = hop.send(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
            text.extend_from_slice(&chunk);
            if text.len() > LARGEST {
                return Err(format!("the list has more than {LARGEST} bytes"));
            }
        }
        match status.as_u16() {
            401 | 403 => Err(format!("HTTP {}; set {KEY} to a key of that server", status.as_u16())),
            _ => tools(&String::from_utf8_lossy(&text)).ok_or_else(|| format!("HTTP {}, and no list", status.as_u16())),
        }
    };
    let answered = tokio::time::timeout(PATIENCE, asked).await;
    let tools = answered.map_err(|_| failed("it did not answer in time".into()))?.map_err(failed)?;
    let facade = |descriptor| Facade { connector: String::new(), own: String::new(), descriptor, ways: None };
    Ok(Surface { tools: tools.into_iter().map(facade).collect() })
}

/// The tools in an answer, be it JSON or an event stream.
fn tools(answer: &str) -> Option<Vec<Value>> {
    let lines = answer.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    let mut messages = std::iter::once(answer).chain(lines);
    messages.find_map(|text| {
        let mut message: Value = serde_json::from_str(text).ok()?;
        match message.pointer_mut("/result/tools")?.take() {
            Value::Array(tools) => Some(tools),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
        }
    })
}

/// A list from elsewhere does not say whose its tools are; those that keep their name are of the same connector, and
/// those that are there because of settings are none of a manifest's.
fn name_connectors(before: &mut Surface, after: &Surface) {
    let settings = Manifests::default().with_built_in(BuiltIn { profile: true, registry: true });
    let by_setting = |name: &str| {
        settings.connectors.iter().map(|checked| &checked.connector).any(|connector| {
            connector.tools.iter().any(|tool| public_name(&connector.id, &tool.name, connector.prefix) == name)
        })
    };
    let is_here = |name: &str| after.tools.iter().any(|now| now.name() == name);
    before.tools.retain(|was| !was.connector.is_empty() || is_here(was.name()) || !by_setting(was.name()));
    for was in before.tools.iter_mut().filter(|was| was.connector.is_empty()) {
        if let Some(now) = after.tools.iter().find(|now| now.name() == was.name()) {
            was.connector.clone_from(&now.connector);
            was.own.clone_from(&now.own);
        }
    }
}

fn text(plan: &Plan, unseen: &[Unseen]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for change in &plan.changes {
        lines.extend(said(change));
    }
    if plan.changes.is_empty() {
        lines.push("nothing changes for clients".into());
    }
    let delta = |before: usize, after: usize| {
        if after >= before { format!("+{}", after - before) } else { format!("-{}", before - after) }
    };
    let (tools, tokens) = (plan.tools, plan.tokens);
    lines.push(String::new());
    lines.push(format!("tools: {} → {} ({})", tools.before, tools.after, delta(tools.before, tools.after)));
    lines.push(format!("tokens: ~{} → ~{} ({})", tokens.before, tokens.after, delta(tokens.before, tokens.after)));
    lines.extend(moves("scopes", &plan.scopes));
    lines.extend(moves("widgets", &plan.widgets));
    for (client, seen) in &plan.profiles {
        lines.extend(seen.warnings.iter().map(|warning| format!("{client}: {}", visible_line(warning))));
    }
    lines.extend(unseen.iter().map(|it| format!("not looked at: {} ({})", it.id, visible_line(&it.reason))));
    let verdict = match plan.changes.is_empty() {
        _ if plan.class < Class::Breaking && unseen.iter().any(|it| it.may_change) => "unknown",
        true => "harmless",
        false => plan.class.word(),
    };
    lines.push(format!("verdict: {verdict}"));
    lines.join("\n")
}

fn said(change: &ToolChange) -> Vec<String> {
    let tool = visible_line(&change.tool);
    let headline = match (change.change, &change.was) {
        (Fate::Removed, _) => format!("- {tool} is removed"),
        (Fate::Added, _) => format!("+ {tool} is added"),
        (Fate::Renamed, was) => format!("~ {} is renamed {tool}", visible_line(was.as_deref().unwrap_or_default())),
        (Fate::Changed, _) => format!("~ {tool} changes"),
    };
    let mut lines = vec![format!("{headline} ({})", change.class.word())];
    for difference in change.differences.iter().take(TOLD) {
        lines.push(format!("    {} {}: {}", difference.class.word(), difference.place, difference.reason));
    }
    if change.differences.len() > TOLD {
        lines.push(format!("    and {} more", change.differences.len() - TOLD));
    }
    lines
}

fn moves(what: &str, moves: &Moves) -> Option<String> {
    let added = moves.added.iter().map(|it| format!("+{}", visible_line(it)));
    let removed = moves.removed.iter().map(|it| format!("-{}", visible_line(it)));
    (!moves.is_empty()).then(|| format!("{what}: {}", added.chain(removed).collect::<Vec<_>>().join(" ")))
}
