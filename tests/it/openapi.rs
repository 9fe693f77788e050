//! OpenAPI documents → tools.

#![expect(clippy::needless_pass_by_value, reason = "what a test gives is written where it is given")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use switchboard::manifest::OpenApiSettings;
use switchboard::openapi::{
    ApiTool, Converted, Encode, Location, OAuth2Proof, Proof, Shape, Source, Style, convert, overlay, parse, references,
};
use url::Url;

mod documents;
mod mutation;

fn settings(more: Value) -> OpenApiSettings {
    let Value::Object(mut settings) = more else { panic!("settings are an object") };
    settings.insert("spec".into(), "openapi.json".into());
    serde_json::from_value(Value::Object(settings)).unwrap()
}

fn converted(document: &Value, more: Value) -> Converted {
    let others = BTreeMap::new();
    convert(&Source { document, at: None, others: &others }, &settings(more)).unwrap()
}

/// A document of 3.1 with these paths.
fn document(paths: Value) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Test", "version": "1" },
        "servers": [{ "url": "https://api.example.com/v1" }],
        "paths": paths
    })
}

/// The only tool of a document with one operation.
fn only(operation: Value) -> ApiTool {
    with(operation, json!({}))
}

fn with(operation: Value, components: Value) -> ApiTool {
    let mut document = document(json!({ "/things/{id}": { "post": operation } }));
    document["components"] = components;
    let mut converted = converted(&document, json!({}));
    assert_eq!(converted.skipped, []);
    converted.tools.remove(0)
}

fn id() -> Value {
    json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } })
}

fn query(name: &str, schema: Value) -> Value {
    json!({ "parameters": [id(), { "name": name, "in": "query", "schema": schema }] })
}

fn body(schema: Value) -> Value {
    json!({ "parameters": [id()], "requestBody": { "required": true, "content": { "application/json": { "schema": schema } } } })
}

fn property(tool: &ApiTool, name: &str) -> Value {
    tool.tool.input_schema["properties"][name].clone()
}

fn names(converted: &Converted) -> Vec<&str> {
    converted.tools.iter().map(|tool| tool.tool.name.as_str()).collect()
}

fn arguments(tool: &ApiTool) -> Vec<&String> {
    tool.tool.input_schema["properties"].as_object().unwrap().keys().collect()
}

/// How a schema of a query parameter is written.
fn check(schema: Value, expected: Value) {
    assert_eq!(property(&only(query("q", schema.clone())), "q"), expected, "{schema}");
}

#[test]
fn a_text_that_is_neither_json_nor_yaml_is_refused_with_line_and_column() {
    assert!(parse("{\"a\": 1,\n \"b\": }").unwrap_err().contains("line 2 column"));
    assert!(parse("a: 1\nb: [1\nc: 2\n").unwrap_err().contains("line"));
    assert_eq!(parse("\u{feff}{\"a\": 1}").unwrap(), json!({ "a": 1 }));
    assert_eq!(parse("responses:\n  200: {on: yes}\n").unwrap(), json!({ "responses": { "200": { "on": "yes" } } }));
    assert!(parse(&"[".repeat(100_000)).is_err());
}

#[test]
fn what_is_no_openapi_document_is_refused() {
    let others = BTreeMap::new();
    for (document, words) in [
        (json!({}), "neither `openapi` nor `swagger`"),
        (json!({ "openapi": "4.0.0" }), "3.0 and 3.1"),
        (json!({ "swagger": "1.2" }), "2.0"),
        (json!({ "info": {}, "paths": {} }), "its form"),
    ] {
        let error =
            convert(&Source { document: &document, at: None, others: &others }, &settings(json!({}))).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn names_are_the_operation_id_or_its_words_or_the_path() {
    let operation = |id: &str| json!({ "operationId": id });
    let long = "a".repeat(80);
    let document = document(json!({
        "/a": { "get": operation("listPets"), "put": operation("repos/listForOrg"), "post": {} },
        "/a/{id}/b": { "get": {} },
        "/items/{item_id}": { "get": operation("read_item_items__item_id__get") },
        "/long": { "get": operation(&long) },
        "/mcp": { "get": { "operationId": "x", "x-mcp-name": "better" } }
    }));
    let converted = converted(&document, json!({}));
    let names = names(&converted);
    assert_eq!(names[..5], ["listPets", "post_a", "repos_list_for_org", "get_a_b_by_id", "read_item"]);
    assert!(names[5].starts_with(&format!("{}_", "a".repeat(55))), "{}", names[5]);
    assert_eq!((names[5].len(), names[6]), (64, "better"));
}

#[test]
fn names_that_would_be_equal_depend_on_no_order() {
    let mut paths = Map::new();
    for (path, id) in [("/a", "get x"), ("/b", "get-x"), ("/c", "get/x"), ("/d", "get_x"), ("/e", "getX.")] {
        paths.insert(path.into(), json!({ "get": { "operationId": id } }));
    }
    let by_path = |paths: Map<String, Value>| -> BTreeMap<String, String> {
        let converted = converted(&document(Value::Object(paths)), json!({}));
        converted.tools.into_iter().map(|tool| (tool.plan.path, tool.tool.name)).collect()
    };
    let forwards = by_path(paths.clone());
    assert_eq!(forwards, by_path(paths.into_iter().rev().collect()));
    assert_eq!(forwards.values().collect::<std::collections::HashSet<_>>().len(), 5);
    assert_eq!(forwards["/b"], "get-x");
}

#[test]
fn arguments_are_flat_and_say_where_they_go_when_two_have_one_name() {
    let tool = only(json!({
        "parameters": [id(), { "name": "id", "in": "query", "schema": {} }, { "name": "name", "in": "query", "schema": {} }],
        "requestBody": { "required": true, "content": { "application/json": { "schema": {
            "type": "object", "required": ["name"], "properties": { "name": { "type": "string" }, "size": { "type": "integer" } }
        } } } }
    }));
    assert_eq!(arguments(&tool), ["id_path", "id_query", "name_query", "name", "size"]);
    assert_eq!(tool.tool.input_schema["required"], json!(["id_path", "name"]));
    assert_eq!(tool.tool.input_schema["additionalProperties"], false);
    let wires: Vec<(&str, &str)> =
        tool.plan.parameters.iter().map(|it| (it.argument.as_str(), it.wire.as_str())).collect();
    assert_eq!(wires, [("id_path", "id"), ("id_query", "id"), ("name_query", "name")]);
    let Shape::Spread(members) = &tool.plan.body.unwrap().shape else { panic!("the body is spread") };
    assert_eq!(members.iter().map(|it| it.wire.as_str()).collect::<Vec<_>>(), ["name", "size"]);
}

#[test]
fn names_that_clients_refuse_get_others() {
    let query = |name: &str| json!({ "name": name, "in": "query", "schema": { "type": "string" } });
    let wires = ["$filter", "ids[]", "created", "created<", "created>", "größe", "{field}", "ok-1.2"];
    let tool = only(json!({ "parameters": std::iter::once(id()).chain(wires.map(query)).collect::<Vec<_>>() }));
    let wanted = ["id", "filter", "ids", "created", "created_lt", "created_gt", "gr_e", "field", "ok-1.2"];
    assert_eq!(arguments(&tool), wanted);
    assert_eq!(tool.plan.parameters[4].wire, "created<");
}

#[test]
fn a_body_that_is_no_plain_object_is_one_argument() {
    let many: Map<String, Value> = (0..30).map(|n| (format!("p{n}"), json!({ "type": "string" }))).collect();
    for schema in [
        json!({ "type": "array", "items": { "type": "string" } }),
        json!({ "oneOf": [{ "type": "object", "properties": { "a": {} } }, { "type": "string" }] }),
        json!({ "type": "object", "properties": many }),
        json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        json!({ "type": "object", "properties": { "a": {} }, "additionalProperties": true }),
    ] {
        let tool = only(body(schema.clone()));
        assert_eq!(arguments(&tool), ["id", "body"], "{schema}");
        assert_eq!(tool.plan.body.unwrap().shape, Shape::Whole("body".into()));
    }
}

#[test]
fn all_of_is_put_together() {
    let tool = with(
        body(
            json!({ "allOf": [{ "$ref": "#/components/schemas/Base" }, { "required": ["b"], "properties": { "b": { "type": "integer" } } }] }),
        ),
        json!({ "schemas": { "Base": { "type": "object", "required": ["a"], "properties": { "a": { "type": "string" } } } } }),
    );
    assert_eq!(arguments(&tool), ["id", "b", "a"]);
    assert_eq!(tool.tool.input_schema["required"], json!(["id", "b", "a"]));
}

#[test]
fn schemas_are_written_for_2020_12() {
    check(json!({ "type": "string", "nullable": true }), json!({ "type": ["string", "null"] }));
    check(
        json!({ "type": ["string", "null"], "enum": ["a"] }),
        json!({ "type": ["string", "null"], "enum": ["a", null] }),
    );
    check(
        json!({ "type": "integer", "minimum": 1, "exclusiveMinimum": true }),
        json!({ "type": "integer", "exclusiveMinimum": 1 }),
    );
    check(json!({ "type": "integer", "format": "int32", "example": 3, "xml": {} }), json!({ "type": "integer" }));
    check(json!({ "type": "array" }), json!({ "type": "array", "items": { "type": "string" } }));
    check(json!({ "type": "string", "pattern": "\\A[a-z]+\\Z" }), json!({ "type": "string" }));
    check(json!({ "type": "string", "pattern": "^[a-z]+$" }), json!({ "type": "string", "pattern": "^[a-z]+$" }));
    check(json!({ "type": "string", "minLength": -1, "maxLength": "7" }), json!({ "type": "string" }));
    check(json!({ "type": "string", "enum": [1.5, true] }), json!({ "type": "string", "enum": ["1.5", "true"] }));
    check(
        json!({ "type": "string", "format": "binary" }),
        json!({ "type": "string", "contentEncoding": "base64", "description": "Base64." }),
    );
    check(json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }), json!({ "type": ["string", "null"] }));
    check(
        json!({ "oneOf": [{ "const": "a", "title": "A" }, { "const": "b" }] }),
        json!({ "type": "string", "enum": ["a", "b"] }),
    );
    check(json!({ "type": "date" }), json!({ "type": "string" }));
    check(json!(true), json!({}));
    check(
        json!({ "type": "object", "properties": { "a": {} }, "required": ["a", "b"] }),
        json!({ "type": "object", "properties": { "a": {} }, "required": ["a"] }),
    );
}

#[test]
fn a_default_is_told_and_never_filled_in() {
    check(
        json!({ "type": "boolean", "default": false }),
        json!({ "type": "boolean", "description": "Default: false." }),
    );
}

#[test]
fn a_circle_is_cut_and_says_so() {
    let tool = with(
        body(json!({ "$ref": "#/components/schemas/Node" })),
        json!({ "schemas": { "Node": { "type": "object", "properties": {
            "name": { "type": "string" }, "children": { "type": "array", "items": { "$ref": "#/components/schemas/Node" } }
        } } } }),
    );
    let text = tool.tool.input_schema["properties"].to_string();
    assert!(text.contains("nested Node, any JSON"), "{text}");
}

#[test]
fn what_is_only_read_and_what_is_a_credential_is_not_asked_for() {
    let mut document = document(json!({ "/a": { "post": {
        "parameters": [
            { "name": "X-Key", "in": "header", "schema": {} }, { "name": "Authorization", "in": "header", "schema": {} },
            { "name": "Content-Type", "in": "header", "schema": {} }, { "name": "X-Other", "in": "header", "schema": {} },
            { "name": "api_key", "in": "query", "schema": {} }
        ],
        "requestBody": { "required": true, "content": { "application/json": { "schema": {
            "type": "object", "required": ["id"], "properties": { "id": { "readOnly": true }, "name": {} }
        } } } }
    } } }));
    document["components"] =
        json!({ "securitySchemes": { "key": { "type": "apiKey", "in": "header", "name": "x-key" } } });
    let tool = converted(&document, json!({})).tools.remove(0);
    assert_eq!(arguments(&tool), ["X-Other", "name"]);
    assert_eq!(tool.tool.input_schema.get("required"), None);
}

#[test]
fn results_are_promised_loosely_to_the_letter_or_not_at_all() {
    let document = document(
        json!({ "/a": { "get": { "responses": { "200": { "content": { "application/json": { "schema": {
        "type": "object", "required": ["a"], "additionalProperties": false, "properties": { "a": { "type": "string", "enum": ["x"] } }
    } } } } } } } }),
    );
    let output = |promise: &str| converted(&document, json!({ "output": promise })).tools.remove(0).tool.output_schema;
    let loose = json!({ "type": "object", "properties": { "a": { "type": ["string", "null"] } } });
    assert_eq!(output("loose").map(Value::Object), Some(loose));
    let strict = json!({
        "type": "object", "properties": { "a": { "type": "string", "enum": ["x"] } }, "required": ["a"], "additionalProperties": false
    });
    assert_eq!(output("strict").map(Value::Object), Some(strict));
    assert_eq!(output("none"), None);
}

#[test]
fn a_result_that_is_no_object_stands_under_result() {
    let tool = only(json!({ "parameters": [id()], "responses": { "2XX": { "content": {
        "application/json": { "schema": { "type": "array", "items": { "type": "string" } } }
    } } } }));
    assert!(tool.wrapped);
    let result = json!({ "type": "array", "items": { "type": ["string", "null"] } });
    assert_eq!(tool.tool.output_schema.unwrap()["properties"]["result"], result);
}

#[test]
fn descriptions_are_plain_short_and_end_with_the_request() {
    let tool = only(json!({
        "summary": "Makes a thing",
        "description": "<p>Makes <b>one</b> &amp; only &lt;one&gt;.</p><script>evil()</script>See [the docs](https://x.example/y) for <id>.\u{200b}\u{202e}",
        "parameters": [id()]
    }));
    assert_eq!(tool.tool.title.as_deref(), Some("Makes a thing"));
    let wanted = "Makes a thing.\nMakes one & only <one>.\nSee the docs for <id>.\nPOST /things/{id}";
    assert_eq!(tool.tool.description, wanted);
    let long = only(json!({ "description": "A sentence. ".repeat(500), "parameters": [id()] })).tool.description;
    assert!(long.len() < 1_100 && long.contains("A sentence.\nPOST"), "{long}");
}

#[test]
fn the_way_to_the_next_page_is_told() {
    let tool = only(json!({
        "parameters": [id(), { "name": "start_cursor", "in": "query", "schema": { "type": "string" } }],
        "responses": { "200": { "content": { "application/json": { "schema": {
            "type": "object", "properties": { "next_cursor": { "type": "string" } } } } } } }
    }));
    assert!(tool.tool.description.contains("pass the result's `next_cursor` as `start_cursor`"));
    let without = only(json!({ "parameters": [id(), { "name": "start_cursor", "in": "query", "schema": {} }] }));
    assert!(!without.tool.description.contains("For more"));
}

#[test]
fn a_link_names_the_tool_that_goes_on() {
    let document = document(json!({
        "/users": { "post": { "operationId": "users/create", "responses": { "201": { "links": {
            "get": { "operationId": "users/get", "parameters": { "userId": "$response.body#/id" } } } } } } },
        "/users/{userId}": { "get": { "operationId": "users/get", "parameters": [
            { "name": "userId", "in": "path", "required": true, "schema": { "type": "string" } }] } }
    }));
    let converted = converted(&document, json!({}));
    assert!(
        converted.tools[0]
            .tool
            .description
            .contains("The result's `id` goes into the tool for `GET /users/{userId}` as `userId`.")
    );
    assert_eq!(converted.tools[0].tool.relations.precedes, [converted.tools[1].tool.name.clone()]);
    let alone = self::converted(&document, json!({ "exclude": [{ "methods": ["GET"] }] }));
    assert!(!alone.tools[0].tool.description.contains("goes into"));
    assert!(alone.tools[0].tool.relations.is_empty());
    // A description of one's own stays as it is, and so do relations.
    let mend = json!({ "description": "Mine.", "relations": { "dependsOn": ["other.tool"] } });
    let mended = self::converted(&document, json!({ "operations": { "users/create": mend } }));
    assert_eq!(mended.tools[0].tool.description, "Mine.");
    assert_eq!(mended.tools[0].tool.relations.named().count(), 2);
}

#[test]
fn styles_are_those_of_the_document_or_of_the_place() {
    let style = |location: &str, more: Value| {
        let mut parameter = json!({ "name": "id", "in": location, "required": true, "schema": { "type": "array" } });
        parameter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let tool = only(json!({ "parameters": [parameter] }));
        tool.plan.parameters.into_iter().rfind(|it| it.wire == "id").unwrap().encode
    };
    let encode = |style, explode, allow_reserved| Encode::Style { style, explode, allow_reserved };
    assert_eq!(style("path", json!({})), encode(Style::Simple, false, false));
    assert_eq!(style("path", json!({ "style": "matrix", "explode": true })), encode(Style::Matrix, true, false));
    assert_eq!(style("query", json!({})), encode(Style::Form, true, false));
    assert_eq!(style("query", json!({ "style": "pipeDelimited" })), encode(Style::PipeDelimited, false, false));
    assert_eq!(
        style("query", json!({ "style": "deepObject", "allowReserved": true })),
        encode(Style::DeepObject, true, true)
    );
    assert_eq!(style("header", json!({})), encode(Style::Simple, false, false));
    assert_eq!(
        style("query", json!({ "content": { "application/json": {} } })),
        Encode::Content("application/json".into())
    );
}

#[test]
fn swagger_2_is_read_as_it_is_written() {
    let document = json!({
        "swagger": "2.0", "info": { "title": "Old", "version": "1" }, "host": "old.example.com", "basePath": "/v2", "schemes": ["http", "https"],
        "consumes": ["application/json"],
        "securityDefinitions": {
            "oauth": { "type": "oauth2", "flow": "application", "tokenUrl": "https://old.example.com/token", "scopes": { "read": "Reads" } },
            "basic": { "type": "basic" }
        },
        "security": [{ "basic": [] }],
        "paths": { "/things/{id}": {
            "parameters": [{ "name": "id", "in": "path", "required": true, "type": "integer" }],
            "post": { "parameters": [
                { "name": "tags", "in": "query", "type": "array", "items": { "type": "string" }, "collectionFormat": "pipes" },
                { "name": "thing", "in": "body", "required": true, "schema": { "$ref": "#/definitions/Thing" } }
            ], "responses": { "200": { "description": "", "schema": { "$ref": "#/definitions/Thing" } } } },
            "put": { "security": [{ "oauth": ["read"] }], "consumes": ["multipart/form-data"], "parameters": [
                { "name": "file", "in": "formData", "type": "file", "required": true }, { "name": "note", "in": "formData", "type": "string" }
            ] }
        } },
        "definitions": { "Thing": { "type": "object", "required": ["name"], "properties": { "name": { "type": "string", "x-nullable": true } } } }
    });
    let converted = converted(&document, json!({}));
    assert_eq!(converted.dialect, "2.0");
    assert_eq!(converted.base.as_ref().unwrap().as_ref().unwrap().as_str(), "https://old.example.com/v2");
    let post = converted.tools.iter().find(|tool| tool.id.starts_with("POST")).unwrap();
    assert_eq!(arguments(post), ["id", "tags", "name"]);
    assert_eq!(property(post, "name"), json!({ "type": ["string", "null"] }));
    let tags = &post.plan.parameters[1].encode;
    assert_eq!(*tags, Encode::Style { style: Style::PipeDelimited, explode: false, allow_reserved: false });
    assert!(post.tool.output_schema.is_some());
    assert_eq!(post.security, [vec![("basic".to_owned(), Vec::new())]]);
    let put = converted.tools.iter().find(|tool| tool.id.starts_with("PUT")).unwrap();
    let body = put.plan.body.as_ref().unwrap();
    assert_eq!((body.media_type.as_str(), body.parts["file"].binary), ("multipart/form-data", true));
    let Proof::OAuth2(OAuth2Proof { client_credentials, scopes, .. }) = &converted.security["oauth"] else {
        panic!("{:?}", converted.security);
    };
    assert!(*client_credentials && scopes.contains_key("read"));
}

#[test]
fn the_server_is_the_one_there_is() {
    let base = |servers: Value, more: Value, at: Option<&str>| {
        let mut document = document(json!({}));
        document["servers"] = servers;
        let (at, others) = (at.map(|at| Url::parse(at).unwrap()), BTreeMap::new());
        let converted =
            convert(&Source { document: &document, at: at.as_ref(), others: &others }, &settings(more)).unwrap();
        converted.base.unwrap().map(String::from)
    };
    let here = Some("https://docs.example.com/a/openapi.json");
    assert_eq!(base(json!([{ "url": "https://a.example/v1" }]), json!({}), None).unwrap(), "https://a.example/v1");
    assert_eq!(base(json!([{ "url": "/v2" }]), json!({}), here).unwrap(), "https://docs.example.com/v2");
    assert!(base(json!([{ "url": "/v2" }]), json!({}), None).unwrap_err().contains("baseUrl"));
    assert_eq!(base(json!([]), json!({}), here).unwrap(), "https://docs.example.com/");
    let both = json!([{ "url": "https://a.example" }, { "url": "https://b.example" }]);
    assert!(base(both, json!({}), None).unwrap_err().contains("`https://a.example/` or `https://b.example/`"));
    let templated = json!([{ "url": "https://{place}.example", "variables": { "place": { "default": "eu", "enum": ["eu", "us"] } } }]);
    assert_eq!(base(templated.clone(), json!({}), None).unwrap(), "https://eu.example/");
    assert_eq!(base(templated, json!({ "serverVariables": { "place": "us" } }), None).unwrap(), "https://us.example/");
    assert!(base(json!([{ "url": "file:///etc/passwd" }]), json!({}), None).is_err());
}

#[test]
fn choices_say_what_becomes_a_tool() {
    let operation = |tag: &str| json!({ "tags": [tag], "operationId": format!("{tag}_{tag}") });
    let mut document = document(json!({
        "/a": { "get": operation("red"), "post": operation("green") },
        "/a/{id}/b": { "get": operation("blue") },
        "/admin/x/y": { "get": operation("black") }
    }));
    document["paths"]["/a/{id}/b"]["get"]["deprecated"] = json!(true);
    let chosen = |more: Value| {
        names(&converted(&document, more)).iter().map(|it| (*it).to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(chosen(json!({})), "red_red green_green black_black");
    assert_eq!(chosen(json!({ "deprecated": true })), "red_red green_green blue_blue black_black");
    assert_eq!(
        chosen(json!({ "include": [{ "tags": ["red"] }, { "tags": ["green"], "methods": ["GET"] }] })),
        "red_red"
    );
    assert_eq!(chosen(json!({ "include": [{ "paths": ["/admin/**"] }] })), "black_black");
    assert_eq!(chosen(json!({ "include": [{ "paths": ["/admin/*"] }] })), "");
    assert_eq!(chosen(json!({ "exclude": [{ "operations": ["GET /a", "green_green"] }] })), "black_black");
    let mended = json!({ "operations": { "GET /a": { "enabled": false }, "blue_blue": { "enabled": true } } });
    assert_eq!(chosen(mended), "green_green blue_blue black_black");
    let wrong = converted(&document, json!({ "include": [{ "operations": ["red_rad"] }] }));
    assert!(wrong.remarks.iter().any(|(_, words)| words.contains("did you mean `red_red`?")), "{:?}", wrong.remarks);
    assert!(wrong.skipped.iter().all(|skipped| skipped.wanted));
}

#[test]
fn mends_change_single_operations_and_arguments() {
    let many: Map<String, Value> = (0..30).map(|n| (format!("p{n}"), json!({ "type": "string" }))).collect();
    let mut operation = body(json!({ "type": "object", "properties": many }));
    operation["operationId"] = json!("change");
    let document = document(json!({ "/things/{id}": { "post": operation } }));
    let mend = json!({
        "name": "change_thing", "description": "Use this to change.", "annotations": { "readOnly": true }, "cacheSeconds": 5,
        "parameters": {
            "id": { "name": "thing", "description": "Which." }, "p0": { "value": 7 }, "p1": { "hidden": true },
            "p2": { "default": "x", "required": true }, "p3": { "schema": { "type": "integer" }, "required": true }, "p33": {}
        }
    });
    let converted = converted(&document, json!({ "operations": { "change": mend } }));
    let tool = &converted.tools[0];
    assert_eq!((tool.tool.name.as_str(), tool.tool.description.as_str()), ("change_thing", "Use this to change."));
    assert_eq!((tool.tool.annotations.read_only, tool.tool.annotations.destructive), (Some(true), Some(false)));
    assert_eq!(property(tool, "thing"), json!({ "type": "string", "description": "Which." }));
    assert_eq!(property(tool, "p2"), json!({ "type": "string", "default": "x" }));
    assert_eq!(property(tool, "p3"), json!({ "type": "integer" }));
    assert_eq!(tool.tool.input_schema["required"], json!(["thing", "p3"]));
    assert_eq!(arguments(tool).len(), 29);
    let Some(Shape::Spread(members)) = tool.plan.body.as_ref().map(|body| &body.shape) else { panic!("it is spread") };
    assert_eq!(members.iter().find(|member| member.wire == "p0").unwrap().value, Some(json!(7)));
    assert!(!members.iter().any(|member| member.wire == "p1"));
    assert!(
        converted.remarks.iter().any(|(place, words)| place == "/paths/~1things~1{id}/post" && words.contains("`p33`"))
    );
}

#[test]
fn other_documents_are_read_where_they_are_meant() {
    let mut document = document(json!({ "/a": { "$ref": "paths/a.yaml#/a" } }));
    document["components"] = json!({ "examples": { "x": { "value": { "$ref": "no.yaml" } } } });
    assert_eq!(references(&document), ["paths/a.yaml"]);
    let a = json!({ "a": { "get": { "parameters": [{ "$ref": "../common/p.yaml" }] } } });
    assert_eq!(references(&a), ["../common/p.yaml"]);
    let named = json!({ "responses": { "default": { "$ref": "r.json#/E" } }, "components": {
        "schemas": { "example": { "$ref": "s.json" }, "S": { "default": { "$ref": "no.yaml" } } } } });
    assert_eq!(references(&named), ["r.json", "s.json"]);
    let p = json!({ "name": "far", "in": "query", "schema": { "$ref": "#/schema" }, "schema_": 0 });
    let mut p = p;
    p["x-own"] = json!(1);
    p["schema"] = json!({ "$ref": "../common/p.yaml#/own" });
    p["own"] = json!({ "type": "integer" });
    for (at, common) in
        [(None, "common/p.yaml"), (Some("https://x.example/api/openapi.yaml"), "https://x.example/api/common/p.yaml")]
    {
        let others: BTreeMap<String, Arc<Value>> =
            [("paths/a.yaml".to_owned(), a.clone().into()), (common.to_owned(), p.clone().into())].into();
        let at = at.map(|at| Url::parse(at).unwrap());
        let source = Source { document: &document, at: at.as_ref(), others: &others };
        let converted = convert(&source, &settings(json!({}))).unwrap();
        assert_eq!(property(&converted.tools[0], "far"), json!({ "type": "integer" }), "{:?}", converted.skipped);
    }
}

#[test]
fn what_leads_nowhere_costs_one_schema_or_one_operation() {
    let schema = only(query("q", json!({ "$ref": "#/components/schemas/Missing" })));
    assert_eq!(property(&schema, "q"), json!({}));
    let document = document(
        json!({ "/a": { "get": { "parameters": [{ "$ref": "#/components/parameters/Missing" }] }, "post": {} }, "/b": 7 }),
    );
    let converted = converted(&document, json!({}));
    assert_eq!(names(&converted), ["post_a"]);
    let skipped: Vec<(&str, bool)> = converted.skipped.iter().map(|it| (it.place.as_str(), it.wanted)).collect();
    assert_eq!(skipped, [("/paths/~1b", false), ("/paths/~1a/get", false)]);
    assert!(converted.skipped[1].reason.contains("#/components/parameters/Missing"));
}

#[test]
fn an_overlay_changes_a_document() {
    let mut document = document(json!({ "/a": { "get": { "tags": ["x"] }, "post": {} }, "/b": { "get": {} } }));
    let actions = json!([
        { "target": "$.paths['/a'].get", "update": { "tags": ["y"], "summary": "Gets" } },
        { "target": "$.paths.*.post", "remove": true },
        { "target": "$.servers", "update": { "url": "https://b.example" } },
        { "target": "$.paths['/c']", "remove": true }
    ]);
    let remarks = overlay(&mut document, &json!({ "overlay": "1.0.0", "actions": actions })).unwrap();
    assert_eq!(
        document["paths"],
        json!({ "/a": { "get": { "tags": ["x", "y"], "summary": "Gets" } }, "/b": { "get": {} } })
    );
    assert_eq!(document["servers"].as_array().unwrap().len(), 2);
    assert_eq!(remarks.len(), 1);
    assert!(
        overlay(&mut document, &json!({ "overlay": "1.0.0", "actions": [{ "target": "$[", "remove": true }] }))
            .is_err()
    );
    assert!(overlay(&mut document, &json!({ "openapi": "3.0.0" })).is_err());

    let mut list = json!({ "list": [0, 1, 2, 3] });
    for (target, left) in [("$.list[1,0]", json!([2, 3])), ("$.list[0,0]", json!([3]))] {
        let actions = json!([{ "target": target, "remove": true }]);
        overlay(&mut list, &json!({ "overlay": "1.0.0", "actions": actions })).unwrap();
        assert_eq!(list["list"], left);
    }
    let deep = json!([{ "target": format!("$[?{}", "(".repeat(50_000)), "remove": true }]);
    assert!(overlay(&mut list, &json!({ "overlay": "1.0.0", "actions": deep })).unwrap_err().contains("query is"));
}

#[test]
fn bodies_are_sent_as_the_best_of_their_media_types() {
    let chosen = |types: &[&str]| {
        let content: HashMap<&str, Value> =
            types.iter().map(|it| (*it, json!({ "schema": { "type": "string" } }))).collect();
        only(json!({ "parameters": [id()], "requestBody": { "content": content } })).plan.body.unwrap()
    };
    assert_eq!(
        chosen(&["text/plain", "application/xml", "application/vnd.x+json"]).media_type,
        "application/vnd.x+json"
    );
    assert_eq!(
        chosen(&["multipart/form-data", "application/x-www-form-urlencoded"]).media_type,
        "application/x-www-form-urlencoded"
    );
    assert_eq!(
        chosen(&["application/json-patch+json", "application/merge-patch+json"]).media_type,
        "application/merge-patch+json"
    );
    assert_eq!(chosen(&["application/xml"]).parts.len(), 0);
    assert!(chosen(&["image/png"]).parts["body"].binary);
}

#[test]
fn a_body_that_is_no_json_is_one_text_or_one_file() {
    let made = |kind: &str, media: Value| {
        let tool = only(json!({ "parameters": [id()], "requestBody": { "content": { kind: media } } }));
        (tool.plan.body.as_ref().unwrap().media_type.clone(), property(&tool, "body"))
    };
    let base64 = json!({ "type": "string", "contentEncoding": "base64", "description": "Base64." });
    for kind in ["image/*", "application/octet-stream"] {
        assert_eq!(made(kind, json!({})), (kind.to_owned(), base64.clone()));
    }
    assert_eq!(made("text/*", json!({ "schema": { "type": "string" } })).0, "text/plain");
    let xml = made("application/xml", json!({ "schema": { "type": "object", "properties": { "a": {} } } }));
    let text = json!({ "type": "string", "description": "The whole body as text, application/xml." });
    assert_eq!(xml, ("application/xml".to_owned(), text));
}

#[test]
fn members_whose_names_clients_refuse_are_told_of() {
    let thing =
        json!({ "type": "object", "required": ["@type"], "properties": { "@type": { "type": "string" }, "ok": {} } });
    let tool = only(body(json!({ "type": "object", "properties": { "a": thing } })));
    assert_eq!(property(&tool, "a")["description"], "Also takes `@type` (required).");
    let patterned = json!({ "type": "object", "properties": { "a": {} }, "patternProperties": { "^x-": {} } });
    assert_eq!(arguments(&only(body(patterned))), ["id", "body"]);
}

#[test]
fn parameters_that_are_left_out_come_back_when_the_manifest_speaks_of_them() {
    let query = |name: &str| json!({ "name": name, "in": "query", "deprecated": name == "old", "schema": {} });
    let bad = json!({ "name": "X Foo", "in": "header", "schema": {} });
    let document = document(json!({ "/a": { "get": { "parameters": [query("old"), query("api_key"), bad] } } }));
    let plain = converted(&document, json!({}));
    assert_eq!(plain.tools[0].plan.parameters, []);
    assert!(plain.remarks.iter().any(|(_, words)| words.contains("X Foo")), "{:?}", plain.remarks);
    let mends = json!({ "old": { "value": "o" }, "api_key": { "value": "k" } });
    let mended = converted(&document, json!({ "operations": { "GET /a": { "parameters": mends } } }));
    assert_eq!(mended.tools[0].plan.parameters.len(), 2);
}

#[test]
fn to_the_letter_nothing_is_promised_where_an_answer_may_be_none() {
    let json =
        json!({ "content": { "application/json": { "schema": { "type": "object", "properties": { "a": {} } } } } });
    let promised = |responses: Value| {
        let document =
            document(json!({ "/a": { "get": { "responses": responses }, "head": { "responses": responses } } }));
        let tools = converted(&document, json!({ "output": "strict" })).tools;
        tools.iter().map(|tool| tool.tool.output_schema.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(promised(json!({ "200": json })), [true, false]);
    assert_eq!(promised(json!({ "200": json, "204": {} })), [false, false]);
}

#[test]
fn what_only_3_2_has_is_said_to_be_left_out() {
    let whole = json!({ "name": "q", "in": "querystring", "content": { "application/json": {} } });
    let document = document(json!({ "/a": {
        "get": { "parameters": [whole] }, "query": {}, "additionalOperations": { "COPY": {} }
    } }));
    let converted = converted(&document, json!({}));
    let skipped: Vec<&str> = converted.skipped.iter().map(|it| it.operation.as_str()).collect();
    assert_eq!((skipped.len(), converted.operations), (3, 3), "{skipped:?}");
    assert!(skipped.contains(&"COPY /a") && skipped.contains(&"QUERY /a") && skipped.contains(&"GET /a"));
}

#[test]
fn files_among_a_bodys_members_are_bytes() {
    let tool = only(json!({ "parameters": [id()], "requestBody": { "content": { "multipart/form-data": {
        "schema": { "type": "object", "properties": {
            "one": { "type": "string", "format": "binary" }, "two": { "type": "array", "items": { "type": "string", "contentMediaType": "application/octet-stream" } },
            "three": { "anyOf": [{ "type": "string", "contentMediaType": "application/octet-stream" }, { "type": "null" }] },
            "note": { "type": "object", "properties": { "a": {} } }, "text": { "type": "string" }
        } },
        "encoding": { "one": { "contentType": "image/png, image/jpeg" } }
    } } } }));
    let parts = tool.plan.body.unwrap().parts;
    assert_eq!(
        parts.iter().filter(|(_, part)| part.binary).map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["one", "three", "two"]
    );
    assert_eq!(parts["one"].content_type.as_deref(), Some("image/png"));
    assert_eq!(parts["note"].content_type.as_deref(), Some("application/json"));
    assert!(!parts.contains_key("text"));
}

#[test]
fn an_operation_elsewhere_says_where() {
    let document = document(
        json!({ "/a": { "get": { "servers": [{ "url": "https://upload.example.com" }] }, "put": { "servers": [{ "url": "https://api.example.com/v1" }] } } }),
    );
    let bases = |more: Value| {
        converted(&document, more).tools.into_iter().map(|it| it.base.map(String::from)).collect::<Vec<_>>()
    };
    assert_eq!(bases(json!({})), [Some("https://upload.example.com/".into()), None]);
    assert_eq!(bases(json!({ "baseUrl": "https://mine.example.com" })), [None, None]);
}

#[test]
fn where_an_operation_is_may_be_said_by_a_document_from_afar() {
    let afar = json!({ "get": {}, "servers": [{ "url": "https://other.example.com" }] });
    for (name, from_afar) in [("https://other.example.com/a.json", true), ("a.json", false)] {
        let document = document(json!({ "/a": { "$ref": name } }));
        let others = BTreeMap::from([(name.to_owned(), afar.clone().into())]);
        let source = Source { document: &document, at: None, others: &others };
        let tool = convert(&source, &settings(json!({}))).unwrap().tools.remove(0);
        assert_eq!((tool.base.is_some(), tool.base_from_afar), (true, from_afar));
    }
}

#[test]
fn a_document_that_refers_to_itself_by_names_is_one_document() {
    let mut document = document(json!({ "/a": { "get": { "parameters": [
        { "name": "q", "in": "query", "schema": { "$ref": "./spec.json#/components/schemas/S" } }
    ] } } }));
    document["components"] =
        json!({ "schemas": { "S": { "properties": { "s": { "$ref": "spec.json#/components/schemas/S" } } } } });
    let document = Arc::new(document);
    let others = ["./spec.json", "spec.json"].map(|name| (name.to_owned(), Arc::clone(&document))).into();
    let source = Source { document: &document, at: None, others: &others };
    let tool = convert(&source, &settings(json!({}))).unwrap().tools.remove(0);
    assert_eq!(property(&tool, "q")["properties"]["s"]["description"], "(nested S, any JSON)");
}
