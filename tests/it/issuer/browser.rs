//! What people see and do.

use reqwest::StatusCode;
use switchboard::auth::Users;

use super::*;

#[tokio::test]
async fn a_person_signs_in_agrees_and_is_asked_once() {
    let world = World::new().await;
    world.add("ann", None).await;
    let page = world.ask(&[], None).await;
    assert_eq!(page.status, StatusCode::OK);
    let policy = "form-action 'self' https:; frame-ancestors 'none'";
    assert!(page.header("content-security-policy").contains(policy));
    assert_eq!((page.header("x-frame-options"), page.header("cache-control")), ("DENY", "no-store"));
    assert_eq!(
        (page.header("cross-origin-opener-policy"), page.header("referrer-policy")),
        ("unsafe-none", "same-origin")
    );
    let set = page.header("set-cookie");
    for part in ["__Host-switchboard=", "; Path=/;", "; Secure", "; HttpOnly; SameSite=Lax"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!page.body.contains("<script"));
    let cookie = page.cookie().unwrap();

    let wrong = world.sign_in(&page, &cookie, "ann", "wrong").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(wrong.body.contains("role=\"alert\"") && wrong.body.contains("value=\"ann\""));
    let unknown = world.sign_in(&page, &cookie, "abe", "wrong").await;
    assert_eq!(wrong.body.replace("\"ann\"", "\"abe\""), unknown.body);

    let signed = world.sign_in(&page, &cookie, "Ann", PASSWORD).await;
    assert_eq!(signed.status, StatusCode::SEE_OTHER);
    let renewed = signed.cookie().unwrap();
    assert_ne!(renewed, cookie, "signing in gives the browser another session");
    let old = world.get(signed.header("location"), Some(&cookie)).await;
    assert!(old.body.contains("name=\"password\""), "the old cookie is not signed in");

    let page = world.get(signed.header("location"), Some(&renewed)).await;
    for shown in ["pre", "chatgpt.com", "ann Example", "CRM", "crm:read", "Weather", "Use another account"] {
        assert!(page.body.contains(shown), "{shown} is not in {}", page.body);
    }
    assert!(!page.body.contains("unheard:of") && !page.body.contains("Mail"));
    let back = world.decide(&page, &renewed, "allow").await;
    assert_eq!(back.status, StatusCode::SEE_OTHER);
    assert!(back.header("location").starts_with(&format!("{CHATGPT}?code=")));
    assert_eq!((back.sent("state").as_deref(), back.sent("iss").as_deref()), (Some("s t&te"), Some(BASE)));
    let again = world.decide(&page, &renewed, "allow").await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST, "one decision ends a flow");

    let quick = world.ask(&[], Some(&renewed)).await;
    assert!(quick.sent("code").is_some(), "what was agreed to is not asked again");
    for more in [
        ("scope", "crm:read crm:write"),
        ("prompt", "consent"),
        ("redirect_uri", "https://claude.ai/api/mcp/auth_callback"),
    ] {
        let asked = world.ask(&[more], Some(&renewed)).await;
        assert!(asked.body.contains("name=\"decision\""), "{more:?} is asked");
    }
    let none = world.ask(&[("prompt", "none"), ("scope", "mail:send")], Some(&renewed)).await;
    assert_eq!(none.sent("error").as_deref(), Some("consent_required"));
}

#[tokio::test]
async fn no_and_another_account_are_answers_too() {
    let world = World::new().await;
    world.add("ann", None).await;
    let page = world.ask(&[("redirect_uri", "http://127.0.0.1:4711/cb")], None).await;
    let policy = "form-action 'self' https: http://127.0.0.1:* http://localhost:*;";
    assert!(page.header("content-security-policy").contains(policy));
    let signed = world.sign_in(&page, &page.cookie().unwrap(), "ann", PASSWORD).await;
    let cookie = signed.cookie().unwrap();
    let page = world.get(signed.header("location"), Some(&cookie)).await;
    assert!(page.body.contains("a program on your computer"));
    let switched = world.decide(&page, &cookie, "switch").await;
    assert_eq!(switched.status, StatusCode::SEE_OTHER);
    let nobody = switched.cookie().unwrap();
    let page = world.get(switched.header("location"), Some(&nobody)).await;
    assert!(page.body.contains("name=\"password\""));
    let signed = world.sign_in(&page, &nobody, "ann", PASSWORD).await;
    let cookie = signed.cookie().unwrap();
    let page = world.get(signed.header("location"), Some(&cookie)).await;
    let back = world.decide(&page, &cookie, "deny").await;
    assert!(back.header("location").starts_with("http://127.0.0.1:4711/cb?error=access_denied"));
    assert_eq!(back.sent("iss").as_deref(), Some(BASE));
}

#[tokio::test]
async fn requests_that_cannot_be_trusted_lead_nowhere() {
    let world = World::new().await;
    for changes in [
        [("client_id", "somebody")],
        [("client_id", "")],
        [("client_id", "https://127.0.0.1/client.json")],
        [("client_id", "https://example.com/a/../client.json")],
        [("redirect_uri", "")],
        [("redirect_uri", "https://chatgpt.com.evil.example/connector_platform_oauth_redirect")],
        [("redirect_uri", "https://chatgpt.com@evil.example/connector_platform_oauth_redirect")],
        [("redirect_uri", "https://chatgpt.com/connector_platform_oauth_redirect/more")],
        [("redirect_uri", "https://chatgpt.com:8443/connector_platform_oauth_redirect")],
        [("redirect_uri", "https://CHATGPT.com/connector_platform_oauth_redirect")],
        [("redirect_uri", "https://chatgpt.com/connector/oauth/a/b")],
        [("redirect_uri", "https://chatgpt.com/connector/oauth/..")],
        [("redirect_uri", "https://chatgpt.com/connector/oauth/%2e%2e")],
        [("redirect_uri", "http://localhost.evil.example/cb")],
        [("redirect_uri", "http://u@localhost/cb")],
        [("redirect_uri", "http://127.0.0.1/cb#f")],
        [("redirect_uri", "http://app.localhost/cb")],
        [("redirect_uri", "http://127.0.0.1:80:80/cb")],
    ] {
        let page = world.ask(&changes, None).await;
        assert_eq!((page.status, page.header("location")), (StatusCode::BAD_REQUEST, ""), "{changes:?}");
        assert!(page.header("content-type").starts_with("text/html"));
    }
    for fine in [
        CHATGPT,
        "https://chatgpt.com/connector/oauth/aB_9-x",
        "http://localhost:9/any",
        "http://[::1]:9/any",
        "http://localhost:80/any",
        "http://[::1]:80/",
        "http://127.0.0.1:80",
        "cursor://anysphere.cursor-mcp/oauth/callback",
    ] {
        assert_eq!(world.ask(&[("redirect_uri", fine)], None).await.status, StatusCode::OK, "{fine}");
    }
}

#[tokio::test]
async fn other_faults_go_back_to_the_client() {
    let world = World::new().await;
    for (changes, error) in [
        ([("response_type", "token")], "unsupported_response_type"),
        ([("response_type", "")], "invalid_request"),
        ([("code_challenge", "")], "invalid_request"),
        ([("code_challenge_method", "plain")], "invalid_request"),
        ([("code_challenge_method", "")], "invalid_request"),
        ([("code_challenge", "short")], "invalid_request"),
        ([("resource", "https://other.example/mcp")], "invalid_target"),
        ([("request", "x.y.z")], "request_not_supported"),
        ([("request_uri", "https://a.example/")], "request_uri_not_supported"),
        ([("prompt", "none")], "login_required"),
    ] {
        let back = world.ask(&changes, None).await;
        assert_eq!(back.status, StatusCode::SEE_OTHER, "{changes:?} {}", back.body);
        assert!(back.header("location").starts_with(&format!("{CHATGPT}?error=")));
        assert_eq!(back.sent("error").as_deref(), Some(error), "{changes:?}");
        assert_eq!((back.sent("state").as_deref(), back.sent("iss").as_deref()), (Some("s t&te"), Some(BASE)));
    }
    let twice = world.ask(&[("scope", "a"), ("scope", "b")], None).await;
    assert_eq!(twice.sent("error").as_deref(), Some("invalid_request"));
    for fine in ["https://gw.example.com/mcp/", "https://gw.example.com", "https://gw.example.com/"] {
        assert_eq!(world.ask(&[("resource", fine)], None).await.status, StatusCode::OK, "{fine}");
    }
}

#[tokio::test]
async fn forms_of_others_count_for_nothing() {
    let world = World::new().await;
    world.add("ann", None).await;
    let page = world.ask(&[], None).await;
    let cookie = page.cookie().unwrap();
    let (flow, csrf) = (page.hidden("flow"), page.hidden("csrf"));
    let send = async |headers: &[(&'static str, &'static str)], csrf: &str, cookie: &str| {
        let form = [("flow", &*flow), ("csrf", csrf), ("username", "ann"), ("password", PASSWORD)];
        let mut request = world.http.post(format!("{}/oauth/sign-in", world.address)).form(&form);
        for (name, value) in headers.iter().chain(&[("cookie", cookie)]) {
            request = request.header(*name, *value);
        }
        Seen::of(request.send().await.unwrap()).await
    };
    assert_eq!(send(&[], "wrong", &cookie).await.status, StatusCode::BAD_REQUEST);
    for header in [("origin", "null"), ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        assert_eq!(send(&[header], &csrf, &cookie).await.status, StatusCode::FORBIDDEN, "{header:?}");
    }
    let stranger = "__Host-switchboard=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(send(&[], &csrf, stranger).await.status, StatusCode::BAD_REQUEST, "a flow belongs to its browser");
    let fine = send(&[("origin", BASE), ("sec-fetch-site", "same-origin")], &csrf, &cookie).await;
    assert_eq!(fine.status, StatusCode::SEE_OTHER);
    // The word of one flow does not open another.
    let cookie = fine.cookie().unwrap();
    let (one, two) = (world.ask(&[], Some(&cookie)).await, world.ask(&[], Some(&cookie)).await);
    let (flow, csrf) = (one.hidden("flow"), two.hidden("csrf"));
    let mixed = [("flow", &*flow), ("csrf", &*csrf), ("decision", "allow")];
    assert_eq!(world.post("/oauth/consent", Some(&cookie), &mixed).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn another_tab_goes_on_after_signing_in() {
    let world = World::new().await;
    world.add("ann", None).await;
    let first = world.ask(&[], None).await;
    let cookie = first.cookie().unwrap();
    let second = world.ask(&[("state", "two")], Some(&cookie)).await;
    assert_eq!(second.cookie(), None);
    let cookie = world.sign_in(&first, &cookie, "ann", PASSWORD).await.cookie().unwrap();
    let signed = world.sign_in(&second, &cookie, "ann", PASSWORD).await;
    assert_eq!(signed.status, StatusCode::SEE_OTHER, "{}", signed.body);
    // Whoever agreed before goes from the sign-in straight back.
    let (_, cookie) = world.connect("ann", &[]).await;
    let page = world.ask(&[("prompt", "login")], Some(&cookie)).await;
    let back = world.sign_in(&page, &cookie, "ann", PASSWORD).await;
    assert!(back.sent("code").is_some());
}

#[tokio::test]
async fn five_wrong_tries_end_a_flow_and_then_the_name_has_to_wait() {
    let world = World::new().await;
    world.add("ann", None).await;
    let page = world.ask(&[], None).await;
    let cookie = page.cookie().unwrap();
    for _ in 0..4 {
        assert_eq!(world.sign_in(&page, &cookie, "ann", "wrong").await.status, StatusCode::BAD_REQUEST);
    }
    let last = world.sign_in(&page, &cookie, "ann", "wrong").await;
    assert_eq!(last.sent("error").as_deref(), Some("access_denied"));
    assert_eq!(world.sign_in(&page, &cookie, "ann", PASSWORD).await.status, StatusCode::BAD_REQUEST);
    let page = world.ask(&[], Some(&cookie)).await;
    let waits = world.sign_in(&page, &cookie, "ANN", "wrong").await;
    let waits =
        if waits.body.contains("Try again in") { waits } else { world.sign_in(&page, &cookie, "ANN", PASSWORD).await };
    assert!(waits.body.contains("Try again in"), "{}", waits.body);
    world.add("bob", None).await;
    assert_eq!(world.sign_in(&page, &cookie, "bob", PASSWORD).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn without_users_a_code_from_the_terminal_signs_in() {
    let world = World::new().await;
    let page = world.ask(&[], None).await;
    let cookie = page.cookie().unwrap();
    let said = world.said.lock().unwrap().clone();
    assert_eq!(said.len(), 1);
    let code = code_of(&said[0]);
    assert_eq!(said[0], format!("sign-in code {code} for chatgpt.com (calls itself \"pre\")"));
    assert!(page.body.contains("name=\"code\"") && !page.body.contains(&code));
    let enter = async |page: &Seen, code: &str| {
        let (flow, csrf) = (page.hidden("flow"), page.hidden("csrf"));
        world.post("/oauth/sign-in", Some(&cookie), &[("flow", &*flow), ("csrf", &*csrf), ("code", code)]).await
    };
    let other = world.ask(&[], Some(&cookie)).await;
    assert_eq!(enter(&other, &code).await.status, StatusCode::BAD_REQUEST, "a code is for one flow");
    let signed = enter(&page, &code.to_lowercase().replace('-', " ")).await;
    assert_eq!(signed.status, StatusCode::SEE_OTHER, "{}", signed.body);
    let renewed = signed.cookie().unwrap();
    let consent = world.get(signed.header("location"), Some(&renewed)).await;
    assert!(consent.body.contains("the owner of this server") && !consent.body.contains("another account"));
    let code = world.decide(&consent, &renewed, "allow").await.sent("code").unwrap();
    let tokens = world.redeem(&code, &[]).await.json();
    assert!(world.issuer.verify(text(&tokens, "access_token")).await.is_ok());
    // With the first user there is no owner any more.
    world.add("ann", None).await;
    assert!(world.issuer.verify(text(&tokens, "access_token")).await.is_err());
    assert!(world.ask(&[], Some(&renewed)).await.body.contains("name=\"password\""));
    // Nor do they come back when the last user goes.
    Users::new(Arc::clone(&world.store)).remove("ann").await.unwrap();
    assert!(world.ask(&[], Some(&renewed)).await.body.contains("name=\"code\""));
    assert!(world.issuer.verify(text(&tokens, "access_token")).await.is_err());
}

#[tokio::test]
async fn another_password_ends_sessions_in_browsers() {
    let world = World::new().await;
    world.add("ann", None).await;
    let (_, cookie) = world.connect("ann", &[]).await;
    assert!(world.ask(&[], Some(&cookie)).await.sent("code").is_some());
    let users = Users::new(Arc::clone(&world.store));
    users.set_password("ann", "another password".into()).await.unwrap();
    assert!(world.ask(&[], Some(&cookie)).await.body.contains("name=\"password\""));
    assert!(users.set_password("ann", "short".into()).await.is_err());
}

#[tokio::test]
async fn without_tls_servers_of_other_ports_have_other_cookies() {
    let world = World::new().await;
    let options = IssuerOptions {
        base: "http://127.0.0.1:8931".into(),
        resource: RESOURCE.into(),
        ..options(&world.store, BuiltInConfig::default(), &world.said)
    };
    let issuer = Issuer::open(options, &Upstream::default()).await.unwrap();
    let client =
        world.register(json!({ "redirect_uris": [CHATGPT], "token_endpoint_auth_method": "none" })).await.json();
    let query = format!(
        "response_type=code&client_id={}&redirect_uri={CHATGPT}&code_challenge={CHALLENGE}&code_challenge_method=S256",
        text(&client, "client_id")
    );
    let Answer::Page(page) = issuer.authorize(&Parameters::parse(query.as_bytes()), Visit::default()).await else {
        panic!("nobody is signed in");
    };
    let cookie = page.cookie.unwrap();
    assert!(cookie.starts_with("switchboard-8931=") && cookie.contains("Max-Age=3600;"), "{cookie}");
    assert!(!cookie.contains("Secure"));
}
