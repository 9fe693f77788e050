//! An MCP server that is a program of ours: one JSON message a line, on its input and output.

use std::os::unix::process::ExitStatusExt as _;
use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::channel::{Answer, Channel, Failure, Frame, Outgoing, Pending};
use super::inbox::Inbox;
use crate::adapter::Secrets;
use crate::adapter::process::{self, Group, Tail};
use crate::credential::Credential;
use crate::error::{Error, ErrorKind};
use crate::upstream::Limit;

/// Messages waiting to be written.
const QUEUE: usize = 64;
/// What of an overlong line is kept at either end, to find out what it answers.
const ENDS: usize = 4096;
/// How long a program may take to end by itself, and again after a polite signal.
const GOODBYE: Duration = Duration::from_secs(2);
/// What a program left behind may hold its standard error open this long.
const LINGER: Duration = Duration::from_millis(100);
const CHUNK: usize = 64 << 10;

/// How a program is started.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) cwd: PathBuf,
    pub(super) env: Vec<(String, String)>,
    /// The longest line to take.
    pub(super) longest_line: Limit,
}

/// A running program.
#[derive(Debug)]
pub(super) struct Pipes {
    shared: Arc<Shared>,
    input: mpsc::Sender<String>,
    hang_up: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    pending: Pending,
    group: Group,
    tail: Tail,
    /// The last line that was no message, which may explain an early end.
    garbage: Mutex<Option<String>>,
    credential: Credential,
    /// Fires when its output is at its end.
    silent: CancellationToken,
    /// Fires when it is gone.
    closed: CancellationToken,
    why: Mutex<Option<String>>,
}

impl Pipes {
    /// Starts the program. `closed` fires when it is gone.
    pub(super) fn start(
        program: &Program,
        credential: Credential,
        inbox: Arc<Inbox>,
        closed: CancellationToken,
    ) -> Result<Self, Error> {
        let failed = |error| Error::new(ErrorKind::Unreachable, "the program could not be started").because(error);
        let mut command = process::command(&program.path, 0).map_err(failed)?;
        command.args(&program.args).current_dir(&program.cwd).envs(program.env.iter().cloned());
        command.envs(credential.env.iter().map(|(name, value)| (name, value.expose_secret())));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let shared = Arc::new(Shared {
            pending: Pending::default(),
            group: Group::led_by(child.id()),
            tail: Tail::default(),
            garbage: Mutex::default(),
            credential,
            silent: CancellationToken::new(),
            closed,
            why: Mutex::default(),
        });
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (input, messages) = mpsc::channel(QUEUE);
        let (readers, hang_up) = (TaskTracker::new(), CancellationToken::new());
        readers.spawn({
            let shared = Arc::clone(&shared);
            async move { shared.tail.read(stderr).await }
        });
        readers.spawn({
            let (shared, longest) = (Arc::clone(&shared), program.longest_line);
            async move {
                shared.read(stdout, longest, &inbox).await;
                shared.silent.cancel();
            }
        });
        readers.close();
        // These end when the program does, which the last of them sees to.
        let tasks = TaskTracker::new();
        tasks.spawn(write(stdin, messages, hang_up.clone()));
        tasks.spawn(Arc::clone(&shared).keep(child, readers, hang_up.clone()));
        Ok(Self { shared, input, hang_up })
    }
}

#[async_trait]
impl Channel for Pipes {
    async fn request(&self, outgoing: Outgoing<'_>) -> Result<Answer, Failure> {
        if self.shared.closed.is_cancelled() {
            return Err(Failure::NotSent(self.shared.gone()));
        }
        let waiting = self.shared.pending.wait(outgoing.id);
        let sent = self.input.send(outgoing.text).await;
        sent.map_err(|_| Failure::NotSent(self.shared.gone()))?;
        tokio::select! {
            biased;
            answer = waiting.answer() => answer,
            () = self.shared.closed.cancelled() => Err(Failure::Broken(self.shared.gone())),
        }
    }

    async fn send(&self, text: String) -> Result<(), Failure> {
        self.input.send(text).await.map_err(|_| Failure::NotSent(self.shared.gone()))
    }

    fn why(&self) -> Error {
        self.shared.gone()
    }

    /// Closes its input, then asks it to end, then ends it.
    async fn close(&self) {
        self.hang_up.cancel();
        self.shared.closed.cancelled().await;
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        self.hang_up.cancel();
        self.shared.group.kill();
    }
}

impl Shared {
    /// Waits for the end, and sees to it that nothing is left then: no process, nobody waiting.
    async fn keep(self: Arc<Self>, mut child: Child, readers: TaskTracker, hang_up: CancellationToken) {
        let status = tokio::select! {
            status = child.wait() => status.ok(),
            () = self.silent.cancelled() => {
                tokio::time::timeout(LINGER, child.wait()).await.ok().and_then(Result::ok)
            }
            () = hang_up.cancelled() => {
                if tokio::time::timeout(GOODBYE, child.wait()).await.is_err() {
                    self.group.terminate();
                    let _ = tokio::time::timeout(GOODBYE, child.wait()).await;
                }
                None
            }
        };
        // Its last words may still be in the pipes.
        let _ = tokio::time::timeout(LINGER, readers.wait()).await;
        let why = match status.map(|status| (status.code(), status.signal())) {
            Some((Some(code), _)) => format!("exit code {code}"),
            Some((None, signal)) => format!("killed by signal {}", signal.unwrap_or_default()),
            None if hang_up.is_cancelled() => "it was closed".into(),
            None => "it closed its output".into(),
        };
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.group.kill();
        self.closed.cancel();
        self.pending.fail(|| self.gone());
        let _ = child.wait().await;
    }

    fn gone(&self) -> Error {
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let garbage = self.garbage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let said = Secrets::of(&self.credential.env).hide(&self.tail.text());
        let said = process::cut(said.trim()).to_owned();
        let said = if said.is_empty() { garbage.unwrap_or_default() } else { said };
        let why = why.unwrap_or_else(|| "it is gone".into());
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Error::new(ErrorKind::Unreachable, format!("the program behind it ended ({why}){said}"))
    }

    async fn read(&self, stdout: Option<impl AsyncRead + Unpin>, longest: Limit, inbox: &Arc<Inbox>) {
        let Some(stdout) = stdout else { return };
        let mut lines = Lines { input: stdout, buffer: BytesMut::new(), searched: 0 };
        loop {
            match lines.next(longest.bytes).await {
                None => return,
                Some(Line::Whole(line)) => self.receive(&line, inbox),
                Some(Line::TooLong(ends)) => self.overlong(&ends, longest),
            }
        }
    }

    fn receive(&self, line: &Bytes, inbox: &Arc<Inbox>) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let Some(frame) = Frame::parse(line) else {
            let start = line.get(..line.len().min(300)).unwrap_or_default();
            let garbage = Secrets::of(&self.credential.env).hide(&String::from_utf8_lossy(start));
            *self.garbage.lock().unwrap_or_else(PoisonError::into_inner) = Some(garbage);
            return;
        };
        match frame.answers() {
            Some(id) => self.pending.settle(id, Ok(frame.answer(line))),
            None => inbox.receive(&frame, None),
        }
    }

    /// An answer larger than the cap fails its request, when it can be told which that is.
    fn overlong(&self, ends: &[u8], longest: Limit) {
        let id = find_id(&String::from_utf8_lossy(ends)).or_else(|| self.pending.only());
        if let Some(id) = id {
            self.pending.settle(id, Err(Failure::Exchange(longest.exceeded("the upstream's answer"))));
        }
    }
}

/// The id of a message of which only the ends are known.
fn find_id(ends: &str) -> Option<u64> {
    let at = |position: usize| -> Option<u64> {
        let rest = ends.get(position + "\"id\":".len()..)?.trim_start();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    // Standing at the start or at the end of a message, not inside its result.
    let head = ends.find("\"id\":").filter(|position| *position < 64);
    head.and_then(at).or_else(|| ends.rfind("\"id\":").filter(|position| ends.len() - position < 32).and_then(at))
}

async fn write(stdin: Option<ChildStdin>, mut messages: mpsc::Receiver<String>, hang_up: CancellationToken) {
    let Some(mut stdin) = stdin else { return };
    let pass_on = async {
        while let Some(mut message) = messages.recv().await {
            message.push('\n');
            if stdin.write_all(message.as_bytes()).await.is_err() || stdin.flush().await.is_err() {
                return;
            }
        }
    };
    hang_up.run_until_cancelled(pass_on).await;
}

/// A line, or the ends of one that is longer than allowed.
enum Line {
    Whole(Bytes),
    TooLong(Vec<u8>),
}

struct Lines<R> {
    input: R,
    buffer: BytesMut,
    searched: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    async fn next(&mut self, longest: usize) -> Option<Line> {
        let mut head: Option<Vec<u8>> = None;
        loop {
            let fresh = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + end + 1);
                self.searched = 0;
                return Some(match head {
                    None => Line::Whole(line.freeze()),
                    Some(mut ends) => {
                        let tail = line.trim_ascii_end();
                        ends.extend_from_slice(tail.get(tail.len().saturating_sub(ENDS)..).unwrap_or_default());
                        Line::TooLong(ends)
                    }
                });
            }
            self.searched = self.buffer.len();
            if self.searched > longest {
                // The rest is read and forgotten, but for its end.
                head.get_or_insert_with(|| self.buffer.get(..ENDS).unwrap_or_default().to_vec());
                let end = self.buffer.split_off(self.searched - ENDS);
                self.buffer = BytesMut::from(end.as_ref());
                self.searched = self.buffer.len();
            }
            if self.buffer.capacity() - self.buffer.len() < CHUNK / 8 {
                self.buffer.reserve(CHUNK);
            }
            match self.input.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
        }
    }
}
