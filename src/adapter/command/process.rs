//! One run of a program, from start to the death of its last child.

use std::os::unix::process::ExitStatusExt as _;
use std::{
    collections::HashMap,
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio_util::sync::CancellationToken;

use super::super::launch::{LAUNCH, launcher};
use crate::call::Progress;
use crate::error::{Error, ErrorKind, Result};

/// How much of a program's last words is shown, in bytes. Twice as much is kept, so that a secret
/// is found whole before the rest is cut.
pub(super) const TAIL: usize = 4096;
/// What a program left behind may hold its output open; it is not waited for longer than this.
const LINGER: Duration = Duration::from_millis(500);
/// A line of progress is cut here.
const LONGEST_PROGRESS: usize = 500;

/// What to run.
pub(super) struct Program<'a> {
    pub(super) path: &'a Path,
    pub(super) args: Vec<String>,
    pub(super) cwd: &'a Path,
    pub(super) env: Vec<(&'a str, &'a str)>,
    pub(super) stdin: Option<String>,
    pub(super) max_memory: u64,
    pub(super) max_output: usize,
}

/// How it ended.
pub(super) struct Ended {
    /// The exit code; none when a signal ended it.
    pub(super) code: Option<i32>,
    /// The signal that ended it.
    pub(super) signal: Option<i32>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
    /// Whether it was stopped because it wrote more than its cap.
    pub(super) truncated: bool,
}

/// Runs a program to its end. Dropping the future kills it and its children.
pub(super) async fn run(program: Program<'_>, progress: &Progress) -> Result<Ended> {
    let failed = |error| Error::new(ErrorKind::Unreachable, "the program could not be started").because(error);
    let mut command = Command::new(launcher().map_err(failed)?);
    command.arg(LAUNCH).arg(program.max_memory.to_string()).arg(program.path).args(&program.args);
    command.current_dir(program.cwd).env_clear().envs(program.env.iter().copied());
    command.stdin(if program.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let group = Group::led_by(child.id());

    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut out, mut tail) = (Vec::new(), Vec::new());
    let exited = CancellationToken::new();
    let waited = async {
        let status = child.wait().await;
        group.kill();
        exited.cancel();
        status
    };
    let read = async {
        let lines = async {
            let truncated = read_lines(stdout, program.max_output, progress, &mut out).await;
            if matches!(truncated, Ok(true)) {
                group.kill();
            }
            truncated
        };
        let all = async { tokio::join!(lines, read_tail(stderr, &mut tail), write(stdin, program.stdin)).0 };
        tokio::select! {
            truncated = all => truncated,
            () = async { exited.cancelled().await; tokio::time::sleep(LINGER).await } => Ok(false),
        }
    };
    let (status, truncated) = tokio::join!(waited, read);
    let broken = |error| Error::new(ErrorKind::Unreachable, "the program's output could not be read").because(error);
    let (status, truncated) = (status.map_err(broken)?, truncated.map_err(broken)?);
    out.truncate(program.max_output);
    let stderr = String::from_utf8_lossy(&tail).into_owned();
    Ok(Ended { code: status.code(), signal: status.signal(), stdout: out, stderr, truncated })
}

/// Reads standard output up to `limit`, each line reported as it comes; says whether there was more.
async fn read_lines(
    stdout: Option<impl AsyncRead + Unpin>,
    limit: usize,
    progress: &Progress,
    out: &mut Vec<u8>,
) -> std::io::Result<bool> {
    let Some(stdout) = stdout else { return Ok(false) };
    let mut reader = BufReader::new(stdout.take(limit as u64 + 1));
    let mut lines = 0;
    loop {
        let start = out.len();
        if reader.read_until(b'\n', out).await? == 0 {
            return Ok(out.len() > limit);
        }
        lines += 1;
        if progress.is_wanted() {
            let line = String::from_utf8_lossy(out.get(start..).unwrap_or_default());
            progress.report(lines, line.trim_end().chars().take(LONGEST_PROGRESS).collect());
        }
    }
}

/// Reads the end of standard error. Read errors end it: it only explains.
async fn read_tail(stderr: Option<impl AsyncRead + Unpin>, tail: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        tail.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if tail.len() > 2 * TAIL {
            tail.drain(..tail.len() - 2 * TAIL);
        }
    }
}

/// A program that closes its input early does not care for the rest.
async fn write(stdin: Option<ChildStdin>, text: Option<String>) {
    if let (Some(mut stdin), Some(text)) = (stdin, text) {
        let _ = stdin.write_all(text.as_bytes()).await;
    }
}

/// A process group, killed whole when dropped.
struct Group(AtomicU32);

impl Group {
    fn led_by(pid: Option<u32>) -> Self {
        Self(AtomicU32::new(pid.unwrap_or(0)))
    }

    /// Kills it once; afterwards its number may belong to somebody else.
    fn kill(&self) {
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
