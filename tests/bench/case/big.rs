//! Results of 1 MiB.

use serde_json::Value;

use crate::{
    Fault,
    answer::Text,
    bench::{Bench, floor, upstream},
    caller::{Ask, Speech},
    manifest,
    process::Process,
    rounds::take_turns,
    slice::{Load, Side, Slice, ready},
    table::{Aim, Row},
};

const ASK: Ask = Ask::Call("big", Text::Big);

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    let server = upstream(&["mcp-http"]).await?;
    let floor = floor(&server).await?;
    let api = upstream(&["api"]).await?;
    let mut rows = Vec::new();
    for (adapter, manifest) in
        [("mcp", manifest::mcp_http(server.address, 0, "2026-07-28")), ("http", manifest::http(api.address, 0, 2))]
    {
        let figure = format!("result of 1 MiB, {adapter}, stateless: CPU µs a MiB");
        let measured = compare(bench, &figure, &floor, manifest).await;
        rows.extend(measured.unwrap_or_else(|why| vec![Row::missing(figure, why.to_string())]));
    }
    Ok(rows)
}

async fn compare(bench: &mut Bench, figure: &str, floor: &Process, manifest: Value) -> Result<Vec<Row>, Fault> {
    let gateway = bench.gateway(&[manifest]).await?;
    ready(&gateway, Speech::Stateless, ASK).await?;
    let mut rows = Vec::new();
    for callers in [1, 16] {
        let load = Load { speech: Speech::Stateless, ask: ASK, callers };
        let sides = [Side::new("floor", floor, load), Side::new("switchboard", &gateway, load)];
        let mut series = take_turns(&sides, bench.options.rounds(), bench.options.slice()).await.into_iter();
        let (floor, subject) = (series.next().unwrap_or_default(), series.next().unwrap_or_default());
        let mut row = bench.row(figure.to_owned(), [&floor, &subject], Slice::cpu_per_mebibyte, Aim::Times(2.0));
        row.callers = Some(callers);
        rows.push(row);
    }
    Ok(rows)
}
