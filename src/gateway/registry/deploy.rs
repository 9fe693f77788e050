//! Deployments: what was added is fetched, started, and found to run, or nothing of it is left behind.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::record::{DEPLOYMENTS, Drawer};
use super::{Deployment, Record, RegistryError, SOON, Stage, Turn, WAITING, file_of, key, prepare};
use crate::adapter::Phase;
use crate::error::Problem;
use crate::gateway::{Connector, Gateway, Live, State};
use crate::store::Expected;

/// Deployments at once, and of one tenant; the others wait.
const AT_ONCE: usize = 8;
const AT_ONCE_OF_TENANT: usize = 2;
/// How long fetching and starting may take together.
const LONGEST: Duration = Duration::from_mins(10);

/// Tools of a connector.
#[derive(Clone, Copy)]
struct Tools {
    /// Those that are served.
    served: usize,
    /// Those that nobody agreed to yet.
    withheld: usize,
}

/// How a deployment ended.
enum Ended {
    /// The connector runs, with so many tools.
    Running(Tools),
    /// It does not, for this reason.
    Failed(String),
    /// The server stops; it goes on with the next one.
    Later,
}

impl Gateway {
    /// Works off deployments until `stop`, those first that an earlier server left unfinished.
    pub(in crate::gateway) async fn deploy_all(self: Arc<Self>, stop: CancellationToken) {
        let waiting = self.registry.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(mut waiting), Ok(drawer)) = (waiting, self.registry.drawer.clone()) else { return };
        let unfinished = loop {
            if let Ok(all) = drawer.all::<Deployment>(DEPLOYMENTS).await {
                break all.into_iter().filter(|deployment| !deployment.stage.is_over());
            }
            let Some(()) = stop.run_until_cancelled(tokio::time::sleep(SOON)).await else { return };
        };
        let mut line: VecDeque<Turn> = unfinished.map(|it| (it.tenant, it.id)).collect();
        let mut tasks = JoinSet::new();
        let mut theirs: HashMap<String, usize> = HashMap::new();
        loop {
            // Nobody waits for another tenant's that take long.
            let may = |(tenant, _): &Turn| {
                tenant.as_ref().is_none_or(|tenant| theirs.get(tenant).is_none_or(|count| *count < AT_ONCE_OF_TENANT))
            };
            let next = line.iter().position(may).filter(|_| tasks.len() < AT_ONCE);
            if let Some((tenant, id)) = next.and_then(|at| line.remove(at)) {
                if let Some(tenant) = &tenant {
                    *theirs.entry(tenant.clone()).or_default() += 1;
                }
                let (gateway, drawer, stop) = (Arc::clone(&self), drawer.clone(), stop.clone());
                tasks.spawn(async move {
                    gateway.deploy(&drawer, &id, stop).await;
                    tenant
                });
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = tasks.join_next() => {
                    if let Ok(Some(tenant)) = ended && let Some(count) = theirs.get_mut(&tenant) {
                        *count = count.saturating_sub(1);
                    }
                }
                next = waiting.recv(), if line.len() < WAITING => {
                    let Some(next) = next else { break };
                    line.push_back(next);
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn deploy(&self, drawer: &Drawer, id: &str, stop: CancellationToken) {
        let found = drawer.get::<Deployment>(&format!("{DEPLOYMENTS}{id}")).await;
        let Ok(Some((mut deployment, _))) = found else { return };
        let removed = CancellationToken::new();
        self.under_way(|all| drop(all.insert(id.to_owned(), removed.clone())));
        let record = self.record_of(drawer, &deployment).await;
        let ended = match &record {
            None => Ended::Failed(REMOVED.into()),
            Some(record) => {
                let work = tokio::time::timeout(LONGEST, self.bring_up(drawer, record, &mut deployment));
                tokio::select! {
                    brought = work => match brought {
                        Ok(Ok(tools)) => Ended::Running(tools),
                        Ok(Err(why)) => Ended::Failed(why),
                        Err(_) => Ended::Failed(format!("it took longer than {} minutes", LONGEST.as_secs() / 60)),
                    },
                    () = removed.cancelled() => Ended::Failed(REMOVED.into()),
                    () = stop.cancelled() => Ended::Later,
                }
            }
        };
        self.under_way(|all| drop(all.remove(id)));
        let (stage, error, tools, message) = match ended {
            Ended::Later => return,
            Ended::Running(Tools { served, withheld: 0 }) => (Stage::Running, None, Some(served), "it runs".to_owned()),
            Ended::Running(Tools { served, withheld }) => {
                let message = format!("it runs; {withheld} of its tools wait for `switchboard approve`");
                (Stage::Running, None, Some(served), message)
            }
            Ended::Failed(why) => {
                (Stage::Failed, Some(why), None, "it failed, and nothing of it was left behind".to_owned())
            }
        };
        if let (Some(record), Stage::Failed) = (&record, stage) {
            self.undo(drawer, record).await;
        }
        let (name, tenant, why) = (&deployment.name, deployment.tenant.as_deref(), error.as_deref());
        tracing::info!(deployment = id, connector = name, tenant, ?stage, tools, error = why, "a deployment ended");
        let progress = if stage == Stage::Running { 100 } else { deployment.progress };
        let completed = Some(SystemTime::now());
        let message = Some(message);
        let ended = Deployment { stage, progress, message, error, completed, tools, ..deployment };
        if drawer.note(&ended).await.is_err() || drawer.prune(ended.tenant.as_deref()).await.is_err() {
            tracing::warn!(deployment = id, "how the deployment ended could not be kept");
        }
    }

    fn under_way<T>(&self, change: impl FnOnce(&mut HashMap<String, CancellationToken>) -> T) -> T {
        change(&mut self.registry.under_way.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The connector of a deployment, unless it was removed since.
    async fn record_of(&self, drawer: &Drawer, deployment: &Deployment) -> Option<Record> {
        let found = drawer.get::<Record>(&key(deployment.tenant.as_deref(), &deployment.name)).await.ok().flatten();
        found.map(|(record, _)| record).filter(|record| record.deployment == deployment.id)
    }

    /// Fetches what it needs, starts it, and waits until it runs; gives its tools, or why it does not run.
    async fn bring_up(&self, drawer: &Drawer, record: &Record, deployment: &mut Deployment) -> Result<Tools, String> {
        let said = |error: RegistryError| error.to_string();
        if let Some(refusal) = self.registry.refusal(&record.source) {
            return Err(refusal);
        }
        if !record.built {
            note(drawer, deployment, (Stage::Building, 10), "what it needs is being fetched").await?;
            prepare::prepare(&record.source, &self.registry.rules, &self.registry.folder(record)).await?;
            let key = key(record.tenant.as_deref(), &record.name);
            let kept = drawer.get::<Record>(&key).await.map_err(said)?;
            let kept = kept.filter(|(kept, _)| kept.deployment == record.deployment);
            let (kept, version) = kept.ok_or(REMOVED)?;
            let built = Record { built: true, ..kept };
            // What was removed in this very moment does not come back.
            drawer.put(&key, &built, Expected::Is(version)).await.map_err(said)?.ok_or(REMOVED)?;
        }
        note(drawer, deployment, (Stage::Deploying, 60), "it is being started").await?;
        self.registry.changed.notify_one();
        self.comes_up(record, deployment, drawer).await
    }

    /// Waits until a connector runs.
    async fn comes_up(&self, record: &Record, deployment: &mut Deployment, drawer: &Drawer) -> Result<Tools, String> {
        let (mut live, mut states) = (self.watch(), self.health());
        loop {
            states.mark_unchanged();
            let now = Arc::clone(&live.borrow_and_update());
            let mine = |connector: &&Arc<Connector>| {
                let owner = connector.checked.connector.owner.as_ref();
                owner.is_some_and(|owner| *owner.deployment == *record.deployment)
            };
            if let Some(connector) = now.connectors.values().find(mine) {
                if deployment.progress < 80 {
                    let message = "it was started, and is asked what it has";
                    note(drawer, deployment, (Stage::Deploying, 80), message).await?;
                }
                if let Some(ended) = found(&now, connector) {
                    return ended;
                }
            } else {
                let file = file_of(&record.id());
                let fault = |problem: &&Problem| problem.is_error() && problem.file == file;
                if let Some(problem) = now.problems.iter().find(fault) {
                    // Where an operator's files are is nobody else's business.
                    let taken = problem.pointer == "/id";
                    let taken = taken.then(|| "the server's operator has a connector of this name".to_owned());
                    return Err(taken.unwrap_or_else(|| problem.message.clone()));
                }
            }
            tokio::select! {
                changed = live.changed() => changed.map_err(|_| "the server stops".to_owned())?,
                changed = states.changed() => changed.map_err(|_| "the server stops".to_owned())?,
            }
        }
    }

    /// Takes everything back that a failed deployment did.
    async fn undo(&self, drawer: &Drawer, record: &Record) {
        // A connector of the same name may have been added since.
        if self.is_theirs(drawer, record).await
            && self.registry.forget(record.tenant.as_deref(), &record.name, record.client).await.is_err()
        {
            tracing::warn!(connector = record.id(), "a connector that could not be brought up could not be removed");
        }
        self.left(record).await;
    }

    async fn is_theirs(&self, drawer: &Drawer, record: &Record) -> bool {
        let kept = drawer.get::<Record>(&key(record.tenant.as_deref(), &record.name)).await.ok().flatten();
        kept.is_some_and(|(kept, _)| kept.deployment == record.deployment)
    }
}

const REMOVED: &str = "it was removed before it ran";

/// Whether a connector came up, or why not; nothing while that is not known.
fn found(live: &Live, connector: &Connector) -> Option<Result<Tools, String>> {
    let id = &connector.checked.connector.id;
    match connector.state() {
        State::Disabled => Some(Err("it is switched off".into())),
        State::Unavailable(reason) => Some(Err(reason)),
        State::Live(status) => match status.phase {
            Phase::Starting => None,
            Phase::Down => Some(Err(status.reason.unwrap_or_else(|| "it does not answer".into()))),
            // What it has comes with the next snapshot.
            Phase::Up | Phase::Degraded if !live.has_offer_of(connector) => None,
            Phase::Up | Phase::Degraded => {
                let judged = live.judgement(id).and_then(|judgement| judgement.judged.as_ref());
                let withheld = judged.map_or(0, |judged| judged.offer.withheld.len());
                Some(Ok(Tools { served: live.catalog.cost(id).tools, withheld }))
            }
        },
    }
}

async fn note(
    drawer: &Drawer,
    deployment: &mut Deployment,
    (stage, progress): (Stage, u8),
    message: &str,
) -> Result<(), String> {
    (deployment.stage, deployment.progress) = (stage, progress);
    deployment.message = Some(message.to_owned());
    drawer.note(deployment).await.map_err(|error| error.to_string())
}
