//! Tokens of an issuer elsewhere: which count, which do not, and what happens while the issuer is away or changes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use switchboard::auth::{Denied, OAuthConfig, Outside};
use switchboard::caller::Scopes;
use switchboard::credential::{Keyring, VaultConfig, Vouching};
use switchboard::secret::Environment;
use switchboard::upstream::Upstream;

mod asked;
mod found;
mod issuer;

use issuer::{Issuer, Key, b64, hmac_token};

const RESOURCE: &str = "https://gw.example/mcp";

fn settings(issuer: &str, over: &Value) -> OAuthConfig {
    let mut settings = json!({ "issuer": issuer, "allowPrivate": true });
    for (name, value) in over.as_object().unwrap() {
        settings[name] = value.clone();
    }
    serde_json::from_value(settings).unwrap()
}

fn outside(issuer: &Issuer, over: &Value) -> Outside {
    open(&settings(&issuer.url, over)).unwrap()
}

fn open(settings: &OAuthConfig) -> Result<Outside, Vec<String>> {
    let environment = Environment::new([("SECRET".to_owned(), "the secret".to_owned())]);
    let keyring = Keyring::new(environment, &VaultConfig::default(), Err("nothing is kept".into()), Vouching::Nobody);
    Outside::new(settings, RESOURCE, &Upstream::default(), &keyring)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Claims that are good, with these instead; null takes one away.
fn claims(issuer: &Issuer, over: &Value) -> Value {
    let mut claims = json!({
        "iss": issuer.url, "sub": "u1", "aud": RESOURCE, "exp": now() + 600, "iat": now(), "client_id": "c1",
        "scope": "crm:read crm:write",
    });
    for (name, value) in over.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

async fn refused(outside: &Outside, token: &str) -> String {
    match outside.verify(token).await {
        Err(Denied::Invalid(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn tokens_of_every_algorithm_we_take_are_proved() {
    let keys = [Key::es256("a"), Key::es384("b"), Key::ed25519("c"), Key::rsa("d", "RS256"), Key::rsa("e", "PS256")];
    let issuer = Issuer::with(&keys.iter().collect::<Vec<_>>()).await;
    let outside = outside(&issuer, &json!({}));
    for key in &keys {
        let (principal, until) = outside.verify(&key.token(&claims(&issuer, &json!({})))).await.unwrap();
        assert_eq!((principal.subject.as_str(), principal.client.as_deref()), ("u1", Some("c1")), "{}", key.alg);
        assert_eq!(principal.issuer, issuer.url);
        assert_eq!(principal.scopes, Scopes::of("crm:read crm:write"));
        assert_eq!(principal.reach, Scopes::All);
        assert!(until > SystemTime::now() && until <= SystemTime::now() + Duration::from_mins(10));
    }
    assert_eq!((issuer.hits("/jwks"), issuer.hits("/.well-known/openid-configuration")), (1, 1));
}

#[tokio::test]
async fn what_a_token_says_names_the_caller() {
    let key = Key::es256("a");
    let issuer = Issuer::with(&[&key]).await;
    let outside = outside(
        &issuer,
        &json!({
            "audience": ["api://one", "api://two"], "scopes": ["crm:admin"],
            "scopeClaims": ["scp", "/realm_access/roles"], "tenantClaim": "tid",
        }),
    );
    let said = json!({
        "aud": ["api://other", "api://two"], "scope": null, "scp": ["crm:read", "*"], "realm_access": { "roles": ["boss"] },
        "tid": "acme", "client_id": null, "azp": "c2", "name": "Ada", "email": "ada@example.com", "email_verified": true,
    });
    let (principal, _) = outside.verify(&key.token(&claims(&issuer, &said))).await.unwrap();
    assert_eq!(principal.scopes, Scopes::of("crm:read boss"), "a star elsewhere opens nothing here");
    assert_eq!(principal.reach, Scopes::of("crm:read boss crm:admin"));
    assert_eq!((principal.tenant.as_deref(), principal.client.as_deref()), (Some("acme"), Some("c2")));
    assert_eq!((principal.name.as_deref(), principal.email.as_deref()), (Some("Ada"), Some("ada@example.com")));
    for (verified, exp) in [(json!(false), now() + 5), (json!("true"), now() + 5), (Value::Null, now() + 5)] {
        let said = json!({ "aud": "api://one", "email": "a@b", "email_verified": verified, "exp": exp });
        let (principal, until) = outside.verify(&key.token(&claims(&issuer, &said))).await.unwrap();
        assert_eq!(principal.email, None);
        assert_eq!(until, UNIX_EPOCH + Duration::from_secs(exp));
    }
}

#[tokio::test]
async fn tokens_that_prove_nothing_are_refused() {
    let (key, other) = (Key::es256("a"), Key::es256("a"));
    let issuer = Issuer::with(&[&key]).await;
    let outside = outside(&issuer, &json!({}));
    let good = claims(&issuer, &json!({}));
    assert!(outside.verify(&key.token(&good)).await.is_ok());
    for (over, why) in [
        (json!({ "aud": "https://other.example/mcp" }), "not meant for this server"),
        (json!({ "aud": format!("{RESOURCE}/") }), "not meant for this server"),
        (json!({ "aud": [] }), "not meant for this server"),
        (json!({ "aud": null }), "no `aud`"),
        (json!({ "iss": "https://other.example" }), "of another issuer"),
        (json!({ "iss": format!("{}/", issuer.url) }), "of another issuer"),
        (json!({ "iss": [issuer.url] }), "of another issuer"),
        (json!({ "iss": null }), "no `iss`"),
        (json!({ "exp": now() - 60 }), "has expired"),
        (json!({ "exp": null }), "no `exp`"),
        (json!({ "exp": "tomorrow" }), "`exp`"),
        (json!({ "nbf": now() + 60 }), "not valid yet"),
        (json!({ "iat": now() + 60 }), "not valid yet"),
        (json!({ "sub": null }), "no `sub`"),
        (json!({ "sub": "" }), "names nobody"),
        (json!({ "nonce": "n" }), "no access token"),
        (json!({ "token_use": "id" }), "no access token"),
        (json!({ "typ": "Refresh" }), "no access token"),
        (json!({ "cnf": { "jkt": "x" } }), "bound to a key"),
    ] {
        let said = refused(&outside, &key.token(&claims(&issuer, &over))).await;
        assert!(said.contains(why), "{over}: {said}");
    }
    for over in [
        json!({ "typ": "id+jwt" }),
        json!({ "typ": "dpop+jwt" }),
        json!({ "crit": ["b64"], "b64": false }),
        json!({ "alg": "none" }),
        json!({ "alg": "ES384" }),
        json!({ "alg": "RS256" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "Es256" }),
        json!({ "kid": "b" }),
    ] {
        let mut header = json!({ "alg": "ES256", "kid": "a" });
        for (name, value) in over.as_object().unwrap() {
            header[name] = value.clone();
        }
        refused(&outside, &key.token_with(&header, &good)).await;
    }
    // Another key under the same name, also when the token brings it along.
    let why = refused(&outside, &other.token(&good)).await;
    assert!(why.contains("signature"), "{why}");
    let header = json!({ "alg": "ES256", "kid": "a", "jwk": other.jwk, "jku": format!("{}/other", issuer.url) });
    refused(&outside, &other.token_with(&header, &good)).await;
    assert_eq!(issuer.hits("/other"), 0);
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let key = Key::rsa("a", "RS256");
    let issuer = Issuer::with(&[&key]).await;
    let (outside, good) = (outside(&issuer, &json!({})), claims(&issuer, &json!({})));
    let modulus = key.jwk["n"].as_str().unwrap();
    for secret in [modulus.as_bytes(), key.jwk.to_string().as_bytes(), b""] {
        for alg in ["HS256", "RS256"] {
            refused(&outside, &hmac_token(secret, &json!({ "alg": alg, "kid": "a" }), &good)).await;
        }
    }
    // Nor is a secret that stands in the set of keys.
    let shared = json!({ "keys": [{ "kty": "oct", "kid": "s", "alg": "HS256", "k": b64(b"shared") }] });
    issuer.json("/jwks", &shared);
    refused(&outside, &hmac_token(b"shared", &json!({ "alg": "HS256", "kid": "s" }), &good)).await;
}

#[tokio::test]
async fn texts_that_are_no_tokens_are_sent_nowhere() {
    let key = Key::es256("a");
    let issuer = Issuer::with(&[&key]).await;
    let asking = json!({ "introspection": { "clientId": "gw", "clientSecret": "s" } });
    let outside = outside(&issuer, &asking);
    let good = key.token(&claims(&issuer, &json!({})));
    for token in ["", " ", "two words", "a\u{e9}", "a&token=b", "..", "a.b.c", &"x".repeat(20_000), &format!("{good} ")]
    {
        refused(&outside, token).await;
    }
    let (header, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let changed = b64(claims(&issuer, &json!({ "sub": "u2" })).to_string().as_bytes());
    for token in [
        format!("{header}.{changed}.{signature}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}.A{signature}"),
        format!("{}.{payload}.", b64(br#"{"alg":"none"}"#)),
    ] {
        refused(&outside, &token).await;
    }
    assert_eq!(issuer.hits("/introspect"), 0);
}

#[tokio::test]
async fn keys_are_for_what_their_issuer_says() {
    let mut key = Key::rsa("a", "PS256");
    key.jwk["alg"] = json!("RS256");
    let issuer = Issuer::with(&[&key]).await;
    let outside = outside(&issuer, &json!({}));
    let good = claims(&issuer, &json!({}));
    let why = refused(&outside, &key.token(&good)).await;
    assert!(why.contains("not for its algorithm"), "{why}");
    for (member, value) in [("use", json!("enc")), ("key_ops", json!(["encrypt"]))] {
        let mut key = Key::es256("a");
        key.jwk["use"] = Value::Null;
        key.jwk.as_object_mut().unwrap().remove("use");
        key.jwk[member] = value;
        let issuer = Issuer::with(&[&key]).await;
        refused(&open(&settings(&issuer.url, &json!({}))).unwrap(), &key.token(&claims(&issuer, &json!({})))).await;
    }
}

#[tokio::test]
async fn without_a_name_the_only_key_that_fits_counts() {
    let (ec, rsa, more) = (Key::es256("a"), Key::rsa("b", "RS256"), Key::es256("c"));
    let issuer = Issuer::with(&[&ec, &rsa]).await;
    let good = claims(&issuer, &json!({}));
    let nameless = ec.token_with(&json!({ "alg": "ES256" }), &good);
    assert!(outside(&issuer, &json!({})).verify(&nameless).await.is_ok());
    issuer.keys(&[&ec, &rsa, &more]);
    refused(&outside(&issuer, &json!({})), &nameless).await;
}
