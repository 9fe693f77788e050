//! Clients: those that register, and those that describe themselves.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use axum::{Router, routing::get};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use reqwest::StatusCode;

use super::*;

#[tokio::test]
async fn clients_register_themselves() {
    let world = World::new().await;
    let made = world.register(json!({ "redirect_uris": [CHATGPT], "token_endpoint_auth_method": "none", "client_name": "Chat\u{202e}GPT" })).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.json();
    assert!(made.get("client_secret").is_none());
    assert_eq!((&made["client_name"], &made["application_type"]), (&json!("ChatGPT"), &json!("web")));
    let page = world.ask(&[("client_id", text(&made, "client_id"))], None).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);

    let made = world.register(json!({ "redirect_uris": ["http://localhost:1/cb"] })).await.json();
    assert_eq!(
        (&made["token_endpoint_auth_method"], &made["client_secret_expires_at"]),
        (&json!("client_secret_basic"), &json!(0))
    );
    assert_eq!(made["application_type"], "native");
    for wrong in [
        "http://example.com/cb",
        "https://u@example.com/",
        "https://example.com/#f",
        "javascript:alert(1)",
        "data:x,y",
        "https://example.com\\@evil.example/",
        "https://ex ample.com",
        "HTTPS://example.com/cb",
        "https://a;img-src *.example/cb",
        "https://a;b.example/cb",
        "https://a,b.example/cb",
        "https://*.example/cb",
        "https://'self'.example/cb",
        "https://a$.example/cb",
    ] {
        let refused = world.register(json!({ "redirect_uris": [wrong] })).await;
        assert_eq!(
            (refused.status, text(&refused.json(), "error")),
            (StatusCode::BAD_REQUEST, "invalid_redirect_uri"),
            "{wrong}"
        );
    }
    for wrong in [
        json!([]),
        json!({}),
        json!({ "redirect_uris": [CHATGPT], "grant_types": ["client_credentials"] }),
        json!({ "redirect_uris": [CHATGPT], "token_endpoint_auth_method": "private_key_jwt" }),
        json!({ "redirect_uris": (0..10).map(|it| format!("https://example.com/{it}{}", "x".repeat(1000))).collect::<Vec<_>>() }),
    ] {
        assert_eq!(world.register(wrong.clone()).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn addresses_of_no_use_are_left_out() {
    let world = World::new().await;
    let asked =
        json!({ "redirect_uris": ["http://intranet/cb", CHATGPT, "foo:bar"], "token_endpoint_auth_method": "none" });
    let made = world.register(asked).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.json()["redirect_uris"], json!([CHATGPT]));
}

#[tokio::test]
async fn this_computer_is_known_by_all_its_names() {
    let world = World::new().await;
    world.add("ann", None).await;
    for address in [
        "https://localhost/cb",
        "https://app.localhost/cb",
        "https://localhost./cb",
        "https://0.0.0.0/cb",
        "https://[::]/cb",
        "http://[::1]:4711/cb",
    ] {
        let client = world.register(json!({ "redirect_uris": [address], "token_endpoint_auth_method": "none" })).await;
        let client = client.json();
        let own = [("client_id", text(&client, "client_id")), ("redirect_uri", address)];
        let (_, cookie) = world.connect("ann", &own).await;
        let again = world.ask(&own, Some(&cookie)).await;
        assert!(again.body.contains("a program on your computer"), "{address} is always asked, and warned of");
    }
    let page = world.ask(&[("redirect_uri", "http://[::1]:4711/cb")], None).await;
    assert!(page.header("content-security-policy").contains("form-action 'self' https: http:;"), "{}", page.body);
}

#[tokio::test]
async fn what_is_no_form_is_no_wrong_client() {
    let world = World::new().await;
    for path in ["/oauth/token", "/oauth/revoke"] {
        for request in [
            world.http.post(format!("{}{path}", world.address)),
            world.http.post(format!("{}{path}", world.address)).json(&json!({ "client_id": "pre" })),
            world.http.post(format!("{}{path}", world.address)).form(&[("grant_type", "refresh_token")]),
        ] {
            let refused = Seen::of(request.send().await.unwrap()).await;
            let error = refused.json()["error"].clone();
            assert_eq!((refused.status, error), (StatusCode::BAD_REQUEST, json!("invalid_request")), "{path}");
        }
    }
}

#[tokio::test]
async fn a_secret_counts_as_it_is_and_as_in_a_form() {
    let secret = "a+b%41:c";
    let mut world = World::new().await;
    let mut settings = BuiltInConfig {
        client: Some(PredefinedClient { id: "pre".into(), secret: None, redirect_uris: Vec::new() }),
        ..BuiltInConfig::default()
    };
    settings.registration = false;
    let options = IssuerOptions { client_secret: Some(secret.into()), ..options(&world.store, settings, &world.said) };
    world.issuer = Issuer::open(options, &Upstream::default()).await.unwrap();
    for (shown, right) in
        [(secret, true), ("a%2Bb%2541%3Ac", true), ("a b%41:c", false), ("a bA:c", false), ("", false)]
    {
        let pair = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("pre:{shown}"));
        let form = Parameters::parse(b"grant_type=refresh_token&refresh_token=x");
        let answer = world.issuer.token(&form, Some(&format!("Basic {pair}"))).await;
        let Answer::Json { status, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(status == StatusCode::BAD_REQUEST, right, "{shown}");
    }
}

/// A site with the document of a client and its keys, at this machine.
struct Site {
    id: String,
    key: EncodingKey,
    read: Arc<AtomicUsize>,
    document: Arc<Mutex<Value>>,
    _serving: JoinSet<std::io::Result<()>>,
}

impl Site {
    async fn new() -> Self {
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let key = EncodingKey::from_ec_der(pair.as_ref());
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        public.common.key_id = Some("k1".into());
        let keys = json!({ "keys": [public] }).to_string();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let id = format!("{base}/client.json");
        let document = Arc::new(Mutex::new(json!({
            "client_id": id,
            "client_name": "Tester",
            "redirect_uris": [CHATGPT, "http://localhost/cb"],
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks_uri": format!("{base}/jwks.json"),
        })));
        let read = Arc::new(AtomicUsize::new(0));
        let (shown, count) = (Arc::clone(&document), Arc::clone(&read));
        let json = [("content-type", "application/json")];
        let router = Router::new()
            .route("/jwks.json", get(async move || (json, keys)))
            .route("/moved.json", get(async || (StatusCode::FOUND, [("location", "/client.json")])))
            .route(
                "/client.json",
                get(async move || {
                    count.fetch_add(1, Ordering::Relaxed);
                    (json, shown.lock().unwrap().to_string())
                }),
            );
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await });
        Self { id, key, read, document, _serving: serving }
    }

    /// A proof that this client signs; `changes` replace claims.
    fn assertion(&self, changes: &Value) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": self.id, "sub": self.id, "aud": format!("{BASE}/oauth/token"),
            "iat": now, "exp": now + 60, "jti": format!("{now}-{}", uuid::Uuid::new_v4()),
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, &self.key).unwrap()
    }
}

const KIND: (&str, &str) = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");

async fn open_to_this_machine() -> World {
    let world = World::with(|settings| settings.allow_private_clients = true).await;
    world.add("ann", None).await;
    world
}

#[tokio::test]
async fn a_client_is_what_its_document_says() {
    let (world, site) = (open_to_this_machine().await, Site::new().await);
    let page = world.ask(&[("client_id", &site.id)], None).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("Tester"));
    assert_eq!(world.ask(&[("client_id", &site.id)], None).await.status, StatusCode::OK);
    assert_eq!(site.read.load(Ordering::Relaxed), 1, "it is remembered");
    let port = [("client_id", &*site.id), ("redirect_uri", "http://localhost:4711/cb")];
    assert_eq!(world.ask(&port, None).await.status, StatusCode::OK);
    for wrong in ["https://claude.ai/api/mcp/auth_callback", "http://localhost:4711/other", "http://127.0.0.1:4711/cb"]
    {
        let refused = world.ask(&[("client_id", &site.id), ("redirect_uri", wrong)], None).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let moved = site.id.replace("client.json", "moved.json");
    let refused = world.ask(&[("client_id", &moved)], None).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "redirects are not followed");
    assert!(
        !World::new().await.ask(&[("client_id", &site.id)], None).await.status.is_success(),
        "nor is this machine asked"
    );
}

#[tokio::test]
async fn documents_that_do_not_fit_are_no_clients() {
    for (name, value) in [
        ("client_id", json!("http://127.0.0.1:1/client.json")),
        ("redirect_uris", json!([])),
        ("redirect_uris", json!(["https://elsewhere.example/"])),
        ("token_endpoint_auth_method", json!("client_secret_post")),
        ("client_secret", json!("x")),
        ("grant_types", json!(["client_credentials"])),
        ("jwks_uri", json!(null)),
    ] {
        let (world, site) = (open_to_this_machine().await, Site::new().await);
        site.document.lock().unwrap()[name] = value.clone();
        let refused = world.ask(&[("client_id", &site.id)], None).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{name}: {value}");
    }
    let narrow = World::with(|settings| {
        settings.allow_private_clients = true;
        settings.client_hosts = vec!["*.example.com".into()];
    })
    .await;
    let site = Site::new().await;
    let refused = narrow.ask(&[("client_id", &site.id)], None).await;
    assert!(refused.body.contains("clientHosts"), "{}", refused.body);
    assert_eq!(site.read.load(Ordering::Relaxed), 0, "it is not even read");
}

#[tokio::test]
async fn a_client_that_signs_has_to_sign_rightly_and_once() {
    let (world, site) = (open_to_this_machine().await, Site::new().await);
    let (code, _) = world.connect("ann", &[("client_id", &site.id)]).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let bare = world.redeem(&code, &[("client_id", &site.id)]).await;
    assert_eq!(bare.status, StatusCode::UNAUTHORIZED);
    for changes in [
        json!({ "aud": "https://other.example/token" }),
        json!({ "iss": "https://other.example/" }),
        json!({ "sub": "pre" }),
        json!({ "exp": now + 3600 }),
        json!({ "exp": now - 3600 }),
        json!({ "jti": "" }),
    ] {
        let assertion = site.assertion(&changes);
        let form = [("client_id", &*site.id), KIND, ("client_assertion", &assertion)];
        assert_eq!(world.redeem(&code, &form).await.status, StatusCode::UNAUTHORIZED, "{changes}");
    }
    let stranger = Site::new().await;
    let forged = stranger.assertion(&json!({ "iss": site.id, "sub": site.id }));
    let form = [("client_id", &*site.id), KIND, ("client_assertion", &forged)];
    assert_eq!(world.redeem(&code, &form).await.status, StatusCode::UNAUTHORIZED);
    let right = site.assertion(&json!({}));
    let form = [("client_id", &*site.id), KIND, ("client_assertion", &right)];
    let tokens = world.redeem(&code, &form).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.body);
    let tokens = tokens.json();
    let refresh = async |assertion: &str| {
        let token = text(&tokens, "refresh_token");
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), KIND, ("client_assertion", assertion)];
        world.post("/oauth/token", None, &form).await
    };
    let replayed = refresh(&right).await;
    assert!(replayed.body.contains("shown before"), "{}", replayed.body);
    let issuer_named = site.assertion(&json!({ "aud": BASE }));
    assert_eq!(refresh(&issuer_named).await.status, StatusCode::OK, "without client_id, by its own word");
}
