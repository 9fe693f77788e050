//! Manifests on disk: read at start, read again when they change.

use std::time::SystemTime;
use std::{
    fs,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify_debouncer_full::{DebounceEventResult, new_debouncer, notify::RecursiveMode};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::SignalStream};

use crate::catalog::List;
use crate::error::Problem;
use crate::gateway::{Gateway, State};
use crate::manifest::Manifests;

/// The largest manifest, in bytes.
const LARGEST: u64 = 16 << 20;
/// An editor's several writes are one change.
const SETTLE: Duration = Duration::from_millis(300);

/// Reads a folder of manifests, or one manifest.
pub(super) fn read(path: &Path) -> Result<Manifests, Problem> {
    let unreadable = |error: io::Error| {
        let advice = "give --manifests (CONNECTORS_MANIFEST_PATH) a folder of manifests or one manifest";
        Problem::in_file(path, format!("cannot be read: {error}; {advice}"))
    };
    let mut files = Vec::new();
    let mut problems = Vec::new();
    for file in list(path).map_err(unreadable)? {
        match read_file(&file) {
            Ok(text) => files.push((file, text)),
            Err(error) => problems.push(Problem::in_file(file, format!("cannot be read: {error}"))),
        }
    }
    let mut manifests = Manifests::read(files);
    manifests.problems.extend(problems);
    Ok(manifests)
}

fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let files = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
    let files: Vec<PathBuf> = files.collect::<io::Result<_>>()?;
    Ok(files.into_iter().filter(|file| is_manifest(file)).collect())
}

fn is_manifest(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    !name.starts_with('.') && name != "schema.json" && matches!(ending, "json" | "yaml" | "yml")
}

fn read_file(file: &Path) -> io::Result<String> {
    let size = fs::metadata(file)?.len();
    if size > LARGEST {
        return Err(io::Error::other(format!("it has {size} bytes, {LARGEST} at most")));
    }
    fs::read_to_string(file)
}

/// What a change would change: the files with their sizes and times.
pub(super) type Stamp = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// The stamp of now. To be taken before reading, so that no change falls between the two.
pub(super) fn stamp(path: &Path) -> Stamp {
    let of = |file: PathBuf| {
        let metadata = fs::metadata(&file).ok();
        (file, metadata.as_ref().map_or(0, fs::Metadata::len), metadata.and_then(|metadata| metadata.modified().ok()))
    };
    let mut stamp: Stamp = list(path).unwrap_or_default().into_iter().map(of).collect();
    stamp.sort();
    stamp
}

/// Reads the manifests again whenever they change or SIGHUP comes, for as long as it is polled.
/// `read` is the stamp of what was read already.
pub(super) async fn follow(path: PathBuf, gateway: Arc<Gateway>, read: Stamp) {
    let (notify, mut notices) = mpsc::channel::<()>(1);
    // When one notice waits already, it covers this change too.
    let notice = move |events: DebounceEventResult| {
        if events.is_ok_and(|events| events.iter().any(|event| !event.kind.is_access())) {
            let _ = notify.try_send(());
        }
    };
    let watched = new_debouncer(SETTLE, None, notice).and_then(|mut watcher| {
        let folder = if path.is_dir() {
            path.as_path()
        } else {
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
        };
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    let _watcher = watched
        .inspect_err(|error| tracing::warn!(%error, "manifests are not watched; send SIGHUP after a change"))
        .ok();
    // A closed terminal hangs up too, and then we have to end.
    let hangups = (!io::stderr().is_terminal()).then(|| signal(SignalKind::hangup()).ok()).flatten();
    let mut hangups = hangups.map(SignalStream::new);
    // What changed between the first reading and the watch would never be noticed.
    let mut changed_before = stamp(&path) != read;
    loop {
        if !std::mem::take(&mut changed_before) {
            tokio::select! {
                Some(()) = notices.recv() => {}
                Some(()) = next(&mut hangups) => {}
                else => return,
            }
        }
        let (path, gateway) = (path.clone(), Arc::clone(&gateway));
        // Reading and compiling schemas would hold up calls.
        let _ = tokio::task::spawn_blocking(move || reload(&path, &gateway)).await;
    }
}

async fn next(hangups: &mut Option<SignalStream>) -> Option<()> {
    hangups.as_mut()?.next().await
}

fn reload(path: &Path, gateway: &Gateway) {
    let mut manifests = match read(path) {
        Ok(manifests) => manifests,
        Err(problem) => return tracing::error!("manifests stay as they are: {problem}"),
    };
    let before = gateway.live();
    manifests.keep_last_good(before.connectors.values().map(|connector| &connector.checked));
    let (before, live) = gateway.load(manifests);
    for problem in live.problems.iter().filter(|problem| !before.problems.contains(problem)) {
        if problem.is_error() {
            tracing::error!("{problem}");
        } else {
            tracing::warn!("{problem}");
        }
    }
    for (id, connector) in &live.connectors {
        let was = before.connectors.get(id).map(|connector| connector.state());
        let now = connector.state();
        if let State::Unavailable(reason) = &now
            && was.as_ref() != Some(&now)
        {
            tracing::warn!("the connector {id} is unavailable: {reason}");
        }
    }
    if !live.lists_the_same(&before, List::Tools) {
        tracing::info!(tools = live.catalog.entries().len(), "the tools changed");
    }
}
