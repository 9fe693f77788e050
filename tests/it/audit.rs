//! The audit: chains of records that show what was done to them.

use std::fs;
use std::num::NonZeroU64;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use switchboard::audit::{Act, Audit, AuditConfig, Call, Deed, Fault, Report, Who, verify};
use tempfile::TempDir;

use crate::program::{Program, text};

fn config(folder: &Path, max_bytes: u64, keep: u64) -> AuditConfig {
    let keep = NonZeroU64::new(keep).unwrap();
    AuditConfig { folder: Some(folder.to_owned()), max_bytes, keep, ..AuditConfig::default() }
}

fn open(folder: &Path) -> Audit {
    Audit::new(&config(folder, 1 << 20, 16), None)
}

fn act(on: usize) -> Act {
    Act::local(Deed::KeyNew, format!("key {on}"))
}

fn call() -> Call {
    Call {
        who: Who::Anonymous,
        client: Some("a client".into()),
        tool: "c_tool".into(),
        called: None,
        outcome: "ok",
        argument_bytes: 12,
        arguments: Some(serde_json::from_str(r#"{"text":"hi"}"#).unwrap()),
        result_bytes: 100,
        took: Duration::from_millis(3),
        request: "8a2f".into(),
        trace: None,
    }
}

/// Records so many acts, one after another, and ends.
fn record(audit: &Audit, acts: usize) {
    for on in 0..acts {
        audit.act(act(on));
    }
    close(audit);
}

fn close(audit: &Audit) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(audit.close());
}

fn checked(folder: &Path) -> Vec<Report> {
    verify(folder, &[]).unwrap().0
}

fn faults(folder: &Path) -> Vec<Fault> {
    let (reports, others) = verify(folder, &[]).unwrap();
    reports.into_iter().flat_map(|report| report.faults).chain(others).collect()
}

/// The first of them.
fn fault(folder: &Path) -> Option<(PathBuf, u64, String)> {
    let fault = faults(folder).into_iter().next()?;
    Some((fault.file, fault.line, fault.what))
}

fn last(folder: &Path) -> String {
    checked(folder)[0].span.clone().unwrap().1
}

#[test]
fn each_process_goes_on_with_a_chain_that_nobody_writes() {
    let folder = TempDir::new().unwrap();
    let records = folder.path().join("audit");
    let (one, two) = (open(&records), open(&records));
    one.act(act(1));
    two.act(act(2));
    // Both hold a chain by now.
    let until = Instant::now() + Duration::from_secs(30);
    while (one.counts().0, two.counts().0) != (1, 1) {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
    assert!(checked(&records).iter().all(|report| report.is_written && report.records == 1));
    close(&one);
    close(&two);
    record(&open(&records), 3);
    let reports = checked(&records);
    let counts: Vec<u64> = reports.iter().map(|report| report.records).collect();
    assert_eq!((counts, fault(&records)), (vec![4, 1], None));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&records), mode(&records.join("0.jsonl"))), (0o700, 0o600));
}

#[test]
fn a_change_of_any_byte_is_found() {
    let folder = TempDir::new().unwrap();
    let audit = open(folder.path());
    audit.call(call());
    record(&audit, 2);
    let file = folder.path().join("0.jsonl");
    let whole = fs::read(&file).unwrap();
    assert_eq!(fault(folder.path()), None);
    for at in 0..whole.len() {
        for flip in [0x01, 0x20] {
            let mut changed = whole.clone();
            changed[at] ^= flip;
            fs::write(&file, changed).unwrap();
            assert!(fault(folder.path()).is_some(), "byte {at}");
        }
    }
}

#[test]
fn lines_that_are_gone_or_elsewhere_are_found_with_their_place() {
    let folder = TempDir::new().unwrap();
    record(&open(folder.path()), 4);
    let file = folder.path().join("0.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    for (kept, at, what) in [
        (vec![0, 2, 3], 2, "the records 2 to 2 are missing"),
        (vec![0, 2, 1, 3], 2, "the records 2 to 2 are missing"),
        (vec![0, 1, 1, 2, 3], 3, "the record 2 stands where 3 should"),
        (vec![1, 2, 3], 1, "the records before it are gone"),
    ] {
        fs::write(&file, kept.iter().map(|line| lines[*line]).collect::<String>()).unwrap();
        let (path, line, said) = fault(folder.path()).unwrap();
        assert_eq!((path, line), (file.clone(), at));
        assert!(said.contains(what), "{said}");
    }
    // A cut end shows to nobody who does not know what was there.
    let end = {
        fs::write(&file, &whole).unwrap();
        last(folder.path())
    };
    fs::write(&file, lines[..2].concat()).unwrap();
    assert_eq!(fault(folder.path()), None);
    let found = |hash: &str| verify(folder.path(), &[hash.to_owned()]).unwrap().0[0].found.contains(hash);
    assert!(!found(&end) && found(&last(folder.path())));
}

#[test]
fn what_is_behind_a_fault_is_looked_at_too() {
    let folder = TempDir::new().unwrap();
    record(&open(folder.path()), 6);
    let file = folder.path().join("0.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    let end = last(folder.path());
    let mut lines: Vec<String> = whole.split_inclusive('\n').map(str::to_owned).collect();
    let long = format!("{}\n", "x".repeat(3 << 20));
    lines[1] = lines[1].replace("key 1", "key 9");
    lines.remove(3);
    lines.insert(1, "\0\0\0\n".into());
    lines.insert(1, long);
    fs::write(&file, lines.concat()).unwrap();
    let found: Vec<(u64, String)> = faults(folder.path()).into_iter().map(|it| (it.line, it.what)).collect();
    let whats = ["it is not whole", "it is no record", "it was changed", "the records 4 to 4 are missing"];
    let at: Vec<u64> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(at, [2, 3, 4, 6], "{found:?}");
    assert!(found.iter().zip(whats).all(|((_, said), what)| said.contains(what)), "{found:?}");
    assert_eq!((checked(folder.path())[0].records, last(folder.path())), (4, end.clone()));
    assert!(verify(folder.path(), std::slice::from_ref(&end)).unwrap().0[0].found.contains(&end));
    fs::write(&file, "\n".repeat(1000)).unwrap();
    let found = faults(folder.path());
    assert_eq!((found.len(), found[100].what.as_str()), (101, "and more"));
}

#[test]
fn a_file_behind_another_spelling_of_its_name_is_found() {
    let folder = TempDir::new().unwrap();
    record(&open(folder.path()), 2);
    let file = folder.path().join("0.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    let newest = "0-18446744073709551615.jsonl";
    for name in ["00.jsonl", "+0.jsonl", "0-01.jsonl", "0-.jsonl", "x.jsonl", newest] {
        let alias = folder.path().join(name);
        fs::write(&file, whole.replace("key 1", "key 9")).unwrap();
        fs::write(&alias, &whole).unwrap();
        let found = faults(folder.path());
        assert_eq!((found.len(), &found[0].file, found[0].line), (2, &file, 2), "{found:?}");
        assert!(found[1].file == alias && found[1].what.contains("none of ours"), "{found:?}");
        fs::remove_file(&alias).unwrap();
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(fault(folder.path()), None);
}

#[test]
fn files_are_rotated_and_old_ones_removed_with_a_record_of_that() {
    let folder = TempDir::new().unwrap();
    let audit = Audit::new(&config(folder.path(), 4096, 3), None);
    record(&audit, 100);
    let files = || {
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.contains('-')).collect();
        names.sort();
        names
    };
    let report = &checked(folder.path())[0];
    assert!(report.faults.is_empty(), "{report:?}");
    assert_eq!((files().len(), report.files), (3, 4));
    assert!(report.span.clone().unwrap().0 > 1);
    // It goes on from there.
    record(&Audit::new(&config(folder.path(), 4096, 3), None), 30);
    assert_eq!(fault(folder.path()), None);
    // The oldest is missed as well as one in the middle, because no record says that it was removed.
    for gone in [0, 1] {
        let path = folder.path().join(&files()[gone]);
        let text = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(fault(folder.path()).is_some());
        fs::write(&path, text).unwrap();
        assert_eq!(fault(folder.path()), None);
    }
}

#[test]
fn what_a_crash_left_of_a_line_is_cut_off_and_that_is_recorded() {
    let folder = TempDir::new().unwrap();
    record(&open(folder.path()), 2);
    let file = folder.path().join("0.jsonl");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, [whole.as_slice(), br#"{"act":"key.n"#].concat()).unwrap();
    assert!(fault(folder.path()).unwrap().2.contains("not whole"));
    record(&open(folder.path()), 1);
    assert_eq!((fault(folder.path()), checked(folder.path())[0].records), (None, 4));
    let lines = fs::read_to_string(&file).unwrap();
    let repaired: Value = serde_json::from_str(lines.lines().nth(2).unwrap()).unwrap();
    assert_eq!((&repaired["event"], &repaired["cutBytes"]), (&"repaired".into(), &13.into()));
}

#[test]
fn a_folder_that_cannot_be_written_loses_records_and_counts_them() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("audit");
    fs::write(&place, "a file").unwrap();
    let audit = open(&place);
    record(&audit, 5);
    assert_eq!((audit.counts(), audit.is_failing()), ((0, 5), true));
    // What is too much is told of as soon as there is room.
    let audit = open(&place);
    for on in 0..10_000 {
        audit.act(act(on));
    }
    let until = Instant::now() + Duration::from_secs(30);
    while audit.counts().1 == 0 || !audit.is_failing() {
        assert!(Instant::now() < until);
        audit.act(act(0));
    }
    let lost = audit.counts().1;
    fs::remove_file(&place).unwrap();
    close(&audit);
    assert!(!audit.is_failing());
    let report = &checked(&place)[0];
    assert!(report.faults.is_empty() && report.records > 8000, "{report:?}");
    assert!(report.lost >= lost, "{report:?}");
}

#[test]
fn the_command_says_what_is_wrong_by_its_exit_code() {
    let program = Program::with(&[]);
    assert_eq!(program.run(&["keys", "new", "--subject", "ann"]).status.code(), Some(0));
    let output = program.run(&["audit", "verify"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let folder = program.path().join(".data/audit");
    assert!(text(&output.stdout).contains(&last(&folder)), "{output:?}");
    assert_eq!(program.run(&["audit", "verify", "--expect-last", &last(&folder)]).status.code(), Some(0));
    assert_eq!(program.run(&["audit", "verify", "--expect-last", "00"]).status.code(), Some(1));
    let said = text(&program.run(&["audit", "tail"]).stdout);
    assert!(said.contains("key.new") && said.contains("of ann → ok, by local"), "{said}");
    let file = folder.join("0.jsonl");
    let changed = fs::read_to_string(&file).unwrap().replace("of ann", "of bob");
    fs::write(&file, changed).unwrap();
    let output = program.run(&["audit", "verify", folder.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("0.jsonl, line 1: it was changed"), "{output:?}");
    assert_eq!(program.run(&["audit", "verify", "/nowhere"]).status.code(), Some(2));
}
