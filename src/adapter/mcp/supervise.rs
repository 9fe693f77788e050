//! Keeps the shared connection: makes it, watches it, makes it again.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::dial::Party;
use super::link::Link;
use super::{McpAdapter, Present, listing};
use crate::adapter::{Phase, Status};
use crate::call::Era;
use crate::catalog::Offer;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::McpStart;
use crate::params::Params;
use crate::upstream::{Backoff, random};

/// The waits after failures.
const WAITS: Backoff = Backoff { first: Duration::from_millis(250), longest: Duration::from_mins(1) };
/// Changes of lists within this time are one change.
const SETTLE: Duration = Duration::from_millis(50);
/// Between reading lists, so many times as long as that took passes.
const REST: u32 = 9;
/// A list that could not be read is asked for again after this long.
const LIST_AGAIN: Duration = Duration::from_secs(5);
/// How long an upstream that left a call unanswered may take to show that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// So often it is looked whether somebody connected meanwhile.
const CONNECTED: Duration = Duration::from_secs(1);
/// A stream of news that ended is opened again after this long.
const NEWS_AGAIN: Duration = Duration::from_secs(2);

/// Why a connection is not kept any longer.
enum Ended {
    Stopped,
    Idle,
    Lost,
}

impl McpAdapter {
    /// Keeps a connection until `stop`, and leaves none behind.
    pub(super) async fn supervise(&self, stop: CancellationToken) {
        tokio::select! {
            () = self.keep_listed(&stop), if self.is_per_caller() => {}
            () = self.keep_connected(&stop), if !self.is_per_caller() => {}
            () = self.pool.sweep() => {}
        }
        let link = self.show(Phase::Down, Some("it was stopped".into()), None).link;
        if let Some(link) = link {
            link.close().await;
        }
        self.pool.close().await;
    }

    async fn keep_connected(&self, stop: &CancellationToken) {
        let (mut failures, mut down) = (0, None::<String>);
        loop {
            // Calls wait for a first start or a quick return, but not for one more try.
            let phase = if down.is_some() { Phase::Down } else { Phase::Starting };
            self.show(phase, down.take(), None);
            let Some(opened) = stop.run_until_cancelled(self.open()).await else { return };
            let why = match opened {
                Err(error) => error,
                Ok(link) => match self.keep(&link, stop).await {
                    Ended::Stopped => return,
                    Ended::Idle => {
                        self.rest(&link).await;
                        if stop.run_until_cancelled(self.dialer.signals.demand()).await.is_none() {
                            return;
                        }
                        continue;
                    }
                    // What worked may have had an accident; it is started again at once. So is what has
                    // not had the time to show that it works, but not again and again.
                    Ended::Lost if link.served() || failures == 0 => {
                        failures = u32::from(!link.served());
                        let connector = &self.names().connector;
                        tracing::warn!(%connector, "the connection broke off and is made again: {}", link.why_closed());
                        continue;
                    }
                    Ended::Lost => link.why_closed(),
                },
            };
            failures += 1;
            down = Some(why.to_string());
            if !self.wait(failures, &why, stop).await {
                return;
            }
        }
    }

    /// Where every caller has a connection of their own: knows what is behind it, as the first who connected is shown
    /// it, and keeps no connection for that.
    async fn keep_listed(&self, stop: &CancellationToken) {
        let mut failures = 0;
        loop {
            let Some(looked) = stop.run_until_cancelled(self.look()).await else { return };
            let why = match looked {
                Ok(()) => {
                    failures = 0;
                    if stop.run_until_cancelled(self.dialer.signals.lists()).await.is_none() {
                        return;
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::NotConnected => {
                    let known = self.offer.borrow().as_ref().is_some_and(|offer| !offer.is_provisional);
                    self.offer.send_if_modified(|offer| {
                        let unknown = offer.is_none();
                        if unknown {
                            *offer = Some(Arc::new(Offer::to_connect(&self.dialer.name)));
                        }
                        unknown
                    });
                    let reason = if known { "nobody is connected now" } else { "it waits for somebody to connect" };
                    if self.present.borrow().status.reason.as_deref() != Some(reason) {
                        self.show(Phase::Degraded, Some(reason.into()), None);
                        self.bulletin.changed.notify_one();
                    }
                    if stop.run_until_cancelled(tokio::time::sleep(CONNECTED)).await.is_none() {
                        return;
                    }
                    continue;
                }
                Err(error) => error,
            };
            failures += 1;
            if !self.wait(failures, &why, stop).await {
                return;
            }
        }
    }

    /// Learns what is behind it.
    async fn look(&self) -> Result<()> {
        let link = Arc::new(self.dialer.dial(&Party::Listing, None).await?);
        let listed = self.list(&link).await;
        if listed.is_ok() {
            self.present.send_modify(|present| present.link = None);
        }
        link.close().await;
        listed
    }

    /// Makes a connection and learns what is behind it.
    async fn open(&self) -> Result<Arc<Link>> {
        let link = Arc::new(self.dialer.dial(&Party::ALL, None).await?);
        self.list(&link).await?;
        Ok(link)
    }

    async fn list(&self, link: &Arc<Link>) -> Result<()> {
        let late = |_| Error::new(ErrorKind::Timeout, "the upstream did not list what it has in time");
        let offer = tokio::time::timeout(self.dialer.timeout, listing::ask(link, self.is_per_caller()))
            .await
            .map_err(late)??;
        let omitted = (!offer.omitted.is_empty()).then(|| format!("left out: {}", said(&offer.omitted)));
        let changed = self.offer.send_if_modified(|present| {
            let changed = present.as_deref() != Some(&offer);
            if changed {
                *present = Some(Arc::new(offer));
            }
            changed
        });
        if let Some(omitted) = omitted.as_deref().filter(|_| changed) {
            tracing::warn!(connector = %self.names().connector, "{omitted}");
        }
        let phase = if omitted.is_some() { Phase::Degraded } else { Phase::Up };
        self.show(phase, omitted, Some(Arc::clone(link)));
        if changed {
            self.bulletin.changed.notify_one();
        }
        Ok(())
    }

    /// Watches a connection for as long as it is of use.
    async fn keep(&self, link: &Arc<Link>, stop: &CancellationToken) -> Ended {
        tokio::select! {
            () = stop.cancelled() => Ended::Stopped,
            () = link.closed().cancelled() => Ended::Lost,
            () = self.lose_the_dead(link) => Ended::Lost,
            () = self.grow_idle(link) => Ended::Idle,
            () = self.follow_lists(link) => Ended::Lost,
            () = self.follow_news(link) => Ended::Lost,
        }
    }

    async fn follow_lists(&self, link: &Arc<Link>) {
        loop {
            self.dialer.signals.lists().await;
            tokio::time::sleep(SETTLE).await;
            let started = Instant::now();
            while let Err(error) = self.list(link).await {
                self.show(Phase::Degraded, Some(format!("its lists cannot be read: {error}")), Some(Arc::clone(link)));
                tokio::time::sleep(LIST_AGAIN).await;
            }
            // One that changes its lists all the time is not all we have to do.
            tokio::time::sleep(started.elapsed() * REST).await;
        }
    }

    /// Ends when a call went unanswered and the upstream shows no other sign of life.
    async fn lose_the_dead(&self, link: &Arc<Link>) {
        loop {
            self.dialer.signals.doubt().await;
            while !link.is_alive(SIGN_OF_LIFE).await {
                let reason = format!("it does not answer within {} s", SIGN_OF_LIFE.as_secs());
                self.show(Phase::Degraded, Some(reason), Some(Arc::clone(link)));
                // A call that still runs may only be taking all its attention.
                if link.idle().is_some() {
                    link.close().await;
                    return;
                }
            }
            if self.present.borrow().status.phase == Phase::Degraded {
                self.dialer.signals.lists_changed();
            }
        }
    }

    async fn grow_idle(&self, link: &Arc<Link>) {
        loop {
            let idle = link.idle().unwrap_or_default();
            if self.start == McpStart::Lazy && idle >= self.idle {
                return;
            }
            tokio::time::sleep(
                self.idle.saturating_sub(idle).clamp(Duration::from_millis(100), Duration::from_secs(5)),
            )
            .await;
        }
    }

    /// Subscribes to what somebody wants to hear of, and to changes of the lists where that has to
    /// be asked for.
    async fn follow_news(&self, link: &Arc<Link>) {
        let mut watched = self.watched.subscribe();
        let mut subscribed: HashSet<String> = HashSet::new();
        loop {
            let wanted: HashSet<String> = watched.borrow_and_update().keys().cloned().collect();
            match link.era {
                Era::Handshake => {
                    for (method, uri) in differences(&subscribed, &wanted) {
                        let request = link.request(method, Params::of("uri", &uri), None);
                        let _ = tokio::time::timeout(self.dialer.timeout, request).await;
                    }
                    subscribed = wanted;
                    let _ = watched.changed().await;
                }
                Era::PerRequest => {
                    let mut uris: Vec<String> = wanted.into_iter().collect();
                    uris.sort();
                    let notifications = json!({
                        "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
                        "resourceSubscriptions": uris,
                    });
                    let params = Params::of("notifications", &notifications);
                    let listening = async {
                        // One that has no such thing is not asked again.
                        if let Ok(Err(_)) = link.request("subscriptions/listen", params, None).await {
                            std::future::pending::<()>().await;
                        }
                        tokio::time::sleep(NEWS_AGAIN).await;
                    };
                    tokio::select! {
                        () = listening => {}
                        _ = watched.changed() => {}
                    }
                }
            }
        }
    }

    /// Closes a connection that nobody uses; it counts as up, and the next call makes another.
    async fn rest(&self, link: &Arc<Link>) {
        self.show(Phase::Up, Some("it is at rest until the next call".into()), None);
        link.close().await;
    }

    /// Waits before the next attempt; `false` when there is none.
    async fn wait(&self, failures: u32, why: &Error, stop: &CancellationToken) -> bool {
        // Many connectors that failed together shall not come back together.
        let wait = WAITS.after(failures).mul_f64(1.0 + random() / 4.0);
        let connector = &self.names().connector;
        if failures == 1 {
            tracing::warn!(%connector, retry_ms = wait.as_millis(), "down: {why}");
        } else {
            tracing::debug!(%connector, retry_ms = wait.as_millis(), "still down: {why}");
        }
        let mut status = Status::now(Phase::Down, Some(why.to_string()));
        status.retry_at = Some(Instant::now() + wait);
        self.present.send_replace(Present { status, link: None });
        self.bulletin.states.send_replace(());
        // Whoever waits for what it has shall not wait for the next attempt.
        if self.offer.borrow().is_none() {
            self.bulletin.changed.notify_one();
        }
        stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some()
    }

    /// Shows how it is from now on; gives how it was.
    fn show(&self, phase: Phase, reason: Option<String>, link: Option<Arc<Link>>) -> Present {
        let before = self.present.send_replace(Present { status: Status::now(phase, reason), link });
        self.bulletin.states.send_replace(());
        before
    }
}

/// What to subscribe to and what to leave.
fn differences<'a>(before: &'a HashSet<String>, now: &'a HashSet<String>) -> Vec<(&'static str, &'a str)> {
    let new = now.difference(before).map(|uri| ("resources/subscribe", uri.as_str()));
    new.chain(before.difference(now).map(|uri| ("resources/unsubscribe", uri.as_str()))).collect()
}

/// A few of many reasons.
fn said(reasons: &[String]) -> String {
    const MOST: usize = 5;
    let more = if reasons.len() > MOST { format!(", and {} more", reasons.len() - MOST) } else { String::new() };
    format!("{}{more}", reasons.iter().take(MOST).cloned().collect::<Vec<_>>().join(", "))
}
