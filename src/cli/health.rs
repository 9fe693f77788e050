//! `health`: whether a running server takes requests, for what looks after it and has no other program to ask with.

use std::time::Duration;

use clap::Args;
use reqwest::Method;
use url::Url;

use super::{Failure, print, remote, show};
use crate::config::{Config, Layers};
use crate::upstream::Upstream;

/// Whoever asks for health gives up soon, too.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Address of the server, without `/mcp` [default: http://HOST:PORT of the settings]
    #[arg(long, value_name = "URL")]
    server: Option<Url>,
}

pub(super) fn health(layers: &Layers, args: &HealthArgs) -> Result<(), Failure> {
    let given = args.server.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
    let base = given.unwrap_or_else(|| remote::here(&settings(layers)));
    match super::runtime()?.block_on(async { tokio::time::timeout(PATIENCE, ask(&base)).await }) {
        Ok(Ok(())) => print("ready"),
        Ok(Err(why)) => no(&why),
        Err(_) => no("it does not answer in time"),
    }
}

/// A file that was broken while the server runs does not make the server ill.
fn settings(layers: &Layers) -> Config {
    let without = || Layers { file: None, ..layers.clone() };
    layers.load().or_else(|_| without().load()).unwrap_or_default()
}

async fn ask(base: &str) -> Result<(), String> {
    let url = format!("{base}/ready").parse().map_err(|_| "the server's address is none".to_owned())?;
    let hop = Upstream::default().hop(true, None).map_err(|error| error.to_string())?;
    let request = hop.request(Method::GET, url).build().map_err(|_| "the request cannot be made".to_owned())?;
    let response = hop.once(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    if status.is_success() { Ok(()) } else { Err(format!("it answers with HTTP {}", status.as_u16())) }
}

fn no(why: &str) -> Result<(), Failure> {
    show(&format!("not ready: {why}"))?;
    Err(Failure::No)
}
