//! The page at `/`, for a person who opens the server's address: what this is, and how a client is connected to it.

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    extract::{Extension, State},
    response::Response,
    routing::get,
};
use http::{
    HeaderMap, HeaderValue, StatusCode, Uri,
    header::{self, CONTENT_SECURITY_POLICY},
};
use minijinja::{Environment, Value, context};
use serde_json::{Map, json};
use url::Url;

use super::HttpOptions;
use super::guard::Prefix;
use super::http::unknown;
use super::reply::{self, Code};
use crate::gateway::{Live, State as Condition};
use crate::protocol::Server;
use crate::widget::hash_source;

const PAGE: &str = include_str!("home/home.html");
const STYLE: &str = include_str!("home/home.css");

/// Nothing but our own style, by its hash, and no script.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = hash_source(STYLE);
    let policy =
        format!("default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// Where we are, for people.
#[derive(Debug)]
struct Home {
    server: Server,
    public_url: Option<Url>,
    /// Whether nobody but who was told may know where we take calls.
    is_secret: bool,
    /// Whether clients have to show a key.
    wants_keys: bool,
}

/// What anybody may ask for: the page, and the public key that our signatures are verified with.
pub(super) fn routes(server: &Server, options: &HttpOptions) -> Router {
    let is_secret = options.secret_path.is_some();
    let (public_url, wants_keys) = (options.public_url.clone(), options.auth.wants_keys());
    let home = Home { server: server.clone(), public_url, is_secret, wants_keys };
    Router::new()
        .route("/", get(welcome))
        .route("/.well-known/switchboard-keys.json", get(public_keys))
        .with_state(Arc::new(home))
}

async fn welcome(
    State(home): State<Arc<Home>>,
    Extension(prefix): Extension<Prefix>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(http::uri::Authority::as_str)).unwrap_or("127.0.0.1");
    home.page(&home.server.gateway().live(), &prefix.0, host)
}

async fn public_keys(State(home): State<Arc<Home>>) -> Response {
    match home.server.gateway().signer().public_keys() {
        Some(keys) => reply::json(StatusCode::OK, keys.to_string()),
        None => unknown(),
    }
}

impl Home {
    /// The page. Anybody may ask, so connectors are counted and not named.
    fn page(&self, live: &Live, prefix: &str, host: &str) -> Response {
        let asked = || format!("http://{host}{prefix}");
        let base = self.public_url.as_ref().map_or_else(asked, |url| url.as_str().trim_end_matches('/').to_owned());
        let secret = if self.is_secret { "/<your secret path>" } else { "" };
        let address = format!("{base}{secret}/mcp");
        let states: Vec<Condition> = live.connectors.values().map(|connector| connector.state()).collect();
        let key = self.wants_keys.then_some("Bearer <your key>");
        let servers = |kind: Option<&str>| {
            let mut server: Map<_, _> = kind.map(|kind| ("type".to_owned(), json!(kind))).into_iter().collect();
            server.insert("url".into(), json!(address));
            server.extend(key.map(|key| ("headers".to_owned(), json!({ "Authorization": key }))));
            json!({ "switchboard": server })
        };
        let shown = context! {
            style => Value::from_safe_string(STYLE.to_owned()),
            brand => live.brand(),
            version => env!("CARGO_PKG_VERSION"),
            ready => states.iter().filter(|state| state.is_ready()).count(),
            in_use => states.iter().filter(|state| **state != Condition::Disabled).count(),
            is_public => address.starts_with("https://"),
            dashboard => format!("{prefix}/apps/chatgpt-dashboard/"),
            key => key,
            cursor => format!("{:#}", json!({ "mcpServers": servers(None) })),
            code => format!("{:#}", json!({ "servers": servers(Some("http")) })),
            address => address,
        };
        let Ok(html) = Environment::new().render_named_str("home.html", PAGE, shown) else {
            let message = "the page cannot be made";
            return reply::error(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, message);
        };
        let mut response = reply::html(html);
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY.clone());
        response
    }
}
