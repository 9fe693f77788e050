//! Codes, access tokens, refresh tokens, and how they end.

use reqwest::StatusCode;
use switchboard::auth::{Denied, Users};
use switchboard::caller::Scopes;
use switchboard::store::Put;

use super::*;

async fn tokens(world: &World) -> Value {
    let (code, _) = world.connect("ann", &[]).await;
    let answer = world.redeem(&code, &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

async fn lives(world: &World, token: &str) -> bool {
    match world.issuer.verify(token).await {
        Ok(_) => true,
        Err(Denied::Invalid(_)) => false,
        Err(Denied::Unavailable(why)) => panic!("{why}"),
    }
}

fn error(answer: &Seen) -> String {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
    text(&answer.json(), "error").to_owned()
}

#[tokio::test]
async fn a_code_becomes_a_token_that_names_the_person() {
    let world = World::new().await;
    world.add("ann", Some(&["crm:read", "mail:send"])).await;
    let (code, _) = world.connect("ann", &[("scope", "crm:read crm:write offline_access")]).await;
    let tokens = world.redeem(&code, &[]).await.json();
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert_eq!(tokens["scope"], "crm:read mcp offline_access", "nobody gives more than they have");
    let (principal, until) = world.issuer.verify(text(&tokens, "access_token")).await.unwrap();
    assert_eq!((principal.issuer.as_str(), principal.client.as_deref()), (BASE, Some("pre")));
    assert_eq!((principal.name.as_deref(), principal.email.as_deref()), (Some("ann Example"), Some("ann@example.com")));
    assert_eq!(principal.tenant.as_deref(), Some("acme"));
    assert_eq!(principal.scopes, Scopes::of("crm:read mcp"));
    assert_eq!(principal.reach, Scopes::of("crm:read mail:send mcp"));
    assert!(until <= std::time::SystemTime::now() + std::time::Duration::from_secs(30));
    let header = jsonwebtoken::decode_header(text(&tokens, "access_token")).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("at+jwt"), jsonwebtoken::Algorithm::ES256));
}

#[tokio::test]
async fn a_code_is_for_whom_it_was_made() {
    let world = World::new().await;
    world.add("ann", None).await;
    let other = json!({ "redirect_uris": [CHATGPT], "token_endpoint_auth_method": "none" });
    let other = world.register(other).await.json();
    for changes in [
        [("code_verifier", "")],
        [("code_verifier", CHALLENGE)],
        [("redirect_uri", "https://claude.ai/api/mcp/auth_callback")],
    ] {
        let (code, _) = world.connect("ann", &[("prompt", "consent")]).await;
        assert_eq!(error(&world.redeem(&code, &changes).await), "invalid_grant", "{changes:?}");
        assert_eq!(error(&world.redeem(&code, &[]).await), "invalid_grant", "it is burnt");
    }
    let (code, _) = world.connect("ann", &[("prompt", "consent")]).await;
    let others = [("client_id", text(&other, "client_id"))];
    assert_eq!(error(&world.redeem(&code, &others).await), "invalid_grant", "and is not burnt by others");
    assert_eq!(error(&world.redeem(&code, &[("resource", "https://other.example")]).await), "invalid_target");
    assert_eq!(error(&world.redeem(&code, &[("grant_type", "password")]).await), "unsupported_grant_type");
    assert_eq!(error(&world.redeem(&code, &[("scope", "a"), ("scope", "b")]).await), "invalid_request");
    let nobody = world.redeem(&code, &[("client_id", "nobody")]).await;
    assert_eq!((nobody.status, text(&nobody.json(), "error")), (StatusCode::UNAUTHORIZED, "invalid_client"));
    let tokens = world.redeem(&code, &[]).await.json();
    assert_eq!(error(&world.redeem(&code, &others).await), "invalid_grant");
    assert!(lives(&world, text(&tokens, "access_token")).await, "another client's replay ends nothing");
}

#[tokio::test]
async fn a_code_shown_twice_takes_back_what_came_of_it() {
    let world = World::new().await;
    world.add("ann", None).await;
    let (code, _) = world.connect("ann", &[]).await;
    let tokens = world.redeem(&code, &[]).await.json();
    let revocations = world.issuer.revocations();
    assert!(lives(&world, text(&tokens, "access_token")).await);
    assert_eq!(error(&world.redeem(&code, &[]).await), "invalid_grant");
    assert!(!lives(&world, text(&tokens, "access_token")).await);
    assert!(revocations.has_changed().unwrap());
    assert_eq!(error(&world.refresh(text(&tokens, "refresh_token")).await), "invalid_grant");
}

#[tokio::test]
async fn of_many_who_show_a_code_at_once_nobody_keeps_anything() {
    let world = World::new().await;
    world.add("ann", None).await;
    let (code, _) = world.connect("ann", &[]).await;
    let answers = futures_util::future::join_all((0..8).map(|_| world.redeem(&code, &[]))).await;
    let given: Vec<Value> = answers.iter().filter(|it| it.status == StatusCode::OK).map(Seen::json).collect();
    assert!(given.len() <= 1);
    for tokens in given {
        assert!(!lives(&world, text(&tokens, "access_token")).await);
    }
}

#[tokio::test]
async fn refresh_tokens_turn_over_and_the_last_one_is_answered_alike() {
    let world = World::new().await;
    world.add("ann", None).await;
    let first = tokens(&world).await;
    let second = world.refresh(text(&first, "refresh_token")).await.json();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert!(lives(&world, text(&second, "access_token")).await);
    let again = world.refresh(text(&first, "refresh_token")).await.json();
    assert_eq!(again["refresh_token"], second["refresh_token"], "who missed the answer is told again");
    let third = world.refresh(text(&second, "refresh_token")).await.json();
    assert_eq!(error(&world.refresh(text(&first, "refresh_token")).await), "invalid_grant");
    assert!(!lives(&world, text(&third, "access_token")).await, "who shows an old one may have stolen it");
    assert_eq!(error(&world.refresh(text(&third, "refresh_token")).await), "invalid_grant");
}

#[tokio::test]
async fn without_grace_a_used_refresh_token_ends_the_grant() {
    let world = World::with(|settings| settings.refresh_grace_seconds = 0).await;
    world.add("ann", None).await;
    let first = tokens(&world).await;
    let second = world.refresh(text(&first, "refresh_token")).await.json();
    assert_eq!(error(&world.refresh(text(&first, "refresh_token")).await), "invalid_grant");
    assert!(!lives(&world, text(&second, "access_token")).await);
}

#[tokio::test]
async fn a_refresh_gives_less_but_never_more() {
    let world = World::new().await;
    world.add("ann", None).await;
    let token = tokens(&world).await;
    let ask = async |scope: &str| {
        let token = text(&token, "refresh_token");
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "pre"), ("scope", scope)];
        world.post("/oauth/token", None, &form).await
    };
    assert_eq!(error(&ask("mcp crm:read mail:send").await), "invalid_scope");
    let less = ask("mcp").await.json();
    let (principal, _) = world.issuer.verify(text(&less, "access_token")).await.unwrap();
    assert_eq!((&principal.scopes, &principal.reach), (&Scopes::of("mcp"), &Scopes::All));
    let whole = world.refresh(text(&less, "refresh_token")).await.json();
    assert_eq!(whole["scope"], "crm:read mcp");
    let forged = text(&whole, "refresh_token").replace(".2.", ".3.");
    assert_eq!(error(&world.refresh(&forged).await), "invalid_grant");
    assert!(lives(&world, text(&whole, "access_token")).await, "what we did not make ends nothing");
}

#[tokio::test]
async fn who_is_removed_is_gone_from_everywhere() {
    let world = World::new().await;
    world.add("ann", None).await;
    let token = tokens(&world).await;
    let users = Users::new(Arc::clone(&world.store));
    assert_eq!(users.list().await.unwrap()[0].clients, 1);
    assert_eq!(users.remove("ann").await.unwrap(), 1);
    assert!(!lives(&world, text(&token, "access_token")).await);
    assert_eq!(error(&world.refresh(text(&token, "refresh_token")).await), "invalid_grant");
    assert!(users.remove("ann").await.is_err());
}

#[tokio::test]
async fn a_client_gives_back_what_it_got() {
    let world = World::new().await;
    world.add("ann", None).await;
    for name in ["access_token", "refresh_token"] {
        let (code, _) = world.connect("ann", &[("prompt", "consent")]).await;
        let token = world.redeem(&code, &[]).await.json();
        let form = [("token", text(&token, name)), ("client_id", "pre")];
        assert_eq!(world.post("/oauth/revoke", None, &form).await.status, StatusCode::OK);
        assert!(!lives(&world, text(&token, "access_token")).await, "{name}");
    }
    let form = [("token", "nonsense"), ("client_id", "pre")];
    assert_eq!(world.post("/oauth/revoke", None, &form).await.status, StatusCode::OK);
    let page = world.ask(&[], None).await;
    let cookie = world.sign_in(&page, &page.cookie().unwrap(), "ann", PASSWORD).await.cookie().unwrap();
    let asked = world.ask(&[], Some(&cookie)).await;
    assert!(asked.body.contains("name=\"decision\""), "what ended is asked anew");
}

#[tokio::test]
async fn tokens_of_others_and_tampered_ones_do_not_count() {
    let world = World::new().await;
    world.add("ann", None).await;
    let token = tokens(&world).await;
    let token = text(&token, "access_token");
    let parts: Vec<&str> = token.split('.').collect();
    let stranger = World::new().await;
    stranger.add("ann", None).await;
    let foreign = tokens(&stranger).await;
    let none = format!("eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJub25lIn0.{}.", parts[1]);
    for wrong in [text(&foreign, "access_token"), &none, &format!("{}.{}.", parts[0], parts[1]), "", "a.b.c", "sb_x"] {
        assert!(!lives(&world, wrong).await, "{wrong}");
    }
    assert!(lives(&world, token).await);
}

#[tokio::test]
async fn two_processes_on_one_store_agree() {
    let world = World::new().await;
    world.add("ann", None).await;
    let token = tokens(&world).await;
    let settings = BuiltInConfig::default();
    let other = Issuer::open(options(&world.store, settings, &world.said), &Upstream::default()).await.unwrap();
    assert_eq!(other.jwks().await, world.issuer.jwks().await);
    assert!(other.verify(text(&token, "access_token")).await.is_ok());
    // One of them finds the key too old, and makes another: the other publishes that too.
    let kept = world.store.get("auth/signing").await.unwrap().unwrap();
    let mut ring: Value = serde_json::from_slice(&kept.value).unwrap();
    ring["keys"][0]["made"] = json!(ring["keys"][0]["made"].as_u64().unwrap() - 91 * 24 * 3600 * 1000);
    world.store.put("auth/signing", ring.to_string().into(), Put::default()).await.unwrap();
    let settings = BuiltInConfig::default();
    let third = Issuer::open(options(&world.store, settings, &world.said), &Upstream::default()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let keys = world.issuer.jwks().await;
    assert_eq!((&keys, keys["keys"].as_array().unwrap().len()), (&third.jwks().await, 2));
}

#[tokio::test]
async fn a_client_with_a_secret_has_to_show_it() {
    let world = World::new().await;
    world.add("ann", None).await;
    let client = world.register(json!({ "redirect_uris": [CHATGPT] })).await.json();
    let (id, secret) = (text(&client, "client_id"), text(&client, "client_secret"));
    let (code, _) = world.connect("ann", &[("client_id", id)]).await;
    for changes in [vec![("client_id", id)], vec![("client_id", id), ("client_secret", "wrong")]] {
        assert_eq!(world.redeem(&code, &changes).await.status, StatusCode::UNAUTHORIZED);
    }
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", CHATGPT),
        ("code_verifier", VERIFIER),
    ];
    let basic = world.http.post(format!("{}/oauth/token", world.address)).basic_auth(id, Some("wrong")).form(&form);
    let wrong = Seen::of(basic.send().await.unwrap()).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert_eq!(wrong.header("www-authenticate"), "Basic realm=\"switchboard\"");
    let both = [("client_id", id), ("client_secret", secret), ("client_assertion", "x")];
    assert_eq!(error(&world.redeem(&code, &both).await), "invalid_request");
    assert_eq!(world.redeem(&code, &[("client_id", id), ("client_secret", secret)]).await.status, StatusCode::OK);
}
