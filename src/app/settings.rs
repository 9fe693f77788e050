//! The settings, read again while the server runs.

use std::{path::Path, sync::Arc};

use notify_debouncer_full::notify::{self, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::SignalStream;

use super::manifests::{SETTLE, next};
use crate::audit::{Act, Deed};
use crate::config::{Config, Layers};
use crate::error::Problem;
use crate::gateway::Gateway;
use crate::secret::Environment;

/// What reads settings again, and tells what they change.
#[derive(Debug)]
pub struct Following {
    /// What they are made of.
    pub layers: Layers,
    /// The settings by which we run.
    pub running: Config,
    /// Finds what is wrong with settings besides what is wrong with each; that is refused, too.
    pub judge: fn(&Config, &Environment) -> Vec<Problem>,
}

type Watcher = Debouncer<RecommendedWatcher, RecommendedCache>;

impl Following {
    /// Reads the settings again whenever their file changes or SIGHUP comes, for as long as it is polled.
    pub(super) async fn follow(mut self, gateway: Arc<Gateway>, mut hangups: Option<SignalStream>) {
        let Some(file) = self.layers.file.clone() else { return };
        let (notify, mut notices) = mpsc::channel::<()>(1);
        let unwatched = |error: &notify::Error| {
            tracing::warn!(%error, "the configuration file is not watched; send SIGHUP after a change");
        };
        // Kept, because it watches only while it is there.
        let _watcher = watch(&file, notify).inspect_err(unwatched).ok();
        // It may have changed since it was read; and what happens beside it in its folder is no change.
        let mut text = tokio::fs::read(&file).await.ok();
        let mut waiting = Vec::new();
        self.read_again(&gateway, &mut waiting).await;
        loop {
            tokio::select! {
                Some(()) = notices.recv() => {
                    let now = tokio::fs::read(&file).await.ok();
                    if now == text {
                        continue;
                    }
                    text = now;
                }
                Some(()) = next(&mut hangups) => {}
                else => return,
            }
            self.read_again(&gateway, &mut waiting).await;
        }
    }

    /// Reads the settings and does what they change, if nothing is wrong with them. `waiting` are the settings that
    /// take a restart, which are told once.
    async fn read_again(&mut self, gateway: &Gateway, waiting: &mut Vec<String>) {
        let (layers, judge) = (self.layers.clone(), self.judge);
        // Compiling a schema would hold up calls.
        let read = tokio::task::spawn_blocking(move || {
            let config = layers.load()?;
            let faults = judge(&config, &layers.environment);
            if faults.is_empty() { Ok(config) } else { Err(faults) }
        });
        let Ok(read) = read.await else { return };
        let config = match read {
            Ok(config) => config,
            Err(problems) => {
                for problem in &problems {
                    tracing::error!("{problem}");
                }
                let outcome = format!("problems: {}", problems.len());
                gateway.audit().act(Act { outcome, ..Act::local(Deed::ConfigReload, "settings") });
                return tracing::error!("the settings stay as they are: there are problems to mend");
            }
        };
        let level = config.log.level;
        let is_new = level != self.running.log.level;
        if is_new {
            gateway.telemetry().logs().set_level(level);
            self.running.log.level = level;
            tracing::info!("the settings were read again: log.level is {} now", json!(level));
        }
        let changed = self.running.differing(&config);
        if !changed.is_empty() && changed != *waiting {
            tracing::warn!("these settings changed and take a restart: {}", changed.join(", "));
        }
        if is_new || changed != *waiting {
            let now: &[&str] = if is_new { &["log.level"] } else { &[] };
            let details = Some(json!({ "changed": now, "takeRestart": changed }));
            gateway.audit().act(Act { details, ..Act::local(Deed::ConfigReload, "settings") });
        }
        *waiting = changed;
    }
}

/// Tells of changes in the file's folder: editors, and Kubernetes, put another file in its place.
fn watch(file: &Path, notify: mpsc::Sender<()>) -> notify::Result<Watcher> {
    // When one notice waits already, it covers this change too.
    let notice = move |events: DebounceEventResult| {
        if events.is_ok_and(|events| events.iter().any(|event| !event.kind.is_access())) {
            let _ = notify.try_send(());
        }
    };
    let mut watcher = new_debouncer(SETTLE, None, notice)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
