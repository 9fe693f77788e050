//! What it costs to tell what goes on: the road of `mcp-stateless` with metrics, audit and traces, beside the same
//! gateway that tells nothing.

use std::fs;

use axum::{Router, routing::any};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    Fault,
    answer::Text,
    bench::{Bench, upstream},
    caller::{Ask, Speech},
    manifest,
    process::{self, Process},
    rounds::take_turns,
    slice::{Load, Side, Slice, ready},
    table::{Aim, Row},
};

const CALLERS: usize = 16;
const ASK: Ask = Ask::Call("echo", Text::Same);

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    let server = upstream(&["mcp-http"]).await?;
    // Takes what collectors take, and does nothing with it.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let collector = format!("http://{}", listener.local_addr()?);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let _ = axum::serve(listener, Router::new().fallback(any(|| async {}))).await;
    });
    let traced = |share: f64| json!({ "prometheus": true, "otlpEndpoint": collector, "sampleRatio": share });
    let told: [(&str, bool, Value); 6] = [
        ("nothing", false, json!({})),
        ("metrics", false, json!({ "prometheus": true })),
        ("metrics and a tenth of the traces", false, traced(0.1)),
        ("metrics and all traces", false, traced(1.0)),
        ("the audit", true, json!({})),
        ("metrics, a tenth of the traces and the audit", true, traced(0.1)),
    ];
    let mut gateways = Vec::new();
    for (label, audit, telemetry) in told {
        let data = bench.scratch();
        let settings = bench.scratch();
        let config = json!({ "dataDir": data, "audit": { "enabled": audit }, "telemetry": telemetry });
        fs::write(&settings, config.to_string())?;
        let folder = bench.manifests(&[manifest::mcp_http(server.address, 0, "2026-07-28")])?;
        let mut command = process::gateway(&bench.options.binary(), &folder);
        command.arg("--config").arg(&settings);
        gateways.push((label, Process::start(command).await?));
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
