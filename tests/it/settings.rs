//! Settings: file, environment and command line, and their faults.

use serde_json::Value;

use crate::program::{Program, text};

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
