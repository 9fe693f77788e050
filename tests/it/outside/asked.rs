//! Tokens that cannot be read: the issuer is asked about them.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use switchboard::auth::Denied;
use switchboard::caller::Scopes;

use super::issuer::Issuer;
use super::{RESOURCE, claims, now, outside, refused};

const TOKEN: &str = "opaque-token_1";

fn asking() -> Value {
    json!({ "introspection": { "clientId": "gw:1", "clientSecret": "${SECRET}" } })
}

/// What the issuer says of a good token, with these instead.
fn alive(issuer: &Issuer, over: &Value) -> Value {
    let mut said = claims(issuer, over);
    if over.get("active").is_none() {
        said["active"] = json!(true);
    }
    said
}

#[tokio::test]
async fn the_issuer_is_asked_with_our_name_and_secret() {
    let issuer = Issuer::with(&[]).await;
    let outside = outside(&issuer, &asking());
    issuer.json("/introspect", &alive(&issuer, &json!({})));
    let (principal, until) = outside.verify(TOKEN).await.unwrap();
    assert_eq!((principal.subject.as_str(), &principal.scopes), ("u1", &Scopes::of("crm:read crm:write")));
    assert!(until <= SystemTime::now() + Duration::from_mins(1));
    let (authorization, body) = issuer.shown().asked.clone();
    assert_eq!(authorization, format!("Basic {}", STANDARD.encode("gw%3A1:the+secret")));
    assert_eq!(body, format!("token={TOKEN}&token_type_hint=access_token"));
    let shown = format!("{outside:?}");
    assert!(!shown.contains("the secret") && !shown.contains("SECRET"), "{shown}");
    let (_, until) = {
        issuer.json("/introspect", &alive(&issuer, &json!({ "exp": now() + 5 })));
        outside.verify(TOKEN).await.unwrap()
    };
    assert!(until <= SystemTime::now() + Duration::from_secs(5));
}

#[tokio::test]
async fn answers_that_prove_nothing_are_refused() {
    let issuer = Issuer::with(&[]).await;
    let outside = outside(&issuer, &asking());
    for (over, why) in [
        (json!({ "active": false }), "not active"),
        (json!({ "aud": null }), "not meant for this server"),
        (json!({ "aud": "https://other.example" }), "not meant for this server"),
        (json!({ "iss": "https://other.example" }), "of another issuer"),
        (json!({ "exp": now() - 60 }), "has expired"),
        (json!({ "nbf": now() + 60 }), "not valid yet"),
        (json!({ "sub": "" }), "names nobody"),
        (json!({ "sub": null, "client_id": null }), "names nobody"),
        (json!({ "token_type": "refresh_token" }), "no access token"),
        (json!({ "token_type": "DPoP" }), "no access token"),
        (json!({ "cnf": { "jkt": "x" } }), "bound to a key"),
    ] {
        issuer.json("/introspect", &alive(&issuer, &over));
        let said = refused(&outside, TOKEN).await;
        assert!(said.contains(why), "{over}: {said}");
    }
    issuer.json("/introspect", &alive(&issuer, &json!({ "aud": [RESOURCE], "iss": null, "exp": null })));
    assert!(outside.verify(TOKEN).await.is_ok());
    // A program that asked for itself is the only one there is.
    issuer.json("/introspect", &alive(&issuer, &json!({ "sub": null })));
    let (principal, _) = outside.verify(TOKEN).await.unwrap();
    assert_eq!(principal.subject, "client:c1");
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_refuses_nobody() {
    let issuer = Issuer::with(&[]).await;
    let outside = outside(&issuer, &asking());
    for answer in [
        (401, "application/json", vec![], json!({ "error": "invalid_client" }).to_string()),
        (200, "application/json", vec![], "{}".to_owned()),
        (200, "application/json", vec![], json!({ "active": "true" }).to_string()),
        (200, "application/json", vec![], "[]".to_owned()),
        (302, "application/json", vec![("location", "/elsewhere".to_owned())], String::new()),
    ] {
        issuer.answer("/introspect", answer.clone());
        let denied = outside.verify(TOKEN).await.unwrap_err();
        assert!(matches!(&denied, Denied::Unavailable(_)), "{answer:?}: {denied:?}");
        assert!(!denied.to_string().contains(TOKEN) && !denied.to_string().contains("the secret"), "{denied}");
    }
    assert_eq!(issuer.hits("/elsewhere"), 0);
}

#[tokio::test]
async fn without_the_setting_nobody_is_asked() {
    let issuer = Issuer::with(&[]).await;
    issuer.json("/introspect", &alive(&issuer, &json!({})));
    refused(&outside(&issuer, &json!({})), TOKEN).await;
    assert_eq!(issuer.hits("/introspect"), 0);
}
