//! What clients see is kept whenever it changes, so that a plan can say what an edit would change.

use std::sync::PoisonError;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pins::recall;
use super::{Connector, Gateway, Live};
use crate::catalog::surface::{Facade, Surface};
use crate::store::{MAX_VALUE, Put, Store, StoreError};
use crate::widget::sha256_hex;

/// Where the list of what was loaded last is kept, whatever the manifests.
const LOADED: &str = "plan/loaded";

/// Where that is kept for these manifests: servers of others may use the same store.
fn loaded(scope: &str) -> String {
    format!("plan/{scope}/loaded")
}

/// A tool in the list.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    connector: String,
    own: String,
    descriptor: String,
    #[serde(default)]
    ways: Option<Vec<Vec<String>>>,
}

impl Live {
    /// What clients see because of manifests. What they see because of settings, no edit of a manifest changes.
    pub fn surface(&self) -> Surface {
        let by_setting = |connector: &Connector| connector.checked.is_built_in() && !connector.searches();
        let mut surface = Surface::of(&self.catalog);
        let of = |tool: &Facade| self.connectors.values().find(|it| it.checked.connector.id.as_str() == tool.connector);
        surface.tools.retain(|tool| !of(tool).is_some_and(|connector| by_setting(connector)));
        surface
    }
}

impl Gateway {
    /// Keeps what clients see now, once every connector had its say.
    pub(super) async fn keep_surface(&self) {
        let Ok(store) = &self.store else { return };
        let live = self.live();
        if live.is_starting(|_| true) {
            return;
        }
        let prefix = format!("plan/{}/tool/", self.pins.scope());
        let (mut lines, mut texts) = (Vec::new(), Vec::new());
        for tool in live.surface().tools {
            let text = tool.descriptor.to_string();
            let key = format!("{prefix}{}", sha256_hex(&text));
            lines.push(Line { connector: tool.connector, own: tool.own, descriptor: key.clone(), ways: tool.ways });
            texts.push((key, text.into()));
        }
        let keys = lines.iter().map(|line| line.descriptor.clone()).collect();
        let list = serde_json::to_string(&lines).unwrap_or_default();
        let digest = sha256_hex(&list);
        if *self.surface.lock().unwrap_or_else(PoisonError::into_inner) == digest || list.len() > MAX_VALUE {
            return;
        }
        let kept = async {
            self.pins.shelf().keep(store.as_ref(), texts).await?;
            store.put(&loaded(self.pins.scope()), list.clone().into(), Put::default()).await?;
            store.put(LOADED, list.into(), Put::default()).await?;
            self.pins.shelf().sweep(store.as_ref(), &prefix, &keys).await
        };
        match kept.await {
            Ok(()) => *self.surface.lock().unwrap_or_else(PoisonError::into_inner) = digest,
            Err(error) => tracing::debug!(%error, "what clients see is not kept for plans"),
        }
    }
}

/// What the last server of these manifests showed its clients, or else the last that used this store; nothing, when there
/// was none.
pub async fn loaded_surface(store: &dyn Store, scope: &str) -> Result<Option<Surface>, StoreError> {
    let own = store.get(&loaded(scope)).await?;
    let found = if own.is_some() { own } else { store.get(LOADED).await? };
    let Some(list) = found else { return Ok(None) };
    let Ok(lines) = serde_json::from_slice::<Vec<Line>>(&list.value) else { return Ok(None) };
    let keys = lines.iter().map(|line| line.descriptor.clone()).collect();
    let texts: std::collections::HashMap<String, String> = recall(store, keys).await?.into_iter().collect();
    let facade = |line: Line| {
        let descriptor: Value = serde_json::from_str(texts.get(&line.descriptor)?).ok()?;
        Some(Facade { connector: line.connector, own: line.own, descriptor, ways: line.ways })
    };
    Ok(Some(Surface { tools: lines.into_iter().filter_map(facade).collect() }))
}
