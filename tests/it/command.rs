//! The `command` adapter: arguments stay arguments, files stay below their folder.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{Program, programs};

/// A program with one tool, `t`, of string arguments `a` and `b`.
fn tool(run: &Value) -> Program {
    let texts = json!({ "type": ["string", "array", "boolean", "null"] });
    let schema = json!({ "type": "object", "properties": { "a": texts, "b": texts } });
    let tool = json!({ "name": "t", "description": "d", "inputSchema": schema, "run": run });
    Program::with(&[("x.json", programs("x", &json!([tool])))])
}

fn check(run: &Value, arguments: &Value, expected: Result<&str, &str>) {
    let (said, failed) = tool(run).call("x_t", arguments);
    match expected {
        Ok(expected) => assert_eq!((said.as_str(), failed), (expected, false)),
        Err(part) => assert!(failed && said.contains(part), "{part} not in {said}"),
    }
}

#[test]
fn an_argument_is_one_element_whatever_it_holds() {
    let run = json!({ "program": "printf", "args": ["[%s]", "{a}", "{b}"] });
    check(
        &run,
        &json!({ "a": "$(id); `x` 'y' \"z\" *", "b": "two words\nand a line" }),
        Ok("[$(id); `x` 'y' \"z\" *][two words\nand a line]"),
    );
    check(&run, &json!({ "a": "one" }), Ok("[one]"));
    check(&run, &json!({ "a": "x\u{0}y" }), Err("NUL"));
}

#[test]
fn an_argument_cannot_become_an_option() {
    let run = json!({ "program": "printf", "args": ["[%s]", "{a}"] });
    check(&run, &json!({ "a": "-v" }), Err("`a` cannot begin with `-`"));
    check(&run, &json!({ "a": "--" }), Err("`a` cannot begin with `-`"));
    check(
        &json!({ "program": "printf", "args": ["[%s]", "{a*}"] }),
        &json!({ "a": ["x", "-v"] }),
        Err("`a` cannot begin"),
    );
    check(&json!({ "program": "printf", "args": ["--", "[%s]", "{a}"] }), &json!({ "a": "-v" }), Ok("[-v]"));
    check(&json!({ "program": "printf", "args": ["[%s]", "--x={a}"] }), &json!({ "a": "-v" }), Ok("[--x=-v]"));
    // Only a `--` of the manifest ends the options.
    check(
        &json!({ "program": "printf", "args": ["[%s]", "-{b}", "{a}"] }),
        &json!({ "a": "-v", "b": "-" }),
        Err("`a` cannot begin"),
    );
}

#[test]
fn groups_and_choices_follow_the_arguments() {
    let run =
        json!({ "program": "printf", "args": ["[%s]", ["A", "{a}"], { "if": "b", "then": ["B"], "else": ["C"] }] });
    check(&run, &json!({}), Ok("[C]"));
    check(&run, &json!({ "a": "x", "b": true }), Ok("[A][x][B]"));
    check(&run, &json!({ "a": null, "b": false }), Ok("[C]"));
    check(&json!({ "program": "printf", "args": ["[%s]", "{a*}"] }), &json!({ "a": ["p", "q"] }), Ok("[p][q]"));
}

#[test]
fn a_path_stays_below_its_folder() {
    let program = tool(&json!({ "program": "cat", "args": ["{a}"], "paths": ["a"] }));
    std::fs::create_dir(program.path().join("sub")).unwrap();
    std::fs::write(program.path().join("sub/-n"), "inside").unwrap();
    std::os::unix::fs::symlink("/etc", program.path().join("link")).unwrap();
    std::os::unix::fs::symlink("sub", program.path().join("alias")).unwrap();
    let check = |path: &str, expected: Result<&str, &str>| {
        let (said, failed) = program.call("x_t", &json!({ "a": path }));
        match expected {
            Ok(expected) => assert_eq!((said.as_str(), failed), (expected, false)),
            Err(part) => assert!(failed && said.contains(part), "{path}: {part} not in {said}"),
        }
    };
    check("sub/-n", Ok("inside"));
    check("alias/../sub/-n", Ok("inside"));
    check("./sub/./-n", Ok("inside"));
    for outside in ["/etc/passwd", "../x", "sub/../../x", "link/passwd", "link/../etc/passwd"] {
        check(outside, Err("leads out of the folder"));
    }
    check("sub/none", Err("names nothing"));
}

#[test]
fn exit_codes_and_standard_error_make_errors() {
    check(
        &json!({ "program": "sh", "args": ["-c", "echo why >&2; exit 3"] }),
        &json!({}),
        Err("sh failed with exit code 3: why"),
    );
    check(&json!({ "program": "sh", "args": ["-c", "exit 3"], "okExitCodes": [0, 3] }), &json!({}), Ok("(no output)"));
    check(&json!({ "program": "sh", "args": ["-c", "kill -9 $$"] }), &json!({}), Err("sh was killed by signal 9"));
    check(&json!({ "program": "cat", "args": [], "stdin": "{a}" }), &json!({ "a": "given" }), Ok("given"));
    check(&json!({ "program": "echo", "args": ["no json"], "output": "json" }), &json!({}), Err("is not JSON"));
    check(&json!({ "program": "echo", "args": ["[1]"], "output": "json" }), &json!({}), Ok(r#"{"result":[1]}"#));
}

#[test]
fn time_output_and_memory_have_caps() {
    let capped = |run: Value, adapter: Value, timeout: u64| {
        let mut connector =
            programs("x", &json!([{ "name": "t", "description": "d", "timeoutMs": timeout, "run": run }]));
        connector["adapter"] = adapter;
        Program::with(&[("x.json", connector)]).call("x_t", &json!({}))
    };
    let (said, failed) = capped(json!({ "program": "sleep", "args": ["60"] }), json!({ "kind": "command" }), 300);
    assert!(failed && said.contains("did not finish within 300 ms"), "{said}");
    let (said, failed) =
        capped(json!({ "program": "yes" }), json!({ "kind": "command", "maxOutputBytes": 100 }), 30_000);
    assert!(!failed && said.starts_with("y\ny\n") && said.contains("cut after 100 bytes"), "{said}");
    if cfg!(target_os = "linux") {
        let hungry = json!({ "program": "python3", "args": ["-c", "x = bytearray(10**9); print('had it')"] });
        let adapter = json!({ "kind": "command", "maxMemoryBytes": 300_000_000 });
        let (said, failed) = capped(hungry, adapter, 30_000);
        assert!(failed && said.contains("MemoryError"), "{said}");
    }
}

#[test]
fn what_a_program_started_dies_with_it() {
    let running = |mark: &str| {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).replace('\0', " ").trim() == format!("sleep {mark}")).count()
    };
    let script = "sleep 7001.7 & setsid sleep 7001.7 & (setsid sleep 7001.7 &) ; sleep 7001.7";
    let run = json!({ "program": "sh", "args": ["-c", script] });
    let connector = programs("x", &json!([{ "name": "t", "description": "d", "timeoutMs": 1500, "run": run }]));
    let program = Program::with(&[("x.json", connector)]);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| program.call("x_t", &json!({})));
        if cfg!(target_os = "linux") {
            while running("7001.7") < 4 {
                assert!(!call.is_finished(), "they never ran");
                std::thread::yield_now();
            }
        }
        assert!(call.join().unwrap().1);
    });
    // They are killed before the call returns; the machine may take a moment to bury them.
    let deadline = Instant::now() + Duration::from_secs(10);
    while running("7001.7") > 0 {
        assert!(Instant::now() < deadline, "{} of them live on", running("7001.7"));
        std::thread::yield_now();
    }
}

#[test]
fn a_daemon_that_holds_the_output_does_not_hold_the_answer() {
    let script = "setsid sleep 3 & echo done";
    let run = json!({ "program": "sh", "args": ["-c", script] });
    let connector = programs("x", &json!([{ "name": "t", "description": "d", "timeoutMs": 2500, "run": run }]));
    let (said, failed) = Program::with(&[("x.json", connector)]).call("x_t", &json!({}));
    assert_eq!((said.as_str(), failed), ("done\n", false));
}

#[test]
fn a_secret_is_hidden_wherever_the_text_is_cut() {
    let secret = "s3cret-0123456789-abcdefghijklmnopqrstuvwxyz";
    for padding in [0, 10, 4050, 4080, 4090, 4100, 8150, 8190] {
        let script = format!("printf %s \"$KEY\" >&2; printf '%0{padding}d' 0 >&2; exit 1");
        let run = json!({ "program": "sh", "args": ["-c", script] });
        let mut connector = programs("x", &json!([{ "name": "t", "description": "d", "run": run }]));
        connector["credentials"] = json!({ "env": { "KEY": "${KEY}" } });
        let (said, _) = Program::with(&[("x.json", connector)]).variable("KEY", secret).call("x_t", &json!({}));
        for part in ["0123456789-abc", "klmnopqrst", "uvwxyz"] {
            assert!(!said.contains(part), "{padding}: {part} in {said}");
        }
    }
}

#[test]
fn an_empty_credential_hides_nothing() {
    let run = json!({ "program": "sh", "args": ["-c", "echo plain words >&2; exit 1"] });
    let mut connector = programs("x", &json!([{ "name": "t", "description": "d", "run": run }]));
    connector["credentials"] = json!({ "env": { "KEY": "${KEY:}" } });
    let (said, _) = Program::with(&[("x.json", connector)]).call("x_t", &json!({}));
    assert_eq!(said, "sh failed with exit code 1: plain words");
}

#[test]
fn a_program_sees_only_the_environment_it_is_given() {
    let mut connector = programs("x", &json!([{ "name": "t", "description": "d", "run": { "program": "env" } }]));
    connector["adapter"] = json!({ "kind": "command", "env": { "GIVEN": "${FROM:default}" }, "inheritEnv": ["SEEN"] });
    let program = Program::with(&[("x.json", connector)]).variable("SEEN", "1").variable("HIDDEN", "1");
    let (said, _) = program.call("x_t", &json!({}));
    let mut names: Vec<&str> = said.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["GIVEN", "PATH", "SEEN"]);
}
