//! How a credential stands in a request, and which slot of a manifest fills what an API wants.

use http::{HeaderMap, HeaderValue};
use serde_json::json;
use switchboard::credential::Credential;
use switchboard::manifest::Credentials;
use switchboard::openapi::{ApiTool, Converted, OAuth2Proof, Proof, unfilled};
use url::Url;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, secrecy::SecretString)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
}

fn applied(credential: &Credential, mut headers: HeaderMap) -> Result<(Url, HeaderMap), String> {
    let mut url = Url::parse("https://api.example/pets?tag=a%20b").unwrap();
    credential.apply(&mut url, &mut headers).map_err(|error| error.to_string())?;
    Ok((url, headers))
}

#[test]
fn cookies_join_those_that_arguments_set() {
    let credential = Credential { cookies: pairs(&[("session", "abc"), ("other", "1")]), ..Credential::default() };
    let there = HeaderMap::from_iter([(http::header::COOKIE, HeaderValue::from_static("theme=dark"))]);
    let (_, headers) = applied(&credential, there).unwrap();
    assert_eq!(headers["cookie"], "theme=dark; session=abc; other=1");
    assert!(headers["cookie"].is_sensitive());
    let (_, headers) = applied(&credential, HeaderMap::new()).unwrap();
    assert_eq!(headers["cookie"], "session=abc; other=1");
}

#[test]
fn a_query_parameter_is_added_behind_the_others() {
    let credential = Credential { query: pairs(&[("key", "a&b=c")]), ..Credential::default() };
    assert_eq!(applied(&credential, HeaderMap::new()).unwrap().0.query(), Some("tag=a%20b&key=a%26b%3Dc"));
}

#[test]
fn what_would_break_out_of_its_place_is_refused_without_being_shown() {
    for wrong in ["a; admin=1", "a,b", "a\"b", "a\\b", "a b", "a\r\nb", "ü"] {
        let cookies = Credential { cookies: pairs(&[("session", wrong)]), ..Credential::default() };
        let why = applied(&cookies, HeaderMap::new()).unwrap_err();
        assert!(why.contains("a cookie") && !why.contains(wrong), "{why}");
    }
    let headers = Credential { headers: pairs(&[("x-key", "a\r\nb")]), ..Credential::default() };
    assert!(applied(&headers, HeaderMap::new()).unwrap_err().contains("a header"));
}

#[test]
fn debug_shows_names_only() {
    let all = Credential {
        headers: pairs(&[("x-key", "first-secret")]),
        query: pairs(&[("key", "second-secret")]),
        cookies: pairs(&[("session", "third-secret")]),
        env: pairs(&[("TOKEN", "fourth-secret")]),
        hidden: pairs(&[("password", "fifth-secret")]),
        account: None,
    };
    let shown = format!("{all:?}");
    assert!(shown.contains("x-key") && shown.contains("session") && !shown.contains("-secret"), "{shown}");
    assert_eq!(all.secrets().count(), 5);
}

fn converted(ways: &[&[&[&str]]]) -> Converted {
    let tool = |ways: &&[&[&str]]| -> ApiTool {
        let security = ways.iter().map(|way| way.iter().map(|name| ((*name).to_owned(), Vec::new())).collect());
        ApiTool { security: security.collect(), ..switchboard_tool() }
    };
    let security = [
        ("key", Proof::Header("X-Key".into())),
        ("query", Proof::Query("key".into())),
        ("basic", Proof::Basic),
        ("token", Proof::Bearer),
        ("oauth", Proof::OAuth2(OAuth2Proof::default())),
        ("mtls", Proof::Other("mutual TLS".into())),
    ];
    Converted {
        tools: ways.iter().map(tool).collect(),
        security: security.into_iter().map(|(name, proof)| (name.to_owned(), proof)).collect(),
        ..Converted::default()
    }
}

/// Any tool.
fn switchboard_tool() -> ApiTool {
    let document = json!({
        "openapi": "3.1.0", "info": {"title": "T", "version": "1"},
        "paths": {"/a": {"get": {"operationId": "a", "responses": {"200": {"description": "ok"}}}}}
    });
    let settings = serde_json::from_value(json!({"spec": "a.json"})).unwrap();
    let source =
        switchboard::openapi::Source { document: &document, at: None, others: &std::collections::BTreeMap::default() };
    switchboard::openapi::convert(&source, &settings).unwrap().tools.remove(0)
}

fn lacking(ways: &[&[&[&str]]], credentials: serde_json::Value) -> Vec<(String, usize)> {
    let credentials: Credentials = serde_json::from_value(credentials).unwrap();
    unfilled(&converted(ways), &credentials).into_iter().collect()
}

#[test]
fn a_slot_that_tools_take_and_nothing_fills_is_named_with_their_number() {
    let ways: &[&[&[&str]]] = &[&[&["key"]], &[&["key"]], &[&["token"]], &[]];
    let expected = vec![("credentials.bearer".to_owned(), 1), ("credentials.headers.X-Key".to_owned(), 2)];
    assert_eq!(lacking(ways, json!({})), expected);
    assert_eq!(lacking(ways, json!({"headers": {"x-key": "a"}, "bearer": "b"})), vec![]);
}

#[test]
fn of_alternatives_one_is_enough_and_of_what_goes_together_all() {
    let both: &[&[&[&str]]] = &[&[&["key", "query"]]];
    assert_eq!(lacking(both, json!({"query": {"key": "a"}})), vec![("credentials.headers.X-Key".to_owned(), 1)]);
    let either: &[&[&[&str]]] = &[&[&["key", "query"], &["basic"]]];
    assert_eq!(lacking(either, json!({"basic": {"username": "u", "password": "p"}})), vec![]);
    assert_eq!(lacking(either, json!({})), vec![("credentials.basic".to_owned(), 1)]);
    // One that asks for nothing as well takes nothing.
    let free: &[&[&[&str]]] = &[&[&["key"], &[]]];
    assert_eq!(lacking(free, json!({})), vec![]);
}

#[test]
fn a_token_in_the_right_header_is_a_token_however_it_came_there() {
    let ways: &[&[&[&str]]] = &[&[&["oauth"]], &[&["token"]]];
    for fills in [json!({"bearer": "a"}), json!({"headers": {"authorization": "Bearer a"}})] {
        assert_eq!(lacking(ways, fills), vec![]);
    }
}
