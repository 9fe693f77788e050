//! `service-map` and `verify`: what we vouch for, and whether somebody did.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value;

use super::{Failure, for_terminal, print, show};
use crate::app::App;
use crate::config::Config;
use crate::manifest::Document;
use crate::secret::Environment;
use crate::signature::Verifier;

/// The largest document to verify, in bytes.
const LARGEST: u64 = 16 << 20;

#[derive(Debug, Args)]
pub(super) struct ServiceMapArgs {
    /// On one line, exactly as it was signed
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The signed document, `-` for standard input
    file: PathBuf,
    /// A JWK set one of whose keys has to have signed it, as a server shows it at /.well-known/switchboard-keys.json
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
}

pub(super) fn service_map(config: Config, environment: Environment, args: &ServiceMapArgs) -> Result<(), Failure> {
    let app = App::open(config, environment)?;
    let document = match app.gateway().service_map() {
        Ok(document) => document,
        Err(why) => {
            super::show_problems(&app.gateway().live().problems);
            return no(&why);
        }
    };
    if args.plain {
        return print(&document);
    }
    let indented = serde_json::from_str::<Value>(&document).map_err(io::Error::from)?;
    print(&format!("{indented:#}"))
}

pub(super) fn verify(config: &Config, environment: &Environment, args: &VerifyArgs) -> Result<(), Failure> {
    match verified(config, environment, args) {
        Ok(said) => said.iter().try_for_each(|line| print(line)),
        Err(why) => no(&why),
    }
}

fn verified(config: &Config, environment: &Environment, args: &VerifyArgs) -> Result<Vec<String>, String> {
    let keys = args.public_key.as_deref().map(|file| Ok::<_, String>((file.display().to_string(), read(file)?)));
    let keys = keys.transpose()?;
    let keys = keys.as_ref().map(|(name, keys)| (name.as_str(), keys));
    let verifier = Verifier::open(&config.signature, environment, config.data_dir.as_deref(), keys)?;
    let document = read(&args.file)?;
    verifier.verify(&document).map_err(|why| format!("{}: {why}", args.file.display()))
}

/// A JSON document in which nothing stands twice: of two, others might read the other one.
fn read(file: &Path) -> Result<Value, String> {
    let failed = |error: io::Error| format!("{} cannot be read: {error}", file.display());
    let opened: Box<dyn io::Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(fs::File::open(file).map_err(failed)?)
    };
    let mut text = String::new();
    opened.take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LARGEST {
        return Err(format!("{} has more than {LARGEST} bytes", file.display()));
    }
    // Whatever the file is called, it is JSON.
    let document = Document::parse(Path::new("document.json"), &text);
    let document = document.map_err(|problem| format!("{}: {}", file.display(), problem.message))?;
    Ok(document.value)
}

/// The answer is no, for this reason.
fn no(why: &str) -> Result<(), Failure> {
    show(&format!("switchboard: {}", for_terminal(why)))?;
    Err(Failure::No)
}
