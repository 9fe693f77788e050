//! `tools/list` of many tools, all pages, against the floor's cost for as many bytes.

use serde_json::Value;

use crate::{
    Fault,
    bench::{Bench, floor, upstream},
    caller::{Ask, Speech},
    manifest,
    process::Process,
    rounds::{Series, take_turns},
    slice::{Load, Side, Slice, ready},
    table::{Aim, Pair, Row, shown},
};

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    let api = upstream(&["api"]).await?;
    let mut rows = Vec::new();
    for tools in [1_000, 10_000] {
        let whole = upstream(&["mcp-http", "--tools", &tools.to_string()]).await?;
        let paged = upstream(&["mcp-http", "--tools", &tools.to_string(), "--page", "1000"]).await?;
        let floor = floor(&whole).await?;
        for (adapter, manifest) in [
            ("mcp", manifest::mcp_http(paged.address, 0, "2026-07-28")),
            ("http", manifest::http(api.address, 0, tools)),
        ] {
            let figure = format!("tools/list of {tools} tools, {adapter}: CPU µs a list");
            let row = compare(bench, &figure, tools, &floor, manifest).await;
            rows.push(row.unwrap_or_else(|why| Row::missing(figure, why.to_string())));
        }
    }
    Ok(rows)
}

async fn compare(
    bench: &mut Bench,
    figure: &str,
    tools: usize,
    floor: &Process,
    manifest: Value,
) -> Result<Row, Fault> {
    let ask = Ask::List(tools);
    let gateway = bench.gateway(&[manifest]).await?;
    ready(&gateway, Speech::Stateless, ask).await?;
    let load = Load { speech: Speech::Stateless, ask, callers: 1 };
    let sides = [Side::new("floor", floor, load), Side::new("switchboard", &gateway, load)];
    let mut series = take_turns(&sides, bench.options.rounds(), bench.options.slice()).await.into_iter();
    let (floor, subject) = (series.next().unwrap_or_default(), series.next().unwrap_or_default());
    let aim = if tools == 10_000 { Aim::Times(3.0) } else { Aim::Open };
    let mut row = bench.row(figure.to_owned(), [&floor, &subject], Slice::cpu_per_mebibyte, aim);
    let bytes = |series: &Series| series.median(Slice::bytes_per_call);
    // The ratio is that of the cost of a byte; the floor's figure is for as many bytes as the gateway sends.
    let per_list = subject.median(Slice::cpu_per_call);
    row.value = Pair(per_list.zip(row.ratio).map(|(list, ratio)| list / ratio), per_list);
    row.callers = Some(1);
    let mut remark = format!("{} bytes, the floor's list {}", shown(bytes(&subject)), shown(bytes(&floor)));
    if !row.remark.is_empty() {
        remark = format!("{remark}; {}", row.remark);
    }
    row.remark = remark;
    Ok(row)
}
