//! Instructions a call, counted by valgrind: repeats to a per cent even on a busy machine.

use std::{ffi::OsStr, net::SocketAddr};

use tokio::process::Command;

use super::telemetry::Told;
use crate::{
    Fault,
    answer::Text,
    bench::{Bench, upstream},
    caller::{Ask, Caller, Speech},
    manifest,
    process::{self, Process, ourselves},
    slice::ready,
    table::{Aim, Pair, Row},
};

/// The difference of a long and a short run leaves out what starting and stopping cost.
const FEW: u32 = 300;
const MANY: u32 = 1_300;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    if Command::new("valgrind").arg("--version").output().await.is_err() {
        return Err("valgrind is not installed".into());
    }
    let server = upstream(&["mcp-http"]).await?;
    let api = upstream(&["api"]).await?;
    let target = server.address.to_string();
    let floor = each(|| ourselves(&["__floor", &target]), Text::Same).await?;
    let mut rows = Vec::new();
    for (adapter, manifest, text) in [
        ("mcp", manifest::mcp_http(server.address, 0, "2026-07-28"), Text::Same),
        ("http", manifest::http(api.address, 0, 2), Text::Within),
    ] {
        let figure = format!("instructions a call, {adapter}, stateless: thousands");
        let folder = bench.manifests(&[manifest])?;
        let subject = each(|| Ok(process::gateway(&bench.options.binary(), &folder)), text).await;
        rows.push(match subject {
            Ok(subject) => {
                Row { callers: Some(1), ..Row::new(figure, Pair(Some(floor), Some(subject)), Aim::AtMost(80.0)) }
            }
            Err(why) => Row { value: Pair(Some(floor), None), ..Row::missing(figure, why.to_string()) },
        });
    }
    rows.extend(telling(bench, server.address).await?);
    Ok(rows)
}

/// What it takes to tell what goes on.
async fn telling(bench: &mut Bench, server: SocketAddr) -> Result<Vec<Row>, Fault> {
    let told = Told::new(bench).await?;
    let (mut rows, mut nothing) = (Vec::new(), None);
    for (label, settings) in &told.settings {
        let mut gateway = || bench.gateway_with(&[manifest::mcp_http(server, 0, "2026-07-28")], settings);
        // The first start makes what the later ones find.
        Process::start(gateway()?).await?.interrupt().await?;
        let counted = Some(each(gateway, Text::Same).await?);
        if let Some(nothing) = nothing {
            let figure = format!("instructions a call, telling {label}, beside nothing: thousands");
            rows.push(Row { callers: Some(1), ..Row::new(figure, Pair(Some(nothing), counted), Aim::Times(1.1)) });
        }
        nothing = nothing.or(counted);
    }
    Ok(rows)
}

async fn each(mut command: impl FnMut() -> Result<Command, Fault>, text: Text) -> Result<f64, Fault> {
    let few = count(&command()?, FEW, text).await?;
    let many = count(&command()?, MANY, text).await?;
    Ok((many - few) / f64::from(MANY - FEW) / 1e3)
}

/// Runs a server under valgrind for so many calls and gives the instructions it took.
async fn count(command: &Command, calls: u32, text: Text) -> Result<f64, Fault> {
    let server = Process::start(under_valgrind(command)).await?;
    let ask = Ask::Call("echo", text);
    ready(&server, Speech::Stateless, ask).await?;
    call(server.address, calls, ask).await?;
    let said = server.interrupt().await?;
    let counted = said.iter().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    counted.ok_or_else(|| "valgrind said no number".into())
}

fn under_valgrind(command: &Command) -> Command {
    let command = command.as_std();
    let mut under = Command::new("valgrind");
    under.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"].map(OsStr::new)).arg(command.get_program());
    under.args(command.get_args()).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        under.env("PATH", path);
    }
    under
}

async fn call(address: SocketAddr, calls: u32, ask: Ask) -> Result<(), Fault> {
    let mut caller =
        Caller::open(address, Speech::Stateless, "counted".to_owned()).await.map_err(|miss| miss.to_string())?;
    for _ in 0..calls {
        caller.perform(ask).await.map_err(|miss| miss.to_string())?;
    }
    Ok(())
}
