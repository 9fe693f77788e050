//! What can be chosen on the command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

/// Measures the gateway against a bare reverse proxy and prints one table.
#[derive(Debug, Parser)]
#[command(name = "proxy")]
pub(crate) struct Options {
    /// A short run: three rounds of 0.4 s, fewer idle sessions. For a first look, not for figures.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these cases.
    #[arg(long, value_enum, num_args = 1.., value_name = "CASE")]
    pub(crate) only: Vec<Case>,
    /// The gateway's program.
    #[arg(long, value_name = "PATH", default_value = option_env!("CARGO_BIN_EXE_switchboard"))]
    binary: Option<PathBuf>,
    /// The manifests that come with it.
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests"))]
    pub(crate) bundled: PathBuf,
    /// Rounds of every case, of whose figures the median is taken.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    rounds: Option<u8>,
    /// Also writes the table as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A group of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// Adapter `mcp`, upstream over HTTP, clients of 2026-07-28.
    McpStateless,
    /// The same with sessions of 2025-11-25.
    McpSessions,
    /// The same with the older SSE transport.
    McpSse,
    /// Adapter `mcp`, upstream over standard input and output.
    StdioStateless,
    /// Adapter `http`, clients of 2026-07-28.
    HttpStateless,
    /// The same with sessions of 2025-11-25.
    HttpSessions,
    /// The same with the older SSE transport.
    HttpSse,
    /// Callers who prove who they are, beside callers who need not.
    Auth,
    /// Metrics, audit and traces, beside none of them.
    Telemetry,
    /// Results of 1 MiB.
    Big,
    /// Lists of 1,000 and 10,000 tools.
    List,
    /// Idle sessions of the older SSE transport.
    IdleSse,
    /// Idle sessions of Streamable HTTP, each with its event stream.
    IdleStreams,
    /// From start to the first list.
    Start,
    /// Memory at rest.
    Rest,
    /// The program's size.
    Size,
    /// Instructions a call, counted by valgrind.
    Instructions,
}

impl Options {
    /// The cases to run, in the order of the table.
    pub(crate) fn cases(&self) -> impl Iterator<Item = Case> {
        let all = self.only.is_empty();
        let left_out = |case: &Case| self.quick && *case == Case::Instructions;
        let wanted = move |case: &Case| if all { !left_out(case) } else { self.only.contains(case) };
        Case::value_variants().iter().copied().filter(wanted)
    }

    pub(crate) fn binary(&self) -> PathBuf {
        self.binary.clone().unwrap_or_else(|| "target/release/switchboard".into())
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.map_or(if self.quick { 3 } else { 10 }, usize::from)
    }

    /// How long a server is loaded in a round.
    pub(crate) fn slice(&self) -> Duration {
        if self.quick { Duration::from_millis(400) } else { Duration::from_secs(1) }
    }
}
