//! `tools/call` of a small echo through every adapter, in every way of speaking, for 1, 16 and 64 callers.

use crate::{
    Fault,
    answer::Text,
    bench::{Bench, floor, upstream},
    caller::{Ask, Speech},
    manifest,
    options::Case,
    process::Process,
    rounds::{Series, take_turns},
    slice::{Side, Slice, ready},
    table::{Aim, Pair, Row, shown},
};

const CALLERS: [usize; 3] = [1, 16, 64];

/// A way from clients to an upstream.
struct Road {
    figure: &'static str,
    speech: Speech,
    text: Text,
    aim: Aim,
    /// For how many callers at once.
    callers: &'static [usize],
}

impl Road {
    fn cpu(&self) -> String {
        format!("tools/call, {}: CPU µs a call", self.figure)
    }
}

pub(super) async fn run(case: Case, bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    let road = road(case);
    let server = upstream(&["mcp-http"]).await?;
    let floor = floor(&server).await?;
    let api = upstream(&["api"]).await?;
    let manifest = match case {
        Case::StdioStateless => manifest::mcp_stdio()?,
        Case::McpStateless => manifest::mcp_http(server.address, 0, "2026-07-28"),
        Case::McpSessions | Case::McpSse => manifest::mcp_http(server.address, 0, "2025-11-25"),
        _ => manifest::http(api.address, 0, 2),
    };
    let gateway = match bench.gateway(&[manifest]).await {
        Err(fault) => Err(fault.to_string()),
        Ok(gateway) => ready(&gateway, road.speech, Ask::Call("echo", road.text)).await.map(|()| gateway),
    };
    let mut rows = Vec::new();
    for callers in road.callers.iter().copied() {
        let cell = Cell { road: &road, direct: &server, floor: &floor, gateway: gateway.as_ref(), callers };
        let measured = cell.measure(bench).await;
        rows.extend(measured.unwrap_or_else(|why| vec![Row::missing(road.cpu(), why.to_string())]));
    }
    Ok(rows)
}

fn road(case: Case) -> Road {
    let (figure, speech, text, aim, callers): (_, _, _, _, &'static [usize]) = match case {
        Case::McpStateless => {
            ("mcp, HTTP upstream, stateless", Speech::Stateless, Text::Same, Aim::Times(1.5), &CALLERS)
        }
        Case::McpSessions => ("mcp, HTTP upstream, sessions", Speech::Session, Text::Same, Aim::Times(2.0), &CALLERS),
        Case::McpSse => ("mcp, HTTP upstream, SSE", Speech::Sse, Text::Same, Aim::Open, &CALLERS),
        Case::StdioStateless => ("mcp, stdio upstream, stateless", Speech::Stateless, Text::Same, Aim::Open, &CALLERS),
        Case::HttpSessions => ("http, sessions", Speech::Session, Text::Within, Aim::Open, &[16]),
        Case::HttpSse => ("http, SSE", Speech::Sse, Text::Within, Aim::Open, &[16]),
        _ => ("http, stateless", Speech::Stateless, Text::Within, Aim::Times(2.0), &CALLERS),
    };
    Road { figure, speech, text, aim, callers }
}

/// A road with so many callers.
struct Cell<'a> {
    road: &'a Road,
    direct: &'a Process,
    floor: &'a Process,
    gateway: Result<&'a Process, &'a String>,
    callers: usize,
}

impl Cell<'_> {
    async fn measure(&self, bench: &mut Bench) -> Result<Vec<Row>, Fault> {
        let Road { speech, text, aim, .. } = *self.road;
        let open = async |server, label, text| {
            let side = Side::open(server, speech, Ask::Call("echo", text), label, self.callers).await;
            side.map_err(|miss| Fault::from(format!("{label}: {miss}")))
        };
        // The way without anything in the middle is only needed to know what one caller waits for.
        let mut sides =
            vec![open(self.floor, "floor", Text::Same).await?, open(self.direct, "direct", Text::Same).await?];
        if self.callers > 1 {
            sides.pop();
        }
        if let Ok(gateway) = self.gateway {
            sides.insert(1, open(gateway, "switchboard", text).await?);
        }
        let mut series = take_turns(&mut sides, bench.options.rounds(), bench.options.slice()).await.into_iter();
        let floor = series.next().unwrap_or_default();
        let subject = self.gateway.ok().and_then(|_| series.next()).unwrap_or_default();

        let mut row = bench.row(self.road.cpu(), [&floor, &subject], Slice::cpu_per_call, aim);
        row.callers = Some(self.callers);
        if let Err(why) = self.gateway {
            row.remark.clone_from(why);
        }
        if let Some(upstream) = subject.median(Slice::descendants_per_call).filter(|micros| *micros > 0.5) {
            row.remark = format!("upstream process {} µs; {}", shown(Some(upstream)), row.remark);
        }
        let mut rows = vec![row];
        rows.extend(series.next().map(|direct| self.added_latency(&direct, &floor, &subject)));
        Ok(rows)
    }

    fn added_latency(&self, direct: &Series, floor: &Series, subject: &Series) -> Row {
        let direct = direct.median(Slice::p50);
        let added = |series: &Series| Some(series.median(Slice::p50)? - direct?);
        let aim = if self.road.speech == Speech::Stateless { Aim::Times(2.0) } else { Aim::Open };
        let figure = format!("tools/call, {}: added latency, p50 µs", self.road.figure);
        let mut row = Row::new(figure, Pair(added(floor), added(subject)), aim);
        row.callers = Some(self.callers);
        row.remark = format!("{} µs without anything in the middle", shown(direct));
        row
    }
}
