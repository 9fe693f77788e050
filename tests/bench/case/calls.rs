//! `tools/call` of a small echo through every adapter, in every way of speaking, for 1, 16 and 64 callers.

use crate::{
    Fault,
    answer::Text,
    bench::{Bench, floor, upstream},
    caller::{Ask, Speech},
    manifest,
    process::Process,
    rounds::{Series, take_turns},
    slice::{Load, Side, Slice, ready},
    table::{Aim, Pair, Row, shown},
};

/// A way from clients to an upstream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Road {
    name: &'static str,
    speech: Speech,
    behind: Behind,
    aim: Aim,
    /// For how many callers at once.
    callers: &'static [usize],
}

/// What stands behind the gateway.
#[derive(Debug, Clone, Copy)]
enum Behind {
    /// An MCP server over HTTP, spoken to in this version.
    McpHttp(&'static str),
    /// An MCP server over standard input and output.
    McpStdio,
    /// An HTTP API.
    Api,
}

pub(super) const MCP_STATELESS: Road = Road {
    name: "mcp, HTTP upstream, stateless",
    speech: Speech::Stateless,
    behind: Behind::McpHttp("2026-07-28"),
    aim: Aim::Times(1.5),
    callers: &[1, 16, 64],
};
pub(super) const MCP_SESSIONS: Road = Road {
    name: "mcp, HTTP upstream, sessions",
    speech: Speech::Session,
    behind: Behind::McpHttp("2025-11-25"),
    aim: Aim::Times(2.0),
    ..MCP_STATELESS
};
pub(super) const MCP_SSE: Road =
    Road { name: "mcp, HTTP upstream, SSE", speech: Speech::Sse, aim: Aim::Open, ..MCP_SESSIONS };
pub(super) const STDIO_STATELESS: Road =
    Road { name: "mcp, stdio upstream, stateless", behind: Behind::McpStdio, aim: Aim::Open, ..MCP_STATELESS };
pub(super) const HTTP_STATELESS: Road =
    Road { name: "http, stateless", behind: Behind::Api, aim: Aim::Times(2.0), ..MCP_STATELESS };
pub(super) const HTTP_SESSIONS: Road =
    Road { name: "http, sessions", speech: Speech::Session, aim: Aim::Open, callers: &[16], ..HTTP_STATELESS };
pub(super) const HTTP_SSE: Road = Road { name: "http, SSE", speech: Speech::Sse, ..HTTP_SESSIONS };

impl Road {
    fn figure(&self) -> String {
        format!("tools/call, {}: CPU µs a call", self.name)
    }

    /// What a call through the gateway must bring back; an API's answer is put in a result by the gateway.
    fn ask(&self) -> Ask {
        let text = if matches!(self.behind, Behind::Api) { Text::Within } else { Text::Same };
        Ask::Call("echo", text)
    }
}

pub(super) async fn run(road: Road, bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    let server = upstream(&["mcp-http"]).await?;
    let floor = floor(&server).await?;
    let api = upstream(&["api"]).await?;
    let manifest = match road.behind {
        Behind::McpHttp(protocol) => manifest::mcp_http(server.address, 0, protocol),
        Behind::McpStdio => manifest::mcp_stdio()?,
        Behind::Api => manifest::http(api.address, 0, 2),
    };
    let gateway = match bench.gateway(&[manifest]).await {
        Err(fault) => Err(fault.to_string()),
        Ok(gateway) => ready(&gateway, road.speech, road.ask()).await.map(|()| gateway),
    };
    let mut rows = Vec::new();
    for callers in road.callers.iter().copied() {
        let cell = Cell { road, direct: &server, floor: &floor, gateway: gateway.as_ref(), callers };
        rows.extend(cell.measure(bench).await);
    }
    Ok(rows)
}

/// A road with so many callers.
struct Cell<'a> {
    road: Road,
    direct: &'a Process,
    floor: &'a Process,
    gateway: Result<&'a Process, &'a String>,
    callers: usize,
}

impl Cell<'_> {
    async fn measure(&self, bench: &mut Bench) -> Vec<Row> {
        let load = |ask| Load { speech: self.road.speech, ask, callers: self.callers };
        let plain = load(Ask::Call("echo", Text::Same));
        let mut sides = vec![Side::new("floor", self.floor, plain)];
        if let Ok(gateway) = self.gateway {
            sides.push(Side::new("switchboard", gateway, load(self.road.ask())));
        }
        // The way without anything in the middle is only needed to know what one caller waits for.
        if self.callers == 1 {
            sides.push(Side::new("direct", self.direct, plain));
        }
        let mut series = take_turns(&sides, bench.options.rounds(), bench.options.slice()).await.into_iter();
        let floor = series.next().unwrap_or_default();
        let subject = self.gateway.ok().and_then(|_| series.next()).unwrap_or_default();

        let mut row = bench.row(self.road.figure(), [&floor, &subject], Slice::cpu_per_call, self.road.aim);
        row.callers = Some(self.callers);
        if let Err(why) = self.gateway {
            row.remark.clone_from(why);
        }
        if let Some(upstream) = subject.median(Slice::descendants_per_call).filter(|micros| *micros > 0.5) {
            let more = if row.remark.is_empty() { "" } else { "; " };
            row.remark = format!("the upstream's process {} µs{more}{}", shown(Some(upstream)), row.remark);
        }
        let mut rows = vec![row];
        rows.extend(series.next().map(|direct| self.added_latency(&direct, &floor, &subject)));
        rows
    }

    fn added_latency(&self, direct: &Series, floor: &Series, subject: &Series) -> Row {
        let direct = direct.median(Slice::p50);
        let added = |series: &Series| Some(series.median(Slice::p50)? - direct?);
        let aim = if self.road.speech == Speech::Stateless { Aim::Times(2.0) } else { Aim::Open };
        let figure = format!("tools/call, {}: added latency, p50 µs", self.road.name);
        let mut row = Row::new(figure, Pair(added(floor), added(subject)), aim);
        row.callers = Some(self.callers);
        row.remark = format!("{} µs without anything in the middle", shown(direct));
        row
    }
}
