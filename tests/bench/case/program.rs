//! The program itself: its memory at rest and its size.

use std::{fs, time::Duration};

use tokio::{process::Command, time::sleep};

use crate::{
    Fault,
    bench::{Bench, floor, upstream},
    caller::{Ask, Speech},
    machine,
    process::{self, Process},
    slice::ready,
    table::{Aim, Pair, Row, shown},
};

/// After the first list, until memory is read.
const AT_REST: Duration = Duration::from_secs(3);

pub(super) async fn memory_at_rest(bench: &Bench) -> Result<Vec<Row>, Fault> {
    let server = upstream(&["mcp-http"]).await?;
    let floor = floor(&server).await?;
    let gateway = Process::start(process::gateway(&bench.options.binary(), &bench.options.bundled)).await?;
    for server in [&floor, &gateway] {
        ready(server, Speech::Stateless, Ask::List(0)).await?;
    }
    sleep(AT_REST).await;
    let memory = Pair(Some(machine::memory(floor.id) / 1024.0), Some(machine::memory(gateway.id) / 1024.0));
    Ok(vec![Row::new("memory at rest, the bundled manifests: MiB", memory, Aim::AtMost(15.0))])
}

pub(super) async fn size(bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    let (binary, stripped) = (bench.options.binary(), bench.scratch());
    let mebibytes = |file| {
        fs::metadata(file)
            .ok()
            .and_then(|data| u32::try_from(data.len()).ok())
            .map(|bytes| f64::from(bytes) / 1_048_576.0)
    };
    let mut row = Row::new("size of the program: MiB", Pair(None, mebibytes(&binary)), Aim::AtMost(25.0));
    if row.value.1.is_none() {
        return Err(format!("there is no {}", binary.display()).into());
    }
    row.remark = match Command::new("strip").arg("-o").arg(&stripped).arg(&binary).status().await {
        Ok(status) if status.success() => format!("{} stripped", shown(mebibytes(&stripped))),
        _ => "`strip` does not work here".to_owned(),
    };
    Ok(vec![row])
}
