//! `status`: how the connectors of a running server are.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use comfy_table::{Table, presets};
use reqwest::Method;
use serde_json::Value;

use super::{Failure, Format, print};
use crate::config::Config;
use crate::upstream::Upstream;

const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn status(config: &Config, format: Format) -> Result<(), Failure> {
    let host = if config.host.is_unspecified() { "127.0.0.1".into() } else { config.host.to_string() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let address = format!("http://{host}:{}/status", config.port);
    let report = super::runtime()?.block_on(async { tokio::time::timeout(PATIENCE, ask(&address)).await });
    let report = report.map_err(|_| Failure::Usage(format!("{address} did not answer in time")))??;
    let connectors = report.get("connectors").and_then(Value::as_array).cloned().unwrap_or_default();
    match format {
        Format::Json => print(&format!("{report:#}"))?,
        Format::Text => {
            print(&table(&connectors).to_string())?;
            for line in connectors.iter().flat_map(warnings) {
                print(&line)?;
            }
        }
    }
    let works = |connector: &Value| matches!(connector.get("state").and_then(Value::as_str), Some("up" | "disabled"));
    if connectors.iter().all(works) { Ok(()) } else { Err(Failure::No) }
}

async fn ask(address: &str) -> Result<Value, Failure> {
    let unreachable = |why: String| {
        Failure::Usage(format!(
            "no server answers at {address} ({why}); name another with --port, or start one with `switchboard serve`"
        ))
    };
    let url = address.parse().map_err(|_| Failure::Usage(format!("{address} is no address")))?;
    let hop = Upstream::default().hop(true, None).map_err(|error| unreachable(error.to_string()))?;
    let request = hop.request(Method::GET, url).build().map_err(|error| unreachable(error.to_string()))?;
    let response = hop.send(request).await.map_err(|error| unreachable(error.to_string()))?;
    let status = response.status();
    response.json().await.map_err(|_| unreachable(format!("HTTP {}", status.as_u16())))
}

fn table(connectors: &[Value]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["connector", "state", "for", "tools", "connections", "why"]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    for connector in connectors {
        let text = |key: &str| connector.get(key).and_then(Value::as_str).map(super::for_terminal).unwrap_or_default();
        let number = |key: &str| connector.get(key).and_then(Value::as_u64);
        let since = number("since").map_or(String::new(), |since| span(now.saturating_sub(since)));
        let again = number("retryInMs").map(|wait| format!(" (tried again in {} s)", wait.div_ceil(1000)));
        let tools = connector.get("tools").and_then(Value::as_array).map_or(0, Vec::len);
        table.add_row([
            text("id"),
            text("state"),
            since,
            tools.to_string(),
            number("connections").unwrap_or(0).to_string(),
            format!("{}{}", text("reason"), again.unwrap_or_default()),
        ]);
    }
    table
}

/// What upstreams changed, and what stands out in what they say.
fn warnings(connector: &Value) -> Vec<String> {
    let id = connector.get("id").and_then(Value::as_str).unwrap_or_default();
    let list = |pointer: &str| connector.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(super::for_terminal).unwrap_or_default();
    let changes = list("/pins/changes");
    let mut lines: Vec<String> = changes.iter().map(|change| format!("{id}: {}", text(change, "said"))).collect();
    if !changes.is_empty() {
        lines.push(format!("{id}: `switchboard approve {id} --list` shows what changed, without --list agrees to it"));
    }
    lines.extend(list("/findings").iter().map(|finding| {
        let [tool, place, reason, excerpt] = ["tool", "place", "reason", "excerpt"].map(|key| text(finding, key));
        let what = if tool.is_empty() { String::new() } else { format!("the tool `{tool}`, ") };
        format!("{id}: beware: {what}{place}: {reason}: “{excerpt}”")
    }));
    lines
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}
