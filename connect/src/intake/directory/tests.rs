use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use super::*;
use crate::settings::Kind;

const SHA_OF_A: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

fn directory(settle: Duration) -> (tempfile::TempDir, Directory) {
    let dir = tempfile::tempdir().unwrap();
    let from = From {
        kind: Kind::Directory,
        path: dir.path().to_owned(),
        pattern: "*.csv".to_owned(),
        settle,
    };
    let directory = Directory::open(&from).unwrap();
    (dir, directory)
}

fn report(unit: &str, state: &'static str) -> Report {
    Report {
        source: "orders".to_owned(),
        unit: unit.to_owned(),
        name: "a.csv".to_owned(),
        state,
        repeated: false,
        records: 3,
        accepted: 2,
        quarantined: 1,
        rules: BTreeMap::from([("WIDTH".to_owned(), 1)]),
        refusal: String::new(),
        mapping: "m".to_owned(),
        begun_at: "2010-12-01T08:26:00Z".to_owned(),
        ended_at: "2010-12-01T08:26:01Z".to_owned(),
    }
}

fn read(directory: &Directory, name: OsString) -> Arrival {
    let halt = CancellationToken::new();
    directory.read(name, &halt).unwrap().unwrap()
}

#[test]
fn a_file_is_taken_when_it_is_unchanged_for_long_enough() {
    let (dir, directory) = directory(Duration::from_secs(3600));
    fs::write(dir.path().join("a.csv"), "a").unwrap();
    let look = directory.look().unwrap();
    assert!(look.ready.is_empty());
    assert_eq!((look.waiting.units, look.waiting.bytes), (1, 1));
    // As if the first look had been an hour ago.
    for (_, since) in lock(&directory.seen).values_mut() {
        *since = since.checked_sub(Duration::from_secs(3600)).unwrap();
    }
    assert_eq!(directory.look().unwrap().ready.len(), 1);
    // It grows, and has to settle again.
    fs::write(dir.path().join("a.csv"), "ab").unwrap();
    assert!(directory.look().unwrap().ready.is_empty());
}

#[test]
fn a_claimed_file_is_known_by_its_bytes_and_put_away_with_its_report() {
    let (dir, directory) = directory(Duration::ZERO);
    for _ in 0..2 {
        fs::write(dir.path().join("a.csv"), "a").unwrap();
        let ready = directory.look().unwrap().ready;
        let name = directory.claim(ready).unwrap().unwrap();
        assert!(!dir.path().join("a.csv").exists());
        assert_eq!(directory.look().unwrap().taken, Some(name.clone()));
        let arrival = read(&directory, name.clone());
        assert_eq!(arrival.unit.id, SHA_OF_A);
        assert!(directory.is_unchanged(&name, 1, arrival.since));
        directory
            .put_away(&name, &report(SHA_OF_A, "DONE"))
            .unwrap();
        assert_eq!(directory.look().unwrap().taken, None);
    }
    let done = dir.path().join("done");
    let mut names: Vec<String> = fs::read_dir(&done)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "a-ca978112ca1b.csv",
            "a-ca978112ca1b.csv.report.json",
            "a.csv",
            "a.csv.report.json"
        ]
    );
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(done.join("a.csv.report.json")).unwrap()).unwrap();
    assert_eq!(report["rules"]["WIDTH"], 1);
    assert_eq!(report["unit"], SHA_OF_A);
}

#[test]
fn a_refused_file_is_put_aside() {
    let (dir, directory) = directory(Duration::ZERO);
    fs::write(dir.path().join(TAKEN).join("a.csv"), "a").unwrap();
    let name = directory.look().unwrap().taken.unwrap();
    directory
        .put_away(&name, &report(SHA_OF_A, "FAILED"))
        .unwrap();
    assert!(dir.path().join("failed/a.csv").exists());
    assert!(dir.path().join("failed/a.csv.report.json").exists());
}

#[test]
fn links_and_directories_are_not_taken() {
    let (dir, directory) = directory(Duration::ZERO);
    let secret = tempfile::NamedTempFile::new().unwrap();
    symlink(secret.path(), dir.path().join("link.csv")).unwrap();
    fs::create_dir(dir.path().join("inner.csv")).unwrap();
    fs::write(dir.path().join(".hidden.csv"), "a").unwrap();
    fs::write(dir.path().join("a.csv.part"), "a").unwrap();
    let look = directory.look().unwrap();
    assert!(look.ready.is_empty(), "{:?}", look.ready);
    assert_eq!(look.waiting.units, 0);
}

#[test]
fn a_file_that_changes_after_it_settled_goes_back() {
    let (dir, directory) = directory(Duration::ZERO);
    let path = dir.path().join("a.csv");
    fs::write(&path, "a").unwrap();
    let ready = directory.look().unwrap().ready;
    fs::write(&path, "ab").unwrap();
    assert_eq!(directory.claim(ready).unwrap(), None);
    assert!(path.exists());
    assert_eq!(directory.look().unwrap().taken, None);
    // While it is read, it is compared with what it was.
    let name = directory.claim(directory.look().unwrap().ready).unwrap();
    let name = name.unwrap();
    let arrival = read(&directory, name.clone());
    fs::write(dir.path().join(TAKEN).join("a.csv"), "abc").unwrap();
    assert!(!directory.is_unchanged(&name, arrival.unit.size_bytes, arrival.since));
}

#[test]
fn a_file_that_another_process_has_taken_is_left_alone() {
    let (dir, directory) = directory(Duration::ZERO);
    for name in ["a.csv", "b.csv"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    let mut ready = directory.look().unwrap().ready;
    ready.sort_by(|a, b| a.name.cmp(&b.name));
    fs::remove_file(dir.path().join("a.csv")).unwrap();
    assert_eq!(directory.claim(ready).unwrap(), Some("b.csv".into()));
}

#[test]
fn reading_ends_when_the_process_stops() {
    let (dir, directory) = directory(Duration::ZERO);
    fs::write(dir.path().join(TAKEN).join("a.csv"), "a").unwrap();
    let halt = CancellationToken::new();
    halt.cancel();
    let error = directory.read("a.csv".into(), &halt).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
}
