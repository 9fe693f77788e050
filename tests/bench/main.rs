//! The benchmark: what the gateway costs beside a bare reverse proxy, measured in the same run. `README.md` says how.

use std::{
    error::Error,
    fs,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, ValueEnum as _};
use http::uri::Authority;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

mod answer;
mod bench;
mod caller;
mod case;
mod events;
mod floor;
mod link;
mod listen;
mod machine;
mod manifest;
mod options;
mod process;
mod rounds;
mod slice;
mod table;
mod upstream;

use bench::Bench;
use options::Options;
use table::{Row, Table};
use upstream::Upstream;

/// Why something could not be done.
type Fault = Box<dyn Error + Send + Sync>;

/// The modes in which the benchmark starts itself.
#[derive(Debug, Parser)]
enum Mode {
    /// A server behind the gateway.
    #[command(name = "__upstream", subcommand)]
    Upstream(Upstream),
    /// The bare reverse proxy.
    #[command(name = "__floor")]
    Floor { target: Authority },
}

#[tokio::main]
async fn main() -> ExitCode {
    let mode = std::env::args().nth(1).filter(|first| first.starts_with("__"));
    let done = match mode.map(|_| Mode::parse()) {
        Some(Mode::Upstream(upstream)) => upstream.serve().await,
        Some(Mode::Floor { target }) => floor::serve(target).await,
        None => until_stopped(measure(Options::parse())).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let _ = writeln!(io::stderr(), "{}: {fault}", Options::command().get_name());
            ExitCode::FAILURE
        }
    }
}

/// Stops with us all that we started, also when we are asked politely.
async fn until_stopped(work: impl Future<Output = Result<(), Fault>>) -> Result<(), Fault> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = terminate.recv() => Err("stopped".into()),
        interrupted = ctrl_c() => Err(interrupted.map_or_else(Into::into, |()| "stopped".into())),
    }
}

/// Runs the cases and prints the table. A case that cannot run says so in the table; a wrong answer fails the run.
async fn measure(options: Options) -> Result<(), Fault> {
    machine::raise_file_limit();
    let quick = if options.quick { ", --quick" } else { "" };
    let how = format!("{} rounds of {:?} each{quick}", options.rounds(), options.slice());
    let cases: Vec<_> = options.cases().collect();
    let mut bench = Bench::new(options)?;
    let mut table = Table::new();
    for case in cases {
        let name = case.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let _ = writeln!(io::stderr(), "{name} … (load {})", machine::load());
        let rows = case::run(case, &mut bench).await;
        table.add(rows.unwrap_or_else(|fault| vec![Row::missing(name, fault.to_string())]));
    }
    table.print(&how)?;
    if let Some(file) = &bench.options.json {
        fs::write(file, serde_json::to_vec_pretty(&table.json(&how))?)?;
    }
    match bench.wrong.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} wrong answers, the first: {first}", bench.wrong.len()).into()),
    }
}
