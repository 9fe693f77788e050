//! The program: commands, exit codes, what goes to which stream.

use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder of manifests, and the program pointed at it.
pub(crate) struct Program {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Program {
    pub(crate) fn with(manifests: &[(&str, Value)]) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, manifest) in manifests {
            std::fs::write(folder.path().join(name), manifest.to_string()).unwrap();
        }
        Self { folder, variables: Vec::new() }
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("SWITCHBOARD_DATA_DIR", self.path().join(".data"));
        command.env("CONNECTORS_MANIFEST_PATH", self.path()).envs(self.variables.iter().cloned());
        command.args(arguments).output().unwrap()
    }

    /// Calls a tool; its text and whether it failed.
    pub(crate) fn call(&self, tool: &str, arguments: &Value) -> (String, bool) {
        let output = self.run(&["call", tool, "--format", "json", "--json", &arguments.to_string()]);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let failed = result["isError"] == true;
        assert_eq!(output.status.code(), Some(i32::from(failed)));
        (result["content"][0]["text"].as_str().unwrap_or_default().to_owned(), failed)
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_owned()).unwrap()
}

/// A connector of programs with these tools.
pub(crate) fn programs(id: &str, tools: &Value) -> Value {
    json!({ "id": id, "name": id, "version": "1", "adapter": { "kind": "command" }, "tools": tools })
}

fn echo() -> Value {
    programs(
        "e",
        &json!([{
            "name": "say", "description": "d", "run": { "program": "echo", "args": ["{text}"] },
            "inputSchema": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] }
        }]),
    )
}

#[test]
fn a_call_prints_its_result_and_exits_by_it() {
    let program = Program::with(&[("e.json", echo())]);
    let output = program.run(&["call", "e_say", "--json", r#"{"text": "hi"}"#]);
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("hi\n\n", Some(0)));
    let output = program.run(&["call", "e_say"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("`text` is missing"));
    assert_eq!(program.run(&["call", "e_say", "--json", "[]"]).status.code(), Some(2));
}

#[test]
fn check_finds_faults_and_says_so_in_its_exit_code() {
    let program = Program::with(&[("e.json", echo())]);
    assert_eq!(program.run(&["check"]).status.code(), Some(0));
    std::fs::write(program.path().join("bad.json"), "{").unwrap();
    let output = program.run(&["check", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["problems"][0]["line"], 1);
    assert_eq!(report["connectors"][0]["tools"], json!(["e_say"]));
    assert_eq!(program.run(&["list", "--strict"]).status.code(), Some(2));
    assert_eq!(program.run(&["list"]).status.code(), Some(0));
}

#[test]
fn a_missing_variable_makes_a_connector_unavailable_with_the_reason() {
    let mut manifest = echo();
    manifest["credentials"] = json!({ "env": { "KEY": "${SECRET_KEY}" } });
    let program = Program::with(&[("e.json", manifest)]);
    let output = program.run(&["check"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("unavailable: the environment variable SECRET_KEY is not set"));
    let (said, failed) = program.call("e_say", &json!({ "text": "x" }));
    assert!(failed && said.contains("SECRET_KEY is not set"), "{said}");

    let program = program.variable("SECRET_KEY", "s3cret-value");
    assert_eq!(program.call("e_say", &json!({ "text": "x" })).0, "x\n");
    for command in ["check", "list"] {
        let output = program.run(&[command, "--format", "json"]);
        assert!(!text(&output.stdout).contains("s3cret") && !text(&output.stderr).contains("s3cret"));
    }
}

#[test]
fn a_missing_folder_is_named_with_what_to_do() {
    let output = Program::with(&[]).run(&["list", "--manifests", "/nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/nowhere: error: cannot be read"), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("CONNECTORS_MANIFEST_PATH"));
}

#[test]
fn the_schema_is_printed_for_editors() {
    let schema: Value = serde_json::from_slice(&Program::with(&[]).run(&["schema"]).stdout).unwrap();
    assert!(schema["$defs"]["Connector"]["properties"]["adapter"].is_object());
}
