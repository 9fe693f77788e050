//! The HTTP API beside `/mcp`: tools to list and invoke, connectors to add and remove. The callers are those of
//! `/mcp`, with the same keys and tokens, and every invocation takes the road of every call.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, FromRequestParts, Path, Query},
    response::{IntoResponse, Response},
    routing::{any, delete, get, post},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
    request::Parts,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

mod health;
mod registry;
mod select;
mod tools;

use super::access::Access;
use super::desk::is_direct;
use super::guard::Visitor;
use super::http::read;
use super::reply;
use crate::call::RequestId;
use crate::caller::{self, Caller, Verdict};
use crate::catalog::ADMIN;
use crate::gateway::{Gateway, RegistryError, tenant_of};
use crate::name::cut;
use crate::protocol::Server;

/// The header by which a client names its tenant.
const TENANT: &str = "x-tenant-id";
/// Characters of what is wrong with a body: it may repeat the body.
const LONGEST_FAULT: usize = 300;
/// When to come back, in seconds.
const SOON: HeaderValue = HeaderValue::from_static("5");

/// What the API needs.
#[derive(Debug)]
pub(super) struct Sdk {
    pub(super) server: Server,
    pub(super) access: Access,
    pub(super) max_body: usize,
    /// Whether requests of this machine itself may add connectors where nobody can prove anything.
    pub(super) open: bool,
    pub(super) started: Instant,
    /// Whether every connector has been given the time to start.
    pub(super) has_started: AtomicBool,
    /// Whether nobody but who was told may know where we take calls.
    pub(super) is_secret: bool,
    /// Fires when the server takes no more.
    pub(super) draining: CancellationToken,
}

/// All routes of the API.
pub(super) fn routes(sdk: Arc<Sdk>) -> Router {
    let oauth = get(registry::oauth_config).post(registry::set_oauth_config).delete(registry::drop_oauth_config);
    Router::new()
        .route("/api/v1/tools/list", get(tools::list))
        .route("/api/v1/tools/invoke", post(tools::invoke))
        .route("/api/v1/tools/select", post(select::select))
        .route("/api/v1/tools/{tool}", get(tools::one))
        .route("/api/v1/categories", get(tools::categories))
        .route("/api/v1/mcp/integrations", get(tools::integrations))
        .route("/api/v1/mcp/add", post(registry::add))
        .route("/api/v1/mcp/deployments", get(registry::deployments))
        .route("/api/v1/mcp/deployments/{id}", get(registry::deployment))
        .route("/api/v1/mcp/custom", get(registry::custom))
        .route("/api/v1/mcp/custom/{name}", delete(registry::remove))
        .route("/api/v1/tenants/{tenant}/integrations", get(registry::integrations))
        .route("/api/v1/tenants/{tenant}/integrations/{integration}/oauth-config", oauth)
        .route("/api/v1/{*rest}", any(|| async { Refusal::new(StatusCode::NOT_FOUND, "there is nothing here") }))
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this takes another method, or is not to be had here yet")
        })
        .with_state(sdk)
}

/// Routes for whoever looks after the server: nobody has to prove anything, and nothing is told that would matter.
pub(super) fn watched(sdk: Arc<Sdk>) -> Router {
    Router::new().route("/health", get(health::health)).route("/ready", get(health::ready)).with_state(sdk)
}

/// A request, as far as the API looks at what is around its body.
pub(super) struct Asked {
    headers: HeaderMap,
    visitor: Option<Visitor>,
    peer: Option<SocketAddr>,
    request: RequestId,
    query: Result<Value, ()>,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let query = Query::<serde_json::Map<String, Value>>::from_request_parts(parts, state).await;
        Ok(Self {
            headers: parts.headers.clone(),
            visitor: parts.extensions.get().copied(),
            peer: parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0),
            request: parts.extensions.get().copied().unwrap_or_default(),
            query: query.map(|query| Value::Object(query.0)).map_err(|_| ()),
        })
    }
}

/// Parts of the path.
struct Named<T>(T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(named)| Self(named)).map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the path is no text"))
    }
}

/// Who asks, in whose name.
struct Asker {
    /// Who it is, in the name of the tenant.
    caller: Caller,
    /// Who it is.
    own: Caller,
    tenant: Option<String>,
    /// Whether they may add and remove connectors.
    admin: bool,
    /// Whether the request comes from a page of somewhere else.
    foreign: bool,
}

impl Sdk {
    fn gateway(&self) -> &Arc<Gateway> {
        self.server.gateway()
    }

    /// Who asks. `named` are the tenants that the request names besides its header.
    async fn asker(&self, asked: &Asked, named: &[Option<&str>]) -> Result<Asker, Refusal> {
        let visitor = asked.visitor.ok_or_else(|| Refusal::new(StatusCode::FORBIDDEN, "nobody knows who asks"))?;
        let own =
            self.access.caller(&self.server, visitor, &asked.headers).await.map_err(|refusal| Refusal::of(*refusal))?;
        let header = asked.headers.get(TENANT).map(|tenant| tenant.to_str().unwrap_or("?"));
        let named: Vec<Option<&str>> = named.iter().copied().chain([header]).collect();
        let tenant = tenant_of(&own, &named)?;
        let caller = tenant.as_deref().and_then(|tenant| own.acting_for(tenant)).unwrap_or_else(|| own.clone());
        let holds = own.may(&caller::Access::Held(vec![ADMIN.to_owned()])) == Verdict::Yes;
        // Where nobody can prove anything, being at this machine is what there is.
        let here = || asked.peer.is_some_and(|peer| is_direct(peer, &asked.headers));
        let admin = holds || (self.open && matches!(own, Caller::Anonymous { .. }) && here());
        Ok(Asker { caller, own, tenant, admin, foreign: visitor.foreign })
    }

    /// The body of a request, as JSON.
    async fn body(&self, asked: &Asked, body: Body) -> Result<Value, Refusal> {
        let body: Bytes = read(body, self.max_body).await.map_err(Refusal::of)?;
        // A page may send other kinds anywhere without asking.
        let kind = asked.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.to_ascii_lowercase().starts_with("application/json") {
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has to be application/json"));
        }
        let value = serde_json::from_slice::<Value>(&body);
        let value =
            value.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("the body is no JSON: {error}")))?;
        if value.is_object() {
            Ok(value)
        } else {
            Err(Refusal::new(StatusCode::BAD_REQUEST, "the body has to be an object"))
        }
    }
}

impl Asker {
    /// That they may add and remove connectors.
    fn admin(&self) -> Result<(), Refusal> {
        if self.foreign {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "pages of other origins may not do this"));
        }
        if self.admin {
            return Ok(());
        }
        let words = match self.own {
            Caller::Anonymous { .. } => {
                "this takes a caller with the scope connectors:admin (`switchboard keys new`), or, where auth.mode is \
                 none, `registry.open: true` in the configuration file and a request of the server's own machine"
            }
            Caller::Known(_) | Caller::Local => "this takes the scope connectors:admin",
        };
        Err(Refusal::new(StatusCode::FORBIDDEN, words))
    }
}

/// An answer that is a no, in the form the API's clients read.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    words: String,
    /// Headers that have to be said, too.
    headers: Box<HeaderMap>,
}

impl Refusal {
    fn new(status: StatusCode, words: impl Into<String>) -> Self {
        let mut headers = Box::<HeaderMap>::default();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(RETRY_AFTER, SOON);
        }
        Self { status, words: words.into(), headers }
    }

    /// What the other routes would answer, in our form.
    fn of(refusal: Response) -> Self {
        let (parts, _) = refusal.into_parts();
        let words = match parts.status {
            StatusCode::UNAUTHORIZED => "show `Authorization: Bearer` and an API key or a token that counts",
            StatusCode::PAYLOAD_TOO_LARGE => "the body is too large",
            StatusCode::REQUEST_TIMEOUT => "the body did not arrive in time",
            StatusCode::TOO_MANY_REQUESTS => "too many requests from this address; try again later",
            StatusCode::SERVICE_UNAVAILABLE => "the token cannot be checked now; try again soon",
            StatusCode::FORBIDDEN => "this is not for pages of other origins",
            _ => "the request cannot be read",
        };
        let mut refusal = Self::new(parts.status, words);
        for name in [http::header::WWW_AUTHENTICATE, RETRY_AFTER] {
            for value in parts.headers.get_all(&name) {
                refusal.headers.append(name.clone(), value.clone());
            }
        }
        refusal
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        let status = match error {
            RegistryError::Invalid(_) => StatusCode::BAD_REQUEST,
            RegistryError::Forbidden(_) => StatusCode::FORBIDDEN,
            RegistryError::Taken(_) => StatusCode::CONFLICT,
            RegistryError::Unknown(_) => StatusCode::NOT_FOUND,
            RegistryError::Full => StatusCode::TOO_MANY_REQUESTS,
            RegistryError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = answer(self.status, &json!({ "success": false, "error": self.words }));
        response.headers_mut().extend(*self.headers);
        response
    }
}

type Answer = Result<Response, Refusal>;

fn answer(status: StatusCode, body: &Value) -> Response {
    reply::json(status, body.to_string())
}

/// What a query or a body says, as far as it is looked at.
fn said<T: DeserializeOwned>(value: Value, what: &str) -> Result<T, Refusal> {
    let wrong = |error: serde_json::Error| format!("{what}: {}", cut(&error.to_string(), LONGEST_FAULT));
    T::deserialize(value).map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, wrong(error)))
}

impl Asked {
    /// A member of the query.
    fn query(&self, name: &str) -> Option<&str> {
        self.query.as_ref().ok()?.get(name)?.as_str()
    }

    /// A number in the query.
    fn number(&self, name: &str) -> Result<Option<usize>, Refusal> {
        let wrong = |_| Refusal::new(StatusCode::BAD_REQUEST, format!("`{name}` has to be a whole number"));
        self.query(name).map(str::parse).transpose().map_err(wrong)
    }
}
