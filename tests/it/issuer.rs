//! The built-in issuer, as clients and people meet it.

mod browser;
mod clients;
mod strangers;
mod tokens;

use std::sync::{Arc, Mutex};

use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use switchboard::auth::issuer::Visit;
use switchboard::auth::{
    Answer, BuiltInConfig, Issuer, IssuerOptions, NewUser, Offers, Parameters, PredefinedClient, Users,
};
use switchboard::store::{Embedded, Store};
use switchboard::transport::oauth_routes;
use switchboard::upstream::Upstream;
use tempfile::TempDir;
use tokio::task::JoinSet;

const BASE: &str = "https://gw.example.com";
const RESOURCE: &str = "https://gw.example.com/mcp";
const CHATGPT: &str = "https://chatgpt.com/connector_platform_oauth_redirect";
const PASSWORD: &str = "correct horse battery";
/// A verifier and its SHA-256 (RFC 7636, appendix B).
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// An issuer behind a real socket, with one predefined client, and whoever uses it.
struct World {
    _folder: TempDir,
    store: Arc<dyn Store>,
    issuer: Arc<Issuer>,
    address: String,
    http: Client,
    /// What was shown on the terminal.
    said: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<std::io::Result<()>>,
}

/// A page or a redirect, taken apart.
struct Seen {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Seen {
    async fn of(response: Response) -> Self {
        Self { status: response.status(), headers: response.headers().clone(), body: response.text().await.unwrap() }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    fn cookie(&self) -> Option<String> {
        Some(self.header("set-cookie").split(';').next()?.to_owned()).filter(|cookie| !cookie.is_empty())
    }

    /// The value of a hidden input.
    fn hidden(&self, name: &str) -> String {
        let (_, rest) = self.body.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    /// A parameter of the address it leads to.
    fn sent(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(self.header("location")).unwrap();
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} {}", self.status, self.body))
    }
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut BuiltInConfig)) -> Self {
        let folder = TempDir::new().unwrap();
        let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path()).unwrap());
        let said = Arc::new(Mutex::new(Vec::new()));
        let mut settings = BuiltInConfig {
            client: Some(PredefinedClient { id: "pre".into(), secret: None, redirect_uris: Vec::new() }),
            ..BuiltInConfig::default()
        };
        change(&mut settings);
        let issuer = Issuer::open(options(&store, settings, &said), &Upstream::default()).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = oauth_routes(Arc::clone(&issuer));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await });
        let http = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { _folder: folder, store, issuer, address, http, said, _serving: serving }
    }

    async fn add(&self, name: &str, scopes: Option<&[&str]>) {
        let new = NewUser {
            name: name.into(),
            full_name: Some(format!("{name} Example")),
            email: Some(format!("{name}@example.com")),
            tenant: Some("acme".into()),
            scopes: scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect()),
            password: PASSWORD.into(),
        };
        Users::new(Arc::clone(&self.store)).add(new).await.unwrap();
    }

    async fn get(&self, path: &str, cookie: Option<&str>) -> Seen {
        let mut request = self.http.get(format!("{}{path}", self.address));
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        Seen::of(request.send().await.unwrap()).await
    }

    async fn post(&self, path: &str, cookie: Option<&str>, form: &[(&str, &str)]) -> Seen {
        let mut request = self.http.post(format!("{}{path}", self.address)).form(form);
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        Seen::of(request.send().await.unwrap()).await
    }

    /// Asks for access; `changes` replace, add or (when empty) leave out parameters.
    async fn ask(&self, changes: &[(&str, &str)], cookie: Option<&str>) -> Seen {
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", "pre"),
            ("redirect_uri", CHATGPT),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", RESOURCE),
            ("state", "s t&te"),
            ("scope", "mcp crm:read unheard:of"),
        ];
        parameters.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        parameters.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let query = query.extend_pairs(parameters).finish();
        self.get(&format!("/oauth/authorize?{query}"), cookie).await
    }

    /// Signs in on this page: what follows, and the cookie from then on.
    async fn sign_in(&self, page: &Seen, cookie: &str, name: &str, password: &str) -> Seen {
        let (flow, csrf) = (page.hidden("flow"), page.hidden("csrf"));
        let form = [("flow", flow.as_str()), ("csrf", &csrf), ("username", name), ("password", password)];
        self.post("/oauth/sign-in", Some(cookie), &form).await
    }

    /// Decides on this page.
    async fn decide(&self, page: &Seen, cookie: &str, decision: &str) -> Seen {
        let (flow, csrf) = (page.hidden("flow"), page.hidden("csrf"));
        let form = [("flow", flow.as_str()), ("csrf", &csrf), ("decision", decision)];
        self.post("/oauth/consent", Some(cookie), &form).await
    }

    /// All a person does for a client: the code, and their cookie.
    async fn connect(&self, name: &str, changes: &[(&str, &str)]) -> (String, String) {
        let page = self.ask(changes, None).await;
        let cookie = page.cookie().unwrap();
        let signed = self.sign_in(&page, &cookie, name, PASSWORD).await;
        assert_eq!(signed.status, StatusCode::SEE_OTHER, "{}", signed.body);
        let cookie = signed.cookie().unwrap();
        let page = self.get(signed.header("location"), Some(&cookie)).await;
        let back = self.decide(&page, &cookie, "allow").await;
        assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.body);
        (back.sent("code").unwrap(), cookie)
    }

    async fn redeem(&self, code: &str, changes: &[(&str, &str)]) -> Seen {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", "pre"),
            ("redirect_uri", CHATGPT),
            ("code_verifier", VERIFIER),
            ("resource", RESOURCE),
        ];
        form.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        form.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
        self.post("/oauth/token", None, &form).await
    }

    async fn refresh(&self, token: &str) -> Seen {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "pre")];
        self.post("/oauth/token", None, &form).await
    }

    /// Tries to sign in from an address: the status.
    async fn try_from(&self, address: &str, page: &Seen, cookie: &str, form: &[(&str, &str)]) -> Answer {
        let (flow, csrf) = (page.hidden("flow"), page.hidden("csrf"));
        let mut sent = url::form_urlencoded::Serializer::new(String::new());
        let sent = sent.extend_pairs([("flow", &*flow), ("csrf", &csrf)]).extend_pairs(form).finish();
        let visit = Visit { cookies: cookie, address, navigates: false };
        self.issuer.sign_in(&Parameters::parse(sent.as_bytes()), visit).await
    }

    async fn register(&self, metadata: Value) -> Seen {
        let request = self.http.post(format!("{}/oauth/register", self.address)).json(&metadata);
        Seen::of(request.send().await.unwrap()).await
    }
}

fn options(store: &Arc<dyn Store>, settings: BuiltInConfig, said: &Arc<Mutex<Vec<String>>>) -> IssuerOptions {
    let said = Arc::clone(said);
    IssuerOptions {
        base: BASE.into(),
        resource: RESOURCE.into(),
        settings,
        client_secret: None,
        store: Arc::clone(store),
        offers: Arc::new(|| Offers {
            open: vec!["Weather".into()],
            scoped: [("crm:read", "CRM"), ("crm:write", "CRM"), ("mail:send", "Mail")]
                .map(|(scope, connector)| (scope.to_owned(), vec![connector.to_owned()]))
                .into(),
        }),
        announce: Arc::new(move |line| said.lock().unwrap().push(line.to_owned())),
    }
}

/// The code in a line of the terminal.
fn code_of(line: &str) -> String {
    line.strip_prefix("sign-in code ").unwrap().split(' ').next().unwrap().to_owned()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[tokio::test]
async fn metadata_says_what_clients_need() {
    let world = World::new().await;
    let metadata = world.get("/.well-known/oauth-authorization-server", None).await.json();
    assert_eq!(metadata["issuer"], BASE);
    assert_eq!(metadata["token_endpoint"], format!("{BASE}/oauth/token"));
    assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(metadata["client_id_metadata_document_supported"], true);
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    assert_eq!(metadata["registration_endpoint"], format!("{BASE}/oauth/register"));
    let openid = world.get("/.well-known/openid-configuration", None).await.json();
    assert_eq!(openid["subject_types_supported"], json!(["public"]));
    let keys = world.get("/oauth/jwks", None).await.json();
    assert_eq!(keys["keys"][0]["crv"], "P-256");
    assert!(keys["keys"][0].get("d").is_none(), "{keys}");

    let quiet = World::with(|settings| {
        settings.registration = false;
        settings.advertise_iss = false;
    })
    .await;
    let metadata = quiet.get("/.well-known/oauth-authorization-server", None).await.json();
    assert!(metadata.get("registration_endpoint").is_none());
    assert!(metadata.get("authorization_response_iss_parameter_supported").is_none());
    let refused = quiet.register(json!({ "redirect_uris": [CHATGPT] })).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    quiet.add("ann", None).await;
    let back = quiet.ask(&[("prompt", "none")], None).await;
    assert_eq!((back.sent("error").as_deref(), back.sent("iss")), (Some("login_required"), None));
}
