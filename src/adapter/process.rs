//! Programs of connectors: how one is started, and how it dies with all it started.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::launch::{LAUNCH, launcher};
use crate::secret::{Environment, Text};

/// How much of a program's last words is shown, in bytes. Twice as much is kept, so that a secret
/// is found whole before the rest is cut.
const TAIL: usize = 4096;

/// A program in a process group of its own, with no more than the environment it is given, which
/// dies with us. `max_memory` limits its address space, in bytes; 0 does not.
pub(super) fn command(path: &Path, max_memory: u64) -> io::Result<Command> {
    let mut command = Command::new(launcher()?);
    command.arg(LAUNCH).arg(max_memory.to_string()).arg(path);
    command.env_clear().process_group(0).kill_on_drop(true);
    Ok(command)
}

/// Where programs are looked for.
pub(super) fn search_path(environment: &Environment) -> &str {
    environment.get("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
}

/// A program by name or path; the reason when it is not there.
pub(super) fn find(program: &str, path: &str, folder: &Path) -> Result<PathBuf, String> {
    which::which_in(program, Some(path), folder).map_err(|_| format!("the program {program} was not found"))
}

/// The variables of a program: `PATH`, those of ours it may see, and its own.
pub(super) fn variables(
    own: &BTreeMap<String, Text>,
    inherited: &[String],
    environment: &Environment,
) -> Result<Vec<(String, String)>, String> {
    let mut variables = vec![("PATH".to_owned(), search_path(environment).to_owned())];
    for name in inherited {
        variables.extend(environment.get(name).map(|value| (name.clone(), value.to_owned())));
    }
    for (name, value) in own {
        variables.push((name.clone(), value.resolve(environment).map_err(|missing| missing.to_string())?));
    }
    Ok(variables)
}

/// The last words of a program.
#[derive(Debug, Default)]
pub(super) struct Tail(Mutex<Vec<u8>>);

impl Tail {
    /// Reads standard error to its end. Read errors end it: it only explains.
    pub(super) async fn read(&self, stderr: Option<impl AsyncRead + Unpin>) {
        let Some(mut stderr) = stderr else { return };
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
            let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            tail.extend_from_slice(chunk.get(..read).unwrap_or_default());
            if tail.len() > 2 * TAIL {
                let surplus = tail.len() - 2 * TAIL;
                tail.drain(..surplus);
            }
        }
    }

    /// What was read last, not yet cut to size.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// The last part of a text that may be long.
pub(super) fn cut(text: &str) -> &str {
    let start = text.len().saturating_sub(TAIL);
    (start..text.len()).find_map(|start| text.get(start..)).unwrap_or_default()
}

/// A program that is waited for also when this is dropped, by a task that ends with it. The runtime's own reaper misses one
/// that dies while it is handed over, until another ends.
#[derive(Debug)]
pub(super) struct Reaped(Option<Child>);

impl Reaped {
    pub(super) fn new(child: Child) -> Self {
        Self(Some(child))
    }

    /// Waits for its end.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        match &mut self.0 {
            Some(child) => child.wait().await,
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        if let (Some(mut child), Ok(runtime)) = (self.0.take(), Handle::try_current())
            && child.id().is_some()
        {
            runtime.spawn(async move { child.wait().await });
        }
    }
}

/// A process group, killed whole when dropped.
#[derive(Debug)]
pub(super) struct Group(AtomicU32);

impl Group {
    pub(super) fn led_by(pid: Option<u32>) -> Self {
        Self(AtomicU32::new(pid.unwrap_or(0)))
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        if let Some(leader) = pid(self.0.load(Ordering::Relaxed)) {
            let _ = kill_process_group(leader, Signal::TERM);
        }
    }

    /// Kills it once; afterwards its number may belong to somebody else.
    pub(super) fn kill(&self) {
        let leader = self.0.swap(0, Ordering::Relaxed);
        let runaways = descendants(leader);
        if let Some(leader) = pid(leader) {
            let _ = kill_process_group(leader, Signal::KILL);
        }
        for runaway in runaways.into_iter().filter_map(pid) {
            let _ = kill_process(runaway, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// The processes below `leader`, those that left its group included: the launcher has made it
/// the one that orphans fall to. Linux only; elsewhere there are no such numbers to read.
fn descendants(leader: u32) -> Vec<u32> {
    let parent_of = |process: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name before it is in parentheses and may hold anything.
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    if leader == 0 || parent_of(leader).is_none() {
        return Vec::new();
    }
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: HashMap<u32, u32> = numbers.filter_map(|process| Some((process, parent_of(process)?))).collect();
    let below = |process: &u32| {
        let ancestors = std::iter::successors(parents.get(process), |parent| parents.get(parent));
        ancestors.take(parents.len()).any(|ancestor| *ancestor == leader)
    };
    parents.keys().copied().filter(below).collect()
}
