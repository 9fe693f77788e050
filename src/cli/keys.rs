//! `keys`: makes, lists and revokes API keys. A running server follows within a second.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use humantime::format_rfc3339_seconds;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::audit::record;
use super::{Failure, Format, FormatArgs, print};
use crate::app::AppError;
use crate::audit::{Act, Deed};
use crate::auth::{KeyFile, KeyRecord, NewKey};
use crate::caller::Scopes;
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key and print it, this once
    New(NewArgs),
    /// List the keys; what they are shown by is not kept
    List(FormatArgs),
    /// Take a key away
    Revoke {
        /// The key's id, as `keys list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
struct NewArgs {
    /// Who will show it
    #[arg(long, value_name = "WHO", value_parser = name)]
    subject: String,
    /// Whom they belong to
    #[arg(long, value_name = "WHOM", value_parser = name)]
    tenant: Option<String>,
    /// What it opens; all when unsaid; repeat or separate by commas
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', value_parser = scope)]
    scopes: Vec<String>,
    /// How long it is good for, like 90d or 12h; until it is revoked when unsaid
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires: Option<Duration>,
    /// What it is for
    #[arg(long, value_name = "TEXT", value_parser = note)]
    note: Option<String>,
}

pub(super) fn run(config: &Config, args: &KeysArgs) -> Result<(), Failure> {
    let Some(path) = config.keys_file() else {
        let message = "there is no folder to keep keys in: set SWITCHBOARD_DATA_DIR, or KEYS_FILE to a file";
        return Err(Failure::Usage(message.into()));
    };
    let file = KeyFile::open(path);
    match &args.command {
        KeysCommand::New(args) => record(config, [Act::local(Deed::KeyNew, new(&file, args)?)]),
        KeysCommand::List(args) => list(&file, args.format),
        KeysCommand::Revoke { id } => record(config, [Act::local(Deed::KeyRevoke, revoke(&file, id)?)]),
    }
}

/// Makes a key; its id, and whose it is.
fn new(file: &KeyFile, args: &NewArgs) -> Result<String, Failure> {
    let scopes = match args.scopes.as_slice() {
        [] => Scopes::All,
        scopes => scopes.iter().map(String::as_str).collect(),
    };
    let key = NewKey {
        subject: args.subject.clone(),
        tenant: args.tenant.clone(),
        scopes,
        lifetime: args.expires,
        note: args.note.clone(),
    };
    let (record, secret) = file.add(key).map_err(AppError::Problems)?;
    // Whoever cannot be shown the key must not find it in the list later.
    if let Err(failure) = print(secret.expose_secret()) {
        file.revoke(&record.id).map_err(AppError::Problems)?;
        return Err(failure);
    }
    let end = record.expires.map_or_else(String::new, |at| format!(", until {}", format_rfc3339_seconds(at)));
    remark(&format!("key {} for {}{end}: it is not shown again", record.id, record.subject));
    Ok(format!("{} of {}", record.id, record.subject))
}

fn list(file: &KeyFile, format: Format) -> Result<(), Failure> {
    let records = file.list().map_err(AppError::Problems)?;
    if format == Format::Json {
        let keys: Vec<Value> = records.iter().map(shown).collect();
        return print(&format!("{:#}", json!({ "keys": keys })));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["id", "subject", "tenant", "scopes", "created", "expires", "note"]);
    for record in &records {
        let end = record.expires.map_or_else(|| "never".into(), |at| format_rfc3339_seconds(at).to_string());
        let over = record.expires.is_some_and(|at| at <= SystemTime::now());
        table.add_row([
            record.id.clone(),
            record.subject.clone(),
            record.tenant.clone().unwrap_or_default(),
            scopes(record).join(" "),
            format_rfc3339_seconds(record.created).to_string(),
            if over { format!("{end} (over)") } else { end },
            record.note.clone().unwrap_or_default(),
        ]);
    }
    print(&table.to_string())
}

/// Takes a key away; its id.
fn revoke(file: &KeyFile, id: &str) -> Result<String, Failure> {
    // Whoever has the key itself at hand may well paste that.
    let id = id.strip_prefix("sb_").and_then(|key| key.split('_').next()).unwrap_or(id);
    let records = file.list().map_err(AppError::Problems)?;
    if file.revoke(id).map_err(AppError::Problems)? {
        remark(&format!("key {id} opens nothing from now on"));
        let of = |id: &str| records.iter().find(|record| record.id == id).map(|record| &record.subject);
        let last = of(id).filter(|whose| records.iter().filter(|record| record.subject == **whose).count() == 1);
        if let Some(subject) = last {
            remark(&format!(
                "accounts that {subject} connected are kept for another key of theirs; `switchboard grants revoke --subject {subject}` takes them back"
            ));
        }
        return Ok(id.to_owned());
    }
    remark(&format!("there is no key {id}: `switchboard keys list` shows all"));
    Err(Failure::No)
}

fn shown(record: &KeyRecord) -> Value {
    let time = |at: SystemTime| format_rfc3339_seconds(at).to_string();
    let mut shown = json!({
        "id": record.id,
        "subject": record.subject,
        "tenant": record.tenant,
        "scopes": scopes(record),
        "created": time(record.created),
        "expires": record.expires.map(time),
        "note": record.note,
    });
    if let Some(members) = shown.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    shown
}

fn scopes(record: &KeyRecord) -> Vec<&str> {
    match &record.scopes {
        Scopes::All => vec!["*"],
        these @ Scopes::These(_) => these.names().collect(),
    }
}

fn remark(text: &dyn Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn name(text: &str) -> Result<String, &'static str> {
    let fits = (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("give 1 to 200 characters") }
}

fn note(text: &str) -> Result<String, &'static str> {
    let fits = text.chars().count() <= 1000 && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("give at most 1000 characters on one line") }
}

/// A scope as OAuth allows it (RFC 6749, 3.3).
fn scope(text: &str) -> Result<String, &'static str> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let fits = (1..=200).contains(&text.len()) && text.bytes().all(allowed);
    if fits { Ok(text.to_owned()) } else { Err("a scope is 1 to 200 characters without spaces and quotes") }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.as_secs() > 0 => Ok(time),
        Ok(_) => Err("the key would end at once".into()),
        Err(error) => Err(format!("{error}; write a time like 90d or 12h")),
    }
}
