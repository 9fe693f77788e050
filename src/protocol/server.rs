//! The MCP server: which method goes where.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rmcp::model::{
    CallToolRequestMethod, CallToolRequestParams, CallToolResponse, ClientNotification, ClientRequest,
    ConstString as _, CustomRequest, CustomResult, DiscoverResult, ErrorData, GetPromptRequestParams,
    GetPromptResponse, ListToolsResult, PaginatedRequestParams, PingRequestMethod, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig, ServerResult,
    SetLevelRequestMethod, SubscriptionFilter, Tool,
};
use rmcp::service::{NotificationContext, RequestContext, Service, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::announce::{Audience, listen};
use super::era::Era;
use super::present::implementation;
use super::tools::{self, LIST_TOOLS};
use crate::call::Caller;
use crate::gateway::{Gateway, State};

/// `server/discover` answers stay fresh this long, in milliseconds.
const DISCOVER_TTL_MS: u64 = 60_000;
/// ChatGPT reads the first 512 characters of the instructions most carefully.
const LONGEST_INSTRUCTIONS: usize = 512;

/// What the HTTP transport tells of a request. It travels in the request's extensions.
#[derive(Debug, Clone)]
pub struct OverHttp {
    /// The client takes one JSON answer and no stream.
    pub json_only: bool,
    /// Fires when the session the request belongs to is over.
    pub gone: CancellationToken,
}

impl OverHttp {
    pub(super) fn of(cx: &RequestContext<RoleServer>) -> Option<&Self> {
        cx.extensions.get::<http::request::Parts>()?.extensions.get()
    }
}

/// The MCP server, cheap to clone.
#[derive(Debug, Clone)]
pub struct Server {
    gateway: Arc<Gateway>,
    audience: Audience,
    caller: Caller,
    closing: CancellationToken,
    joined: Arc<AtomicBool>,
}

impl Server {
    /// A server whose requests come from `caller`. When `closing` fires, subscriptions end.
    pub fn new(gateway: Arc<Gateway>, audience: Audience, caller: Caller, closing: CancellationToken) -> Self {
        Self { gateway, audience, caller, closing, joined: Arc::default() }
    }

    /// The same server for one more client.
    #[must_use]
    pub fn for_client(&self) -> Self {
        Self { joined: Arc::default(), ..self.clone() }
    }

    /// The versions a request may pick for itself. Earlier ones are negotiated by `initialize`.
    pub const PER_REQUEST: &[ProtocolVersion] = &[ProtocolVersion::V_2026_07_28];

    /// Ends subscriptions, each with its final result.
    pub fn close_subscriptions(&self) {
        self.closing.cancel();
    }

    /// What the server is for, the most important first.
    fn instructions(&self) -> String {
        let mut text = String::from("Switchboard gives one list of tools from many connectors.");
        let live = self.gateway.live();
        for connector in live.connectors.values().filter(|connector| connector.state() == State::Ready) {
            let manifest = &connector.checked.connector;
            let _ = match &manifest.description {
                Some(description) => write!(text, "\n{}: {description}", manifest.name),
                None => write!(text, "\n{}", manifest.name),
            };
        }
        match text.char_indices().nth(LONGEST_INSTRUCTIONS - 1) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text,
        }
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_resources()
            .build();
        let mut config = ServerConfig::new(capabilities).with_instructions(self.instructions());
        config.server_info = implementation();
        config.protocol_version = ProtocolVersion::LATEST_WITH_INITIALIZE;
        config
    }

    async fn discover(&self, _: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let mut result = DiscoverResult::from_server_info(Self::PER_REQUEST.to_vec(), ServerHandler::get_info(self));
        result.ttl_ms = DISCOVER_TTL_MS;
        Ok(result)
    }

    async fn on_initialized(&self, cx: NotificationContext<RoleServer>) {
        // A client that says so many times is still one client.
        if !self.joined.swap(true, Ordering::Relaxed) {
            self.audience.join(cx.peer);
        }
    }

    #[expect(deprecated, reason = "clients of the handshake era still call it")]
    /// No log messages are sent, so every level is kept. 2026-07-28 has no such method.
    async fn set_level(
        &self,
        _: rmcp::model::SetLevelRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        match Era::of(&cx) {
            Era::Handshake => Ok(()),
            Era::PerRequest => Err(ErrorData::method_not_found::<SetLevelRequestMethod>()),
        }
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        listen(&subscription, self.gateway.watch(), &self.closing).await;
        Ok(())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        tools::call(&self.gateway, self.caller, request, cx).await.map(CallToolResponse::Complete)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let data = Some(json!({ "uri": request.uri }));
        Err(match Era::of(&cx) {
            Era::PerRequest => ErrorData::invalid_params("unknown resource", data),
            Era::Handshake => ErrorData::resource_not_found("unknown resource", data),
        })
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        Err(ErrorData::invalid_params(format!("unknown prompt `{}`", request.name), None))
    }

    /// Transports send `tools/list` as [`LIST_TOOLS`]; the SDK's own type would lose members.
    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Err(ErrorData::internal_error("tools/list took a wrong turn", None))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::with_header_parameters(&self.gateway.live().catalog, name)
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        cx: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        match request.method.as_str() {
            LIST_TOOLS => tools::list(&self.gateway.live().catalog, request.params.as_ref(), Era::of(&cx)),
            // The SDK takes a known method with malformed parameters for an unknown one.
            CallToolRequestMethod::VALUE => {
                let message = "tools/call wants `name`, a string, and `arguments`, an object";
                Err(ErrorData::invalid_params(message, None))
            }
            other => Err(ErrorData::new(rmcp::model::ErrorCode::METHOD_NOT_FOUND, other.to_owned(), None)),
        }
    }
}

/// The server for transports that hand every message to the SDK themselves (stdio, legacy SSE).
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
        if matches!(request, ClientRequest::PingRequest(_)) && Era::of(&cx) == Era::PerRequest {
            return Err(ErrorData::method_not_found::<PingRequestMethod>());
        }
        let request = if let ClientRequest::ListToolsRequest(list) = request {
            let params = list.params.and_then(|params| serde_json::to_value(params).ok());
            ClientRequest::CustomRequest(CustomRequest::new(LIST_TOOLS, params))
        } else {
            request
        };
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
