//! What idle sessions weigh, and what is left of them when they have closed.

use std::time::Duration;

use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    Fault,
    bench::{Bench, floor, upstream},
    caller::{Caller, Parked, Speech},
    machine, manifest,
    process::Process,
    rounds::number,
    table::{Aim, Pair, Row, shown},
};

/// Sessions opened or closed at once.
const AT_ONCE: usize = 16;
/// After opening, until memory is read.
const SETTLED: Duration = Duration::from_secs(2);

pub(super) async fn sse(bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    let counts: &[usize] = if bench.options.quick { &[1_000] } else { &[1_000, 5_000] };
    let mut rows = Vec::new();
    for count in counts.iter().copied() {
        let measured = compare(bench, "idle SSE session", Speech::Sse, count, Aim::AtMost(12.0)).await;
        rows.extend(
            measured.unwrap_or_else(|why| {
                vec![Row::missing(format!("idle SSE session, of {count}: KiB"), why.to_string())]
            }),
        );
    }
    Ok(rows)
}

pub(super) async fn streams(bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    compare(bench, "idle Streamable session with its GET stream", Speech::Session, 1_000, Aim::Open).await
}

/// A server's memory in KiB: before there were sessions, with them, and some time after they closed.
struct Weight {
    sessions: usize,
    before: f64,
    with: f64,
    after: f64,
}

async fn compare(bench: &mut Bench, figure: &str, speech: Speech, count: usize, aim: Aim) -> Result<Vec<Row>, Fault> {
    let wait = Duration::from_secs(if bench.options.quick { 5 } else { 30 });
    let server = upstream(&["mcp-http"]).await?;
    let api = upstream(&["api"]).await?;
    let floor = floor(&server).await?;
    // All come from one address.
    let settings = json!({ "limits": { "connectionsPerAddress": 16_000 } });
    let gateway = Process::start(bench.gateway_with(&[manifest::http(api.address, 0, 2)], &settings)?).await?;
    let [floor, subject] = weigh([&floor, &gateway], speech, count, wait).await?;

    let mut held = Row::new(format!("{figure}, of {count}: KiB"), Pair(Some(floor.each()), Some(subject.each())), aim);
    held.remark = format!(
        "before → with → {} s after closing, MiB: floor {}; switchboard {}",
        wait.as_secs(),
        floor.course(),
        subject.course()
    );
    held.memory = Pair(Some(floor.with / 1024.0), Some(subject.with / 1024.0));
    let left = Pair(Some(floor.left()), Some(subject.left()));
    let figure = format!("{figure}, of {count}: memory {} s after they closed, × before", wait.as_secs());
    Ok(vec![held, Row { ratio: None, ..Row::new(figure, left, Aim::AtMost(2.0)) }])
}

async fn weigh(servers: [&Process; 2], speech: Speech, count: usize, wait: Duration) -> Result<[Weight; 2], Fault> {
    for server in servers {
        close(open(server, speech, AT_ONCE).await?).await?;
    }
    sleep(SETTLED).await;
    let mut weights =
        servers.map(|server| Weight { sessions: count, before: machine::memory(server.id), with: 0.0, after: 0.0 });
    let mut open_sessions = Vec::new();
    for server in servers {
        open_sessions.extend(open(server, speech, count).await?);
    }
    sleep(SETTLED).await;
    for (weight, server) in weights.iter_mut().zip(servers) {
        weight.with = machine::memory(server.id);
    }
    close(open_sessions).await?;
    sleep(wait).await;
    for (weight, server) in weights.iter_mut().zip(servers) {
        weight.after = machine::memory(server.id);
    }
    Ok(weights)
}

async fn open(server: &Process, speech: Speech, count: usize) -> Result<Vec<Parked>, Fault> {
    let (mut opening, mut open) = (JoinSet::new(), Vec::with_capacity(count));
    for number in 0..count {
        let address = server.address;
        opening.spawn(async move { Caller::open(address, speech, format!("idle-{number}")).await?.park().await });
        if opening.len() >= AT_ONCE
            && let Some(opened) = opening.join_next().await
        {
            open.push(opened?.map_err(|miss| miss.to_string())?);
        }
    }
    while let Some(opened) = opening.join_next().await {
        open.push(opened?.map_err(|miss| miss.to_string())?);
    }
    Ok(open)
}

async fn close(sessions: Vec<Parked>) -> Result<(), Fault> {
    let mut closing = JoinSet::new();
    for session in sessions {
        closing.spawn(session.close());
        if closing.len() >= AT_ONCE
            && let Some(closed) = closing.join_next().await
        {
            closed?.map_err(|miss| miss.to_string())?;
        }
    }
    while let Some(closed) = closing.join_next().await {
        closed?.map_err(|miss| miss.to_string())?;
    }
    Ok(())
}

impl Weight {
    fn each(&self) -> f64 {
        (self.with - self.before) / number(self.sessions)
    }

    fn left(&self) -> f64 {
        self.after / self.before
    }

    fn course(&self) -> String {
        [self.before, self.with, self.after].map(|kib| shown(Some(kib / 1024.0))).join(" → ")
    }
}
