//! Files of a project that change.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use notify::event::{EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{Receiver, channel};

/// Silence after which a burst of changes is over: an editor writes several files at once.
const QUIET: Duration = Duration::from_millis(100);
/// Longest burst: something may write all the time.
const LONGEST: Duration = Duration::from_secs(1);
/// Most changes that wait; then the system keeps them.
const WAITING: usize = 4096;
/// Directories of tools and builds, anywhere below the project.
const IGNORED: [&str; 3] = ["target", "node_modules", "__pycache__"];
/// The same below the directory of a service.
const IGNORED_BELOW: [&str; 3] = ["venv", "gen", "vendor"];
/// Endings of files that programs write.
const WRITTEN: [&str; 4] = ["~", ".log", ".tmp", ".pyc"];

/// A watch on the files of a directory.
#[derive(Debug)]
pub(super) struct Watch {
    // Dropped first: it ends a send that waits for room, and with that the watcher's thread.
    changes: Receiver<PathBuf>,
    _watcher: RecommendedWatcher,
}

// === impl Watch ===

impl Watch {
    /// Begins to watch all files below `root`.
    ///
    /// # Errors
    /// When the system allows no more watches.
    pub(super) fn begin(root: &Path) -> Result<Self> {
        let root = root
            .canonicalize()
            .context("the project's directory is gone")?;
        let (sender, changes) = channel(WAITING);
        let below = root.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let event = match event {
                Ok(event) if !event.need_rescan() => event,
                // Some changes are lost: any file may have changed.
                _ => return drop(sender.blocking_send(below.clone())),
            };
            let paths = event
                .paths
                .into_iter()
                .filter(|path| is_source(&below, path));
            if changes_text(event.kind) {
                // The receiver is gone when the command ends.
                paths.for_each(|path| drop(sender.blocking_send(path)));
            }
        })?;
        // One by one, so that the directories of builds cost no watches.
        let entries = std::fs::read_dir(&root).context("cannot list the project's directory")?;
        watcher.watch(&root, RecursiveMode::NonRecursive)?;
        for entry in entries.flatten() {
            if entry.path().is_dir() && is_source(&root, &entry.path()) {
                watcher
                    .watch(&entry.path(), RecursiveMode::Recursive)
                    .with_context(|| format!("cannot watch {}", entry.path().display()))?;
            }
        }
        Ok(Self {
            changes,
            _watcher: watcher,
        })
    }

    /// Waits for changes, until there are none for a moment; returns the paths.
    ///
    /// # Errors
    /// When the watch has ended.
    pub(super) async fn next(&mut self) -> Result<BTreeSet<PathBuf>> {
        let first = self.changes.recv().await.context("the watch has ended")?;
        let mut changed = BTreeSet::from([first]);
        let end = Instant::now() + LONGEST;
        while Instant::now() < end
            && let Ok(Some(path)) = tokio::time::timeout(QUIET, self.changes.recv()).await
        {
            changed.insert(path);
        }
        Ok(changed)
    }
}

/// Returns whether a path is a file that people write: not of a build, and not hidden.
fn is_source(root: &Path, path: &Path) -> bool {
    let Ok(relative) = path.strip_prefix(root) else {
        return false;
    };
    let names = relative
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => name.to_str(),
            _ => None,
        });
    names.enumerate().all(|(depth, name)| {
        let is_written = WRITTEN.iter().any(|ending| name.ends_with(ending));
        let is_of_service = depth >= 2 && IGNORED_BELOW.contains(&name);
        let is_ignored = IGNORED.contains(&name) || is_of_service;
        !(name.starts_with('.') || is_written || is_ignored)
    })
}

fn changes_text(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_builds_and_hidden_ones_are_no_sources() {
        let root = Path::new("/shop");
        for (path, expected) in [
            ("/shop/services/orders/src/rpc.rs", true),
            ("/shop/proto/orders/v1/orders.proto", true),
            ("/shop/target/debug/orders", false),
            ("/shop/.mesh/state.json", false),
            ("/shop/services/quotes/__pycache__/main.pyc", false),
            ("/shop/proto/orders/v1/.orders.proto.swp", false),
            ("/shop/services/quotes/gen/quotes.go", false),
            ("/shop/services/gen/main.rs", true),
            ("/shop/services/quotes/quotes.log", false),
            ("/elsewhere/main.rs", false),
        ] {
            assert_eq!(is_source(root, Path::new(path)), expected, "{path}");
        }
    }

    #[tokio::test]
    async fn a_burst_of_changes_is_returned_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("src");
        std::fs::create_dir(&source).unwrap();
        let mut watch = Watch::begin(dir.path()).unwrap();
        for name in ["a.rs", "b.rs"] {
            std::fs::write(source.join(name), "fn main() {}").unwrap();
        }
        let mut seen = BTreeSet::new();
        while seen.len() < 2 {
            let changed = watch.next().await.unwrap();
            seen.extend(changed.into_iter().filter(|path| path.is_file()));
        }
        let source = source.canonicalize().unwrap();
        assert_eq!(
            seen,
            BTreeSet::from([source.join("a.rs"), source.join("b.rs")])
        );
    }
}
