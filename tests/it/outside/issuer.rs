//! An issuer on this machine: its documents can be changed, and it counts who reads them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One answer: status, content type, further headers, body.
pub(super) type Answer = (u16, &'static str, Vec<(&'static str, String)>, String);

#[derive(Default)]
pub(super) struct Shown {
    answers: HashMap<String, Answer>,
    pub(super) hits: HashMap<String, usize>,
    /// The last `Authorization` and body that came in.
    pub(super) asked: (String, String),
}

pub(super) struct Issuer {
    pub(super) url: String,
    shown: Arc<Mutex<Shown>>,
    _server: JoinSet<()>,
}

impl Issuer {
    /// An issuer that shows nothing yet.
    pub(super) async fn bare() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shown = Arc::<Mutex<Shown>>::default();
        let app = axum::Router::new().fallback(answer).with_state(shown.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, shown, _server: server }
    }

    /// An issuer with metadata and these keys.
    pub(super) async fn with(keys: &[&Key]) -> Self {
        let issuer = Self::bare().await;
        issuer.metadata(&json!({}));
        issuer.keys(keys);
        issuer
    }

    /// Its metadata, with these members instead.
    pub(super) fn metadata(&self, over: &Value) {
        let mut metadata = json!({
            "issuer": self.url,
            "jwks_uri": format!("{}/jwks", self.url),
            "introspection_endpoint": format!("{}/introspect", self.url),
        });
        for (name, value) in over.as_object().unwrap() {
            metadata[name] = value.clone();
        }
        self.json("/.well-known/openid-configuration", &metadata);
    }

    pub(super) fn keys(&self, keys: &[&Key]) {
        self.json("/jwks", &json!({ "keys": keys.iter().map(|key| key.jwk.clone()).collect::<Vec<_>>() }));
    }

    pub(super) fn json(&self, path: &str, value: &Value) {
        self.answer(path, (200, "application/json", Vec::new(), value.to_string()));
    }

    pub(super) fn answer(&self, path: &str, answer: Answer) {
        self.shown().answers.insert(path.into(), answer);
    }

    pub(super) fn hits(&self, path: &str) -> usize {
        self.shown().hits.get(path).copied().unwrap_or(0)
    }

    pub(super) fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap()
    }
}

async fn answer(State(shown): State<Arc<Mutex<Shown>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut shown = shown.lock().unwrap();
    *shown.hits.entry(uri.path().to_owned()).or_default() += 1;
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    shown.asked = (authorization.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap());
    let Some((status, kind, more, body)) = shown.answers.get(uri.path()).cloned() else {
        return (StatusCode::NOT_FOUND, "nothing here").into_response();
    };
    let mut response = (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, kind)], body).into_response();
    for (name, value) in more {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key, and what the world sees of it.
pub(super) struct Key {
    pub(super) jwk: Value,
    pub(super) alg: &'static str,
    sign: Sign,
}

impl Key {
    pub(super) fn es256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::ec(pair, "P-256", "ES256", kid)
    }

    pub(super) fn es384(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self::ec(pair, "P-384", "ES384", kid)
    }

    fn ec(pair: EcdsaKeyPair, crv: &str, alg: &'static str, kid: &str) -> Self {
        let point = pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(point.len() / 2);
        let jwk = json!({ "kty": "EC", "crv": crv, "kid": kid, "use": "sig", "alg": alg, "x": b64(x), "y": b64(y) });
        let sign = move |bytes: &[u8]| pair.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec();
        Self { jwk, alg, sign: Box::new(sign) }
    }

    pub(super) fn ed25519(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(pair.public_key().as_ref()) });
        Self { jwk, alg: "EdDSA", sign: Box::new(move |bytes| pair.sign(bytes).as_ref().to_vec()) }
    }

    pub(super) fn rsa(kid: &str, alg: &'static str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        // RSAPublicKey in DER: nine bytes of headers, the modulus, then 65537.
        let modulus = b64(&pair.public_key().as_ref()[9..265]);
        let jwk = json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": modulus, "e": "AQAB" });
        let sign = move |bytes: &[u8]| {
            let mut signature = vec![0; pair.public_modulus_len()];
            let how = if alg == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
            pair.sign(how, &SystemRandom::new(), bytes, &mut signature).unwrap();
            signature
        };
        Self { jwk, alg, sign: Box::new(sign) }
    }

    pub(super) fn kid(&self) -> &str {
        self.jwk["kid"].as_str().unwrap()
    }

    /// A token with the key's own header.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({ "alg": self.alg, "kid": self.kid(), "typ": "at+jwt" }), claims)
    }

    pub(super) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(header.to_string().as_bytes()), b64(claims.to_string().as_bytes()));
        let signature = b64(&(self.sign)(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// A token "signed" with a shared secret.
pub(super) fn hmac_token(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", b64(header.to_string().as_bytes()), b64(claims.to_string().as_bytes()));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let signature = aws_lc_rs::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", b64(signature.as_ref()))
}

pub(super) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
