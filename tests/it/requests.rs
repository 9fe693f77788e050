//! An operation's plan and a call's arguments → the request they mean.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde_json::{Value, json};
use switchboard::error::ErrorKind;
use switchboard::manifest::{Arguments, Method};
use switchboard::openapi::{
    Body, Draft, DraftBody, Encode, Location, Member, Parameter, PartEncode, Plan, Shape, Style, Upload,
};
use url::Url;

fn styled(name: &str, location: Location, style: Style, explode: bool) -> Parameter {
    let encode = Encode::Style { style, explode, allow_reserved: false };
    Parameter { argument: name.into(), wire: name.into(), location, encode, value: None }
}

fn plan(path: &str, parameters: Vec<Parameter>, body: Option<Body>) -> Plan {
    Plan { method: Method::Post, path: path.into(), parameters, body, accept: Vec::new() }
}

fn arguments(value: Value) -> Arguments {
    serde_json::from_value(value).unwrap()
}

fn draft(plan: &Plan, given: Value) -> Result<Draft, ErrorKind> {
    let base = Url::parse("https://api.example.com/v1/").unwrap();
    plan.draft(&base, &arguments(given), &HashMap::new()).map_err(|error| error.kind())
}

/// What follows the base address.
fn address(plan: &Plan, given: Value) -> String {
    draft(plan, given).unwrap().url.as_str().strip_prefix("https://api.example.com/v1").unwrap().to_owned()
}

fn header(draft: &Draft, name: &str) -> Option<String> {
    draft.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

fn text(plan: &Plan, given: Value) -> (String, String) {
    let DraftBody::Bytes(kind, bytes) = draft(plan, given).unwrap().body else { panic!("there is no such body") };
    (kind, String::from_utf8(bytes.to_vec()).unwrap())
}

fn body(media_type: &str, shape: Shape) -> Body {
    Body { media_type: media_type.into(), required: false, shape, parts: BTreeMap::new() }
}

fn spread(names: &[&str]) -> Shape {
    let member = |name: &&str| Member { argument: (*name).into(), wire: (*name).into(), value: None };
    Shape::Spread(names.iter().map(member).collect())
}

const LIST: &str = r#"["blue","black","brown"]"#;
const OBJECT: &str = r#"{"R":100,"G":200}"#;

/// The specification's own table of styles, and what RFC 6570 says where that is vague.
#[test]
fn every_style_is_written_as_the_specification_shows_it() {
    use Location::{Path, Query};
    let rows = [
        (Path, Style::Simple, false, "\"blue\"", "/blue"),
        (Path, Style::Simple, false, LIST, "/blue,black,brown"),
        (Path, Style::Simple, false, OBJECT, "/R,100,G,200"),
        (Path, Style::Simple, true, OBJECT, "/R=100,G=200"),
        (Path, Style::Label, false, "\"blue\"", "/.blue"),
        (Path, Style::Label, false, LIST, "/.blue,black,brown"),
        (Path, Style::Label, true, LIST, "/.blue.black.brown"),
        (Path, Style::Label, true, OBJECT, "/.R=100.G=200"),
        (Path, Style::Matrix, false, "\"blue\"", "/;color=blue"),
        (Path, Style::Matrix, false, LIST, "/;color=blue,black,brown"),
        (Path, Style::Matrix, true, LIST, "/;color=blue;color=black;color=brown"),
        (Path, Style::Matrix, false, OBJECT, "/;color=R,100,G,200"),
        (Path, Style::Matrix, true, OBJECT, "/;R=100;G=200"),
        (Query, Style::Form, true, "\"blue\"", "?color=blue"),
        (Query, Style::Form, true, "\"\"", "?color="),
        (Query, Style::Form, true, LIST, "?color=blue&color=black&color=brown"),
        (Query, Style::Form, false, LIST, "?color=blue,black,brown"),
        (Query, Style::Form, true, OBJECT, "?R=100&G=200"),
        (Query, Style::Form, false, OBJECT, "?color=R,100,G,200"),
        (Query, Style::SpaceDelimited, false, LIST, "?color=blue%20black%20brown"),
        (Query, Style::PipeDelimited, false, LIST, "?color=blue%7Cblack%7Cbrown"),
        (Query, Style::PipeDelimited, true, LIST, "?color=blue&color=black&color=brown"),
        (Query, Style::TabDelimited, false, LIST, "?color=blue%09black%09brown"),
        (Query, Style::DeepObject, true, OBJECT, "?color%5BR%5D=100&color%5BG%5D=200"),
        (Query, Style::Form, true, "[]", ""),
        (Query, Style::Form, true, "null", ""),
        (Query, Style::Form, true, "2.0", "?color=2"),
        (Query, Style::Form, true, "true", "?color=true"),
    ];
    for (location, style, explode, value, expected) in rows {
        let path = if location == Path { "/{color}" } else { "/c" };
        let plan = plan(path, vec![styled("color", location, style, explode)], None);
        let found = address(&plan, json!({ "color": serde_json::from_str::<Value>(value).unwrap() }));
        let expected = if location == Path { expected.to_owned() } else { format!("/c{expected}") };
        assert_eq!(found, expected, "{location:?} {style:?} {explode} {value}");
    }
}

#[test]
fn what_is_nested_deeper_keeps_its_place_in_brackets() {
    let plan = plan("/c", vec![styled("filter", Location::Query, Style::DeepObject, true)], None);
    let found = address(&plan, json!({ "filter": { "a": { "b": 1 }, "l": ["x", { "y": true }], "n": null } }));
    let readable = found.replace("%5B", "[").replace("%5D", "]");
    assert_eq!(readable, "/c?filter[a][b]=1&filter[l][0]=x&filter[l][1][y]=true");
}

#[test]
fn no_argument_leaves_its_place_in_the_path() {
    let simple = plan("/files/{name}/raw", vec![styled("name", Location::Path, Style::Simple, false)], None);
    assert_eq!(address(&simple, json!({ "name": "a/../b?c#d%2e" })), "/files/a%2F..%2Fb%3Fc%23d%252e/raw");
    for bad in ["", ".", ".."] {
        assert_eq!(draft(&simple, json!({ "name": bad })).unwrap_err(), ErrorKind::InvalidArguments, "{bad:?}");
    }
    assert_eq!(draft(&simple, json!({})).unwrap_err(), ErrorKind::InvalidArguments);

    let two = ["a", "b"].map(|name| styled(name, Location::Path, Style::Simple, false)).to_vec();
    assert_eq!(address(&plan("/{a}-{b}", two.clone(), None), json!({ "a": "x", "b": "y" })), "/x-y");
    let joined = plan("/v/.{a}", vec![styled("a", Location::Path, Style::Simple, false)], None);
    assert_eq!(address(&joined, json!({ "a": "x" })), "/v/.x");
    assert_eq!(
        draft(&plan("/.{a}", two, None), json!({ "a": ".", "b": "y" })).unwrap_err(),
        ErrorKind::InvalidArguments
    );
}

#[test]
fn no_slash_of_an_argument_is_one_of_the_path() {
    let mut path = styled("path", Location::Path, Style::Simple, false);
    path.encode = Encode::Style { style: Style::Simple, explode: false, allow_reserved: true };
    let plan = plan("/contents/{path}", vec![path], None);
    assert_eq!(address(&plan, json!({ "path": "src/my file.rs" })), "/contents/src%2Fmy%20file.rs");
    for bad in ["..", ".", ""] {
        assert_eq!(draft(&plan, json!({ "path": bad })).unwrap_err(), ErrorKind::InvalidArguments, "{bad}");
    }
}

#[test]
fn no_argument_adds_a_parameter() {
    let mut query = styled("q", Location::Query, Style::Form, true);
    let found = address(&plan("/s", vec![query.clone()], None), json!({ "q": "a&admin=1#x +é" }));
    assert_eq!(found, "/s?q=a%26admin%3D1%23x%20%2B%C3%A9");
    query.encode = Encode::Style { style: Style::Form, explode: true, allow_reserved: true };
    let found = address(&plan("/s", vec![query], None), json!({ "q": "a:b/c?d,e&admin=1#x+y" }));
    assert_eq!(found, "/s?q=a:b/c?d,e%26admin=1%23x%2By");
}

#[test]
fn no_member_of_an_object_stands_for_another_parameter() {
    let mut tenant = styled("tenant", Location::Query, Style::Form, true);
    tenant.value = Some(json!("acme"));
    let plan = plan("/s", vec![styled("f", Location::Query, Style::Form, true), tenant], None);
    assert_eq!(address(&plan, json!({ "f": { "tenant": "evil", "a": 1, "f": 2 } })), "/s?a=1&f=2&tenant=acme");
}

#[test]
fn lists_are_joined_as_their_style_says_wherever_they_stand() {
    let at = |location, style| plan("/s", vec![styled("a", location, style, false)], None);
    let given = json!({ "a": ["p", "q"] });
    for (style, written) in [
        (Style::SpaceDelimited, "p q"),
        (Style::PipeDelimited, "p|q"),
        (Style::TabDelimited, "p\tq"),
        (Style::Simple, "p,q"),
    ] {
        let made = draft(&at(Location::Header, style), given.clone()).unwrap();
        assert_eq!(made.headers, [("a".to_owned(), written.to_owned())]);
    }
    let mut parts = body("multipart/form-data", spread(&["a"]));
    parts.parts.insert("a".into(), PartEncode { style: Some((Style::Form, false)), ..PartEncode::default() });
    let DraftBody::Multipart(_, parts) = draft(&plan("/c", vec![], Some(parts)), given).unwrap().body else { panic!() };
    assert_eq!(parts.iter().map(|part| part.bytes.as_ref()).collect::<Vec<_>>(), [b"p,q"]);
}

#[test]
fn odd_names_and_fixed_parts_reach_the_server() {
    let mut filter = styled("filter", Location::Query, Style::Form, true);
    filter.wire = "$filter".into();
    let mut ids = styled("ids", Location::Query, Style::Form, true);
    ids.wire = "ids[]".into();
    let plan = plan("/users?api-version=2#Action=List", vec![filter, ids], None);
    let found = address(&plan, json!({ "filter": "name eq 'x'", "ids": [1, 2] }));
    assert_eq!(found, "/users?api-version=2&$filter=name%20eq%20%27x%27&ids%5B%5D=1&ids%5B%5D=2");
}

#[test]
fn json_in_a_parameter_is_json() {
    let mut where_ = styled("where", Location::Query, Style::Form, true);
    where_.encode = Encode::Content("application/json".into());
    let found = address(&plan("/s", vec![where_], None), json!({ "where": { "a": ["b"] } }));
    assert_eq!(found, "/s?where=%7B%22a%22%3A%5B%22b%22%5D%7D");
}

#[test]
fn headers_and_cookies_hold_what_they_can_hold() {
    let parameters = vec![
        styled("X-List", Location::Header, Style::Simple, false),
        styled("X-Map", Location::Header, Style::Simple, true),
        styled("session", Location::Cookie, Style::Form, true),
        styled("flags", Location::Cookie, Style::Form, false),
    ];
    let plan = plan("/c", parameters, None);
    let given = json!({ "X-List": [1, 2], "X-Map": { "a": "b", "c": 3 }, "session": "x y; z=1", "flags": ["p", "q"] });
    let made = draft(&plan, given).unwrap();
    assert_eq!(header(&made, "X-List").unwrap(), "1,2");
    assert_eq!(header(&made, "X-Map").unwrap(), "a=b,c=3");
    assert_eq!(header(&made, "cookie").unwrap(), "session=x%20y%3B%20z%3D1; flags=p,q");
    let broken = json!({ "X-List": ["a\r\nHost: evil"] });
    assert_eq!(draft(&plan, broken).unwrap_err(), ErrorKind::InvalidArguments);
}

#[test]
fn an_argument_is_no_credential_and_frames_no_message() {
    let names = ["Authorization", "Host", "Content-Length", "Cookie", "X-Fine"];
    let parameters = names.map(|name| styled(name, Location::Header, Style::Simple, false)).to_vec();
    let plan = plan("/c", parameters, None);
    let given = names.into_iter().map(|name| (name.to_owned(), json!("x"))).collect();
    let made = draft(&plan, Value::Object(given)).unwrap();
    assert_eq!(made.headers, [("X-Fine".to_owned(), "x".to_owned())]);
}

#[test]
fn what_is_always_the_same_needs_no_argument_and_heeds_none() {
    let mut version = styled("version", Location::Query, Style::Form, true);
    version.value = Some(json!("2"));
    let shape = Shape::Spread(vec![
        Member { argument: "name".into(), wire: "name".into(), value: None },
        Member { argument: "source".into(), wire: "source".into(), value: Some(json!("us")) },
    ]);
    let plan = plan("/c", vec![version], Some(body("application/json", shape)));
    let given = json!({ "version": "9", "source": "them", "name": "x" });
    assert_eq!(address(&plan, given.clone()), "/c?version=2");
    assert_eq!(text(&plan, given).1, r#"{"name":"x","source":"us"}"#);
}

#[test]
fn json_bodies_keep_null_and_leave_out_what_was_not_said() {
    let plan = plan("/c", vec![], Some(body("application/merge-patch+json", spread(&["a", "b", "c"]))));
    let found = text(&plan, json!({ "a": null, "c": [1, { "d": null }] }));
    assert_eq!(found, ("application/merge-patch+json".into(), r#"{"a":null,"c":[1,{"d":null}]}"#.into()));
    assert_eq!(draft(&plan, json!({})).unwrap().body, DraftBody::None);
}

#[test]
fn a_body_that_has_to_be_there_is_there() {
    let mut members = body("application/json", spread(&["a"]));
    members.required = true;
    assert_eq!(text(&plan("/c", vec![], Some(members)), json!({})).1, "{}");
    let mut whole = body("application/json", Shape::Whole("body".into()));
    whole.required = true;
    let whole = plan("/c", vec![], Some(whole));
    assert_eq!(draft(&whole, json!({})).unwrap_err(), ErrorKind::InvalidArguments);
    assert_eq!(text(&whole, json!({ "body": [1, 2] })).1, "[1,2]");
}

#[test]
fn forms_are_written_member_by_member() {
    let mut form = body("application/x-www-form-urlencoded", spread(&["name", "tags", "card", "items", "raw"]));
    let style = |style| PartEncode { style: Some((style, true)), ..PartEncode::default() };
    form.parts.insert("card".into(), style(Style::DeepObject));
    form.parts.insert("items".into(), style(Style::DeepObject));
    let plan = plan("/c", vec![], Some(form));
    let given = json!({
        "name": "a b&c", "tags": ["x", "y"], "card": { "number": 4, "address": { "city": "Rome" } },
        "items": [{ "price": "p" }], "raw": { "k": "v" },
    });
    let (kind, text) = text(&plan, given);
    assert_eq!(kind, "application/x-www-form-urlencoded");
    let readable = text.replace("%5B", "[").replace("%5D", "]");
    assert_eq!(
        readable,
        "name=a%20b%26c&tags=x&tags=y&card[number]=4&card[address][city]=Rome&items[0][price]=p&raw=%7B%22k%22%3A%22v%22%7D"
    );
}

#[test]
fn a_form_of_one_object_has_its_members() {
    let plan = plan("/c", vec![], Some(body("application/x-www-form-urlencoded", Shape::Whole("body".into()))));
    assert_eq!(text(&plan, json!({ "body": { "a": 1, "b": null, "c": "x" } })).1, "a=1&c=x");
}

#[test]
fn multipart_bodies_hold_bytes_texts_and_json() {
    let mut parts = body("multipart/form-data", spread(&["file", "note", "meta", "more"]));
    let binary = PartEncode { binary: true, content_type: Some("image/png".into()), ..PartEncode::default() };
    parts.parts.insert("file".into(), binary.clone());
    parts.parts.insert("more".into(), PartEncode { content_type: None, ..binary });
    let plan = plan("/c", vec![], Some(parts));
    let given =
        json!({ "file": "aGk=", "note": "hello", "meta": { "a": 1 }, "more": ["aGk", "data:text/plain;base64,_-8"] });
    let DraftBody::Multipart(kind, parts) = draft(&plan, given).unwrap().body else { panic!() };
    assert_eq!(kind, "multipart/form-data");
    let said = |index: usize| {
        let part = &parts[index];
        (part.name.as_str(), part.file_name.as_deref(), part.media_type.as_deref(), part.bytes.as_ref())
    };
    assert_eq!(said(0), ("file", Some("file"), Some("image/png"), b"hi".as_slice()));
    assert_eq!(said(1), ("note", None, None, b"hello".as_slice()));
    assert_eq!(said(2), ("meta", None, Some("application/json"), br#"{"a":1}"#.as_slice()));
    assert_eq!(said(3), ("more", Some("more"), Some("application/octet-stream"), b"hi".as_slice()));
    assert_eq!(said(4), ("more", Some("more"), Some("application/octet-stream"), b"\xff\xef".as_slice()));
    let wrong = draft(&plan, json!({ "file": "no base64!" }));
    assert_eq!(wrong.unwrap_err(), ErrorKind::InvalidArguments);
}

#[test]
fn a_file_stands_for_its_argument() {
    let upload = Upload { bytes: Bytes::from_static(b"hi"), name: "cat.png".into(), media_type: "image/png".into() };
    let files = HashMap::from([("file".to_owned(), upload)]);
    let given = arguments(json!({ "file": { "download_url": "https://x.example/y", "file_id": "1" } }));
    let base = Url::parse("https://api.example.com").unwrap();

    let parts = plan("/c", vec![], Some(body("multipart/form-data", spread(&["file"]))));
    let DraftBody::Multipart(_, parts) = parts.draft(&base, &given, &files).unwrap().body else { panic!() };
    assert_eq!(parts[0].file_name.as_deref(), Some("cat.png"));
    assert_eq!(parts[0].media_type.as_deref(), Some("image/png"));

    for (kind, sent) in
        [("application/json", r#"{"file":"aGk="}"#), ("application/x-www-form-urlencoded", "file=aGk%3D")]
    {
        let member = plan("/c", vec![], Some(body(kind, spread(&["file"]))));
        let made = member.draft(&base, &given, &files).unwrap().body;
        assert_eq!(made, DraftBody::Bytes(kind.into(), Bytes::from_static(sent.as_bytes())));
    }

    let whole = plan("/c", vec![], Some(body("image/*", Shape::Whole("file".into()))));
    let made = whole.draft(&base, &given, &files).unwrap().body;
    assert_eq!(made, DraftBody::Bytes("image/png".into(), Bytes::from_static(b"hi")));
}

#[test]
fn text_is_sent_as_it_is_and_bytes_from_base64() {
    let whole = |kind: &str| plan("/c", vec![], Some(body(kind, Shape::Whole("body".into()))));
    assert_eq!(text(&whole("text/csv"), json!({ "body": "a,b\n" })), ("text/csv".into(), "a,b\n".into()));
    assert_eq!(text(&whole("application/xml"), json!({ "body": "<a/>" })).1, "<a/>");
    assert_eq!(text(&whole("application/octet-stream"), json!({ "body": "aG k=\n" })).1, "hi");
    assert_eq!(text(&whole("*/*"), json!({ "body": "aGk=" })), ("application/octet-stream".into(), "hi".into()));
}

#[test]
fn what_is_base64_on_the_wire_is_not_unpacked() {
    let mut encoded = body("image/jpeg", Shape::Whole("body".into()));
    encoded.parts.insert("body".into(), PartEncode::default());
    let encoded = plan("/c", vec![], Some(encoded));
    assert_eq!(text(&encoded, json!({ "body": "aGk=" })), ("image/jpeg".into(), "aGk=".into()));
}
