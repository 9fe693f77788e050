//! `select`: what a search for tools finds, and why.

use clap::Args;
use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};

use super::{Failure, Format, FormatArgs, for_terminal, print};
use crate::app::App;
use crate::caller::Caller;
use crate::catalog::view::View;
use crate::config::Config;
use crate::gateway::{Along, Pick, Selection, Wanted};
use crate::secret::Environment;
use crate::select::{Why, signature};

#[derive(Debug, Args)]
pub(super) struct SelectArgs {
    /// What a tool has to do, in a few words; one text for each step of a task
    #[arg(required = true, value_name = "WORDS")]
    query: Vec<String>,
    /// How many tools at most [default: 20]
    #[arg(long, value_name = "COUNT")]
    max_tools: Option<usize>,
    /// How many tokens an answer to a model may have [default: a hundredth of the whole list, 400 to 2000]
    #[arg(long, value_name = "TOKENS")]
    token_budget: Option<usize>,
    /// Only tools of this category; may be repeated
    #[arg(long, value_name = "NAME")]
    category: Vec<String>,
    /// Only tools of this connector; may be repeated
    #[arg(long, value_name = "ID")]
    connector: Vec<String>,
    /// Say what each score is made of
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    format: FormatArgs,
}

/// A tool, and how an answer to a model would tell it, if it would.
type Told<'a> = (&'a Pick, Option<&'static str>);

pub(super) fn select(config: Config, environment: Environment, args: SelectArgs) -> Result<(), Failure> {
    let app = App::open(config, environment)?;
    let wanted = Wanted {
        queries: args.query,
        max_tools: args.max_tools,
        token_budget: args.token_budget,
        categories: args.category,
        connectors: args.connector,
    };
    let (caller, view) = (Caller::Local, View::default());
    let chosen = async {
        // Exact for who looks closely: nothing is counted in the background here.
        app.gateway().list_tokens(&caller, &view).await?;
        app.gateway().select(&caller, &view, &wanted).await
    };
    let chosen = super::runtime()?.block_on(app.with_connectors(chosen));
    let chosen = chosen.map_err(|error| Failure::Usage(error.message().to_owned()))?;
    let (mut told, tokens) = chosen.told(&caller, &view);
    if args.token_budget.is_some() {
        told.retain(|(_, tier)| tier.is_some());
    }
    match args.format.format {
        Format::Json => print(&format!("{:#}", report(&told, tokens, &chosen)))?,
        Format::Text => {
            print(&table(&told, args.explain).to_string())?;
            for along in &chosen.related {
                print(&format!("also {}: {} {}", along.entry.name, along.why, along.of.name))?;
            }
            print(&sum(tokens, &chosen))?;
        }
    }
    if told.is_empty() { Err(Failure::No) } else { Ok(()) }
}

fn line(pick: &Pick) -> String {
    let text = |key: &str| pick.entry.descriptor.get(key);
    let description = text("description").and_then(Value::as_str).unwrap_or_default();
    for_terminal(&signature(&pick.entry.tool, text("inputSchema").unwrap_or(&Value::Null), description))
}

fn table(told: &[Told<'_>], explain: bool) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["", "tool", "score", "told by", "what it is"]);
    for (rank, (pick, tier)) in told.iter().enumerate() {
        let cells = [(rank + 1).to_string(), pick.entry.name.clone(), format!("{:.3}", pick.score)];
        table.add_row(cells.into_iter().chain([tier.unwrap_or("-").to_owned(), line(pick)]));
        for (part, value, adds) in pick.why.parts().iter().filter(|_| explain) {
            let said = format!("{part} {value:.3}");
            table.add_row([String::new(), format!("  {said}"), format!("{adds:+.3}")]);
        }
    }
    table
}

fn sum(tokens: usize, chosen: &Selection) -> String {
    let Selection { budget, list_tokens, .. } = chosen;
    format!("a model would be told this in {tokens} tokens (at most {budget}); the whole list has {list_tokens}")
}

fn report(told: &[Told<'_>], tokens: usize, chosen: &Selection) -> Value {
    let why = |why: &Why| {
        let part = |(part, value, adds): &(&'static str, f32, f32)| {
            ((*part).to_owned(), json!({ "value": value, "adds": adds }))
        };
        why.parts().iter().map(part).collect::<Map<_, _>>()
    };
    let tool = |(rank, (pick, tier)): (usize, &Told<'_>)| {
        json!({
            "rank": rank + 1,
            "name": pick.entry.name,
            "connector": pick.entry.connector,
            "score": pick.score,
            "relevance": pick.relevance,
            "toldBy": tier,
            "signature": line(pick),
            "tokens": pick.entry.exact_tokens(),
            "why": why(&pick.why),
        })
    };
    let along = |along: &Along| {
        json!({
            "name": along.entry.name,
            "why": along.why,
            "of": along.of.name,
            "confidence": along.confidence,
            "required": along.required,
        })
    };
    json!({
        "tools": told.iter().enumerate().map(tool).collect::<Vec<_>>(),
        "related": chosen.related.iter().map(along).collect::<Vec<_>>(),
        "tokens": { "answer": tokens, "budget": chosen.budget, "list": chosen.list_tokens },
    })
}
