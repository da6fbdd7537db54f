//! Tests of names, directories, statements and releases.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::{Name, contracting, find, review};

fn rules(sql: &str) -> Vec<(usize, String)> {
    let found = contracting(sql).into_iter();
    found.map(|one| (one.line, one.statement)).collect()
}

fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn reasons(now: &Path, before: &Path) -> Vec<String> {
    let problems = review(now, Some(before)).unwrap();
    problems.into_iter().map(|problem| problem.reason).collect()
}

#[test]
fn what_an_older_program_could_not_bear_is_found_with_its_line() {
    for sql in [
        "DROP TABLE item",
        "drop table if exists item",
        "ALTER TABLE item DROP COLUMN note",
        "ALTER TABLE item DROP note",
        "ALTER TABLE IF EXISTS ONLY item RENAME COLUMN a TO b",
        "ALTER TABLE item RENAME TO thing",
        "ALTER TABLE item ADD COLUMN a text, ALTER COLUMN b SET NOT NULL",
        "ALTER TABLE item ALTER b SET DATA TYPE bigint",
        "ALTER TABLE item ALTER COLUMN b TYPE bigint USING b::bigint",
        "ALTER TABLE item ALTER COLUMN b DROP NOT NULL",
        "ALTER TABLE item ALTER COLUMN b DROP DEFAULT",
        "ALTER TABLE item ADD COLUMN b text NOT NULL",
        "ALTER TABLE item ADD b text UNIQUE",
        "ALTER TABLE item ADD CONSTRAINT positive CHECK (a > 0) NOT VALID",
        "ALTER TABLE item DROP CONSTRAINT positive",
        "CREATE UNIQUE INDEX once ON item (a)",
        "CREATE INDEX slow ON item (a)",
        "TRUNCATE item",
        "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'; ",
        "REVOKE SELECT ON item FROM reader",
    ] {
        assert_eq!(rules(sql).len(), 1, "{sql}");
    }
    let found = rules("-- A comment.\n\nSELECT 1;\n\nDROP TABLE item;");
    assert_eq!(found, [(5, "DROP TABLE ITEM".to_owned())]);
}

#[test]
fn additions_break_nobody() {
    for sql in [
        "CREATE TABLE item (id text PRIMARY KEY, a text NOT NULL); CREATE INDEX i ON item (a);
         CREATE UNIQUE INDEX u ON item (a); ALTER TABLE item ADD CONSTRAINT c CHECK (a <> '')",
        "ALTER TABLE item ADD COLUMN b text, ADD COLUMN c bigint NOT NULL DEFAULT 0",
        "ALTER TABLE item ADD COLUMN d bigint CHECK (d > 0 AND d IS NOT NULL OR d IN (1, 2))",
        "ALTER TABLE item ALTER COLUMN b SET DEFAULT ''",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON item (a)",
        "INSERT INTO item VALUES ('DROP TABLE item; it''s text')",
        "/* DROP TABLE /* nested */ item; */ SELECT 1",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $x$ BEGIN DROP TABLE a; END $x$",
        "ALTER TYPE mood ADD VALUE 'glad'",
        "-- expand: the same rule, wider\nALTER TABLE item DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (a > 0)",
    ] {
        assert_eq!(rules(sql), [], "{sql}");
    }
    // An exemption has a reason, and is about one statement.
    assert_eq!(rules("-- expand: \nDROP TABLE item").len(), 1);
    assert_eq!(
        rules("-- expand: empty\nDROP TABLE a; DROP TABLE b").len(),
        1
    );
}

#[test]
fn a_name_says_after_which_version_it_contracts() {
    let name = Name::parse("0009_contract_after_0007_drop_note.up.sql").unwrap();
    assert_eq!(name.contract_after(), Some(7));
    let name = Name::parse("0002_contracts_of_customers.sql").unwrap();
    assert_eq!(name.contract_after(), None);
    for file in [
        "0009_contract_drop_note.up.sql",
        "0009_contract_after_0009_drop_note.up.sql",
        "0009.up.sql",
        "x_y.sql",
        "0_y.sql",
        "0009_a.b.sql",
    ] {
        assert!(Name::parse(file).is_err(), "{file}");
    }
}

#[test]
fn a_rollback_is_beside_its_migration() {
    let whole = dir(&[("2_b.down.sql", ""), ("2_b.up.sql", ""), ("1_a.sql", "")]);
    let found = find(whole.path()).unwrap();
    let versions: Vec<_> = found
        .iter()
        .map(|one| (one.version, one.down.is_some()))
        .collect();
    assert_eq!(versions, [(1, false), (2, true)]);
    for (files, expected) in [
        (vec!["1_a.up.sql"], "expected its rollback"),
        (vec!["1_a.up.sql", "1_b.down.sql"], "expected its rollback"),
        (
            vec!["1_a.sql", "1_a.down.sql"],
            "expected the migration beside it",
        ),
        (vec!["1_a.sql", "01_b.sql"], "version 1 is also that of"),
    ] {
        let files: Vec<_> = files.into_iter().map(|file| (file, "")).collect();
        let error = find(dir(&files).path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{files:?}: {error}");
    }
}

#[test]
fn a_release_contracts_only_what_the_one_before_has_left() {
    let before = dir(&[
        ("1_item.up.sql", "CREATE TABLE item (a text)"),
        ("1_item.down.sql", "DROP TABLE item"),
    ]);
    let first = [
        ("1_item.up.sql", "CREATE TABLE item (a text)"),
        ("1_item.down.sql", "DROP TABLE item"),
        ("2_b.up.sql", "ALTER TABLE item ADD COLUMN b text"),
        ("2_b.down.sql", "ALTER TABLE item DROP COLUMN b"),
    ];
    let with = |name, sql| {
        let down = format!("{name}.down.sql");
        let up = format!("{name}.up.sql");
        let files = [&first[..], &[(&*up, sql), (&*down, "")]].concat();
        dir(&files)
    };
    let expand = dir(&first);
    assert_eq!(reasons(expand.path(), before.path()), Vec::<String>::new());

    let too_early = with("3_drop", "ALTER TABLE item DROP COLUMN a");
    let found = reasons(too_early.path(), before.path());
    assert!(
        found[0].contains("`ALTER TABLE ITEM DROP COLUMN A`: it drops a column"),
        "{found:?}"
    );

    let contract = with("3_contract_after_2_drop", "ALTER TABLE item DROP COLUMN a");
    let found = reasons(contract.path(), before.path());
    assert!(
        found[0].contains("migration 2 belongs to the same release"),
        "{found:?}"
    );
    // After the expansion is released, it may be.
    assert_eq!(
        reasons(contract.path(), expand.path()),
        Vec::<String>::new()
    );
    // The first release has no program before it.
    let nothing = TempDir::new().unwrap();
    let new = review(too_early.path(), Some(&nothing.path().join("none"))).unwrap();
    assert_eq!(new, []);
}

#[test]
fn what_is_released_stays_as_it_is() {
    let before = dir(&[("2_a.sql", "SELECT 1"), ("3_b.sql", "SELECT 1")]);
    let now = dir(&[("1_z.sql", "SELECT 1"), ("2_a.sql", "SELECT 2")]);
    let found = reasons(now.path(), before.path()).join("\n");
    for part in [
        "it has changed since it was released",
        "migration 3 (b) is gone",
        "version 1 comes before 3",
        "it has no rollback",
    ] {
        assert!(found.contains(part), "{part} is missing: {found}");
    }
    let unknown = dir(&[("2_contract_after_1_x.sql", "")]);
    let problems = review(unknown.path(), None).unwrap();
    assert!(problems[0].reason.contains("there is no migration 1"));
}
