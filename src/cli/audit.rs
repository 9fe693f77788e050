//! `audit`: whether the records of calls and acts are as they were written, and the newest of them.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Failure, Format, FormatArgs, for_terminal, print};
use crate::audit::{Act, Audit, Fault, Report, newest, verify};
use crate::config::Config;

/// What no look at the records can show.
const BEYOND: &str = "Whoever may write to the folder can cut records off a chain's end, or take a whole chain away, and nothing \
                      here shows it. Keep last hashes elsewhere, and give them with --expect-last.";

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Check every record, and that none is missing between two; the exit code is 1 when something is wrong
    Verify(VerifyArgs),
    /// Show the newest records
    Tail(TailArgs),
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// The folder of records [env: AUDIT_DIR] [default: audit in the data folder]
    folder: Option<PathBuf>,
    /// A record with this hash has to be there, so that nothing up to it was cut off; repeat for more
    #[arg(long, value_name = "HASH")]
    expect_last: Vec<String>,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Args)]
struct TailArgs {
    /// The folder of records [env: AUDIT_DIR] [default: audit in the data folder]
    folder: Option<PathBuf>,
    /// How many
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 20)]
    lines: usize,
    #[command(flatten)]
    format: FormatArgs,
}

pub(super) fn audit(config: &Config, args: &AuditArgs) -> Result<(), Failure> {
    let given = match &args.command {
        AuditCommand::Verify(args) => args.folder.clone(),
        AuditCommand::Tail(args) => args.folder.clone(),
    };
    let folder = given.or_else(|| config.audit.folder(config.data_dir.as_deref()));
    let folder =
        folder.ok_or_else(|| Failure::Usage("no folder of records is known: name it, or set AUDIT_DIR".into()))?;
    let unreadable = |error| Failure::Usage(format!("{} cannot be read: {error}", folder.display()));
    match &args.command {
        AuditCommand::Verify(args) => {
            let (reports, faults) = verify(&folder, &args.expect_last).map_err(unreadable)?;
            let missing: Vec<&String> =
                args.expect_last.iter().filter(|hash| !reports.iter().any(|it| it.found.contains(*hash))).collect();
            match args.format.format {
                Format::Json => {
                    let chains: Vec<Value> = reports.iter().map(told).collect();
                    let faults: Vec<Value> = faults.iter().map(told_fault).collect();
                    print(&format!("{:#}", json!({ "chains": chains, "faults": faults, "missing": missing })))?;
                }
                Format::Text => {
                    reports.iter().try_for_each(|report| print(&said(report)))?;
                    faults.iter().try_for_each(|fault| print(&said_fault(fault)))?;
                    missing.iter().try_for_each(|hash| print(&format!("MISSING: no record has the hash {hash}")))?;
                    print(if reports.is_empty() { "there are no records" } else { BEYOND })?;
                }
            }
            let is_right = missing.is_empty() && faults.is_empty() && reports.iter().all(|it| it.faults.is_empty());
            if is_right { Ok(()) } else { Err(Failure::No) }
        }
        AuditCommand::Tail(args) => {
            let records = newest(&folder, args.lines).map_err(unreadable)?;
            match args.format.format {
                Format::Json => print(&format!("{:#}", json!({ "records": records }))),
                Format::Text => records.iter().try_for_each(|record| print(&for_terminal(&line(record)))),
            }
        }
    }
}

/// Records what a command did.
pub(super) fn record(config: &Config, acts: impl IntoIterator<Item = Act>) -> Result<(), Failure> {
    let audit = Audit::new(&config.audit, config.data_dir.as_deref());
    for act in acts {
        audit.act(act);
    }
    super::runtime()?.block_on(audit.close());
    if audit.counts().1 > 0 {
        super::show("this could not be recorded: see that the folder of audit records (AUDIT_DIR) can be written")?;
    }
    Ok(())
}

fn said(report: &Report) -> String {
    let Report { chain, files, records, lost, .. } = report;
    let mut said = format!("chain {chain}: {records} records in {files} files");
    if let Some((first, _)) = report.span.as_ref().filter(|(first, _)| *first > 1) {
        let _ = write!(said, ", from {first} on, those before being removed");
    }
    if *lost > 0 {
        let _ = write!(said, "; {lost} more were lost when they could not be written, and say so");
    }
    if report.is_written {
        said.push_str("; written to now");
    }
    if let Some((_, last)) = &report.span {
        let _ = write!(said, "\n  last hash {last}");
    }
    for fault in &report.faults {
        let _ = write!(said, "\n  {}", said_fault(fault));
    }
    said
}

fn said_fault(fault: &Fault) -> String {
    let line = if fault.line > 0 { format!(", line {}", fault.line) } else { String::new() };
    format!("FAULT in {}{line}: {}", fault.file.display(), fault.what)
}

fn told_fault(fault: &Fault) -> Value {
    json!({ "file": fault.file, "line": fault.line, "what": fault.what })
}

fn told(report: &Report) -> Value {
    json!({
        "chain": report.chain,
        "files": report.files,
        "records": report.records,
        "first": report.span.as_ref().map(|(first, _)| first),
        "last": report.span.as_ref().map(|(_, last)| last),
        "lost": report.lost,
        "isWritten": report.is_written,
        "faults": report.faults.iter().map(told_fault).collect::<Vec<_>>(),
    })
}

/// A record on a line, for people.
fn line(record: &Map<String, Value>) -> String {
    let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
    let who = match record.get("who") {
        Some(Value::String(who)) => who.clone(),
        Some(who) => {
            let part = |name: &str| who.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{} ({})", part("subject"), part("issuer"))
        }
        None => String::new(),
    };
    let number = |name: &str| record.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (at, event) = (text("at"), text("event"));
    match event {
        "call" => format!(
            "{at} call {} → {} in {} ms, {} B in, {} B out, by {who}{}",
            text("tool"),
            text("outcome"),
            number("durationMs"),
            number("argumentBytes"),
            number("resultBytes"),
            record.get("client").and_then(Value::as_str).map(|client| format!(" with {client}")).unwrap_or_default(),
        ),
        "act" => format!("{at} {} {} → {}, by {who}", text("act"), text("on"), text("outcome")),
        _ => {
            let ours = ["at", "event", "previous", "hash", "seq"];
            let rest: Map<String, Value> = record
                .iter()
                .filter(|(name, _)| !ours.contains(&name.as_str()))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect();
            format!("{at} {event} {}", Value::Object(rest))
        }
    }
}
