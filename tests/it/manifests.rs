//! Reading manifests: both shapes, every fault with its place.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use switchboard::manifest::{Manifests, Template};
use switchboard::secret::{Environment, Missing, Text};

use crate::program::Program;

fn fixture(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

fn read(name: &str, text: &str) -> Manifests {
    Manifests::read([(name.into(), text.to_owned())])
}

/// The problems of one file, `line:column pointer message`.
fn problems(name: &str, text: &str) -> Vec<String> {
    let say = |problem: &switchboard::error::Problem| {
        let place = problem.place.map_or("-".to_owned(), |place| format!("{}:{}", place.line, place.column));
        format!("{place} {} {}", problem.pointer, problem.message)
    };
    read(name, text).problems.iter().map(say).collect()
}

#[test]
fn every_fault_of_every_file_is_reported_with_its_place() {
    let folder = fixture("broken");
    let output = Program::with(&[]).run(&["check", "--format", "json", "--manifests", folder.to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = report["problems"].as_array().unwrap().iter().map(|problem| {
        let word = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        let file = Path::new(&word("file")).strip_prefix(&folder).unwrap().display().to_string();
        (format!("{file}:{}:{}", problem["line"], problem["column"]), word("pointer"), word("message"))
    });
    let found: Vec<(String, String, String)> = found.collect();
    let expected = fs::read_to_string(folder.join("expected.txt")).unwrap();
    let is_found = |line: &&str| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let [place, pointer, message] = [(); 3].map(|()| words.next().unwrap_or_default());
        found.iter().any(|(at, to, said)| *at == place && (pointer == "-" || *to == pointer) && said.contains(&message))
    };
    let missing: Vec<&str> = expected.lines().filter(|line| !is_found(line)).collect();
    assert!(missing.is_empty(), "not found:\n{}\n\nfound:\n{found:#?}", missing.join("\n"));
}

#[test]
fn a_service_map_document_loads_unchanged() {
    let file = fixture("service-map/connectors.manifest.json");
    let manifests = Manifests::read([(file.clone(), fs::read_to_string(&file).unwrap())]);
    assert!(!manifests.problems.iter().any(switchboard::error::Problem::is_error), "{:?}", manifests.problems);
    assert_eq!(manifests.connectors.len(), 3);
}

#[test]
fn a_list_of_connectors_loses_only_the_broken_one() {
    let good = |id: &str| json!({ "id": id, "name": "n", "version": "1", "adapter": { "kind": "command", "program": "true" }, "tools": [{ "name": "t", "description": "d", "run": {} }] });
    let mut bad = good("b");
    bad["adapter"]["programm"] = "x".into();
    let manifests = read("list.json", &json!([good("a"), bad, good("c")]).to_string());
    let ids: Vec<&str> = manifests.connectors.iter().map(|checked| checked.connector.id.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
    let [problem] = manifests.problems.as_slice() else { panic!("{:?}", manifests.problems) };
    assert_eq!(problem.pointer, "/1/adapter/programm");
    assert!(problem.message.contains("did you mean `program`?"), "{}", problem.message);
}

#[test]
fn places_are_the_same_in_json_and_yaml() {
    let yaml = "id: a\nname: n\nversion: '1'\nadapter:\n  kind: command\n  progam: x\ntools:\n- name: t\n  description: d\n  run: {}\n";
    let found = problems("a.yaml", yaml);
    assert_eq!(found, ["6:11 /adapter/progam unknown field `progam`; did you mean `program`?"]);
    let json = "{\n  \"id\": \"a\", \"name\": \"n\", \"version\": \"1\",\n  \"adapter\": { \"kind\": \"command\", \"progam\": \"x\" },\n  \"tools\": [{ \"name\": \"t\", \"description\": \"d\", \"run\": {} }]\n}";
    let found = problems("a.json", json);
    assert_eq!(found, ["3:45 /adapter/progam unknown field `progam`; did you mean `program`?"]);
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    assert!(problems("a.json", r#"{"id": "a", "id": "b"}"#)[0].contains("`id` stands here twice"));
    assert!(problems("a.yaml", "id: a\nid: b\n")[0].contains("duplicate"));
}

#[test]
fn relations_name_tools_that_are_there() {
    let tool =
        |name: &str, relations: Value| json!({ "name": name, "description": "d", "run": {}, "relations": relations });
    let names = json!(["b", "x.b", "bb", "a", "x.a", "x.c", "y.anything", "no tool"]);
    let tools = [tool("a", json!({ "dependsOn": names })), tool("b", json!({ "precedes": vec!["a"; 21] }))];
    let connector = |tools: &[Value]| {
        let adapter = json!({ "kind": "command", "program": "true" });
        json!({ "id": "x", "name": "n", "version": "1", "adapter": adapter, "tools": tools }).to_string()
    };
    let found = problems("x.json", &connector(&tools));
    assert!(found.iter().any(|it| it.contains("/tools/1/relations/precedes")), "{found:?}");
    let found = problems("x.json", &connector(&[tools[0].clone(), tool("b", json!({}))]));
    let expected = [
        ("/2", "no tool of this connector is called `bb`; did you mean `b`?"),
        ("/3", "names the tool itself"),
        ("/4", "names the tool itself"),
        ("/5", "no tool of this connector is called `c`"),
        ("/7", "one of another connector is named as `connector.tool`"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (place, message) in expected {
        let is_said =
            |it: &&String| it.contains(&format!("/tools/0/relations/dependsOn{place} ")) && it.contains(message);
        assert!(found.iter().any(|it| is_said(&it)), "{place} {message}: {found:#?}");
    }
}

#[test]
fn references_take_values_from_the_environment() {
    let environment =
        Environment::new([("A", "1"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), value.to_owned())));
    let check = |text: &str, expected: Result<&str, Missing>| {
        assert_eq!(Text(text.to_owned()).resolve(&environment), expected.map(str::to_owned), "{text}");
    };
    check("x${A}y", Ok("x1y"));
    check("${B:http://h:1/}", Ok("http://h:1/"));
    check("${B:}", Ok(""));
    check("$${A}", Ok("${A}"));
    check("${B}", Err(Missing::Variable("B".into())));
    check("${EMPTY}", Err(Missing::Variable("EMPTY".into())));
    assert!(matches!(Text("${A".into()).resolve(&environment), Err(Missing::Syntax(_))));
    assert!(matches!(Text("${a b}".into()).resolve(&environment), Err(Missing::Syntax(_))));
}

#[test]
fn templates_put_arguments_in_their_places() {
    let Value::Object(arguments) =
        json!({ "a": "x y", "n": 3, "whole": 2.0, "list": ["p", 1], "none": null, "flag": true })
    else {
        panic!()
    };
    let check = |source: &str, expected: &[&str]| {
        let template = Template::new(source);
        assert_eq!(template.fault(), None, "{source}");
        assert_eq!(template.render_each(&arguments), expected, "{source}");
    };
    check("", &[""]);
    check("{a}-{n}", &["x y-3"]);
    check("{whole}", &["2"]);
    check("{list}", &["p,1"]);
    check("{list*}", &["p", "1"]);
    check("{{{a}}}", &["{x y}"]);
    check("{none}", &[]);
    check("{absent} and more", &[]);
    check("{flag}", &["true"]);
    for faulty in ["{", "}", "{a", "{}", "{a b}", "x{list*}"] {
        assert!(Template::new(faulty).fault().is_some(), "{faulty}");
    }
}
