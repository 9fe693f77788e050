//! `users`: who may sign in at the built-in issuer.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::Arc;

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{Failure, Format, FormatArgs, print};
use crate::auth::{NewUser, User, UserError, Users};
use crate::config::Config;
use crate::store::Embedded;

/// What of `users` to do.
#[derive(Debug, Args)]
pub(super) struct UsersArgs {
    #[command(subcommand)]
    command: UsersCommand,
}

#[derive(Debug, Subcommand)]
enum UsersCommand {
    /// Add a user. The first one ends signing in by one-time codes, and what was connected that way
    Add(AddArgs),
    /// List users, and how many clients act for each
    List(FormatArgs),
    /// Give a user another password. Ends their sessions in browsers; clients stay connected
    Password(PasswordArgs),
    /// Remove a user, and disconnect every client that acts for them
    Remove {
        /// The user's name
        name: String,
    },
}

#[derive(Debug, Args)]
struct AddArgs {
    /// What they sign in with; upper and lower case are the same
    name: String,
    /// What they are called
    #[arg(long = "name", value_name = "TEXT")]
    full_name: Option<String>,
    /// Their address for mail, which clients are told
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Whom they belong to
    #[arg(long)]
    tenant: Option<String>,
    /// The only scopes they may give to clients; unsaid, all
    #[arg(long, value_name = "SCOPE", value_delimiter = ',')]
    scopes: Option<Vec<String>>,
    /// Read the password from standard input instead of asking
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
struct PasswordArgs {
    /// The user's name
    name: String,
    /// Read the password from standard input instead of asking
    #[arg(long)]
    password_stdin: bool,
}

pub(super) fn users(config: &Config, args: UsersArgs) -> Result<(), Failure> {
    let folder = config.data_dir.as_deref().ok_or_else(|| {
        Failure::Usage("no folder is known where data can be kept; set SWITCHBOARD_DATA_DIR (--data-dir)".into())
    })?;
    let store = Embedded::open(folder).map_err(|error| Failure::Usage(error.to_string()))?;
    let users = Users::new(Arc::new(store));
    let runtime = super::runtime()?;
    match args.command {
        UsersCommand::Add(args) => {
            let password = password(args.password_stdin)?;
            let scopes = args.scopes.map(|scopes| {
                scopes.iter().map(|scope| scope.trim().to_owned()).filter(|scope| !scope.is_empty()).collect()
            });
            let scopes = scopes.filter(|scopes: &BTreeSet<String>| !scopes.contains("*"));
            let AddArgs { name, full_name, email, tenant, .. } = args;
            let new = NewUser { name, full_name, email, tenant, scopes, password };
            runtime.block_on(users.add(new)).map_err(failure)
        }
        UsersCommand::List(args) => {
            let users = runtime.block_on(users.list()).map_err(failure)?;
            match args.format {
                Format::Json => print(&format!("{:#}", json!({ "users": users }))),
                Format::Text => print(&table(&users).to_string()),
            }
        }
        UsersCommand::Password(args) => {
            let password = password(args.password_stdin)?;
            runtime.block_on(users.set_password(&args.name, password)).map_err(failure)
        }
        UsersCommand::Remove { name } => {
            let clients = runtime.block_on(users.remove(&name)).map_err(failure)?;
            let _ = writeln!(io::stderr(), "{name} is removed; {clients} connected clients end within half a minute");
            Ok(())
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands behind map_err")]
fn failure(error: UserError) -> Failure {
    Failure::Usage(error.to_string())
}

/// A password: one line of standard input, or typed twice at the terminal, where it is not shown.
fn password(stdin: bool) -> Result<SecretString, Failure> {
    let unreadable = |error: io::Error| Failure::Usage(format!("the password cannot be read: {error}"));
    if stdin {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(unreadable)?;
        return Ok(line.trim_end_matches(['\r', '\n']).into());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage("there is no terminal to ask for the password; use --password-stdin".into()));
    }
    let first = SecretString::from(rpassword::prompt_password("Password: ").map_err(unreadable)?);
    let second = SecretString::from(rpassword::prompt_password("Again: ").map_err(unreadable)?);
    if first.expose_secret() == second.expose_secret() {
        Ok(first)
    } else {
        Err(Failure::Usage("the two passwords differ".into()))
    }
}

fn table(users: &[User]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["user", "name", "mail", "tenant", "scopes", "clients"]);
    for user in users {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let scopes = user.scopes.as_ref().map(|scopes| scopes.iter().cloned().collect::<Vec<_>>().join(" "));
        table.add_row([
            user.name.clone(),
            text(&user.full_name),
            text(&user.email),
            text(&user.tenant),
            scopes.unwrap_or_else(|| "all".into()),
            user.clients.to_string(),
        ]);
    }
    table
}
