//! A file that is edited while the process runs.

use std::io::Write;

use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

use super::*;
use crate::Reloads;

const DEFAULTS: &str = "workers = 4\nname = \"\"\n";

#[derive(Debug, Deserialize)]
struct Own {
    workers: u16,
}

struct Edited {
    file: tempfile::NamedTempFile,
    process: Process,
    reloads: Reloads,
    follower: Follower,
}

fn edited(content: &str) -> Edited {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    let sources = Sources {
        file: Some(file.path().to_owned()),
        ..Sources::default()
    };
    let layers = Layers::load(DEFAULTS, &sources).unwrap();
    let process = Process::new("test", layers.settings().unwrap());
    Edited {
        file,
        reloads: process.reloads(),
        process,
        follower: Follower::new(DEFAULTS, sources, layers),
    }
}

#[tokio::test]
async fn a_change_of_the_file_is_seen_without_a_signal() {
    let mut edited = edited("workers = 5");
    let hangup = signal(SignalKind::hangup()).unwrap();
    let task = tokio::spawn(edited.follower.follow(edited.process.clone(), hangup));
    std::fs::write(edited.file.path(), "workers = 6").unwrap();
    let next = tokio::time::timeout(Duration::from_secs(20), edited.reloads.next());
    let own: Own = next.await.unwrap().parse().unwrap();
    assert_eq!(own.workers, 6);
    assert!(edited.process.finish().await);
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_cannot_be_loaded_changes_nothing() {
    let mut edited = edited("workers = 5");
    for bad in ["workers = ", "wrokers = 6", "max_connections = 0"] {
        std::fs::write(edited.file.path(), bad).unwrap();
        edited.follower.reload(&edited.process, "test");
        assert!(!edited.reloads.0.has_changed().unwrap(), "{bad}");
    }
    std::fs::write(edited.file.path(), "workers = 7").unwrap();
    edited.follower.reload(&edited.process, "test");
    let own: Own = edited.reloads.next().await.parse().unwrap();
    assert_eq!(own.workers, 7);
}

#[test]
fn changed_keys_are_named_and_the_fixed_ones_known() {
    let layers = |flags: &[(&str, &str)]| {
        let flags = flags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()]));
        let sources = Sources {
            flags: flags.collect(),
            ..Sources::default()
        };
        Layers::load(DEFAULTS, &sources).unwrap()
    };
    let before = layers(&[("name", "a")]);
    let after = layers(&[
        ("name", "b"),
        ("listen", "127.0.0.1:1"),
        ("client.connect_timeout_ms", "1"),
    ]);
    let changed = after.changed_keys(&before);
    assert_eq!(changed, ["client.connect_timeout_ms", "listen", "name"]);
    let fixed: Vec<_> = changed.iter().filter(|key| Layers::is_fixed(key)).collect();
    assert_eq!(fixed, ["client.connect_timeout_ms", "listen"]);
    assert!(before.changed_keys(&before).is_empty());
}

#[tokio::test]
async fn a_process_that_follows_nothing_is_told_apart() {
    let edited = edited("");
    assert!(edited.process.reload(edited.follower.layers.clone()));
    drop(edited.reloads);
    assert!(!edited.process.reload(edited.follower.layers.clone()));
}
