//! The MCP server: which method goes where.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{HeaderMap, HeaderName};
use rmcp::model::{
    ClientNotification, ClientRequest, CustomRequest, CustomResult, DiscoverResult, ErrorData, InitializeRequestParams,
    InitializeResult, PingRequestMethod, ProtocolVersion, ServerCapabilities, ServerConfig, ServerResult,
    SubscriptionFilter,
};
use rmcp::service::{NotificationContext, RequestContext, Service, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::announce::{Audience, listen};
use super::downstream::{Cell, converse};
use super::era::era_of;
use super::parcel::Parcels;
use super::present::{from_error, implementation};
use super::request::PREFIX;
use crate::call::{Downstream, Era, RequestId, Way};
use crate::caller::Caller;
use crate::catalog::view::{Asked, View, Views};
use crate::error::Error;
use crate::gateway::{Gateway, Live, Reader, Subject};
use crate::params::Params;
use crate::widget::{Asset, Pages};

/// Where a 2026-07-28 request says which program its client is.
pub(super) const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// `server/discover` answers stay fresh this long, in milliseconds.
const DISCOVER_TTL_MS: u64 = 60_000;

/// What the HTTP transport tells of a request. It travels in the request's extensions.
#[derive(Debug, Clone)]
pub struct OverHttp {
    /// The client takes one JSON answer and no stream.
    pub json_only: bool,
    /// Fires when the session the request belongs to is over.
    pub gone: CancellationToken,
    /// Who sent it.
    pub caller: Caller,
}

impl OverHttp {
    pub(super) fn of(cx: &RequestContext<RoleServer>) -> Option<&Self> {
        cx.extensions.get::<http::request::Parts>()?.extensions.get()
    }

    /// What the address of an HTTP request asks to be shown.
    fn asked(cx: &RequestContext<RoleServer>) -> Option<&Asked> {
        cx.extensions.get::<http::request::Parts>()?.extensions.get()
    }

    /// What the transport calls a request; any name where it has none.
    pub(super) fn request(cx: &RequestContext<RoleServer>) -> RequestId {
        let named = cx.extensions.get::<http::request::Parts>().and_then(|parts| parts.extensions.get());
        named.copied().unwrap_or_default()
    }

    /// The headers of an HTTP request.
    pub(super) fn headers(cx: &RequestContext<RoleServer>) -> Option<&HeaderMap> {
        cx.extensions.get::<http::request::Parts>().map(|parts| &parts.headers)
    }

    /// The way it came.
    fn way(cx: &RequestContext<RoleServer>) -> Way {
        if Self::headers(cx).is_some() { Way::Http } else { Way::Stdio }
    }

    /// What an HTTP request says its client is.
    pub(super) fn agent(cx: &RequestContext<RoleServer>) -> Option<Arc<str>> {
        let agent = Self::headers(cx)?.get(http::header::USER_AGENT)?;
        agent.to_str().ok().map(Arc::from)
    }
}

/// The MCP server, cheap to clone.
#[derive(Debug, Clone)]
pub struct Server {
    pub(super) gateway: Arc<Gateway>,
    audience: Audience,
    pub(super) caller: Caller,
    closing: CancellationToken,
    joined: Arc<AtomicBool>,
    /// The session it serves, if it serves one.
    cell: Option<Arc<Cell>>,
    parcels: Parcels,
    /// Where clients learn how to sign in.
    pub(super) sign_in_at: Option<Arc<str>>,
    views: Arc<Views>,
    /// What its client asked to be shown, where no request says it.
    asked: Asked,
}

impl Server {
    /// A server whose requests come from `caller`, where the transport does not say of each whose it is. When `closing` fires, subscriptions end.
    pub fn new(gateway: Arc<Gateway>, audience: Audience, caller: Caller, closing: CancellationToken) -> Self {
        let (joined, parcels, views) = (Arc::default(), Parcels::default(), Arc::default());
        let (cell, sign_in_at, asked) = (None, None, Asked::default());
        Self { gateway, audience, caller, closing, joined, cell, parcels, sign_in_at, views, asked }
    }

    /// The same server for callers who learn there how to sign in.
    #[must_use]
    pub fn with_sign_in(self, at: Option<Arc<str>>) -> Self {
        Self { sign_in_at: at, ..self }
    }

    /// The same server with these views; who does not say what they want to be shown asked for this.
    #[must_use]
    pub fn with_views(self, views: Views, asked: Asked) -> Self {
        Self { views: Arc::new(views), asked, ..self }
    }

    /// The views there are.
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// The view of a request that asks for this and comes from a client of this name.
    pub fn view(&self, asked: Option<&Asked>, client: impl FnOnce() -> Option<String>) -> Arc<View> {
        self.views.choose(Some(asked.unwrap_or(&self.asked)), client)
    }

    /// Where clients learn how to sign in.
    pub fn sign_in_at(&self) -> Option<&str> {
        self.sign_in_at.as_deref()
    }

    /// The same server for one more client, which stays.
    #[must_use]
    pub fn for_session(&self) -> Self {
        Self { cell: Some(Arc::default()), ..self.for_request() }
    }

    /// The same server for a request on its own.
    #[must_use]
    pub fn for_request(&self) -> Self {
        Self { joined: Arc::default(), ..self.clone() }
    }

    /// What answers calls.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// How every connector is.
    pub fn status(&self) -> Value {
        json!({ "version": env!("CARGO_PKG_VERSION"), "connectors": self.gateway.live().report() })
    }

    /// How every connector is, as the dashboard shows it to the operator.
    pub fn overview(&self) -> Value {
        self.gateway.live().overview(Reader::Operator)
    }

    /// Fires when an overview may have changed.
    pub fn watch(&self) -> (watch::Receiver<Arc<Live>>, watch::Receiver<()>) {
        (self.gateway.watch(), self.gateway.health())
    }

    /// The pages that may be shown, and their assets.
    pub fn pages(&self) -> Pages {
        self.gateway.live().pages().clone()
    }

    /// A file that pages load, by its address below `/assets/`, and whether it stays what it is.
    pub async fn asset(&self, address: &str) -> Option<(Asset, bool)> {
        self.gateway.asset(address).await
    }

    /// The headers, besides `Authorization`, in which callers may show keys.
    pub fn key_headers(&self) -> Arc<[HeaderName]> {
        Arc::clone(self.gateway.live().key_headers())
    }

    /// The results on their way through the SDK.
    pub fn parcels(&self) -> &Parcels {
        &self.parcels
    }

    /// The versions a request may pick for itself. Earlier ones are negotiated by `initialize`.
    pub const PER_REQUEST: &[ProtocolVersion] = &[ProtocolVersion::V_2026_07_28];

    /// Ends subscriptions, each with its final result.
    pub fn close_subscriptions(&self) {
        self.closing.cancel();
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let mut capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_completions()
            .build();
        // Set as data: the SDK calls it deprecated, and clients of the handshake era do not.
        let extensions = self.gateway.live().extensions();
        let declared = json!({ "logging": {}, "extensions": extensions });
        if let Ok(more) = serde_json::from_value::<ServerCapabilities>(declared) {
            capabilities.logging = more.logging;
            capabilities.extensions = more.extensions.filter(|extensions| !extensions.is_empty());
        }
        let mut config = ServerConfig::new(capabilities);
        config.server_info = implementation();
        config.protocol_version = ProtocolVersion::LATEST_WITH_INITIALIZE;
        config
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let _counted = self.counted("initialize", (Era::Handshake, OverHttp::way(&cx)));
        let view = self.view(OverHttp::asked(&cx), || Some(request.client_info.name.clone()));
        let instructions = self.instructions(self.caller_of(&cx), &view);
        cx.peer.set_peer_info(request.clone());
        let mut result = self.negotiate_initialize(&request)?;
        result.instructions = Some(instructions);
        Ok(result)
    }

    async fn discover(&self, cx: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let _counted = self.counted("server/discover", (era_of(&cx), OverHttp::way(&cx)));
        let named = || cx.meta.get(CLIENT_INFO)?.get("name")?.as_str().map(str::to_owned);
        let view = self.view(OverHttp::asked(&cx), named);
        let instructions = self.instructions(self.caller_of(&cx), &view);
        let config = ServerHandler::get_info(self).with_instructions(instructions);
        let mut result = DiscoverResult::from_server_info(Self::PER_REQUEST.to_vec(), config);
        result.ttl_ms = DISCOVER_TTL_MS;
        Ok(result)
    }

    async fn on_initialized(&self, cx: NotificationContext<RoleServer>) {
        // A client that says so many times is still one client.
        if let Some(cell) = self.cell.as_ref().filter(|_| !self.joined.swap(true, Ordering::Relaxed)) {
            let over = cx.extensions.get::<http::request::Parts>().and_then(|parts| parts.extensions.get::<OverHttp>());
            let caller = over.map_or(&self.caller, |over| &over.caller).clone();
            self.audience.join(cx.peer, cell, caller);
        }
    }

    async fn on_roots_list_changed(&self, cx: NotificationContext<RoleServer>) {
        if let Some(session) = self.cell.as_ref().and_then(|cell| cell.session(&cx.peer)) {
            self.gateway.tell(&self.caller, &session, "notifications/roots/list_changed", Params::default()).await;
        }
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let cx = subscription.request_context();
        let _counted = self.counted("subscriptions/listen", (era_of(cx), OverHttp::way(cx)));
        let caller = OverHttp::of(cx).map_or(&self.caller, |over| &over.caller);
        listen(&subscription, &self.gateway, caller, &self.closing).await;
        Ok(())
    }

    /// Transports send what connectors answer under another name (see `Parcels::wrap`).
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        cx: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = request.method.strip_prefix(PREFIX).unwrap_or(&request.method);
        let params = self.parcels.unwrap(request.params);
        let mut params = params.ok_or_else(|| ErrorData::invalid_params(format!("{method} wants an object"), None))?;
        let meta = params.take("_meta").and_then(|meta| Params::parse(meta.get())).unwrap_or_default();
        let about_session = matches!(method, "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe");
        if about_session && era_of(&cx) == Era::Handshake {
            let _counted = self.counted(method, (Era::Handshake, OverHttp::way(&cx)));
            let done = self.about_session(method, params, &cx).await;
            return done.map(|()| CustomResult::new(json!({})));
        }
        let caller = self.caller_of(&cx);
        let asked = OverHttp::asked(&cx);
        let answer = |mut downstream: Downstream| {
            downstream.view = self.view(asked, || downstream.client_name());
            self.answer(caller, method, params, downstream)
        };
        let answered = Box::pin(converse(self.cell.as_deref(), &cx, meta, answer)).await;
        let answered = answered.unwrap_or_else(|| Err(ErrorData::internal_error("the request was cancelled", None)));
        answered.map(|result| CustomResult::new(self.parcels.label(result)))
    }
}

impl Server {
    /// Who sent a request.
    fn caller_of<'a>(&'a self, cx: &'a RequestContext<RoleServer>) -> &'a Caller {
        OverHttp::of(cx).map_or(&self.caller, |over| &over.caller)
    }

    /// Why this caller would be refused what a request of [these methods](super::ASKED_ABOUT) is about in this view,
    /// and could do something about it.
    pub fn refusal(&self, caller: &Caller, (method, params): (&str, &Params), view: &View) -> Option<Error> {
        let about = |key: &str| params.text(key);
        let subject = match method {
            "tools/call" => Subject::Tool(self.tool_meant(params, caller, view)?),
            "prompts/get" => Subject::Prompt(about("name")?),
            "resources/read" | "resources/subscribe" => Subject::Resource(about("uri")?),
            "completion/complete" => {
                let about = params.read::<Map<String, Value>>("ref")?;
                let named = |key: &str| about.get(key).and_then(Value::as_str).map(str::to_owned);
                named("uri").map(Subject::Resource).or_else(|| named("name").map(Subject::Prompt))?
            }
            _ => return None,
        };
        self.gateway.refusal(caller, &subject, view)
    }

    /// What a session says of itself. One that has no session has nobody to remember it for.
    async fn about_session(
        &self,
        method: &str,
        params: Params,
        cx: &RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let wants = |what: &str| ErrorData::invalid_params(format!("{method} wants {what}"), None);
        if method == "logging/setLevel" {
            let level = params.text("level").filter(|level| LEVELS.contains(&level.as_str()));
            let level = level.ok_or_else(|| wants(&format!("`level`, one of {}", LEVELS.join(", "))))?;
            let Some(cell) = &self.cell else { return Ok(()) };
            cell.set_level(level);
            if let Some(session) = cell.session(&cx.peer) {
                self.gateway.tell(self.caller_of(cx), &session, method, params).await;
            }
            return Ok(());
        }
        let uri = params.text("uri").ok_or_else(|| wants("`uri`, a string"))?;
        if let Some(cell) = self.cell.as_ref().filter(|_| method == "resources/unsubscribe") {
            cell.watches().remove(&uri);
        }
        let caller = self.caller_of(cx);
        let place = self.place("uri", &uri, caller).await;
        let place = place.and_then(|place| self.gateway.lets_in(place, caller, &uri));
        let place = place.map_err(|error| from_error(&error, Era::Handshake, Some(&uri)))?;
        let Some(cell) = &self.cell else {
            return Err(ErrorData::invalid_params("there is no session in which to tell of changes", None));
        };
        if let Some(session) = cell.session(&cx.peer) {
            self.gateway.tell_of(caller, &session, method, &place).await;
        }
        if method == "resources/subscribe"
            && let Some(watching) = self.gateway.watch_resource(&place)
        {
            cell.watches().insert(uri, watching);
        }
        Ok(())
    }
}

/// How severe a log message can be.
const LEVELS: &[&str] = &["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// The server for transports that hand every message to the SDK themselves (stdio, legacy SSE). They
/// rename what connectors answer before the SDK reads it, as the HTTP front does.
#[derive(Debug, Clone)]
pub struct Wire(pub Server);

impl Service<RoleServer> for Wire {
    async fn handle_request(
        &self,
        request: ClientRequest,
        cx: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        if let Some(picked) = cx.meta.protocol_version().filter(|picked| !Server::PER_REQUEST.contains(picked)) {
            return Err(ErrorData::unsupported_protocol_version(picked, Server::PER_REQUEST));
        }
        if matches!(request, ClientRequest::PingRequest(_)) && era_of(&cx) == Era::PerRequest {
            return Err(ErrorData::method_not_found::<PingRequestMethod>());
        }
        Service::<RoleServer>::handle_request(&self.0, request, cx).await
    }

    async fn handle_notification(
        &self,
        notification: ClientNotification,
        cx: NotificationContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Service::<RoleServer>::handle_notification(&self.0, notification, cx).await
    }

    fn get_info(&self) -> ServerConfig {
        ServerHandler::get_info(&self.0)
    }
}
