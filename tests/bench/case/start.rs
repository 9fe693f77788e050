//! From the start of the program to its first answered `tools/list`.

use std::{net::SocketAddr, path::Path, time::Instant};

use tokio::{net::TcpListener, process::Command, task::JoinSet};

use crate::{
    Fault,
    bench::{Bench, upstream},
    caller::{Ask, Caller, Speech},
    manifest,
    process::{self, Process, ourselves},
    rounds::median,
    table::{Aim, Pair, Row},
};

const CONNECTORS: usize = 50;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    let api = upstream(&["api"]).await?;
    let silent = Silent::listen().await?;
    let http: Vec<_> = (1..=CONNECTORS).map(|number| manifest::http(api.address, number, 2)).collect();
    let mcp: Vec<_> = (1..=CONNECTORS).map(|number| manifest::mcp_http(silent.address, number, "auto")).collect();
    let folders = [
        ("50 manifests of http", bench.manifests(&http)?, 2 * CONNECTORS, Aim::AtMost(30.0)),
        ("50 manifests of mcp whose upstreams never answer", bench.manifests(&mcp)?, 0, Aim::AtMost(30.0)),
        ("the bundled manifests", bench.options.bundled.clone(), 0, Aim::Open),
    ];
    let mut rows = Vec::new();
    for (what, folder, tools, aim) in folders {
        let figure = format!("start to first tools/list, {what}: ms");
        let row = compare(bench, &figure, &folder, tools, aim).await;
        rows.push(row.unwrap_or_else(|why| Row::missing(figure, why.to_string())));
    }
    Ok(rows)
}

async fn compare(bench: &Bench, figure: &str, folder: &Path, tools: usize, aim: Aim) -> Result<Row, Fault> {
    let starts = if bench.options.quick { 5 } else { 15 };
    let server = upstream(&["mcp-http"]).await?;
    let target = server.address.to_string();
    let (mut floor, mut subject) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        floor.push(first_list(ourselves(&["__floor", &target])?, 2).await?);
        subject.push(first_list(process::gateway(&bench.options.binary(), folder), tools).await?);
    }
    Ok(Row::new(figure, Pair(median(floor), median(subject)), aim))
}

async fn first_list(command: Command, tools: usize) -> Result<f64, Fault> {
    let began = Instant::now();
    let server = Process::start(command).await?;
    let listed = async {
        Caller::open(server.address, Speech::Stateless, "first".to_owned()).await?.perform(Ask::List(tools)).await
    };
    let listed = listed.await;
    let took = began.elapsed();
    server.kill().await;
    listed.map_err(|miss| miss.to_string())?;
    Ok(took.as_secs_f64() * 1e3)
}

/// An upstream that takes connections and says nothing.
struct Silent {
    address: SocketAddr,
    _connections: JoinSet<()>,
}

impl Silent {
    async fn listen() -> Result<Self, Fault> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = Vec::new();
            while let Ok(connection) = listener.accept().await {
                connections.push(connection);
            }
        });
        Ok(Self { address, _connections: task })
    }
}
