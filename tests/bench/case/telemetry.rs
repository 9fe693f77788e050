//! What it costs to tell what goes on: the road of `mcp-stateless` with metrics, audit and traces, beside the same
//! gateway that tells nothing.

use axum::{Router, routing::any};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    Fault,
    answer::Text,
    bench::{Bench, upstream},
    caller::{Ask, Speech},
    manifest,
    process::Process,
    rounds::take_turns,
    slice::{Load, Side, Slice, ready},
    table::{Aim, Row},
};

const CALLERS: usize = 16;
const ASK: Ask = Ask::Call("echo", Text::Same);

/// Settings for telling some of what goes on, each with a name.
pub(super) struct Told {
    pub(super) settings: Vec<(&'static str, Value)>,
    /// Takes what collectors take, and does nothing with it.
    _collector: JoinSet<()>,
}

impl Told {
    /// The first tells nothing.
    pub(super) async fn new(bench: &mut Bench) -> Result<Self, Fault> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = format!("http://{}", listener.local_addr()?);
        let mut collector = JoinSet::new();
        collector.spawn(async move {
            let _ = axum::serve(listener, Router::new().fallback(any(|| async {}))).await;
        });
        let traced = |share: f64| json!({ "prometheus": true, "otlpEndpoint": address, "sampleRatio": share });
        let told = [
            ("nothing", false, json!({})),
            ("metrics", false, json!({ "prometheus": true })),
            ("metrics and a tenth of the traces", false, traced(0.1)),
            ("metrics and all traces", false, traced(1.0)),
            ("the audit", true, json!({})),
            ("metrics, a tenth of the traces and the audit", true, traced(0.1)),
        ];
        let settings = told.map(|(label, audit, telemetry)| {
            let settings = json!({ "dataDir": bench.scratch(), "audit": { "enabled": audit }, "telemetry": telemetry });
            (label, settings)
        });
        Ok(Self { settings: settings.into(), _collector: collector })
    }
}

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    let server = upstream(&["mcp-http"]).await?;
    let told = Told::new(bench).await?;
    let mut gateways = Vec::new();
    for (label, settings) in &told.settings {
        let manifest = manifest::mcp_http(server.address, 0, "2026-07-28");
        gateways.push((label, Process::start(bench.gateway_with(&[manifest], settings)?).await?));
    }
    let load = Load { speech: Speech::Stateless, ask: ASK, callers: CALLERS };
    let mut sides = Vec::new();
    for (label, gateway) in &gateways {
        ready(gateway, Speech::Stateless, ASK).await?;
        sides.push(Side::new(label, gateway, load));
    }
    let series = take_turns(&sides, bench.options.rounds(), bench.options.slice()).await;
    let Some((nothing, others)) = series.split_first() else { return Err("a side is missing".into()) };
    let rows = gateways.iter().skip(1).zip(others).map(|((label, _), told)| {
        let figure = format!("tools/call telling {label}, beside nothing: CPU µs a call");
        let mut row = bench.row(figure, [nothing, told], Slice::cpu_per_call, Aim::Times(1.1));
        row.callers = Some(CALLERS);
        row
    });
    Ok(rows.collect())
}
