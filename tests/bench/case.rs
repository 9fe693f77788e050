//! What is measured.

use crate::{Fault, bench::Bench, options::Case, table::Row};

mod big;
mod calls;
mod idle;
mod instructions;
mod list;
mod program;
mod start;

/// Measures one case.
pub(crate) async fn run(case: Case, bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    match case {
        Case::McpStateless
        | Case::McpSessions
        | Case::McpSse
        | Case::StdioStateless
        | Case::HttpStateless
        | Case::HttpSessions
        | Case::HttpSse => calls::run(case, bench).await,
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
