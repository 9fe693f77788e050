//! `grants`: whom callers let connectors act for, and the end of that.

use std::io::{self, Write as _};

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use humantime::format_rfc3339_seconds;
use serde_json::{Value, json};

use super::connect::no;
use super::{Failure, Format, FormatArgs, print};
use crate::app::App;
use crate::audit::Deed;
use crate::caller::{Caller, Principal};
use crate::config::Config;
use crate::credential::grant::Parted;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::secret::Environment;

#[derive(Debug, Args)]
pub(super) struct GrantsArgs {
    #[command(subcommand)]
    command: GrantsCommand,
}

#[derive(Debug, Subcommand)]
enum GrantsCommand {
    /// List who connected what, and since when
    List(FormatArgs),
    /// Forget what was connected and take it back at its issuer: all of a connector, or of somebody, or both
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// Only of this connector, by its id
    #[arg(long, value_name = "ID", required_unless_present = "subject")]
    connector: Option<String>,
    /// Only of this caller, as `grants list` names them: a key's subject, or a person's id at their issuer
    #[arg(long, value_name = "WHO")]
    subject: Option<String>,
}

pub(super) fn grants(config: Config, environment: Environment, args: GrantsArgs) -> std::result::Result<(), Failure> {
    match args.command {
        GrantsCommand::List(args) => {
            let app = App::open(config, environment)?;
            let rows = super::runtime()?.block_on(rows(app.gateway())).map_err(|error| no(&error))?;
            match args.format {
                Format::Json => print(&format!("{:#}", json!({ "grants": rows }))),
                Format::Text => print(&table(&rows).to_string()),
            }
        }
        GrantsCommand::Revoke(args) => revoke(config, environment, &args),
    }
}

/// Ends what somebody connected who is gone.
pub(super) fn revoke_of(config: Config, environment: Environment, subject: String) -> std::result::Result<(), Failure> {
    revoke(config, environment, &RevokeArgs { connector: None, subject: Some(subject) })
}

fn revoke(config: Config, environment: Environment, args: &RevokeArgs) -> std::result::Result<(), Failure> {
    let RevokeArgs { connector, subject } = args;
    let of = |id: &str, who: &str| {
        connector.as_ref().is_none_or(|connector| connector == id)
            && subject.as_ref().is_none_or(|subject| subject == who)
    };
    let app = App::open(config, environment)?;
    let runtime = super::runtime()?;
    let ended = runtime.block_on(end(app.gateway(), of));
    runtime.block_on(app.gateway().audit().close());
    let ended = ended.map_err(|error| no(&error))?;
    runtime.shutdown_background();
    said(&ended);
    Ok(())
}

/// How many grants were ended, and those of which the issuer could not be told.
#[derive(Debug, Default)]
struct Ended {
    all: usize,
    untold: Vec<String>,
}

/// Ends grants by their connector's id and the subject whose they are.
async fn end(gateway: &Gateway, of: impl Fn(&str, &str) -> bool) -> Result<Ended> {
    let mut ended = Ended::default();
    for (id, grants) in gateway.granting() {
        for holding in grants.holdings().await? {
            let who = subject(&holding.caller);
            if !of(id.as_str(), &who) {
                continue;
            }
            let (parted, on) = (grants.end(&holding.caller).await, format!("{id} of {who}"));
            let failure = parted.as_ref().err().map(|error| error as _);
            gateway.did(Deed::GrantDisconnect, &Caller::Local, &on, failure);
            let parted = parted?;
            ended.all += usize::from(parted != Parted::Nothing);
            if parted == Parted::Forgotten {
                ended.untold.push(on);
            }
        }
    }
    Ok(ended)
}

fn said(ended: &Ended) {
    let _ = writeln!(io::stderr(), "{} connections are ended", ended.all);
    for untold in &ended.untold {
        let _ = writeln!(io::stderr(), "{untold}: the issuer could not be told; take the access back there, too");
    }
}

async fn rows(gateway: &Gateway) -> Result<Vec<Value>, Error> {
    let mut rows = Vec::new();
    for (id, grants) in gateway.granting() {
        for holding in grants.holdings().await? {
            let parts = Principal::of_id(&holding.caller);
            rows.push(json!({
                "connector": id,
                "subject": subject(&holding.caller),
                "issuer": parts.as_ref().map(|(issuer, ..)| issuer),
                "tenant": parts.as_ref().and_then(|(.., tenant)| tenant.as_ref()),
                "since": format_rfc3339_seconds(holding.since).to_string(),
                "old": holding.is_old,
            }));
        }
    }
    Ok(rows)
}

/// Whom an id names there.
fn subject(caller: &str) -> String {
    Principal::of_id(caller).map_or_else(|| caller.to_owned(), |(_, subject, _)| subject)
}

fn table(rows: &[Value]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["connector", "subject", "issuer", "tenant", "since", ""]);
    for row in rows {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let old = row.get("old").and_then(Value::as_bool).unwrap_or_default();
        let note = if old { "of other settings: not used" } else { "" };
        let cells = ["connector", "subject", "issuer", "tenant", "since"].map(text);
        table.add_row(cells.into_iter().chain([note.to_owned()]));
    }
    table
}
