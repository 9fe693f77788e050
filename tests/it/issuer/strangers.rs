//! What strangers do at the issuer keeps nobody out, and leads nobody astray.

use std::time::{Duration, Instant};

use axum::{Router, routing::get};
use reqwest::StatusCode;
use switchboard::store::Put;

use super::*;

fn is_page(answer: &Answer, words: &str) -> bool {
    matches!(answer, Answer::Page(page) if page.html.contains(words))
}

/// A client that registered, with an address to send people to.
async fn registered(world: &World, redirect: &str) -> String {
    let asked = json!({ "redirect_uris": [redirect], "token_endpoint_auth_method": "none" });
    text(&world.register(asked).await.json(), "client_id").to_owned()
}

#[tokio::test]
async fn wrong_passwords_from_elsewhere_keep_nobody_out() {
    let world = World::new().await;
    world.add("ann", None).await;
    for _ in 0..2 {
        let page = world.ask(&[], None).await;
        let cookie = page.cookie().unwrap();
        for _ in 0..4 {
            world.try_from("stranger", &page, &cookie, &[("username", "ann"), ("password", "wrong")]).await;
        }
    }
    let page = world.ask(&[], None).await;
    let cookie = page.cookie().unwrap();
    let form = [("username", "ann"), ("password", PASSWORD)];
    let waits = world.try_from("stranger", &page, &cookie, &form).await;
    assert!(is_page(&waits, "Try again in"), "the stranger waits");
    let fine = world.try_from("home", &page, &cookie, &form).await;
    assert!(matches!(fine, Answer::Go { .. }), "ann does not");
}

#[tokio::test]
async fn wrong_codes_keep_nobody_out() {
    let world = World::new().await;
    for _ in 0..3 {
        let page = world.ask(&[], None).await;
        let cookie = page.cookie().unwrap();
        for _ in 0..7 {
            world.try_from("stranger", &page, &cookie, &[("code", "AAAA-AAAA")]).await;
        }
    }
    let page = world.ask(&[], None).await;
    let code = code_of(world.said.lock().unwrap().last().unwrap());
    let fine = world.try_from("stranger", &page, &page.cookie().unwrap(), &[("code", &code)]).await;
    assert!(matches!(fine, Answer::Go { .. }));
}

#[tokio::test]
async fn the_terminal_is_filled_by_nobody() {
    let world = World::new().await;
    let said = || world.said.lock().unwrap().len();
    let query = "response_type=code&client_id=pre&code_challenge_method=S256&code_challenge=";
    let query = format!("{query}{CHALLENGE}&redirect_uri={CHATGPT}");
    let image = world.http.get(format!("{}/oauth/authorize?{query}", world.address));
    let image = image.header("sec-fetch-dest", "image").header("sec-fetch-mode", "no-cors");
    let page = Seen::of(image.send().await.unwrap()).await;
    assert!(page.body.contains("Show me a code") && !page.body.contains("name=\"code\""));
    assert_eq!(said(), 0);
    // Whoever is there all the same asks for one.
    let asked = world.try_from("home", &page, &page.cookie().unwrap(), &[("show", "code")]).await;
    assert!(is_page(&asked, "name=\"code\""));
    assert_eq!(said(), 1);
    let code = code_of(&world.said.lock().unwrap()[0]);
    let fine = world.try_from("home", &page, &page.cookie().unwrap(), &[("code", &code)]).await;
    assert!(matches!(fine, Answer::Go { .. }));
    for _ in 0..20 {
        world.ask(&[], None).await;
    }
    assert!((10..=12).contains(&said()), "{}", said());
    let page = world.ask(&[], None).await;
    for _ in 0..4 {
        let page = world.ask(&[], None).await;
        world.try_from("stranger", &page, &page.cookie().unwrap(), &[("show", "code")]).await;
    }
    assert!(said() <= 15, "{}", said());
    let asked = world.try_from("home", &page, &page.cookie().unwrap(), &[("show", "code")]).await;
    assert!(is_page(&asked, "name=\"code\""), "others still get theirs");
    let head = world.http.head(format!("{}/oauth/authorize?{query}", world.address)).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn our_address_leads_to_no_site_that_somebody_registered() {
    let world = World::new().await;
    world.add("ann", None).await;
    let site = "https://app.example.net/cb";
    let client = registered(&world, site).await;
    let own = [("client_id", client.as_str()), ("redirect_uri", site)];
    for fault in [("prompt", "none"), ("response_type", "token"), ("code_challenge", ""), ("resource", "https://x.y/")]
    {
        let page = world.ask(&[own[0], own[1], fault], None).await;
        assert_eq!((page.status, page.header("location")), (StatusCode::BAD_REQUEST, ""), "{fault:?}");
        assert!(page.body.contains("app.example.net") && page.body.contains("error="), "{}", page.body);
    }
    // Who agreed to it before knows it.
    let (_, cookie) = world.connect("ann", &own).await;
    let back = world.ask(&[own[0], own[1], ("response_type", "token")], Some(&cookie)).await;
    assert_eq!(back.sent("error").as_deref(), Some("unsupported_response_type"));
    // Programs wait for an answer, and ChatGPT is known.
    for address in ["http://127.0.0.1:4711/cb", CHATGPT] {
        let client = registered(&world, address).await;
        let back = world.ask(&[("client_id", &client), ("redirect_uri", address), ("prompt", "none")], None).await;
        assert_eq!(back.sent("error").as_deref(), Some("login_required"), "{address}");
    }
}

#[tokio::test]
async fn who_has_to_sign_in_anew_decides_only_after_that() {
    let world = World::new().await;
    world.add("ann", None).await;
    let (_, cookie) = world.connect("ann", &[]).await;
    let page = world.ask(&[("prompt", "login consent")], Some(&cookie)).await;
    let flow = page.hidden("flow");
    let around = world.get(&format!("/oauth/consent?flow={flow}"), Some(&cookie)).await;
    assert!(around.body.contains("name=\"password\""), "{}", around.body);
    let signed = world.sign_in(&page, &cookie, "ann", PASSWORD).await;
    let cookie = signed.cookie().unwrap();
    let page = world.get(signed.header("location"), Some(&cookie)).await;
    assert!(world.decide(&page, &cookie, "allow").await.sent("code").is_some());
}

#[tokio::test]
async fn too_many_newcomers_make_room_for_the_next() {
    let world = World::new().await;
    let record = |id: &str| json!({ "id": id, "name": "x", "redirects": [CHATGPT], "proof": "nothing" }).to_string();
    let ids: Vec<String> = (0..10_000).map(|number| format!("{number:012x}-x")).collect();
    for some in ids.chunks(500) {
        let puts = some.iter().map(|id| {
            let (store, key, record) = (Arc::clone(&world.store), format!("auth/newcomer/{id}"), record(id));
            async move { store.put(&key, record.into(), Put::default()).await.unwrap() }
        });
        futures_util::future::join_all(puts).await;
    }
    assert_eq!(world.ask(&[("client_id", &ids[0])], None).await.status, StatusCode::OK);
    let next = registered(&world, CHATGPT).await;
    assert_eq!(world.ask(&[("client_id", &next)], None).await.status, StatusCode::OK);
    assert_eq!(world.ask(&[("client_id", &ids[0])], None).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.ask(&[("client_id", &ids[1])], None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_slow_site_keeps_no_other_from_being_read() {
    let world = World::with(|settings| settings.allow_private_clients = true).await;
    let slow = async || {
        tokio::time::sleep(Duration::from_mins(1)).await;
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let quick = format!("http://localhost:{port}/client.json");
    let document = json!({ "client_id": quick, "client_name": "Quick", "redirect_uris": [CHATGPT] }).to_string();
    let json = [("content-type", "application/json")];
    let router =
        Router::new().route("/client.json", get(async move || (json, document))).route("/slow/{id}", get(slow));
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await });
    let world = &world;
    let many = (0..80).map(|number| async move {
        let id = format!("http://127.0.0.1:{port}/slow/{number}");
        world.ask(&[("client_id", &id)], None).await.status
    });
    let one = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let began = Instant::now();
        let page = world.ask(&[("client_id", &quick)], None).await;
        (page.status, began.elapsed())
    };
    let (many, (status, took)) = futures_util::future::join(futures_util::future::join_all(many), one).await;
    assert_eq!(status, StatusCode::OK);
    assert!(took < Duration::from_secs(2), "{took:?}");
    let busy = many.iter().filter(|status| **status == StatusCode::SERVICE_UNAVAILABLE).count();
    assert!(busy > 60 && !many.contains(&StatusCode::OK), "{many:?}");
}

#[tokio::test]
async fn one_client_is_taken_back_and_others_stay() {
    let world = World::new().await;
    world.add("ann", None).await;
    let client = registered(&world, CHATGPT).await;
    let first = world.connect("ann", &[]).await.0;
    let first = world.redeem(&first, &[]).await.json();
    let second = world.connect("ann", &[("client_id", &client)]).await.0;
    let second = world.redeem(&second, &[("client_id", &client)]).await.json();
    let users = Users::new(Arc::clone(&world.store));
    let connected = users.list().await.unwrap()[0].connected.clone();
    assert!(connected.iter().any(|it| it.id == client) && connected.iter().any(|it| it.id == "pre"), "{connected:?}");
    assert_eq!(users.disconnect("ann", Some(&client)).await.unwrap(), 1);
    assert!(world.issuer.verify(text(&first, "access_token")).await.is_ok());
    assert!(world.issuer.verify(text(&second, "access_token")).await.is_err());
    assert_eq!(users.disconnect("ann", None).await.unwrap(), 1);
    assert!(world.issuer.verify(text(&first, "access_token")).await.is_err());
    assert_eq!(users.disconnect_owner(None).await.unwrap(), 0);
}

#[tokio::test]
async fn a_grant_without_its_person_counts_for_nothing() {
    let world = World::new().await;
    world.add("ann", None).await;
    let code = world.connect("ann", &[]).await.0;
    let token = world.redeem(&code, &[]).await.json();
    // As if the grant had come while its person was removed.
    world.store.delete("auth/user/ann", switchboard::store::Expected::Any).await.unwrap();
    assert!(world.issuer.verify(text(&token, "access_token")).await.is_err());
}
