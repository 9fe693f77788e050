//! `users`: who may sign in at the built-in issuer.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::Arc;

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::audit::record;
use super::{Failure, Format, FormatArgs, print};
use crate::audit::{Act, Deed};
use crate::auth::issuer::Connected;
use crate::auth::{NewUser, User, UserError, Users};
use crate::config::Config;
use crate::secret::Environment;
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
    /// List users, and the clients that act for each
    List(FormatArgs),
    /// Give a user another password. Ends their sessions in browsers; clients stay connected, unless --disconnect
    Password(PasswordArgs),
    /// End what clients may do for a user: all clients, or one. They have to ask again
    Disconnect(DisconnectArgs),
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
    /// End what clients may do for them too
    #[arg(long)]
    disconnect: bool,
    /// Read the password from standard input instead of asking
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
struct DisconnectArgs {
    /// The user's name
    #[arg(required_unless_present = "owner")]
    name: Option<String>,
    /// Whoever signed in by one-time codes, instead of a user
    #[arg(long, conflicts_with = "name")]
    owner: bool,
    /// Only this client, by its id as `users list` shows it
    #[arg(long, value_name = "ID")]
    client: Option<String>,
}

pub(super) fn users(config: Config, environment: Environment, args: UsersArgs) -> Result<(), Failure> {
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
            let on = name.clone();
            let new = NewUser { name, full_name, email, tenant, scopes, password };
            runtime.block_on(users.add(new)).map_err(failure)?;
            record(&config, [Act::local(Deed::UserAdd, on)])
        }
        UsersCommand::List(args) => {
            let (users, owner) =
                runtime.block_on(async { Ok((users.list().await?, users.of_owner().await?)) }).map_err(failure)?;
            match args.format {
                Format::Json => print(&format!("{:#}", json!({ "users": users, "owner": { "connected": owner } }))),
                Format::Text => print(&table(&users, &owner).to_string()),
            }
        }
        UsersCommand::Password(args) => change_password(&args, &users, &config),
        UsersCommand::Disconnect(args) => {
            let client = args.client.as_deref();
            let ended = runtime.block_on(async {
                match &args.name {
                    Some(name) => users.disconnect(name, client).await,
                    None => users.disconnect_owner(client).await,
                }
            });
            let whose = args.name.as_deref().unwrap_or("the owner");
            remark(&format!("{} of {whose} end within half a minute", connections(ended.map_err(failure)?)));
            record(&config, [Act::local(Deed::UserDisconnect, whose)])
        }
        UsersCommand::Remove { name } => remove(&name, &users, (config, environment)),
    }
}

/// Gives a user another password, and ends what clients may do for them when that is wanted.
fn change_password(args: &PasswordArgs, users: &Users, config: &Config) -> Result<(), Failure> {
    let (password, runtime) = (password(args.password_stdin)?, super::runtime()?);
    runtime.block_on(users.set_password(&args.name, password)).map_err(failure)?;
    let ended = args.disconnect.then(|| runtime.block_on(users.disconnect(&args.name, None)));
    let disconnected = ended.as_ref().map(|ended| {
        let outcome = ended.as_ref().err().map_or_else(|| "ok".to_owned(), ToString::to_string);
        Act { outcome, ..Act::local(Deed::UserDisconnect, &args.name) }
    });
    record(config, [Act::local(Deed::UserPassword, &args.name)].into_iter().chain(disconnected))?;
    if let Some(ended) = ended {
        remark(&format!("{} of {} end within half a minute", connections(ended.map_err(failure)?), args.name));
    }
    Ok(())
}

/// Removes a user, and takes back what connectors may do for them.
fn remove(name: &str, users: &Users, (config, environment): (Config, Environment)) -> Result<(), Failure> {
    let removed = async { Ok((users.list().await?, users.remove(name).await?)) };
    let (all, ended) = super::runtime()?.block_on(removed).map_err(failure)?;
    remark(&format!("{name} is removed; {} end within half a minute", connections(ended)));
    record(&config, [Act::local(Deed::UserRemove, name)])?;
    let id = all.into_iter().find(|user| user.name.to_lowercase() == name.to_lowercase()).map(|user| user.id);
    if let Some(id) = id
        && super::grants::revoke_of(config, environment, id.clone()).is_err()
    {
        let again = format!("`switchboard grants revoke --subject {id}`");
        remark(&format!("the accounts they connected could not be taken back: {again} tells why"));
    }
    Ok(())
}

/// Says something beside the answer.
fn remark(words: &str) {
    let _ = writeln!(io::stderr(), "{words}");
}

fn connections(many: usize) -> String {
    format!("{many} connections of clients")
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

fn table(users: &[User], owner: &[Connected]) -> Table {
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
            named(&user.connected),
        ]);
    }
    if !owner.is_empty() {
        table.add_row(["", "the owner, by one-time codes", "", "", "all", &named(owner)]);
    }
    table
}

/// The clients that act for somebody, a line each: what they call themselves, and their ids.
fn named(connected: &[Connected]) -> String {
    let named = connected.iter().map(|client| match client.name.as_str() {
        name if name.is_empty() || name == client.id => client.id.clone(),
        name => format!("{name} ({})", client.id),
    });
    named.collect::<Vec<_>>().join("\n")
}
