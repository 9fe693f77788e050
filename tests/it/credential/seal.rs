//! Sealing: by whom and under which name a value opens again.

use std::{fs, sync::Arc, time::Duration};

use switchboard::credential::{Closed, Safe, Seal};
use switchboard::secret::Environment;
use switchboard::store::{Embedded, Put, Store as _};

const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "/+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+8=";

fn seal(keys: &[&str]) -> Seal {
    Seal::of(&keys.join(",")).unwrap()
}

#[test]
fn what_is_sealed_opens_under_its_own_name_only() {
    let seal = seal(&[NEW]);
    let sealed = seal.seal("grant/ada/notes", b"a refresh token").unwrap();
    assert!(!sealed.windows(7).any(|part| part == b"refresh"));
    assert_eq!(*seal.open("grant/ada/notes", &sealed).unwrap().plain, b"a refresh token");
    assert_eq!(seal.open("grant/eve/notes", &sealed).unwrap_err(), Closed::Changed);
}

#[test]
fn the_same_value_is_never_sealed_the_same_way_twice() {
    let seal = seal(&[NEW]);
    assert_ne!(seal.seal("a", b"x").unwrap(), seal.seal("a", b"x").unwrap());
}

#[test]
fn a_change_of_any_byte_is_noticed() {
    let seal = seal(&[NEW]);
    let sealed = seal.seal("name", b"value").unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(seal.open("name", &changed).is_err(), "byte {at}");
    }
    for length in 0..sealed.len() {
        assert!(seal.open("name", &sealed[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn an_older_key_opens_what_it_sealed_and_a_strange_one_does_not() {
    let sealed = seal(&[OLD]).seal("name", b"value").unwrap();
    let opened = seal(&[NEW, OLD]).open("name", &sealed).unwrap();
    assert!(opened.is_old);
    assert_eq!(*opened.plain, b"value");
    assert!(!seal(&[OLD]).open("name", &sealed).unwrap().is_old);
    assert_eq!(seal(&[NEW]).open("name", &sealed).unwrap_err(), Closed::NoKey);
}

#[test]
fn keys_that_are_none_are_refused_without_being_shown() {
    for wrong in ["", " , ", "c2hvcnQ=", "not base64 at all", &format!("{NEW},c2hvcnQ=")] {
        let why = Seal::of(wrong).unwrap_err();
        assert!(why.contains("openssl rand"), "{why}");
        assert!(!why.contains("c2hvcnQ"), "{why}");
    }
}

#[test]
fn without_a_key_one_is_made_that_only_its_owner_can_read_and_it_stays() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let nothing = Environment::default();
    let sealed = Seal::load(&nothing, None, Some(folder.path())).unwrap().seal("name", b"value").unwrap();
    let again = Seal::load(&nothing, None, Some(folder.path())).unwrap();
    assert_eq!(*again.open("name", &sealed).unwrap().plain, b"value");
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn many_processes_at_once_make_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let load = || Seal::load(&Environment::default(), None, Some(folder.path())).unwrap();
    let seals: Vec<Seal> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let sealed = seals[0].seal("name", b"value").unwrap();
    assert!(seals.iter().all(|seal| seal.open("name", &sealed).is_ok()));
}

#[test]
fn the_environment_comes_before_a_file_and_a_file_before_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    fs::write(&file, format!("{NEW}\n{OLD}\n")).unwrap();
    let data = folder.path().join("data");
    let set = Environment::new([("SWITCHBOARD_SEAL_KEY".to_owned(), OLD.to_owned())]);
    let sealed = seal(&[OLD]).seal("name", b"value").unwrap();
    let by_file = Seal::load(&Environment::default(), Some(&file), Some(&data)).unwrap();
    assert!(by_file.open("name", &sealed).unwrap().is_old);
    assert!(!Seal::load(&set, Some(&file), Some(&data)).unwrap().open("name", &sealed).unwrap().is_old);
    assert!(!data.exists());
    let missing = Seal::load(&Environment::default(), Some(&folder.path().join("none")), Some(&data)).unwrap_err();
    assert!(missing.contains("cannot be read"), "{missing}");
}

#[tokio::test]
async fn a_record_is_sealed_anew_with_the_newest_key_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::open(folder.path()).unwrap());
    let safe = |keys: &[&str]| Safe::new(Arc::clone(&store) as _, Arc::new(seal(keys)));
    let expires = std::time::SystemTime::now() + std::time::Duration::from_secs(1000);
    let put = Put { expires: Some(expires), ..Put::default() };
    safe(&[OLD]).write("a/b", &"value".to_owned(), put).await.unwrap().unwrap();
    let kept = safe(&[NEW, OLD]).read::<String>("a/b").await.unwrap().unwrap();
    assert_eq!(kept.value, "value");
    assert_eq!(store.get("a/b").await.unwrap().unwrap().version, kept.version);
    // The old key can go now.
    assert_eq!(safe(&[NEW]).read::<String>("a/b").await.unwrap().unwrap().value, "value");
    assert_eq!(safe(&[NEW]).all::<String>("a/").await.unwrap().len(), 1);
    assert!(safe(&[OLD]).read::<String>("a/b").await.unwrap().is_none());
}

#[tokio::test]
async fn all_records_are_sealed_anew_at_once_and_those_that_stay_closed_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::open(folder.path()).unwrap());
    let safe = |keys: &[&str]| Safe::new(Arc::clone(&store) as _, Arc::new(seal(keys)));
    safe(&[OLD]).write("grant/a", &"value".to_owned(), Put::default()).await.unwrap().unwrap();
    assert_eq!(safe(&[NEW]).renew().await.unwrap(), 1);
    assert_eq!(safe(&[NEW, OLD]).renew().await.unwrap(), 0);
    assert_eq!(safe(&[NEW]).read::<String>("grant/a").await.unwrap().unwrap().value, "value");
}

#[tokio::test]
async fn a_turn_that_went_over_to_another_is_not_given_back_in_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let safe = Safe::new(Arc::new(Embedded::open(folder.path()).unwrap()), Arc::new(seal(&[NEW])));
    let late = safe.take_turn("turn", Duration::ZERO).await.unwrap().unwrap();
    let now = safe.take_turn("turn", Duration::from_mins(1)).await.unwrap().unwrap();
    safe.end_turn("turn", late).await.unwrap();
    assert!(safe.take_turn("turn", Duration::from_mins(1)).await.unwrap().is_none());
    safe.end_turn("turn", now).await.unwrap();
    assert!(safe.take_turn("turn", Duration::from_mins(1)).await.unwrap().is_some());
}
