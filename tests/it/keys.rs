//! API keys: made and revoked by the command line, followed by a server.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::{Value, json};
use switchboard::auth::{KeyFile, Keys, NewKey, looks_like_key};
use switchboard::caller::{KEY, Scopes};
use tempfile::TempDir;

use crate::program::{Program, text};

/// The part of a key that is nowhere kept.
fn secret(key: &str) -> &str {
    key.splitn(3, '_').nth(2).unwrap()
}

fn new_key(subject: &str) -> NewKey {
    NewKey { subject: subject.into(), tenant: None, scopes: Scopes::All, lifetime: None, note: None }
}

fn printed(program: &Program, arguments: &[&str]) -> String {
    let output = program.run(&[&["keys", "new"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let key = text(&output.stdout);
    assert!(!text(&output.stderr).contains(key.trim()));
    key.trim_end_matches('\n').to_owned()
}

fn listed(program: &Program) -> Value {
    let output = program.run(&["keys", "list", "--format", "json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Waits for what a server sees within a second.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_key_is_printed_once_and_only_its_hash_is_kept() {
    let program = Program::with(&[]);
    let arguments = ["--subject", "ada", "--tenant", "acme", "--scopes", "crm:read,crm:write", "--expires", "90d"];
    let key = printed(&program, &[&arguments[..], &["--note", "the nightly job"]].concat());
    assert!(looks_like_key(&key), "{key}");
    let file = program.path().join(".data/keys.json");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(!kept.contains(secret(&key)));
    let list = listed(&program);
    assert_eq!(list["keys"][0]["subject"], "ada");
    assert_eq!(list["keys"][0]["scopes"], json!(["crm:read", "crm:write"]));
    assert!(list["keys"][0].get("hash").is_none());
    let principal = Keys::new(Some(file.clone()), Vec::new()).find(&key).unwrap();
    assert_eq!((principal.issuer.as_str(), principal.subject.as_str()), (KEY, "ada"));
    assert_eq!(principal.tenant.as_deref(), Some("acme"));
    assert_eq!(principal.client.as_deref(), list["keys"][0]["id"].as_str());
    assert_eq!(principal.scopes, Scopes::of("crm:read crm:write"));
    assert_eq!(principal.reach, principal.scopes);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn revoking_takes_one_key_away() {
    let program = Program::with(&[]);
    let (first, second) = (printed(&program, &["--subject", "a"]), printed(&program, &["--subject", "b"]));
    let id = listed(&program)["keys"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(program.run(&["keys", "revoke", &id]).status.code(), Some(0));
    let output = program.run(&["keys", "revoke", &id]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&id));
    let keys = Keys::new(Some(program.path().join(".data/keys.json")), Vec::new());
    assert!(keys.find(&first).is_none());
    assert!(keys.find(&second).is_some());
    // The key itself names its id too.
    let output = program.run(&["keys", "revoke", &second]);
    assert_eq!(output.status.code(), Some(0));
    assert!(!text(&output.stderr).contains(secret(&second)));
}

#[test]
fn wrong_words_for_a_key_are_refused() {
    let program = Program::with(&[]);
    for arguments in [
        &["--subject", ""][..],
        &["--subject", "a", "--scopes", "two words"],
        &["--subject", "a", "--scopes", "a,"],
        &["--subject", "a", "--expires", "soon"],
        &["--subject", "a", "--expires", "0s"],
        &["--subject", "a", "--expires", "9000y"],
        &[],
    ] {
        let output = program.run(&[&["keys", "new"], arguments].concat());
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""), "{arguments:?}");
    }
}

#[test]
fn a_key_that_is_a_little_different_opens_nothing() {
    let folder = TempDir::new().unwrap();
    let file = KeyFile::open(folder.path().join("keys.json"));
    let (record, key) = file.add(new_key("ada")).unwrap();
    let key = secrecy::ExposeSecret::expose_secret(&key).to_owned();
    let keys = Keys::new(Some(file.path().into()), vec![SecretString::from("operator key")]);
    assert!(keys.find(&key).is_some());
    let (other, other_key) = file.add(new_key("eve")).unwrap();
    let mixed = secrecy::ExposeSecret::expose_secret(&other_key).replace(&other.id, &record.id);
    let shorter = key.chars().take(56).collect::<String>();
    for shown in [
        secret(&key),
        &shorter,
        &format!("{key} "),
        &key.to_uppercase(),
        &mixed,
        "",
        "operator",
        "operator key ",
        "sb_",
    ] {
        assert!(keys.find(shown).is_none(), "{shown}");
        assert!(!keys.is_operator(shown));
    }
    assert!(keys.is_operator("operator key") && keys.is_operator(&key));
    let shown = format!("{keys:?} {record:?}");
    assert!(!shown.contains("operator key") && !shown.contains(&key), "{shown}");
}

#[test]
fn only_a_key_that_opens_everything_is_the_operators() {
    let folder = TempDir::new().unwrap();
    let file = KeyFile::open(folder.path().join("keys.json"));
    let (_, key) = file.add(NewKey { scopes: Scopes::of("crm:read"), ..new_key("ada") }).unwrap();
    let keys = Keys::new(Some(file.path().into()), Vec::new());
    assert!(!keys.is_operator(secrecy::ExposeSecret::expose_secret(&key)));
}

#[test]
fn an_empty_key_in_the_environment_is_none() {
    let keys = Keys::new(None, vec![SecretString::from("")]);
    assert!(!keys.is_set() && keys.find("").is_none());
}

#[tokio::test]
async fn a_server_follows_its_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys.json");
    let keys = Keys::new(Some(path.clone()), Vec::new());
    assert!(!keys.is_set());
    let file = KeyFile::open(&path);
    let (record, key) = file.add(new_key("ada")).unwrap();
    let key = secrecy::ExposeSecret::expose_secret(&key);
    until("the new key", || keys.find(key).is_some()).await;
    let good = std::fs::read_to_string(&path).unwrap();
    // A broken file takes nobody's key away, and lets nobody in.
    std::fs::write(&path, "{").unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(keys.find(key).is_some());
    std::fs::write(&path, good).unwrap();
    assert!(file.revoke(&record.id).unwrap());
    until("the end of the key", || keys.find(key).is_none()).await;
    assert!(keys.is_set(), "a file without keys is no open door");
    std::fs::remove_file(&path).unwrap();
    until("the end of the file", || !keys.is_set()).await;
}

#[tokio::test]
async fn a_key_ends_when_it_says() {
    let folder = TempDir::new().unwrap();
    let file = KeyFile::open(folder.path().join("keys.json"));
    let (_, key) = file.add(NewKey { lifetime: Some(Duration::from_secs(2)), ..new_key("ada") }).unwrap();
    let keys = Keys::new(Some(file.path().into()), Vec::new());
    let key = secrecy::ExposeSecret::expose_secret(&key);
    assert!(keys.find(key).is_some());
    until("the end of the key", || keys.find(key).is_none()).await;
    assert!(keys.is_set());
}

#[test]
fn writers_at_once_lose_no_key() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new/keys.json");
    let ids: BTreeSet<String> = std::thread::scope(|scope| {
        let write = |_| scope.spawn(|| KeyFile::open(&path).add(new_key("ada")).unwrap().0.id);
        let writers: Vec<_> = (0..12).map(write).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let listed: BTreeSet<String> = KeyFile::open(&path).list().unwrap().into_iter().map(|record| record.id).collect();
    assert_eq!((ids.len(), ids), (12, listed));
}

#[test]
fn a_fault_in_the_file_is_named_with_its_place() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys.json");
    let hash = format!("sha256:{}", "0".repeat(64));
    let line = |change: fn(&mut Value)| {
        let mut line = json!({
            "id": "abcdefghij", "hash": hash, "subject": "s", "scopes": ["*"], "created": "2026-01-02T03:04:05Z"
        });
        change(&mut line);
        line
    };
    let ok = line(|_| ());
    check(&path, &json!({ "keys": [ok] }), None);
    check(&path, &json!({ "keys": [ok, ok] }), Some("at /keys/1/id: another key has the id abcdefghij"));
    check(&path, &json!({ "keys": [], "kys": 1 }), Some("at /kys: unknown field `kys`; did you mean `keys`?"));
    let wrong = line(|line| line["scope"] = json!(["*"]));
    check(&path, &json!({ "keys": [wrong] }), Some("at /keys/0/scope: unknown field `scope`; did you mean `scopes`?"));
    let wrong = line(|line| line["expires"] = json!("tomorrow"));
    check(&path, &json!({ "keys": [wrong] }), Some("at /keys/0/expires: is no time like 2030-01-31T12:00:00Z"));
    let wrong = line(|line| line["hash"] = json!("sb_abcdefghij_secret"));
    check(&path, &json!({ "keys": [wrong] }), Some("at /keys/0/hash"));
    assert!(KeyFile::open(&path).add(new_key("ada")).is_err(), "a file that is not understood is not changed");
}

fn check(path: &Path, contents: &Value, said: Option<&str>) {
    std::fs::write(path, contents.to_string()).unwrap();
    match (KeyFile::open(path).list(), said) {
        (Ok(_), None) => {}
        (Err(problems), Some(said)) => {
            let words = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            assert!(words.contains(said) && words.contains("keys.json:1:") && !words.contains("secret"), "{words}");
        }
        (found, said) => panic!("{found:?}, not {said:?}"),
    }
}
