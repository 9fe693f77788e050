//! Where the issuer's documents are, and what happens when they change or cannot be read.

use std::sync::Arc;

use serde_json::json;
use switchboard::auth::Denied;

use super::issuer::{Answer, Issuer, Key};
use super::{claims, open, outside, refused, settings};

const METADATA: &str = "/.well-known/openid-configuration";

#[tokio::test]
async fn a_new_key_is_found_by_reading_the_set_once() {
    let (first, second, stranger) = (Key::es256("a"), Key::es256("b"), Key::es256("c"));
    let issuer = Issuer::with(&[&first]).await;
    let outside = outside(&issuer, &json!({}));
    let good = claims(&issuer, &json!({}));
    assert!(outside.verify(&first.token(&good)).await.is_ok());
    issuer.keys(&[&first, &second]);
    assert!(outside.verify(&second.token(&good)).await.is_ok());
    assert!(outside.verify(&first.token(&good)).await.is_ok());
    // Made-up names do not make us ask again and again.
    for _ in 0..20 {
        let why = refused(&outside, &stranger.token(&good)).await;
        assert!(why.contains("a key that its issuer does not have"), "{why}");
    }
    assert_eq!((issuer.hits("/jwks"), issuer.hits(METADATA)), (2, 1));
}

#[tokio::test]
async fn many_at_once_make_one_read_for_all() {
    let key = Key::es256("a");
    let issuer = Issuer::with(&[&key]).await;
    let outside = Arc::new(outside(&issuer, &json!({})));
    let token = key.token(&claims(&issuer, &json!({})));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (outside, token) = (outside.clone(), token.clone());
        callers.spawn(async move { outside.verify(&token).await.is_ok() });
    }
    assert!(callers.join_all().await.into_iter().all(|ok| ok));
    assert_eq!((issuer.hits("/jwks"), issuer.hits(METADATA)), (1, 1));
}

#[tokio::test]
async fn an_issuer_that_is_away_is_not_asked_all_the_time() {
    let key = Key::es256("a");
    let issuer = Issuer::bare().await;
    let outside = outside(&issuer, &json!({}));
    let token = key.token(&claims(&issuer, &json!({})));
    for _ in 0..5 {
        let denied = outside.verify(&token).await.unwrap_err();
        assert!(matches!(&denied, Denied::Unavailable(why) if why.contains("status 404")), "{denied:?}");
    }
    assert_eq!(issuer.hits(METADATA), 1);
    assert_eq!(outside.prepare().await, outside.verify(&token).await.map(drop));
}

#[tokio::test]
async fn metadata_may_stand_at_each_of_its_places() {
    let key = Key::es256("a");
    for place in [
        "/realms/one/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/realms/one",
        "/.well-known/openid-configuration/realms/one",
    ] {
        let mut issuer = Issuer::bare().await;
        let base = std::mem::take(&mut issuer.url);
        issuer.url = format!("{base}/realms/one");
        issuer.json(place, &json!({ "issuer": issuer.url, "jwks_uri": format!("{base}/jwks") }));
        issuer.keys(&[&key]);
        let outside = outside(&issuer, &json!({}));
        outside.verify(&key.token(&claims(&issuer, &json!({})))).await.unwrap();
        assert_eq!(outside.issuer(), issuer.url);
    }
}

#[tokio::test]
async fn documents_that_cannot_be_trusted_are_not_read() {
    let key = Key::es256("a");
    let large = format!("{{\"keys\":[{}]}}", " ".repeat(300 << 10));
    let metadata = |over| Err::<Answer, _>(over);
    for (what, why) in [
        (metadata(json!({ "issuer": "https://other.example" })), "names itself `https://other.example`"),
        (metadata(json!({ "issuer": null })), "names itself ``"),
        (metadata(json!({ "jwks_uri": "http://keys.example/jwks" })), "must begin with https://"),
        (metadata(json!({ "jwks_uri": "file:///etc/passwd" })), "must begin with https://"),
        (metadata(json!({ "jwks_uri": "https://a:b@keys.example/jwks" })), "no user name"),
        (metadata(json!({ "jwks_uri": 1 })), "no web address"),
        (Ok((302, "application/json", vec![("location", "/keys".into())], String::new())), "status 302"),
        (Ok((500, "application/json", vec![], "{}".into())), "status 500"),
        (Ok((200, "text/html", vec![], "{}".into())), "no JSON"),
        (Ok((200, "application/json", vec![], "{".into())), "no JSON"),
        (Ok((200, "application/json", vec![], "{}".into())), "no key set"),
        (Ok((200, "application/json", vec![], large)), "larger than"),
    ] {
        let issuer = Issuer::with(&[&key]).await;
        issuer.json("/keys", &json!({ "keys": [key.jwk] }));
        match &what {
            Ok(keys) => issuer.answer("/jwks", keys.clone()),
            Err(over) => issuer.metadata(over),
        }
        let denied = outside(&issuer, &json!({})).verify(&key.token(&claims(&issuer, &json!({})))).await.unwrap_err();
        assert!(matches!(&denied, Denied::Unavailable(said) if said.contains(why)), "{what:?}: {denied:?}");
        assert_eq!(issuer.hits("/keys"), 0);
    }
}

#[tokio::test]
async fn private_addresses_need_the_settings_word() {
    let open = |issuer: &str, private: bool| open(&settings(issuer, &json!({ "allowPrivate": private })));
    let key = Key::es256("a");
    for (issuer, private) in [("http://127.0.0.1:1", false), ("http://10.0.0.1", true), ("http://issuer.example", true)]
    {
        let wrong = open(issuer, private).unwrap_err().join("\n");
        assert!(wrong.starts_with("auth.oauth.issuer") && wrong.contains("https://"), "{wrong}");
    }
    for issuer in ["https://127.0.0.1:1", "https://169.254.169.254", "https://[::1]:1", "https://localhost:1"] {
        let outside = open(issuer, false).unwrap();
        let token = key.token(&json!({ "iss": issuer }));
        let denied = outside.verify(&token).await.unwrap_err();
        assert!(matches!(&denied, Denied::Unavailable(why) if why.contains("private")), "{issuer}: {denied:?}");
    }
}

#[test]
fn every_wrong_setting_is_named() {
    for (over, named) in [
        (json!({ "issuer": null }), "auth.oauth.issuer (OAUTH_ISSUER) is missing"),
        (json!({ "issuer": "issuer.example" }), "auth.oauth.issuer (OAUTH_ISSUER): it is no web address"),
        (json!({ "issuer": "https://issuer.example/?a" }), "neither a query nor a fragment"),
        (json!({ "issuer": "https://u:p@issuer.example" }), "no user name or password"),
        (json!({ "audience": [""] }), "auth.oauth.audience"),
    ] {
        let wrong = open(&settings("https://issuer.example", &over)).unwrap_err();
        assert!(wrong.len() == 1 && wrong[0].contains(named), "{wrong:?}");
    }
    let asking =
        json!({ "introspection": { "url": "http://a.example", "clientId": "", "clientSecret": "${MISSING}" } });
    let wrong = open(&settings("https://issuer.example", &asking)).unwrap_err().join("\n");
    for member in
        ["introspection.url", "introspection.clientId", "introspection.clientSecret: the environment variable"]
    {
        assert!(wrong.contains(member), "{wrong}");
    }
}
