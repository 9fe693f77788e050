//! Results that are given again: the same call of a read-only tool, for as long as its manifest says.

use std::{sync::Arc, time::Duration};

use moka::{Expiry, future};
use serde_json::{Map, Value};

use super::Connector;
use crate::call::{Content, Outcome, Output};
use crate::caller::Caller;
use crate::catalog::Entry;
use crate::error::{Error, Result};
use crate::manifest::{AdapterSettings, Arguments};

/// The bytes of all kept results. Beyond, those go that are asked for least.
const ROOM: u64 = 64 << 20;
/// The longest a result is kept.
const LONGEST: Duration = Duration::from_hours(24 * 365);
/// What a kept result needs beside its contents.
const OVERHEAD: usize = 512;

/// Kept results of all connectors.
pub(super) struct Cache(future::Cache<Place, Arc<Kept>>);

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("entries", &self.0.entry_count()).field("bytes", &self.0.weighted_size()).finish()
    }
}

impl Default for Cache {
    fn default() -> Self {
        let weigh = |place: &Place, kept: &Arc<Kept>| {
            let bytes = kept.bytes + place.arguments.len() + place.tool.len() + OVERHEAD;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self(future::Cache::builder().max_capacity(ROOM).weigher(weigh).expire_after(Age).build())
    }
}

/// What makes two calls the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// Others after each edit of the manifest and of what else says what calls do, so that nothing of before is given
    /// again.
    edition: (uuid::Uuid, u64),
    tool: String,
    /// In one order.
    arguments: String,
    /// In whose name the upstream was asked, where that is not the same for all.
    owner: Option<String>,
    age: Duration,
}

/// A result with its JSON as text, whose size is known.
#[derive(Debug)]
struct Kept {
    content: Vec<Content>,
    structured: Structured,
    meta: Map<String, Value>,
    bytes: usize,
}

#[derive(Debug)]
enum Structured {
    None,
    /// The JSON that the first text is.
    Text,
    Own(String),
}

/// Why nothing is kept. The same for all who asked meanwhile.
enum Ended {
    Unkept(Outcome),
    Failed(Error),
}

struct Age;

impl Expiry<Place, Arc<Kept>> for Age {
    fn expire_after_create(&self, place: &Place, _: &Arc<Kept>, _: std::time::Instant) -> Option<Duration> {
        Some(place.age)
    }
}

impl Cache {
    /// Where the result of a call is kept, if it is.
    pub(super) fn place(connector: &Connector, entry: &Entry, arguments: &Arguments, caller: &Caller) -> Option<Place> {
        use AdapterSettings::{Collection, Command, Gateway, Http, Mcp, OpenApi};
        let age = entry.cache?.min(LONGEST);
        let kept = match &connector.checked.connector.adapter {
            Http(_) | OpenApi(_) | Command(_) => entry.is_read_only() && entry.files.is_empty(),
            // What is another server's to say, or changes with every call.
            Mcp(_) | Collection(_) | Gateway(_) => false,
        };
        // What a person connected, the person may disconnect.
        let source = connector.source().ok().filter(|source| kept && source.grants().is_none())?;
        let mut arguments = Value::Object(arguments.clone());
        arguments.sort_all_objects();
        Some(Place {
            edition: (connector.generation, connector.edition()),
            tool: entry.tool.clone(),
            arguments: arguments.to_string(),
            owner: source.owner(caller),
            age,
        })
    }

    /// The kept result, or the one of `call`, which is made once however many ask for it meanwhile. When who makes it
    /// leaves, another does. A failure is not kept.
    pub(super) async fn get(&self, place: Place, call: impl Future<Output = Result<Outcome>>) -> Result<Outcome> {
        let made = async {
            match call.await {
                Ok(Outcome::Made(output)) if !output.is_error => Ok(Arc::new(Kept::new(output))),
                Ok(outcome) => Err(Ended::Unkept(outcome)),
                Err(error) => Err(Ended::Failed(error)),
            }
        };
        match self.0.try_get_with(place, made).await {
            Ok(kept) => Ok(kept.output().into()),
            Err(ended) => match &*ended {
                Ended::Unkept(outcome) => Ok(outcome.clone()),
                Ended::Failed(error) => Err(error.copy()),
            },
        }
    }
}

impl Kept {
    fn new(output: Output) -> Self {
        let mut bytes = output.size();
        let structured = output.structured.map_or(Structured::None, |value| {
            let text = value.to_string();
            if matches!(output.content.first(), Some(Content::Text(first)) if *first == text) {
                return Structured::Text;
            }
            bytes += text.len();
            Structured::Own(text)
        });
        bytes += if output.meta.is_empty() { 0 } else { Value::Object(output.meta.clone()).to_string().len() };
        Self { content: output.content, structured, meta: output.meta, bytes }
    }

    fn output(&self) -> Output {
        let text = match (&self.structured, self.content.first()) {
            (Structured::Own(text), _) | (Structured::Text, Some(Content::Text(text))) => Some(text),
            (Structured::None | Structured::Text, _) => None,
        };
        let structured = text.and_then(|text| serde_json::from_str(text).ok());
        Output { content: self.content.clone(), structured, meta: self.meta.clone(), ..Output::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Cache, Duration, LONGEST, Outcome, Output, Place, ROOM};

    fn place(arguments: usize) -> Place {
        let (tool, arguments) = ("tool".to_owned(), arguments.to_string());
        Place { edition: Default::default(), tool, arguments, owner: None, age: LONGEST }
    }

    #[tokio::test]
    async fn what_is_kept_has_its_bounds() {
        let cache = Cache::default();
        let made = AtomicUsize::new(0);
        for number in 0..70 {
            let call = async {
                made.fetch_add(1, Ordering::Relaxed);
                Ok(Outcome::from(Output::json(serde_json::json!("x".repeat(1 << 20)))))
            };
            cache.get(place(number), call).await.unwrap();
            cache.0.run_pending_tasks().await;
            assert!(cache.0.weighted_size() <= ROOM);
        }
        assert_eq!(made.into_inner(), 70);
        assert!(cache.0.weighted_size() > ROOM / 2);
    }

    #[tokio::test]
    async fn what_comes_back_is_what_was_kept() {
        let cache = Cache::default();
        let mut output = Output::json(serde_json::json!({ "a": [1, 2.5, null, "\u{0}ä"] }));
        output.meta.insert("key".into(), true.into());
        for _ in 0..2 {
            let Ok(Outcome::Made(kept)) = cache.get(place(1), async { Ok(output.clone().into()) }).await else {
                panic!("nothing came back")
            };
            assert_eq!((&kept.structured, &kept.meta), (&output.structured, &output.meta));
            assert_eq!(kept.size(), output.size());
        }
        assert_eq!(cache.0.iter().count(), 1);
        let brief = Place { age: Duration::from_millis(1), ..place(2) };
        cache.get(brief, async { Ok(output.clone().into()) }).await.unwrap();
    }
}
