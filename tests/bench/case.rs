//! What is measured.

use crate::{Fault, bench::Bench, options::Case, table::Row};

mod auth;
mod big;
mod calls;
mod idle;
mod instructions;
mod list;
mod program;
mod start;
mod telemetry;

/// Measures one case.
pub(crate) async fn run(case: Case, bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    match case {
        Case::McpStateless => calls::run(calls::MCP_STATELESS, bench).await,
        Case::McpSessions => calls::run(calls::MCP_SESSIONS, bench).await,
        Case::McpSse => calls::run(calls::MCP_SSE, bench).await,
        Case::StdioStateless => calls::run(calls::STDIO_STATELESS, bench).await,
        Case::HttpStateless => calls::run(calls::HTTP_STATELESS, bench).await,
        Case::HttpSessions => calls::run(calls::HTTP_SESSIONS, bench).await,
        Case::HttpSse => calls::run(calls::HTTP_SSE, bench).await,
        Case::Auth => auth::run(bench).await,
        Case::Telemetry => telemetry::run(bench).await,
        Case::Big => big::run(bench).await,
        Case::List => list::run(bench).await,
        Case::IdleSse => idle::sse(bench).await,
        Case::IdleStreams => idle::streams(bench).await,
        Case::Start => start::run(bench).await,
        Case::Rest => program::memory_at_rest(bench).await,
        Case::Size => program::size(bench).await,
        Case::Instructions => instructions::run(bench).await,
    }
}
