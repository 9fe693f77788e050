//! One run of a program, from start to the death of its last child.

use std::os::unix::process::ExitStatusExt as _;
use std::{path::Path, process::Stdio, time::Duration};

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::ChildStdin;
use tokio_util::sync::CancellationToken;

use super::super::process::{self, Group, Reaped, Tail};
use crate::call::{Downstream, Notice, Step};
use crate::error::{Error, ErrorKind, Result};

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
    pub(super) stdin: Option<Bytes>,
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
pub(super) async fn run(program: Program<'_>, downstream: &Downstream) -> Result<Ended> {
    let failed = |error| Error::new(ErrorKind::Unreachable, "the program could not be started").because(error);
    let mut command = process::command(program.path, program.max_memory).map_err(failed)?;
    command.args(&program.args).current_dir(program.cwd).envs(program.env.iter().copied());
    command.stdin(if program.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (group, mut child) = (Group::led_by(child.id()), Reaped::new(child));
    let (mut out, tail) = (Vec::new(), Tail::default());
    let exited = CancellationToken::new();
    let waited = async {
        let status = child.wait().await;
        group.kill();
        exited.cancel();
        status
    };
    let read = async {
        let lines = async {
            let truncated = read_lines(stdout, program.max_output, downstream, &mut out).await;
            if matches!(truncated, Ok(true)) {
                group.kill();
            }
            truncated
        };
        let all = async { tokio::join!(lines, tail.read(stderr), write(stdin, program.stdin)).0 };
        tokio::select! {
            truncated = all => truncated,
            () = async { exited.cancelled().await; tokio::time::sleep(LINGER).await } => Ok(false),
        }
    };
    let (status, truncated) = tokio::join!(waited, read);
    let broken = |error| Error::new(ErrorKind::Unreachable, "the program's output could not be read").because(error);
    let (status, truncated) = (status.map_err(broken)?, truncated.map_err(broken)?);
    out.truncate(program.max_output);
    Ok(Ended { code: status.code(), signal: status.signal(), stdout: out, stderr: tail.text(), truncated })
}

/// Reads standard output up to `limit`, each line reported as it comes; says whether there was more.
async fn read_lines(
    stdout: Option<impl AsyncRead + Unpin>,
    limit: usize,
    downstream: &Downstream,
    out: &mut Vec<u8>,
) -> std::io::Result<bool> {
    let Some(stdout) = stdout else { return Ok(false) };
    let mut reader = BufReader::new(stdout.take(limit as u64 + 1));
    let mut lines = 0_u32;
    loop {
        let start = out.len();
        if reader.read_until(b'\n', out).await? == 0 {
            return Ok(out.len() > limit);
        }
        lines += 1;
        if downstream.wants_progress {
            let line = String::from_utf8_lossy(out.get(start..).unwrap_or_default());
            let message = line.trim_end().chars().take(LONGEST_PROGRESS).collect();
            let step = Step { progress: f64::from(lines), total: None, message: Some(message) };
            downstream.tell(Notice::Progress(step));
        }
    }
}

/// A program that closes its input early does not care for the rest.
async fn write(stdin: Option<ChildStdin>, text: Option<Bytes>) {
    if let (Some(mut stdin), Some(text)) = (stdin, text) {
        let _ = stdin.write_all(&text).await;
    }
}
