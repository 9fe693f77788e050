//! A call on its way: the checked invocation, its surroundings, and what came out.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::catalog::Entry;
use crate::credential::Credential;
use crate::manifest::Arguments;

/// Progress reports waiting to be sent; one more is dropped, because only the newest matter.
const PROGRESS_QUEUE: usize = 64;

/// Who is calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The person at this machine: the command line, or a client that started us over stdio.
    Local,
    /// Somebody on the network who proved nothing.
    Anonymous,
}

/// A call whose arguments fit its tool.
#[derive(Debug)]
pub struct Invocation {
    /// The tool.
    pub entry: Arc<Entry>,
    /// What it is called with, defaults filled in.
    pub arguments: Arguments,
    /// What to show the upstream.
    pub credential: Credential,
}

/// What surrounds a call while it runs.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// Where to report progress.
    pub progress: Progress,
    /// The most bytes a result may have.
    pub max_result: usize,
}

/// Reports progress to whoever wants it, or to nobody.
#[derive(Debug, Clone, Default)]
pub struct Progress(Option<mpsc::Sender<Step>>);

/// One report of progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How far it is; grows with each report.
    pub progress: u32,
    /// What is happening.
    pub message: String,
}

impl Progress {
    /// A reporter and the end where its reports come out.
    pub fn channel() -> (Self, mpsc::Receiver<Step>) {
        let (sender, receiver) = mpsc::channel(PROGRESS_QUEUE);
        (Self(Some(sender)), receiver)
    }

    /// Whether somebody listens.
    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Reports a step. Never waits: when the listener is slow, the step is dropped.
    pub fn report(&self, progress: u32, message: String) {
        if let Some(sender) = &self.0 {
            let _ = sender.try_send(Step { progress, message });
        }
    }
}

/// What a tool gave.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// For the model and people.
    pub content: Vec<Content>,
    /// For programs: always an object.
    pub structured: Option<Value>,
    /// Whether the tool failed, in words the model can act on.
    pub is_error: bool,
}

/// One piece of a result.
#[derive(Debug, Clone)]
pub enum Content {
    /// Text.
    Text(String),
    /// An image of this media type.
    Image(Bytes, String),
    /// Sound of this media type.
    Audio(Bytes, String),
    /// Any other bytes.
    Blob {
        /// A name for them.
        uri: String,
        /// Their media type.
        media_type: String,
        /// The bytes.
        data: Bytes,
    },
}

impl Output {
    /// A result that is this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Content::Text(text.into())], ..Self::default() }
    }

    /// A failed result that is this text.
    pub fn failure(text: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::text(text) }
    }

    /// A result that is this JSON, mirrored as text. `structuredContent` is an object in every
    /// version of MCP, so another value is wrapped as `{"result": …}`.
    pub fn json(value: Value) -> Self {
        let structured = if value.is_object() { value } else { serde_json::json!({ "result": value }) };
        let text = structured.to_string();
        Self { structured: Some(structured), ..Self::text(text) }
    }

    /// About how many bytes it has.
    pub fn size(&self) -> usize {
        let content = self.content.iter().map(|content| match content {
            Content::Text(text) => text.len(),
            Content::Image(data, _) | Content::Audio(data, _) | Content::Blob { data, .. } => data.len(),
        });
        content.sum()
    }
}
