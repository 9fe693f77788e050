//! The store: what it promises.

mod processes;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use rusqlite::Connection;
use switchboard::store::{Embedded, Expected, MAX_KEY, MAX_VALUE, Put, Store, StoreError, Version};
use tempfile::TempDir;

fn empty() -> (TempDir, Embedded) {
    let folder = TempDir::new().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    (folder, store)
}

async fn put(store: &Embedded, key: &str, value: &str) -> Version {
    store.put(key, Bytes::copy_from_slice(value.as_bytes()), Put::default()).await.unwrap().unwrap()
}

async fn get(store: &Embedded, key: &str) -> Option<String> {
    store.get(key).await.unwrap().map(|stored| String::from_utf8(stored.value.to_vec()).unwrap())
}

async fn keys(store: &Embedded, prefix: &str) -> Vec<String> {
    store.list(prefix, None, usize::MAX).await.unwrap().into_iter().map(|(key, _)| key).collect()
}

fn until(expires: SystemTime) -> Put {
    Put { expires: Some(expires), ..Put::default() }
}

fn expecting(expected: Expected) -> Put {
    Put { expected, ..Put::default() }
}

fn refusal(folder: &Path) -> StoreError {
    Embedded::open(folder).unwrap_err()
}

#[tokio::test]
async fn what_was_put_is_there_until_it_is_deleted() {
    let (_folder, store) = empty();
    assert_eq!(store.get("a").await.unwrap(), None);
    let first = put(&store, "a", "one").await;
    let stored = store.get("a").await.unwrap().unwrap();
    assert_eq!((stored.value.as_ref(), stored.version), (b"one".as_ref(), first));
    let second = put(&store, "a", "").await;
    assert_ne!(first, second);
    assert_eq!(get(&store, "a").await.as_deref(), Some(""));
    assert!(store.delete("a", Expected::Any).await.unwrap());
    assert!(!store.delete("a", Expected::Any).await.unwrap());
    assert_eq!(store.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_store_opened_again_has_everything() {
    let (folder, store) = empty();
    let version = put(&store, "a", "one").await;
    drop(store);
    assert!(!folder.path().join("switchboard.db-wal").exists(), "closing leaves one tidy file");
    let store = Embedded::open(folder.path()).unwrap();
    assert_eq!(store.get("a").await.unwrap().unwrap().version, version);
    assert!(put(&store, "a", "two").await > version);
}

#[tokio::test]
async fn a_write_happens_only_as_expected() {
    let (_folder, store) = empty();
    let other = put(&store, "other", "x").await;
    for (number, (there, expected, holds)) in [
        (true, "any", true),
        (true, "absent", false),
        (true, "old", false),
        (true, "other", false),
        (true, "current", true),
        (false, "any", true),
        (false, "absent", true),
        (false, "old", false),
        (false, "other", false),
        (false, "current", false),
    ]
    .into_iter()
    .enumerate()
    {
        let case = format!("there: {there}, expected: {expected}");
        for key in [format!("put{number}"), format!("delete{number}")] {
            let old = put(&store, &key, "old").await;
            let current = put(&store, &key, "current").await;
            if !there {
                store.delete(&key, Expected::Any).await.unwrap();
            }
            let expected = match expected {
                "any" => Expected::Any,
                "absent" => Expected::Absent,
                "old" => Expected::Is(old),
                "other" => Expected::Is(other),
                _ => Expected::Is(current),
            };
            let before = there.then(|| "current".to_owned());
            if key.starts_with("put") {
                let written = store.put(&key, Bytes::from_static(b"new"), expecting(expected)).await.unwrap();
                assert_eq!(written.is_some(), holds, "put, {case}");
                let after = if holds { Some("new".to_owned()) } else { before };
                assert_eq!(get(&store, &key).await, after, "put, {case}");
            } else {
                let removed = store.delete(&key, expected).await.unwrap();
                assert_eq!(removed, holds && there, "delete, {case}");
                assert_eq!(get(&store, &key).await, before.filter(|_| !holds), "delete, {case}");
            }
        }
    }
}

#[tokio::test]
async fn versions_never_repeat() {
    let (folder, mut store) = empty();
    let mut seen = Vec::new();
    for round in 0..10 {
        seen.push(put(&store, "a", "x").await);
        assert!(store.delete("a", Expected::Any).await.unwrap());
        if round % 3 == 0 {
            drop(store);
            store = Embedded::open(folder.path()).unwrap();
        }
        seen.push(put(&store, "a", "x").await);
        seen.push(put(&store, "b", "x").await);
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
}

#[tokio::test]
async fn an_expired_entry_is_gone_at_once() {
    let (_folder, store) = empty();
    let now = SystemTime::now();
    for (key, expires) in [("k/past", now - Duration::from_secs(1)), ("k/future", now + Duration::from_hours(1))] {
        store.put(key, Bytes::from_static(b"x"), until(expires)).await.unwrap().unwrap();
    }
    assert_eq!(get(&store, "k/past").await, None);
    assert_eq!(keys(&store, "k/").await, ["k/future"]);
    assert_eq!(store.count("k/").await.unwrap(), 1);
    assert!(!store.delete("k/past", Expected::Any).await.unwrap());

    let soon = SystemTime::now() + Duration::from_millis(30);
    let version = store.put("k/soon", Bytes::from_static(b"x"), until(soon)).await.unwrap().unwrap();
    while get(&store, "k/soon").await.is_some() {}
    assert!(SystemTime::now() + Duration::from_millis(1) >= soon);
    let is = expecting(Expected::Is(version));
    assert_eq!(store.put("k/soon", Bytes::new(), is).await.unwrap(), None);
    assert!(store.put("k/soon", Bytes::new(), expecting(Expected::Absent)).await.unwrap().is_some());
    assert_eq!(get(&store, "k/soon").await.as_deref(), Some(""), "a value put without an end has none");
}

#[tokio::test]
async fn expired_entries_are_removed_in_passing() {
    let (folder, store) = empty();
    let past = SystemTime::now() - Duration::from_secs(1);
    let rows = || -> u32 {
        let connection = Connection::open(folder.path().join("switchboard.db")).unwrap();
        connection.query_row("SELECT count(*) FROM entry", (), |row| row.get(0)).unwrap()
    };
    let far = SystemTime::now() + Duration::from_hours(1);
    for number in 0..50 {
        store.put(&format!("{number}"), Bytes::new(), until(far)).await.unwrap();
    }
    let file = Connection::open(folder.path().join("switchboard.db")).unwrap();
    let ended = past.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    file.execute("UPDATE entry SET expires = ?1 * 1000", [ended]).unwrap();
    drop(file);
    assert_eq!(rows(), 50);
    put(&store, "a", "x").await;
    assert_eq!(rows(), 50 + 1 - 32, "a write does a bounded piece of the work");
    put(&store, "a", "x").await;
    assert_eq!(rows(), 1);
}

#[tokio::test]
async fn keys_and_values_have_a_largest_size() {
    let (_folder, store) = empty();
    let longest = "k".repeat(MAX_KEY);
    let largest = Bytes::from(vec![7; MAX_VALUE]);
    store.put(&longest, largest.clone(), Put::default()).await.unwrap().unwrap();
    assert_eq!(store.get(&longest).await.unwrap().unwrap().value, largest);

    let longer = "k".repeat(MAX_KEY + 1);
    let too_long = StoreError::KeyTooLong(MAX_KEY + 1);
    assert_eq!(store.get(&longer).await.unwrap_err(), too_long);
    assert_eq!(store.delete(&longer, Expected::Any).await.unwrap_err(), too_long);
    assert_eq!(store.put(&longer, Bytes::new(), Put::default()).await.unwrap_err(), too_long);
    let larger = Bytes::from(vec![7; MAX_VALUE + 1]);
    let error = store.put("k", larger, Put::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "a value of 4194305 bytes is too large: at most 4194304 are allowed");
}

#[tokio::test]
async fn a_prefix_is_only_a_prefix() {
    let (_folder, store) = empty();
    let all = [
        "",
        "\0",
        "\0a",
        "%",
        "%a",
        "A",
        "_",
        "_a",
        "a",
        "a\0",
        "a%b",
        "a_b",
        "a_b/c",
        "ab",
        "a\u{7f}",
        "a\u{7f}b",
        "a\u{80}",
        "a\u{ff}",
        "aÿb",
        "aé",
        "aéb",
        "a\u{ffff}",
        "a\u{10ffff}",
        "a\u{10ffff}b",
        "b",
        "ÿ",
        "日本",
        "日本語",
        "\u{10ffff}",
        "\u{10ffff}\u{10ffff}",
    ];
    for key in all {
        put(&store, key, key).await;
    }
    for prefix in all {
        let mut wanted: Vec<_> = all.into_iter().filter(|key| key.starts_with(prefix)).collect();
        wanted.sort_unstable();
        assert_eq!(keys(&store, prefix).await, wanted, "{prefix:?}");
        assert_eq!(store.count(prefix).await.unwrap(), wanted.len() as u64, "{prefix:?}");
    }
    assert_eq!(keys(&store, "nothing").await, [""; 0]);
    for key in all {
        assert_eq!(get(&store, key).await.as_deref(), Some(key));
    }
}

#[tokio::test]
async fn a_list_goes_on_after_its_last_key() {
    let (_folder, store) = empty();
    let all: Vec<_> = (0..10).map(|number| format!("p/{number}")).collect();
    for key in all.iter().map(String::as_str).chain(["o", "p", "q", "p/3\0"]) {
        put(&store, key, "x").await;
    }
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = store.list("p/", after.as_deref(), 3).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        found.extend(page.into_iter().map(|(key, _)| key).filter(|key| key != "p/3\0"));
    }
    assert_eq!(found, all);
    assert_eq!(store.list("p/", Some("p/8"), 9).await.unwrap().len(), 1);
    assert_eq!(
        store.list("p/", Some("a"), 99).await.unwrap().len(),
        11,
        "what comes before the prefix changes nothing"
    );
    assert_eq!(store.list("p/", Some("q"), 99).await.unwrap(), []);
    assert_eq!(store.list("p/", None, 0).await.unwrap(), []);
}

fn damaged(damage: impl FnOnce(&mut Vec<u8>)) -> (StoreError, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("switchboard.db");
    drop(Embedded::open(folder.path()).unwrap());
    let mut bytes = fs::read(&file).unwrap();
    damage(&mut bytes);
    fs::write(&file, &bytes).unwrap();
    let error = refusal(folder.path());
    assert!(fs::read(&file).unwrap() == bytes, "the file is as it was");
    (error, file)
}

#[test]
fn a_damaged_file_is_refused_and_left_alone() {
    for (error, file) in [
        damaged(|bytes| *bytes = b"this is no database at all, but a text of some length ".repeat(40)),
        damaged(|bytes| bytes[..16].fill(b'x')),
        damaged(|bytes| bytes[4096..].fill(0xaa)),
        damaged(|bytes| bytes.truncate(5000)),
    ] {
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
        let words = error.to_string();
        assert!(words.contains(&file.display().to_string()) && words.contains("SWITCHBOARD_DATA_DIR"), "{words}");
    }
}

#[test]
fn a_file_of_a_newer_switchboard_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("switchboard.db");
    drop(Embedded::open(folder.path()).unwrap());
    let connection = Connection::open(&file).unwrap();
    connection.execute_batch("DROP TABLE counter; PRAGMA user_version = 7").unwrap();
    drop(connection);
    let before = fs::read(&file).unwrap();
    let error = refusal(folder.path());
    assert!(matches!(&error, StoreError::Newer(words) if words.contains("has form 7")), "{error:?}");
    assert!(fs::read(&file).unwrap() == before);
}

#[test]
fn a_folder_that_cannot_be_used_says_what_to_do() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let below = folder.path().join("file/data");
    let StoreError::Unavailable(words) = refusal(&below) else { panic!("another kind") };
    assert!(words.contains(&below.display().to_string()) && words.contains("set SWITCHBOARD_DATA_DIR"), "{words}");
}

#[cfg(unix)]
#[test]
fn what_is_kept_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("new/data");
    let store = Embedded::open(&data).unwrap();
    for (path, wanted) in [("", 0o700), ("switchboard.db", 0o600), ("switchboard.db-wal", 0o600)] {
        let mode = fs::metadata(data.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, wanted, "{path}");
    }
    drop(store);
}
