//! The `openapi` adapter: an HTTP API whose operations a document describes.
//!
//! The document is read beside all calls and read again when it changes. While it cannot be read, the last one that
//! could be stays in force, also over a restart.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use reqwest::header::HeaderMap;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

mod document;
mod fit;
mod gather;
mod kept;
mod learn;
mod send;
mod supervise;

use super::http::answer;
use super::{
    Adapter, Bulletin, Phase, Secrets, Status, Surroundings, below, connect_timeout, plain_headers, web_address,
};
use crate::call::{CallContext, Content, Invocation, Outcome};
use crate::catalog::Offer;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::manifest::{Checked, Credentials, OpenApiSettings};
use crate::name::ConnectorId;
use crate::openapi::Upload;
use crate::upstream::Hop;
use document::{Documents, Known};
use learn::{Learned, Learner};

/// An HTTP API that a document describes.
#[derive(Debug)]
pub(super) struct OpenApiAdapter {
    id: ConnectorId,
    learner: Arc<Learner>,
    headers: HeaderMap,
    hop: Hop,
    documents: Documents,
    present: watch::Sender<Present>,
    /// What the last reading read, to see whether anything of it changed.
    known: Mutex<Option<Known>>,
    look: Notify,
    bulletin: Bulletin,
}

/// What is known of the API, and how it is.
#[derive(Debug, Clone)]
struct Present {
    status: Status,
    /// What the last document that made sense says.
    learned: Option<Arc<Learned>>,
    /// How often something was learned.
    edition: u64,
    /// What is on offer: that, or what the connector offered before its manifest was edited.
    offer: Option<Arc<Offer>>,
    /// Why the present document is of no use.
    fault: Option<Problem>,
}

impl OpenApiAdapter {
    /// Reads the settings' references, and a small document in a file; the reason when a reference has no value.
    pub(super) fn new(checked: &Checked, settings: &OpenApiSettings, around: Surroundings<'_>) -> Result<Self, String> {
        let environment = around.environment();
        let base = settings.base_url.as_ref().map(|base| web_address("baseUrl", base, environment)).transpose()?;
        let hop = around.upstream.hop(settings.allow_private, connect_timeout(checked));
        let hop = hop.map_err(|error| error.to_string())?;
        let documents = Documents::new(checked, settings, &hop, around)?;
        let learner = Learner {
            base,
            address: documents.address().cloned(),
            shown: documents.shown(),
            gives: settings.allow_private || checked.connector.credentials != Credentials::default(),
            settings: settings.clone(),
            checked: checked.clone(),
        };
        let adapter = Self {
            id: checked.connector.id.clone(),
            learner: Arc::new(learner),
            headers: plain_headers(&settings.headers, environment)?,
            documents,
            hop,
            present: watch::Sender::new(Present {
                status: Status::now(Phase::Starting, None),
                learned: None,
                edition: 0,
                offer: None,
                fault: None,
            }),
            known: Mutex::default(),
            look: Notify::new(),
            bulletin: around.bulletin.clone(),
        };
        adapter.read_now();
        Ok(adapter)
    }

    /// What the document says, once it was read for the first time.
    async fn learned(&self) -> Result<Arc<Learned>> {
        let mut present = self.present.subscribe();
        loop {
            {
                let now = present.borrow_and_update();
                if let Some(learned) = &now.learned {
                    return Ok(Arc::clone(learned));
                }
                if now.status.phase == Phase::Down {
                    return Err(self.down(&now.status));
                }
            }
            let gone = |_| Error::new(ErrorKind::Unavailable, "the connector is being closed");
            present.changed().await.map_err(gone)?;
        }
    }

    fn down(&self, status: &Status) -> Error {
        let id = &self.id;
        let again = match status.retry_in() {
            Some(wait) => format!("; it is tried again in {:.1} s", wait.as_secs_f64()),
            None => String::new(),
        };
        let reason = status.reason.as_deref().unwrap_or("its document cannot be read");
        let message = format!("the connector {id} is down{again}; its operator sees why with `switchboard check`");
        Error::new(ErrorKind::Unavailable, message).because(reason.to_owned())
    }
}

#[async_trait]
impl Adapter for OpenApiAdapter {
    async fn call(&self, invocation: &Invocation, cx: &CallContext) -> Result<Outcome> {
        let learned = self.learned().await?;
        let entry = &invocation.entry;
        let operation = learned.operations.get(&entry.tool).ok_or_else(|| {
            let message = format!("the API's document changed and describes no `{}` any more", entry.tool);
            Error::new(ErrorKind::Unavailable, message)
        })?;
        let upload = |(name, file): (&String, &crate::call::File)| {
            let (bytes, media_type) = (file.bytes.clone(), file.media_type.clone());
            (name.clone(), Upload { bytes, name: file.name.clone(), media_type })
        };
        let files: HashMap<String, Upload> = invocation.files.iter().map(upload).collect();
        let base = operation.base.as_ref().unwrap_or(&learned.base);
        let draft = operation.plan.draft(base, &invocation.arguments, &files)?;
        let credential = &invocation.credential;
        let request = send::request(&self.hop, draft, &self.headers, invocation)?;

        let response = self.hop.send(request).await?;
        let head = answer::Head::of(&response);
        let settings = &self.learner.settings;
        let rules = answer::Rules {
            response: operation.response.as_ref().unwrap_or(&settings.response),
            secrets: Secrets::of(credential.secrets()),
            wrapped: operation.wrapped,
        };
        let limit = rules.limit(settings.max_response_bytes, cx.max_result);
        let (body, note) = if head.streams() {
            send::stream(response, limit, cx.deadline).await?
        } else {
            (head.body(response, limit, invocation).await?, None)
        };
        let mut output = answer::output(&head, body, &rules, operation.plan.method, invocation);
        output.content.extend(note.map(|note| Content::Text(note.to_owned())));
        Ok(send::kept_promise(entry, output, settings.output, operation.wrapped).into())
    }

    async fn tend(&self, stop: CancellationToken) {
        self.supervise(stop).await;
    }

    /// Asks with the credentials of nobody; what the API says to strangers shows that it is there.
    async fn probe(&self) -> Result<()> {
        let Present { status, learned, .. } = self.present.borrow().clone();
        let Some(learned) = learned else {
            return if status.phase == Phase::Down { Err(self.down(&status)) } else { Ok(()) };
        };
        let probe = self.learner.settings.probe.as_deref().map(|path| below(&learned.base, path));
        super::http::probe(&self.hop, &learned.base, probe.as_ref(), &self.headers).await
    }

    fn endpoint(&self) -> Option<String> {
        let learned = self.present.borrow().learned.clone();
        let base = learned.map(|learned| learned.base.clone()).or_else(|| self.learner.base.clone());
        base?.host_str().map(str::to_owned)
    }

    fn status(&self) -> Status {
        self.present.borrow().status.clone()
    }

    fn offer(&self) -> Option<Arc<Offer>> {
        self.present.borrow().offer.clone()
    }

    fn learns(&self) -> bool {
        true
    }

    fn edition(&self) -> u64 {
        self.present.borrow().edition
    }

    fn refusal(&self) -> Option<Error> {
        let status = self.present.borrow().status.clone();
        (status.phase == Phase::Down).then(|| self.down(&status))
    }

    fn problems(&self) -> Vec<Problem> {
        let Present { learned, fault, .. } = self.present.borrow().clone();
        let faults = learned.iter().flat_map(|learned| learned.problems.iter().cloned());
        fault.into_iter().chain(faults).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let read = known.iter().flat_map(Known::files).cloned();
        self.documents.named().chain(read).collect()
    }

    fn look_again(&self) {
        self.look.notify_one();
    }

    fn inherit(&self, before: Arc<Offer>) {
        self.present.send_if_modified(|present| {
            let heir = present.offer.is_none();
            if heir {
                present.offer = Some(before);
            }
            heir
        });
    }
}
