//! `approve`: what upstreams say of their tools now, beside what was agreed to; and agreeing to it.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::audit::record;
use super::{Failure, Format, FormatArgs, print};
use crate::app::AppError;
use crate::audit::{Act, Deed};
use crate::catalog::diff::unified;
use crate::catalog::pin::{Change, Drift, Lock, Locked, Pin, Policy, Served, pinned, waiting};
use crate::catalog::poison::{Finding, scan, visible};
use crate::config::Config;
use crate::gateway::pins::{LockFile, SeenTools, descriptor_key, recall, seen_prefix};
use crate::name::did_you_mean;
use crate::store::{Embedded, Store, StoreError};

/// Upstreams that are read at once.
const PAGE: usize = 100;

#[derive(Debug, Args)]
pub(super) struct ApproveArgs {
    /// The connector whose tools are agreed to; without one, everything that waits is shown
    connector: Option<String>,
    /// Its tools, by its own names for them, each as TOOL, or as TOOL@DIGEST to agree to nothing but what `--list`
    /// showed so; without any, all of them
    tools: Vec<String>,
    /// Agree to everything that waits
    #[arg(long, conflicts_with = "connector")]
    all: bool,
    /// Only show what waits; the exit code is 1 when something does
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    format: FormatArgs,
}

/// A tool that waits for somebody's consent.
#[derive(Debug, Serialize)]
struct Waiting {
    connector: String,
    #[serde(flatten)]
    drift: Drift,
    /// Names what is agreed to; nothing, when the tool is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    diff: String,
    findings: Vec<Finding>,
}

/// What is known: what was agreed to, and what was seen last.
struct Known {
    policy: Policy,
    file: LockFile,
    lock: Lock,
    seen: BTreeMap<String, SeenTools>,
    descriptors: BTreeMap<String, Value>,
}

pub(super) fn approve(config: &Config, args: &ApproveArgs) -> Result<(), Failure> {
    let known = super::runtime()?.block_on(Known::read(config))?;
    if let Some(connector) = &args.connector {
        known.knows(connector)?;
    }
    let mut waiting = known.waiting();
    waiting.retain(|it| args.connector.as_ref().is_none_or(|connector| *connector == it.connector));
    if let Some(connector) = args.connector.as_ref().filter(|_| !args.tools.is_empty()) {
        waiting = chosen(waiting, connector, &args.tools)?;
    }
    if args.list || (args.connector.is_none() && !args.all) {
        return known.show(&waiting, args);
    }
    known.agree(&waiting, args.format.format)?;
    let act = |it: &Waiting| {
        let digest = it.digest.as_deref().unwrap_or("gone");
        Act::local(Deed::PinsApprove, format!("{} {}@{digest}", it.connector, visible(&it.drift.tool)))
    };
    record(config, waiting.iter().map(act))
}

/// What waits of these tools, as far as it is what was seen of them.
fn chosen(mut waiting: Vec<Waiting>, connector: &str, tools: &[String]) -> Result<Vec<Waiting>, Failure> {
    let mut chosen = Vec::new();
    for tool in tools {
        let named = |name: &str| waiting.iter().position(|it| it.drift.tool == name);
        let (at, digest) = match (named(tool), tool.rsplit_once('@')) {
            (None, Some((name, digest))) => (named(name), Some(digest)),
            (at, _) => (at, None),
        };
        let Some(at) = at else {
            if chosen.iter().any(|it: &Waiting| it.drift.tool == *tool) {
                continue;
            }
            let near = did_you_mean(tool, waiting.iter().map(|it| it.drift.tool.as_str()));
            return Err(Failure::Usage(format!("nothing waits of the tool `{tool}` of {connector}{near}")));
        };
        let it = waiting.swap_remove(at);
        if digest.is_some() && it.digest.as_deref() != digest {
            return Err(Failure::Usage(format!(
                "{connector} says something else of `{}` by now; look again with `switchboard approve {connector} --list`",
                visible(&it.drift.tool)
            )));
        }
        chosen.push(it);
    }
    Ok(chosen)
}

impl Known {
    async fn read(config: &Config) -> Result<Self, Failure> {
        let folder = config.data_dir.as_deref();
        let folder = folder.ok_or_else(|| Failure::Usage("no data folder is known; give --data-dir".into()))?;
        let unreadable = |error: StoreError| Failure::Usage(error.to_string());
        let store = Embedded::open(folder).map_err(unreadable)?;
        let file = config.lock_file();
        let lock = file.read().map_err(AppError::Problems)?;
        let prefix = seen_prefix(file.scope());
        let mut seen = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = store.list(&prefix, after.as_deref(), PAGE).await.map_err(unreadable)?;
            after = page.last().map(|(key, _)| key.clone());
            let done = page.len() < PAGE;
            seen.extend(page.into_iter().filter_map(|(key, stored)| {
                let connector = key.strip_prefix(&prefix)?.to_owned();
                Some((connector, serde_json::from_slice(&stored.value).ok()?))
            }));
            if done {
                break;
            }
        }
        let mut known = Self { policy: config.pins.policy, file, lock, seen, descriptors: BTreeMap::new() };
        let keys = known.keys().collect();
        let found = recall(&store, keys).await.map_err(unreadable)?;
        let read = |(key, text): (String, String)| Some((key, serde_json::from_str(&text).ok()?));
        known.descriptors = found.into_iter().filter_map(read).collect();
        Ok(known)
    }

    /// Where the descriptors are of tools that differ, of then and of now.
    fn keys(&self) -> impl Iterator<Item = String> {
        self.seen.iter().flat_map(move |(connector, seen)| {
            let locked = self.lock.connectors.get(connector);
            let pin = move |name: &String| locked.and_then(|locked| locked.tools.get(name));
            let differing = seen.tools.iter().filter(move |(name, now)| pin(name) != Some(*now));
            let both = differing.flat_map(move |(name, now)| pin(name).into_iter().chain([now]));
            both.map(move |pin| descriptor_key(self.file.scope(), connector, &pin.form()))
        })
    }

    fn knows(&self, connector: &str) -> Result<(), Failure> {
        if self.seen.contains_key(connector) {
            return Ok(());
        }
        let near = did_you_mean(connector, self.seen.keys().map(String::as_str));
        Err(Failure::Usage(format!(
            "no server with this data folder and these manifests has seen tools of `{connector}`{near}"
        )))
    }

    fn descriptor(&self, connector: &str, pin: &Pin) -> Option<Value> {
        self.descriptors.get(&descriptor_key(self.file.scope(), connector, &pin.form())).cloned()
    }

    fn waiting(&self) -> Vec<Waiting> {
        let of = |(connector, seen): (&String, &SeenTools)| {
            let locked = self.lock.connectors.get(connector);
            let drifts = waiting(self.policy, locked, &seen.tools, |pin| self.descriptor(connector, pin));
            let waiting = |drift: Drift| {
                let now = seen.tools.get(&drift.tool).and_then(|pin| self.descriptor(connector, pin));
                let before = locked.and_then(|locked| locked.tools.get(&drift.tool));
                let before = before.and_then(|pin| self.descriptor(connector, pin));
                // A tool that is new is all new lines; one of which nothing is known any longer has none.
                let diff = match (drift.change, before, &now) {
                    (Change::New, _, Some(now)) => unified(&json!({}), &pinned(now)),
                    (_, Some(before), Some(now)) => unified(&pinned(&before), &pinned(now)),
                    _ => String::new(),
                };
                let findings = now.map(|now| scan(&now).found).unwrap_or_default();
                let digest = seen.tools.get(&drift.tool).map(Pin::short);
                Waiting { connector: connector.clone(), drift, digest, diff, findings }
            };
            drifts.into_iter().map(waiting).collect::<Vec<_>>()
        };
        self.seen.iter().flat_map(of).collect()
    }

    fn show(&self, waiting: &[Waiting], args: &ApproveArgs) -> Result<(), Failure> {
        match args.format.format {
            Format::Json => print(&format!("{:#}", json!({ "lock": self.file.place(), "waiting": waiting })))?,
            Format::Text if waiting.is_empty() => print("nothing waits: every tool is as it was agreed to")?,
            Format::Text => {
                print(&waiting.iter().map(Waiting::text).collect::<Vec<_>>().join("\n\n"))?;
                let hint = "`switchboard approve CONNECTOR [TOOL[@DIGEST]…]` agrees to it, `--all` to everything";
                print(&format!("\n{} waiting; {hint}", waiting.len()))?;
            }
        }
        if waiting.is_empty() { Ok(()) } else { Err(Failure::No) }
    }

    fn agree(&self, waiting: &[Waiting], format: Format) -> Result<(), Failure> {
        let change = |lock: &mut Lock| {
            for Waiting { connector, drift, .. } in waiting {
                let now = self.seen.get(connector).and_then(|seen| seen.tools.get(&drift.tool));
                let locked: &mut Locked = lock.connectors.entry(connector.clone()).or_default();
                match now {
                    Some(pin) => drop(locked.tools.insert(drift.tool.clone(), pin.clone())),
                    None => drop(locked.tools.remove(&drift.tool)),
                }
            }
        };
        let written = self.file.edit(change).map_err(Failure::Usage)?;
        let at = written.at.as_deref().unwrap_or(self.file.place());
        if format == Format::Json {
            let agreed: Vec<Value> =
                waiting.iter().map(|it| json!({ "connector": it.connector, "tool": it.drift.tool, "digest": it.digest, "diff": it.diff })).collect();
            return print(&format!("{:#}", json!({ "lock": at, "agreed": agreed })));
        }
        if waiting.is_empty() {
            return print("nothing waits: every tool is as it was agreed to");
        }
        let agreed = |it: &Waiting| format!("{}\n{}: {} agreed to", it.text(), it.connector, visible(&it.drift.tool));
        let mut lines: Vec<String> = waiting.iter().map(agreed).collect();
        lines.push(format!("written to {}", at.display()));
        lines.extend(written.elsewhere.map(|why| format!("(it is kept in the data folder: {why})")));
        print(&lines.join("\n"))
    }
}

impl Waiting {
    /// It for people: what it means, what differs, and what stands out.
    fn text(&self) -> String {
        let mut lines = vec![format!("{}: {}", self.connector, self.headline())];
        for difference in &self.drift.differences {
            lines.push(format!("  {} {}: {}", difference.class.word(), difference.place, difference.reason));
        }
        lines.extend(self.diff.lines().map(|line| format!("    {line}")));
        lines.extend(self.findings.iter().map(|finding| format!("  beware: {}", finding.said())));
        lines.join("\n")
    }

    fn headline(&self) -> String {
        let tool = visible(&self.drift.tool);
        let (change, served) = match (self.drift.change, self.drift.served) {
            (Change::Gone, _) => ("is gone", ""),
            (Change::New, Served::Now) => ("is new", ", and served"),
            (Change::New, Served::Before | Served::Not) => ("is new", ", and withheld"),
            (Change::Changed, Served::Now) => ("changed", ", and is served as it is now"),
            (Change::Changed, Served::Before) => ("changed", "; what was agreed to goes on being served"),
            (Change::Changed, Served::Not) => ("changed", ", and is withheld"),
        };
        let digest = self.digest.as_ref().map_or_else(String::new, |digest| format!(" [{tool}@{digest}]"));
        format!("`{tool}` {change} ({}){served}{digest}", self.drift.class.word())
    }
}
