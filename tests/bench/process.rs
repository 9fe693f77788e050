//! Child processes that serve: upstreams, the floor, the gateway.

use std::{
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    task::JoinSet,
    time::timeout,
};

use crate::Fault;

/// How long a server may take to say where it listens; valgrind needs some of it.
const STARTED: Duration = Duration::from_mins(1);

/// What a process wrote to standard error, less what only informs.
type Said = Arc<Mutex<Vec<String>>>;

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: u32,
    pub(crate) address: SocketAddr,
    child: Child,
    said: Said,
    reader: JoinSet<()>,
}

/// This program in another of its modes.
pub(crate) fn ourselves(arguments: &[&str]) -> Result<Command, Fault> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

/// The gateway with these manifests and no settings of the user.
pub(crate) fn gateway(binary: &Path, manifests: &Path) -> Command {
    let mut command = Command::new(binary);
    command.args(["serve", "--port", "0", "--manifests"]).arg(manifests).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

impl Process {
    /// Starts a server and waits until it says where it listens.
    pub(crate) async fn start(mut command: Command) -> Result<Self, Fault> {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        let (Some(id), Some(stderr)) = (child.id(), child.stderr.take()) else { return Err("it ended at once".into()) };
        let mut lines = BufReader::new(stderr).lines();
        let said = Said::default();
        let address = timeout(STARTED, address(&mut lines, &said))
            .await
            .map_err(|_| "it does not say where it listens")?
            .ok_or_else(|| format!("it did not start: {}", last(&said)))?;
        let mut reader = JoinSet::new();
        let keep = Arc::clone(&said);
        reader.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                note(&keep, line);
            }
        });
        Ok(Self { id, address, child, said, reader })
    }

    /// What it complained about first, if anything.
    pub(crate) fn complaint(&self) -> Option<String> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        // Valgrind marks its own lines so.
        said.iter().find(|line| !line.starts_with("==")).cloned()
    }

    /// Ends it at once.
    pub(crate) async fn kill(mut self) {
        let _ = self.child.kill().await;
    }

    /// Asks it to stop as Ctrl-C does, and gives the last lines it wrote.
    pub(crate) async fn interrupt(mut self) -> Result<Vec<String>, Fault> {
        drop(self.child.stdin.take());
        let process = i32::try_from(self.id).ok().and_then(rustix::process::Pid::from_raw).ok_or("it has no id")?;
        let _ = rustix::process::kill_process(process, rustix::process::Signal::INT);
        timeout(STARTED, self.child.wait()).await??;
        while self.reader.join_next().await.is_some() {}
        Ok(self.said.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

async fn address(lines: &mut Lines<BufReader<ChildStderr>>, said: &Said) -> Option<SocketAddr> {
    while let Ok(Some(line)) = lines.next_line().await {
        match line.split_once("listening on http://") {
            Some((_, address)) => return address.split('/').next()?.parse().ok(),
            None => note(said, line),
        }
    }
    None
}

fn note(said: &Said, line: String) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    let informs = line.contains(" INFO ") || line.contains(" tools of ") || line.trim().is_empty();
    if !informs && said.len() < 200 {
        said.push(line);
    }
}

fn last(said: &Said) -> String {
    said.lock().unwrap_or_else(PoisonError::into_inner).last().cloned().unwrap_or_default()
}
