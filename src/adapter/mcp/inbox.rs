//! What another MCP server says unasked: notifications, and questions to whoever called it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json, value::RawValue};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::channel::Frame;
use super::signal::Signals;
use crate::call::{Downstream, Era, Notice, Session, Step};
use crate::catalog::Names;
use crate::error::Rejection;

/// Questions of one upstream under way; one more is refused.
const QUESTIONS: usize = 16;
/// Notifications on their way to a session; one more is dropped.
const NOTICES: usize = 64;
/// Messages of ours waiting to be sent.
const REPLIES: usize = 64;
/// A notification larger than this, in bytes, is dropped.
const LARGEST_NOTICE: usize = 1 << 20;

/// Requests under way on a connection, and the way from what the upstream says to who made them.
#[derive(Debug)]
pub(super) struct Inbox {
    calls: Mutex<HashMap<u64, Downstream>>,
    questions: Mutex<HashMap<String, CancellationToken>>,
    replies: mpsc::Sender<String>,
    /// Whose connection this is, when it is one caller's own.
    session: Option<Session>,
    names: Names,
    signals: Signals,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Inbox {
    /// An inbox, and the end where its replies come out.
    pub(super) fn new(
        session: Option<Session>,
        names: Names,
        signals: Signals,
        stop: CancellationToken,
    ) -> (Arc<Self>, mpsc::Receiver<String>) {
        let (replies, outgoing) = mpsc::channel(REPLIES);
        let inbox = Self {
            calls: Mutex::default(),
            questions: Mutex::default(),
            replies,
            session,
            names,
            signals,
            tasks: TaskTracker::new(),
            stop,
        };
        (Arc::new(inbox), outgoing)
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Downstream>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn questions(&self) -> std::sync::MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request until it is left.
    pub(super) fn enter(&self, id: u64, downstream: Downstream) {
        self.calls().insert(id, downstream);
    }

    /// Forgets a request.
    pub(super) fn leave(&self, id: u64) {
        self.calls().remove(&id);
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.calls().is_empty()
    }

    /// A request went unanswered.
    pub(super) fn doubted(&self) {
        self.signals.doubted();
    }

    /// Sends a message soon, unless too many wait already.
    pub(super) fn reply(&self, text: String) {
        let _ = self.replies.try_send(text);
    }

    /// Takes a message that is no answer. `origin` is the request it came with, where the
    /// transport knows. Never waits.
    pub(super) fn receive(self: &Arc<Self>, frame: &Frame<'_>, origin: Option<u64>) {
        let Some(method) = frame.method.as_deref() else { return };
        match frame.id {
            None => self.notice(method, frame.params, origin),
            Some(id) => self.question(id, method, frame.params, origin),
        }
    }

    fn notice(&self, method: &str, params: Option<&RawValue>, origin: Option<u64>) {
        match method {
            "notifications/tools/list_changed"
            | "notifications/resources/list_changed"
            | "notifications/prompts/list_changed" => {
                self.signals.lists_changed();
                // The lists of a caller's own connection are nobody else's.
                if self.session.is_some() {
                    self.tell(Notice::Other(method.to_owned(), None), None);
                }
                return;
            }
            _ if params.is_some_and(|params| params.get().len() > LARGEST_NOTICE) => return,
            _ => {}
        }
        let mut params: Option<Value> = params.and_then(|params| serde_json::from_str(params.get()).ok());
        match method {
            "notifications/resources/updated" => {
                if let Some(uri) = params.as_ref().and_then(|params| params.get("uri")).and_then(Value::as_str) {
                    self.signals.updated(self.names.public_uri(uri));
                }
            }
            "notifications/progress" => {
                let token = params.as_ref().and_then(|params| params.get("progressToken")).and_then(Value::as_u64);
                let call = token.and_then(|token| self.calls().get(&token).cloned());
                if let (Some(call), Some(step)) = (call, params.as_ref().and_then(step)) {
                    call.tell(Notice::Progress(step));
                }
            }
            "notifications/cancelled" => {
                let id = params.as_ref().and_then(|params| params.get("requestId")).map(Value::to_string);
                if let Some(question) = id.and_then(|id| self.questions().remove(&id)) {
                    question.cancel();
                }
            }
            _ => {
                if let Some(Value::Object(params)) = &mut params {
                    let names = self.names.of_caller(self.caller(origin).and_then(|call| call.owner).as_ref());
                    names.publish_meta(params);
                    if let ("notifications/tasks/status", Some(Value::String(id))) = (method, params.get_mut("taskId"))
                    {
                        *id = names.public_task(id);
                    }
                }
                self.tell(Notice::Other(method.to_owned(), params), origin);
            }
        }
    }

    /// Tells whoever it is for: the request it came with, the only one under way, or the session
    /// whose connection this is. What may be anybody's is told to nobody.
    fn tell(&self, notice: Notice, origin: Option<u64>) {
        if let Some(call) = self.caller(origin).filter(Downstream::listens) {
            return call.tell(notice);
        }
        let (Some(session), Notice::Other(method, params)) = (&self.session, notice) else { return };
        if self.tasks.len() < NOTICES {
            let (client, stop) = (Arc::clone(&session.client), self.stop.clone());
            self.tasks.spawn(async move { stop.run_until_cancelled(client.tell(&method, params)).await });
        }
    }

    /// The request something belongs to.
    fn caller(&self, origin: Option<u64>) -> Option<Downstream> {
        let calls = self.calls();
        match origin {
            Some(origin) => calls.get(&origin).cloned(),
            None => calls.values().next().filter(|_| calls.len() == 1).cloned(),
        }
    }

    fn question(self: &Arc<Self>, id: &RawValue, method: &str, params: Option<&RawValue>, origin: Option<u64>) {
        let refuse = |code: i32, message: String| self.reply(answer(id, &Err(Rejection { code, message, data: None })));
        if method == "ping" {
            return self.reply(answer(id, &Ok(json!({}))));
        }
        let call = self.caller(origin);
        let session = call.as_ref().and_then(|call| call.session.as_ref()).or(self.session.as_ref());
        let Some(session) = session.filter(|session| session.answers(method)) else {
            return refuse(-32601, nobody_to_ask(method, call.as_ref()));
        };
        let client = call.as_ref().and_then(|call| call.client.clone()).unwrap_or(Arc::clone(&session.client));
        let mut params: Option<Value> = params.and_then(|params| serde_json::from_str(params.get()).ok());
        if let Some(Value::Object(params)) = &mut params {
            self.names.of_caller(call.and_then(|call| call.owner).as_ref()).publish_meta(params);
        }
        let (id, method, inbox) = (id.to_owned(), method.to_owned(), Arc::clone(self));
        let taken_back = self.stop.child_token();
        {
            let mut questions = self.questions();
            if questions.len() >= QUESTIONS {
                drop(questions);
                return refuse(-32000, "too many questions are under way".into());
            }
            questions.insert(id.get().to_owned(), taken_back.clone());
        }
        self.tasks.spawn(async move {
            let answered = taken_back.run_until_cancelled(client.ask(&method, params)).await;
            inbox.questions().remove(id.get());
            if let Some(answered) = answered {
                inbox.reply(answer(&id, &answered));
            }
        });
    }
}

/// Why nobody can be asked, for the upstream to pass on to its caller.
fn nobody_to_ask(method: &str, call: Option<&Downstream>) -> String {
    match call {
        Some(call) if call.era == Era::PerRequest => format!(
            "{method} cannot be passed on: the caller speaks MCP 2026-07-28, where a server asks by its result, and this server does not"
        ),
        Some(call) if call.session.is_none() => {
            format!("{method} cannot be passed on: the caller has no session in which it can be asked")
        }
        Some(_) => format!("{method} cannot be passed on: the caller declared no such capability"),
        None => format!("{method} cannot be passed on: it belongs to no single caller"),
    }
}

fn answer(id: &RawValue, answered: &Result<Value, Rejection>) -> String {
    match answered {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string(),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string(),
    }
}

fn step(params: &Value) -> Option<Step> {
    Some(Step {
        progress: params.get("progress")?.as_f64()?,
        total: params.get("total").and_then(Value::as_f64),
        message: params.get("message").and_then(Value::as_str).map(str::to_owned),
    })
}
