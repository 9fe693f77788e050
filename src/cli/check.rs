//! `check`: everything that is wrong, and everything that is in force.

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::{Failure, Format, print, show_problems};
use crate::app::App;
use crate::caller::Caller;
use crate::catalog::view::{USUAL_BUDGET, View};
use crate::config::Config;
use crate::error::{Problem, Severity};
use crate::gateway::{Connector, Gateway, Live, Wanted};
use crate::protocol::front;
use crate::secret::Environment;
use crate::select::tokens;

pub(super) fn check(config: Config, environment: Environment, format: Format) -> Result<(), Failure> {
    // Strictness decides the exit code here, not whether anything is shown.
    let strict = config.strict;
    let app = App::open(Config { strict: false, ..config }, environment)?;
    // Other MCP servers say only when asked what they have, and are gone once we are done.
    let shown = async {
        let live = app.gateway().live();
        let missing = missing(app.gateway(), &live).await;
        let unmatched = app.config().unmatched(&live);
        let problems: Vec<Problem> = live.problems.iter().cloned().chain(missing).chain(unmatched).collect();
        let costs = Costs::of(app.gateway(), &live).await;
        let shown = match format {
            Format::Json => format!("{:#}", report(app.config(), &live, &problems, &costs)),
            Format::Text => format!("{}\n{}", text(app.config(), &live), costs.text()),
        };
        (shown, live, problems)
    };
    let (shown, live, problems) = super::runtime()?.block_on(app.with_connectors(shown));
    print(&shown)?;
    if format == Format::Text {
        show_problems(&problems);
        print(&verdict(&problems))?;
    }
    let bad = |problem: &Problem| problem.is_error() || strict;
    if live.problems.iter().any(bad) { Err(Failure::No) } else { Ok(()) }
}

/// What a model pays before it works, in tokens.
struct Costs {
    /// For the whole list.
    list: usize,
    /// For the tools that search mode lists instead.
    menu: usize,
    /// For one answer to a search, at most.
    answer: usize,
}

impl Costs {
    async fn of(gateway: &Gateway, live: &Live) -> Self {
        let list = gateway.list_tokens(&Caller::Local, &View::default()).await.unwrap_or_default();
        let menu = tokens::count(front(live.sign_in()));
        Self { list, menu, answer: Wanted::default().tokens(list) }
    }

    fn search(&self) -> usize {
        self.menu + self.answer
    }

    fn text(&self) -> String {
        let Self { list, menu, answer } = self;
        let search = self.search();
        let costs = format!(
            "tokens: the whole list costs {list}, search mode at most {search} ({menu} for its tools, {answer} for an answer)"
        );
        let hint = "set `tools.exposure` to `search` or `auto`, so that models search instead of reading it all";
        if *list > USUAL_BUDGET { format!("{costs}\n{hint}") } else { costs }
    }
}

/// Secrets that are missing on this machine, each with its place. That is no fault of the manifest.
async fn missing(gateway: &Gateway, live: &Live) -> Vec<Problem> {
    let mut problems = Vec::new();
    for checked in live.connectors.values().map(|connector| &connector.checked).filter(|it| it.connector.enabled) {
        for (at, reference) in checked.connector.credentials.references() {
            if let Err(missing) = gateway.keyring().find(reference, checked.folder()).await {
                problems.push(checked.problem(Severity::Warning, &format!("/credentials{at}"), missing.to_string()));
            }
        }
    }
    problems
}

fn text(config: &Config, live: &Live) -> String {
    let mut lines = vec![settings(config), connectors(live).to_string()];
    let renames = live.catalog.renames().iter();
    lines.extend(renames.map(|it| format!("renamed: {} of {} is published as {}", it.tool, it.connector, it.public)));
    lines.join("\n")
}

fn settings(config: &Config) -> String {
    let Ok(Value::Object(settings)) = serde_json::to_value(config) else { return String::new() };
    let lines: Vec<String> = settings.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    lines.join("\n")
}

fn connectors(live: &Live) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["connector", "tools", "tokens", "state"]);
    for connector in live.connectors.values() {
        let (names, tokens) = tools(live, connector);
        let state = connector.state();
        let mut state = match state.reason() {
            Some(reason) => format!("{}: {reason}", state.word()),
            None => state.word().to_owned(),
        };
        if let Some(tally) = connector.offer().and_then(|offer| offer.tally) {
            state = format!("{state} ({tally})");
        }
        let id = connector.checked.connector.id.to_string();
        let declared = connector.checked.connector.tools.len();
        let missing = names.is_empty() && declared > 0;
        let count = if missing { format!("0 of {declared}") } else { names.len().to_string() };
        table.add_row([id, count, format!("~{tokens}"), state]);
        for name in names {
            table.add_row([format!("  {name}")]);
        }
    }
    table
}

/// The published names of a connector's tools, and what they cost a model.
fn tools(live: &Live, connector: &Connector) -> (Vec<String>, usize) {
    let mine = live.catalog.entries().iter().filter(|entry| entry.connector == connector.checked.connector.id);
    mine.fold((Vec::new(), 0), |(mut names, tokens), entry| {
        names.push(entry.name.clone());
        (names, tokens + entry.tokens)
    })
}

fn verdict(problems: &[Problem]) -> String {
    let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    format!("{} errors, {} warnings", count(Severity::Error), count(Severity::Warning))
}

fn report(config: &Config, live: &Live, problems: &[Problem], costs: &Costs) -> Value {
    let problem = |problem: &Problem| {
        json!({
            "severity": if problem.is_error() { "error" } else { "warning" },
            "file": problem.file,
            "line": problem.place.map(|place| place.line),
            "column": problem.place.map(|place| place.column),
            "pointer": problem.pointer,
            "message": problem.message,
        })
    };
    let rename = |rename: &crate::catalog::Rename| json!({ "connector": rename.connector, "tool": rename.tool, "public": rename.public });
    json!({
        "settings": config,
        "connectors": live.report(),
        "renames": live.catalog.renames().iter().map(rename).collect::<Vec<_>>(),
        "problems": problems.iter().map(problem).collect::<Vec<_>>(),
        "tokens": { "list": costs.list, "search": costs.search() },
    })
}
