//! `doctor`: what is wrong, here or with any MCP server.

use std::{
    io::{self, BufRead as _, Read as _, Write as _},
    sync::Arc,
};

use clap::{Args, ValueEnum};
use secrecy::SecretString;
use url::Url;

mod local;
mod paper;

use super::{Failure, Format, FormatArgs, print};
use crate::config::{Config, Seen};
use crate::doctor::{AskCode, Finding, Guise, KnownClient, Severity, SignIn, Visit};
use crate::secret::Environment;
use paper::Paper;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The client to play; without one, this installation is checked
    #[arg(value_enum)]
    client: Option<Client>,
    /// The address people type into that client [default: of this server]
    url: Option<Url>,
    /// Sign in with this name
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    user: Option<String>,
    /// Read its password from standard input
    #[arg(long, requires = "user", conflicts_with = "code_stdin")]
    password_stdin: bool,
    /// Sign in with a one-time code, read from standard input when it is asked for
    #[arg(long)]
    code_stdin: bool,
    /// Show the token or key in this environment variable, instead of signing in
    #[arg(long, value_name = "VARIABLE", conflicts_with_all = ["user", "code_stdin"])]
    token_env: Option<String>,
    /// Be this client, which the sign-in server knows already
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Prove that with the secret in this environment variable
    #[arg(long, value_name = "VARIABLE", requires = "client_id")]
    client_secret_env: Option<String>,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Client {
    /// ChatGPT
    Chatgpt,
    /// Claude
    Claude,
}

impl DoctorArgs {
    /// Whether no setting of ours matters.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.client.is_some() && self.url.is_some()
    }
}

pub(super) fn doctor(config: Config, environment: &Environment, args: &DoctorArgs) -> Result<(), Failure> {
    if args.client.is_some() {
        return visit(Some(&config), environment, args);
    }
    let paper = Paper::new(args.format.format, environment);
    let findings = local::look(config, environment)?;
    print(&paper.local(&findings))?;
    verdict(&findings)
}

/// Plays a client.
pub(super) fn visit(config: Option<&Config>, environment: &Environment, args: &DoctorArgs) -> Result<(), Failure> {
    let guise = match args.client {
        Some(Client::Chatgpt) | None => Guise::ChatGpt,
        Some(Client::Claude) => Guise::Claude,
    };
    let visit = Visit {
        url: address(config, args)?,
        guise,
        sign_in: sign_in(environment, args)?,
        client: known_client(environment, args)?,
    };
    let mut paper = Paper::new(args.format.format, environment);
    paper.hidden = config.and_then(Config::secret_path);
    let shows = args.format.format == Format::Text;
    let mut steps = Vec::new();
    let progress = |step: &crate::doctor::Step| {
        if shows {
            // A reader who has left is noticed when the findings are printed.
            let _ = print(&paper.step(step));
        }
        steps.push(step.clone());
    };
    let findings = super::runtime()?.block_on(crate::doctor::visit(&visit, progress)).map_err(Failure::Usage)?;
    paper.steps = steps;
    print(&paper.visit(&visit, &findings))?;
    verdict(&findings)
}

fn verdict(findings: &[Finding]) -> Result<(), Failure> {
    if findings.iter().any(|finding| finding.severity == Severity::Error) { Err(Failure::No) } else { Ok(()) }
}

fn address(config: Option<&Config>, args: &DoctorArgs) -> Result<Url, Failure> {
    let url = match (&args.url, config) {
        (Some(url), _) => url.clone(),
        (None, Some(config)) => {
            let base = config.base().unwrap_or_else(|| local::here(config));
            let wrong = |_| Failure::Usage(format!("{base} is no address"));
            Url::parse(&config.endpoint(&base, Seen::ByPerson)).map_err(wrong)?
        }
        (None, None) => return Err(Failure::Usage("which address?".into())),
    };
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(Failure::Usage(format!("{url} is no web address")));
    }
    Ok(url)
}

fn sign_in(environment: &Environment, args: &DoctorArgs) -> Result<SignIn, Failure> {
    if let Some(variable) = &args.token_env {
        return Ok(SignIn::Token(secret(environment, variable)?));
    }
    if let Some(user) = &args.user {
        let mut password = String::new();
        io::stdin()
            .read_to_string(&mut password)
            .map_err(|error| Failure::Usage(format!("standard input cannot be read: {error}")))?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned().into();
        return Ok(SignIn::Password { user: user.clone(), password });
    }
    Ok(if args.code_stdin { SignIn::Code(ask_code()) } else { SignIn::None })
}

fn ask_code() -> AskCode {
    Arc::new(|| {
        let _ = write!(io::stderr(), "one-time code: ");
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line).ok()?;
        (read > 0 && !line.trim().is_empty()).then(|| line.trim().to_owned().into())
    })
}

fn known_client(environment: &Environment, args: &DoctorArgs) -> Result<Option<KnownClient>, Failure> {
    let Some(id) = args.client_id.clone() else { return Ok(None) };
    let secret = args.client_secret_env.as_ref().map(|variable| secret(environment, variable)).transpose()?;
    Ok(Some(KnownClient { id, secret }))
}

fn secret(environment: &Environment, variable: &str) -> Result<SecretString, Failure> {
    let value = environment.get(variable);
    value
        .map(SecretString::from)
        .ok_or_else(|| Failure::Usage(format!("the environment variable {variable} is not set")))
}
