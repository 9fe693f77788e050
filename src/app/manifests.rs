//! Manifests on disk: read at start, read again when they change.

use std::time::SystemTime;
use std::{
    collections::BTreeSet,
    fs,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify_debouncer_full::{DebounceEventResult, DebouncedEvent, new_debouncer, notify::RecursiveMode};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::SignalStream};

use serde_json::json;

use super::pages;
use crate::audit::{Act, Deed};
use crate::catalog::{List, ShownPages};
use crate::error::Problem;
use crate::gateway::pins::is_lock;
use crate::gateway::{Connector, Gateway, Live, State};
use crate::manifest::{BuiltIn, Checked, Manifests};
use crate::name::ConnectorId;
use crate::widget::Pages;

/// The largest manifest, in bytes.
const LARGEST: u64 = 16 << 20;
/// An editor's several writes are one change.
pub(super) const SETTLE: Duration = Duration::from_millis(300);

/// Where everything a person writes stands.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    /// The folder of manifests, or one manifest.
    pub(super) manifests: PathBuf,
    /// The folder of pages.
    pub(super) bundle: Option<PathBuf>,
    /// Where clients find us.
    pub(super) base: Option<String>,
    /// Whether that is the address the world knows.
    pub(super) is_public: bool,
    /// What there are reasons for beside what anybody wrote.
    pub(super) built_in: BuiltIn,
}

impl Sources {
    /// Reads it all. What is broken now stays as it was `before`.
    /// `add` puts beside it what stands in no file.
    pub(super) fn read<'a>(
        &self,
        before: impl IntoIterator<Item = &'a Checked>,
        add: impl FnOnce(&mut Manifests),
    ) -> Result<(Manifests, Pages), Problem> {
        let mut manifests = read(&self.manifests)?;
        add(&mut manifests);
        manifests.keep_last_good(before);
        let manifests = manifests.with_built_in(self.built_in);
        let pages = pages::read(self.bundle.as_deref(), &manifests)?;
        let pages = Pages { base: self.base.clone(), is_public: self.is_public, ..pages };
        Ok((manifests, pages))
    }

    /// The stamp of now. To be taken before reading, so that no change falls between the two.
    pub(super) fn stamp(&self) -> Stamp {
        let of = |file: PathBuf| {
            let metadata = fs::metadata(&file).ok();
            let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
            (file, metadata.as_ref().map_or(0, fs::Metadata::len), modified)
        };
        let bundle = self.bundle.as_ref().and_then(|folder| pages::bundle_files(folder).ok());
        let files = list(&self.manifests).unwrap_or_default().into_iter().chain(bundle.unwrap_or_default());
        let mut stamp: Stamp = files.map(of).collect();
        stamp.sort();
        stamp
    }

    /// The folders a change may happen in, and whether it may in those below. `beside` are the files beside manifests.
    fn folders<'a>(&'a self, beside: &'a [PathBuf]) -> impl Iterator<Item = (&'a Path, RecursiveMode)> {
        let folder = |path: &'a Path| {
            if path.is_dir() {
                return path;
            }
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
        };
        // What is not there yet is looked for again with the next change.
        let beside = beside.iter().filter_map(|file| file.parent()).filter(|folder| folder.is_dir());
        let single = std::iter::once(folder(&self.manifests)).chain(beside);
        let bundle = self.bundle.iter().map(|bundle| (bundle.as_path(), RecursiveMode::Recursive));
        single.map(|folder| (folder, RecursiveMode::NonRecursive)).chain(bundle)
    }
}

/// Reads a folder of manifests, or one manifest.
pub(crate) fn read(path: &Path) -> Result<Manifests, Problem> {
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

/// Reads manifests and pages again whenever they change or SIGHUP comes, for as long as it is polled.
/// `read` is the stamp of what was read already.
pub(super) async fn follow(sources: Sources, gateway: Arc<Gateway>, read: Stamp, mut hangups: Option<SignalStream>) {
    let (notify, mut notices) = mpsc::channel::<()>(1);
    // When one notice waits already, it covers this change too.
    let notice = move |events: DebounceEventResult| {
        // What tools are pinned to changes no manifest.
        let concerns = |event: &DebouncedEvent| {
            !event.kind.is_access() && (event.paths.is_empty() || !event.paths.iter().all(|path| is_lock(path)))
        };
        if events.is_ok_and(|events| events.iter().any(concerns)) {
            let _ = notify.try_send(());
        }
    };
    let unwatched = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, "manifests and pages are not watched; send SIGHUP after a change");
    };
    let mut watcher = new_debouncer(SETTLE, None, notice).inspect_err(|error| unwatched(error)).ok();
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    // What changed between the first reading and the watch would never be noticed.
    let mut changed_before = None;
    let mut snapshots = gateway.watch();
    loop {
        let live = Arc::clone(&snapshots.borrow_and_update());
        let theirs = live.connectors.values().flat_map(|connector| connector.files());
        let beside: Vec<PathBuf> = live.pages().beside.keys().cloned().chain(theirs).collect();
        for (folder, mode) in sources.folders(&beside) {
            if let Some(watcher) = watcher.as_mut().filter(|_| seen.insert(folder.to_owned()))
                && let Err(error) = watcher.watch(folder, mode)
            {
                unwatched(&error);
            }
        }
        for connector in live.connectors.values() {
            connector.look_again();
        }
        let changed_before = changed_before.get_or_insert_with(|| sources.stamp() != read);
        if !std::mem::take(changed_before) {
            tokio::select! {
                Some(()) = notices.recv() => {}
                () = gateway.registry().changed() => {}
                Some(()) = next(&mut hangups) => {}
                // What connectors learned may have come from other files.
                Ok(()) = snapshots.changed() => continue,
            }
        }
        read_again(&sources, &gateway).await;
    }
}

/// Reads everything again. Reading and compiling schemas would hold up calls, so it is done beside them.
pub(super) async fn read_again(sources: &Sources, gateway: &Arc<Gateway>) {
    let (sources, gateway) = (sources.clone(), Arc::clone(gateway));
    let _ = tokio::task::spawn_blocking(move || reload(&sources, &gateway)).await;
}

/// Each SIGHUP, for those who read something again. A closed terminal hangs up too, and then we have to end.
#[derive(Debug)]
pub struct Hangups {
    pub(super) settings: Option<SignalStream>,
    pub(super) manifests: Option<SignalStream>,
}

impl Hangups {
    /// Those from here on: the signal ends us no more, and whoever reads hears of it once they listen. To be asked for
    /// where a runtime is.
    pub fn from_here() -> Self {
        let hangups = || (!io::stderr().is_terminal()).then(|| signal(SignalKind::hangup()).ok()).flatten();
        Self { settings: hangups().map(SignalStream::new), manifests: hangups().map(SignalStream::new) }
    }
}

/// Waits for the next SIGHUP; at once nothing where none is looked for.
pub(super) async fn next(hangups: &mut Option<SignalStream>) -> Option<()> {
    hangups.as_mut()?.next().await
}

fn reload(sources: &Sources, gateway: &Gateway) {
    let before = gateway.live();
    // On a thread that may wait.
    let wait = tokio::runtime::Handle::current();
    let add = |manifests: &mut Manifests| wait.block_on(gateway.registry().read_into(manifests));
    let (manifests, pages) = match sources.read(before.connectors.values().map(|connector| &connector.checked), add) {
        Ok(read) => read,
        Err(problem) => return tracing::error!("manifests and pages stay as they are: {problem}"),
    };
    let next = ShownPages::new(&manifests.connectors, &pages);
    wait.block_on(gateway.keep_next(&next, &pages.bundle));
    let (before, live) = gateway.load(manifests, pages, next);
    record(gateway, &before, &live);
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

/// Records which connectors are new, gone or others than before.
fn record(gateway: &Gateway, before: &Live, now: &Live) {
    let made_anew = |(id, connector): &(&ConnectorId, &Arc<Connector>)| {
        before.connectors.get(*id).is_some_and(|was| !Arc::ptr_eq(was, connector))
    };
    let changed: Vec<&ConnectorId> = now.connectors.iter().filter(made_anew).map(|(id, _)| id).collect();
    let added: Vec<&ConnectorId> = now.connectors.keys().filter(|id| !before.connectors.contains_key(*id)).collect();
    let removed: Vec<&ConnectorId> = before.connectors.keys().filter(|id| !now.connectors.contains_key(*id)).collect();
    if changed.is_empty() && added.is_empty() && removed.is_empty() {
        return;
    }
    let details = json!({ "added": added, "changed": changed, "removed": removed });
    let on = format!("{} connectors", now.connectors.len());
    gateway.audit().act(Act { details: Some(details), ..Act::local(Deed::ManifestsReload, on) });
}
