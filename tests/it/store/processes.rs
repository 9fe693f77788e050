//! The store with many at it: tasks, stores on one folder, processes, and kills.

use std::{
    collections::HashMap,
    env,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rusqlite::Connection;
use switchboard::store::{Embedded, Expected, Put, Store, StoreError};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{empty, expecting, get, keys, put};

/// Tells the test binary to be the second process: its job, and the folder.
const FOLDER: &str = "SWITCHBOARD_TEST_STORE";

/// Adds one to the number under this key, as often as it takes for the number to be nobody else's.
async fn add_one(store: &Embedded, key: &str) {
    loop {
        let stored = store.get(key).await.unwrap();
        let number = stored.as_ref().map_or(0, |stored| str::from_utf8(&stored.value).unwrap().parse().unwrap());
        let expected = stored.map_or(Expected::Absent, |stored| Expected::Is(stored.version));
        let next = Bytes::from((number + 1_u64).to_string());
        if store.put(key, next, expecting(expected)).await.unwrap().is_some() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_writers_of_one_number_lose_nothing() {
    let (_folder, store) = empty();
    let store = Arc::new(store);
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let store = store.clone();
        tasks.spawn(async move { add_one(&store, "number").await });
    }
    tasks.join_all().await;
    assert_eq!(get(&store, "number").await.as_deref(), Some("64"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_write_harms_nobody() {
    let (_folder, store) = empty();
    for number in 0..50 {
        let impatient = tokio::time::timeout(Duration::from_micros(number * 20), put(&store, "a", "x")).await;
        drop(impatient);
    }
    put(&store, "a", "last").await;
    assert_eq!(get(&store, "a").await.as_deref(), Some("last"));
}

/// This binary again, doing one job on a folder; each line it prints is something it has done.
fn second_process(job: &str, folder: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "store::processes::the_second_process", "--nocapture", "--test-threads=1"])
        .env(FOLDER, format!("{job}:{}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test but the other side of some: see `second_process`.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_process() {
    let Some(told) = env::var_os(FOLDER).map(|told| told.into_string().unwrap()) else { return };
    let (job, folder) = told.split_once(':').unwrap();
    let store = Arc::new(Embedded::open(Path::new(folder)).unwrap());
    match job {
        "count" => {
            for _ in 0..100 {
                add_one(&store, "number").await;
            }
        }
        round => write_until_killed(&store, round).await,
    }
}

/// Eight writers, each with keys of its own, so that commits hold several writes.
async fn write_until_killed(store: &Arc<Embedded>, round: &str) {
    let mut tasks = JoinSet::new();
    for writer in 0..8 {
        let (store, round) = (store.clone(), round.to_owned());
        tasks.spawn(async move {
            for number in 0_u64.. {
                let key = format!("{round}/{writer}/{}", number % 5);
                put(&store, &key, &[number.to_string().as_str(); 100].join(" ")).await;
                say(&format!("{key} {number}"));
            }
        });
    }
    tasks.join_all().await;
}

/// One line, in one piece, and told from those of the test harness.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    out.write_all(format!("> {line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_on_one_folder_are_one() {
    let (folder, one) = empty();
    let two = Embedded::open(folder.path()).unwrap();
    let version = put(&one, "a", "x").await;
    assert_eq!(two.get("a").await.unwrap().unwrap().version, version);
    assert!(put(&two, "a", "y").await > version);
    assert_eq!(get(&one, "a").await.as_deref(), Some("y"));
    drop(one);
    put(&two, "b", "z").await;
    assert_eq!(keys(&two, "").await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_one_number() {
    let folder = TempDir::new().unwrap();
    // None of them finds the file, so each may be the one to make it.
    let others: Vec<_> = (0..3).map(|_| second_process("count", folder.path())).collect();
    let store = Embedded::open(folder.path()).unwrap();
    for _ in 0..100 {
        add_one(&store, "number").await;
    }
    for mut other in others {
        assert!(other.wait().unwrap().success());
    }
    assert_eq!(get(&store, "number").await.as_deref(), Some("400"));
}

#[tokio::test]
async fn a_killed_process_loses_no_answered_write() {
    let folder = TempDir::new().unwrap();
    let mut answered: HashMap<String, u64> = HashMap::new();
    for round in 0..20 {
        let mut child = second_process(&round.to_string(), folder.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n').map(Result::unwrap);
        // Another moment each time: after so many lines, and a while.
        let mut heard: Vec<_> = lines.by_ref().take(5 + round * 37 % 101).collect();
        tokio::time::sleep(Duration::from_micros(round as u64 * 7919 % 20_000)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        heard.extend(lines);
        let before = answered.len();
        for line in &heard {
            let Some((_, said)) = str::from_utf8(line).unwrap().split_once("> ") else { continue };
            let Some((key, number)) = said.split_once(' ') else { continue };
            answered.insert(key.to_owned(), number.parse().unwrap());
        }
        assert!(answered.len() > before, "the second process writes");

        let store = Embedded::open(folder.path()).unwrap();
        for (key, number) in &answered {
            let value = get(&store, key).await.unwrap_or_else(|| panic!("{key} is lost"));
            let parts: Vec<u64> = value.split(' ').map(|part| part.parse().unwrap()).collect();
            assert_eq!(parts, [parts[0]; 100], "{key} is torn");
            assert!(parts[0] >= *number, "{key} went back to {} from {number}", parts[0]);
        }
    }
}

#[tokio::test]
async fn a_process_that_does_not_let_go_is_named_after_a_while() {
    let (folder, store) = empty();
    put(&store, "a", "x").await;
    let other = Connection::open(folder.path().join("switchboard.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(get(&store, "a").await.as_deref(), Some("x"), "reads go on");
    let error = store.put("a", Bytes::new(), Put::default()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(words) if words.contains("another process")), "{error:?}");
    other.execute_batch("COMMIT").unwrap();
    put(&store, "a", "y").await;
}
