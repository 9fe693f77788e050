//! Settings: file, environment and command line, and their faults.

use std::collections::BTreeSet;

use serde_json::Value;
use switchboard::config::{Config, VARIABLES, described};

use crate::program::{Program, text};
use crate::tidy::sources;

fn settings(program: &Program, arguments: &[&str]) -> Value {
    let output = program.run(&[&["check", "--format", "json"], arguments].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    report["settings"].clone()
}

#[test]
fn the_environment_wins_over_the_file() {
    let program = Program::with(&[]).variable("PORT", "4001").variable("ALLOWED_HOSTS", "a.example, b.example");
    let file = program.path().join("switchboard.yaml.conf");
    std::fs::write(&file, r#"{ "port": 4000, "limits": { "sessions": 7 } }"#).unwrap();
    let settings = settings(&program, &["--config", file.to_str().unwrap()]);
    assert_eq!(settings["port"], 4001);
    assert_eq!(settings["limits"]["sessions"], 7);
    assert_eq!(settings["allowedHosts"], serde_json::json!(["a.example", "b.example"]));
    assert_eq!(settings["host"], "127.0.0.1");
}

#[test]
fn addresses_that_cannot_be_meant_are_refused() {
    for (variable, value, said) in [
        ("BASE_URL", "https://x.example/mcp", "leave that out"),
        ("BASE_URL", "https://x.example/:a", "BASE_URL"),
        ("ALLOWED_HOSTS", "https://x.example", "ALLOWED_HOSTS"),
        ("TRUSTED_PROXIES", "10.0.0.0/99", "neither a network"),
    ] {
        let output = Program::with(&[]).variable(variable, value).run(&["check"]);
        assert_eq!(output.status.code(), Some(2), "{value}");
        assert!(text(&output.stderr).contains(said), "{value}: {}", text(&output.stderr));
    }
    let program = Program::with(&[]).variable("TRUSTED_PROXIES", "10.1.2.3,fd00::/8");
    assert_eq!(settings(&program, &[])["trustedProxies"], serde_json::json!(["10.1.2.3/32", "fd00::/8"]));
}

#[test]
fn every_wrong_setting_is_named_at_once() {
    let program = Program::with(&[]).variable("PORT", "many").variable("BASE_URL", "example.com");
    let file = program.path().join("conf.yaml");
    std::fs::write(&file, "prot: 1\nlog:\n  level: loud\n").unwrap();
    let output = program.run(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    for part in [
        "conf.yaml:1:7: error at /prot: unknown field `prot`; did you mean `port`?",
        "conf.yaml:3:10: error at /log/level",
        "environment: error at PORT",
        "environment: error at BASE_URL",
    ] {
        assert!(said.contains(part), "{part} not in\n{said}");
    }
}

#[test]
fn a_sealing_key_that_is_none_stops_the_program_and_is_not_shown() {
    let wrong = "c2hvcnQgYW5kIHNlY3JldA==";
    let output = Program::with(&[]).variable("SWITCHBOARD_SEAL_KEY", wrong).run(&["check"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("SWITCHBOARD_SEAL_KEY") && said.contains("openssl rand") && !said.contains(wrong), "{said}");
    let right = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let output = Program::with(&[]).variable("SWITCHBOARD_SEAL_KEY", right).run(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn everything_there_is_to_set_is_described() {
    let output = Program::with(&[]).run(&["config", "--describe", "--format", "json"]);
    let shown: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let names = |key: &str| shown.iter().filter_map(|it| it[key].as_str()).collect::<BTreeSet<_>>();
    let (files, options) = (names("file"), names("option"));
    for setting in &shown {
        assert!(setting["meaning"].as_str().is_some_and(|meaning| meaning.len() > 3), "{setting}");
        assert!(setting["type"].as_str().is_some_and(|kind| !kind.is_empty()), "{setting}");
    }
    // What the settings are made of, what the environment says and what the command line says.
    let Value::Object(top) = serde_json::to_value(Config::default()).unwrap() else { panic!() };
    for (name, value) in &top {
        let inner = value.as_object().into_iter().flatten().map(|(key, _)| format!("{name}.{key}"));
        let wanted: Vec<String> = if value.is_object() { inner.collect() } else { vec![name.clone()] };
        for name in wanted {
            assert!(files.iter().any(|it| *it == name || it.starts_with(&format!("{name}."))), "{name}");
        }
    }
    let variables: BTreeSet<&str> = described().iter().flat_map(|it| it.variables.clone()).collect();
    for (variable, setting) in VARIABLES {
        assert!(variables.contains(variable) && files.contains(setting.replace('/', ".").as_str()), "{variable}");
    }
    let help = text(&Program::with(&[]).run(&["serve", "--help"]).stdout);
    for option in help.split_whitespace().filter(|word| word.starts_with("--") && *word != "--help") {
        assert!(options.contains(option.trim_end_matches(',')), "{option}");
    }
    assert_eq!(shown.iter().find(|it| it["file"] == "port").unwrap()["type"], "integer, 0 to 65535");
}

#[test]
fn every_variable_the_code_reads_is_described() {
    let variables: BTreeSet<&str> = described().iter().flat_map(|it| it.variables.clone()).collect();
    for (file, text) in sources() {
        for after in text.split("environment.get(\"").skip(1) {
            let name = after.split('"').next().unwrap();
            assert!(name.contains("VAULT_{") || variables.contains(name), "{}: {name}", file.display());
        }
        for after in text.split("variable(environment, \"").skip(1) {
            let name = format!("VAULT_{}", after.split('"').next().unwrap());
            assert!(variables.contains(name.as_str()), "{}: {name}", file.display());
        }
    }
}

#[test]
fn what_is_in_force_is_shown_with_what_says_so_and_without_secrets() {
    let secrets = ["a-secret-path-nobody-guesses", "a-key-that-nobody-guesses"];
    let program = Program::with(&[]).variable("MCP_SECRET_PATH", secrets[0]).variable("CONNECTORS_API_KEY", secrets[1]);
    let program = program.variable("LOG_LEVEL", "debug");
    let file = program.path().join("conf.yaml");
    std::fs::write(&file, "limits:\n  sessions: 7\nlog:\n  level: warn\n").unwrap();
    let output = program.run(&["config", "--format", "json", "--strict", "--config", file.to_str().unwrap()]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let of =
        |name: &str| shown["settings"].as_array().unwrap().iter().find(|it| it["setting"] == name).unwrap().clone();
    for (name, value, from) in [
        ("limits.sessions", Value::from(7), "file"),
        ("log.level", "debug".into(), "environment"),
        ("strict", true.into(), "command-line"),
        ("limits.drainSeconds", 10.into(), "default"),
        ("auth.secretPath", "(set, and not shown)".into(), "environment"),
    ] {
        assert_eq!((of(name)["value"].clone(), of(name)["from"].as_str()), (value, Some(from)), "{name}");
    }
    assert_eq!(of("log.level")["variable"], "LOG_LEVEL");
    assert!(shown["variables"].as_array().unwrap().contains(&"CONNECTORS_API_KEY".into()));
    for format in ["json", "text"] {
        let said = text(&program.run(&["config", "--format", format]).stdout);
        assert!(secrets.iter().all(|secret| !said.contains(secret)), "{said}");
    }
}
