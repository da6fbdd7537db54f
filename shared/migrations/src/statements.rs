//! The statements of a migration, read as text: those that an older program could not get along
//! with.

mod reader;

use std::collections::BTreeSet;

use reader::statements;

/// A statement that an older program could not get along with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contracting {
    /// Line of its first word, from 1.
    pub line: usize,
    /// The first words of it.
    pub statement: String,
    /// The reason, as a sentence without a full stop.
    pub rule: &'static str,
}

/// Longest text of a statement that is shown, in words.
const SHOWN: usize = 8;

/// Statements that begin so, with the reason.
const BEGINNINGS: [(&[&str], &str); 14] = [
    (
        &["DROP", "TABLE"],
        "it drops a table that an older program uses",
    ),
    (
        &["DROP", "VIEW"],
        "it drops a view that an older program uses",
    ),
    (
        &["DROP", "MATERIALIZED", "VIEW"],
        "it drops a view that an older program uses",
    ),
    (
        &["DROP", "TYPE"],
        "it drops a type that an older program uses",
    ),
    (
        &["DROP", "DOMAIN"],
        "it drops a type that an older program uses",
    ),
    (
        &["DROP", "SEQUENCE"],
        "it drops a sequence that an older program uses",
    ),
    (
        &["DROP", "SCHEMA"],
        "it drops a schema that an older program uses",
    ),
    (
        &["DROP", "FUNCTION"],
        "it drops a function that an older program uses",
    ),
    (
        &["DROP", "PROCEDURE"],
        "it drops a function that an older program uses",
    ),
    (&["TRUNCATE"], "it deletes rows that an older program uses"),
    (
        &["REVOKE"],
        "it takes a right away that an older program uses",
    ),
    (
        &["CREATE", "UNIQUE", "INDEX"],
        "it refuses rows that an older program writes",
    ),
    (
        &["ALTER", "TYPE"],
        "it changes a type that an older program uses",
    ),
    (
        &["ALTER", "DOMAIN"],
        "it changes a type that an older program uses",
    ),
];

/// Clauses of ALTER TABLE, with the reason.
const CLAUSES: [(&[&str], &str); 16] = [
    (
        &["DROP", "CONSTRAINT"],
        "it drops a constraint, which `ON CONFLICT` of an older program may need",
    ),
    (&["DROP"], "it drops a column that an older program uses"),
    (&["RENAME"], "it renames what an older program uses"),
    (
        &["SET", "SCHEMA"],
        "it moves a table that an older program uses",
    ),
    (
        &["TYPE"],
        "it changes the type of a column that an older program reads",
    ),
    (
        &["SET", "DATA", "TYPE"],
        "it changes the type of a column that an older program reads",
    ),
    (
        &["SET", "NOT", "NULL"],
        "it refuses rows that an older program writes",
    ),
    (
        &["DROP", "NOT", "NULL"],
        "an older program reads a null that it does not expect",
    ),
    (
        &["DROP", "DEFAULT"],
        "an older program writes rows without this column",
    ),
    (
        &["ADD", "CONSTRAINT"],
        "it refuses rows that an older program writes",
    ),
    (
        &["ADD", "CHECK"],
        "it refuses rows that an older program writes",
    ),
    (
        &["ADD", "UNIQUE"],
        "it refuses rows that an older program writes",
    ),
    (
        &["ADD", "PRIMARY"],
        "it refuses rows that an older program writes",
    ),
    (
        &["ADD", "FOREIGN"],
        "it refuses rows that an older program writes",
    ),
    (
        &["ADD", "EXCLUDE"],
        "it refuses rows that an older program writes",
    ),
    (&["ENABLE", "ROW"], "it hides rows from an older program"),
];

/// Returns the statements of a migration that an older program could not get along with. Tables
/// that it creates itself are known to no older program.
pub fn contracting(sql: &str) -> Vec<Contracting> {
    let mut created = BTreeSet::new();
    let mut found = Vec::new();
    for statement in statements(sql) {
        created.extend(created_table(&statement.words));
        if statement.is_exempt || created.contains(&table(&statement.words)) {
            continue;
        }
        if let Some(rule) = rule(&statement.words) {
            let shown = statement.words.iter().take(SHOWN);
            found.push(Contracting {
                line: statement.line,
                statement: shown.cloned().collect::<Vec<_>>().join(" "),
                rule,
            });
        }
    }
    found
}

fn rule(words: &[String]) -> Option<&'static str> {
    let begun = BEGINNINGS.iter().find(|(first, _)| begins(words, first));
    if let Some((_, rule)) = begun {
        let has = |word| position(words, word).is_some();
        let adds_value = begins(words, &["ALTER", "TYPE"]) && has("ADD") && has("VALUE");
        return (!adds_value).then_some(*rule);
    }
    if begins(words, &["CREATE", "INDEX"]) && position(words, "CONCURRENTLY").is_none() {
        return Some(
            "it keeps an older program from writing until the index is built; create it CONCURRENTLY, in a migration of its own that begins with `-- no-transaction`",
        );
    }
    if begins(words, &["ALTER", "TABLE"]) {
        return clauses(words).iter().find_map(|clause| clause_rule(clause));
    }
    None
}

/// Returns the clauses of an ALTER TABLE, without what they have in parentheses.
fn clauses(words: &[String]) -> Vec<Vec<String>> {
    let name = words
        .iter()
        .skip(2)
        .take_while(|word| ["IF", "EXISTS", "ONLY"].contains(&word.as_str()));
    // ALTER TABLE, what may stand before the name, and the name.
    let begin = 2 + name.count() + 1;
    let mut depth = 0_usize;
    let body = words.iter().skip(begin).filter(|word| match word.as_str() {
        "(" => {
            depth += 1;
            false
        }
        ")" => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => depth == 0,
    });
    let body: Vec<String> = body.cloned().collect();
    body.split(|word| word == ",")
        .map(<[String]>::to_vec)
        .collect()
}

fn clause_rule(clause: &[String]) -> Option<&'static str> {
    let clause = match begins(clause, &["ALTER"]) {
        // ALTER [COLUMN] name
        true => {
            let skipped = if begins(clause, &["ALTER", "COLUMN"]) {
                3
            } else {
                2
            };
            clause.get(skipped..)?
        }
        false => clause,
    };
    let known = CLAUSES.iter().filter(|(first, _)| begins(clause, first));
    // The longest beginning: DROP NOT NULL is no column.
    if let Some((_, rule)) = known.max_by_key(|(first, _)| first.len()) {
        return Some(rule);
    }
    let adds = begins(clause, &["ADD"]);
    let has = |word| position(clause, word).is_some();
    let is_filled = has("DEFAULT") || has("GENERATED");
    let is_required = clause.windows(2).any(|pair| pair == ["NOT", "NULL"]) || has("PRIMARY");
    if adds && is_required && !is_filled {
        return Some("an older program writes rows without this column, which has no default");
    }
    if adds && has("UNIQUE") {
        return Some("it refuses rows that an older program writes");
    }
    None
}

fn created_table(words: &[String]) -> Option<String> {
    let is_table = begins(words, &["CREATE"]) && position(words, "TABLE").is_some_and(|at| at <= 2);
    is_table.then(|| table(words))
}

/// Returns the table that a statement is about: the name after TABLE or ON.
fn table(words: &[String]) -> String {
    let skipped = ["IF", "NOT", "EXISTS", "ONLY"];
    let at = position(words, "TABLE").or_else(|| position(words, "ON"));
    let after = at.and_then(|at| words.get(at + 1..)).unwrap_or_default();
    let mut names = after
        .iter()
        .filter(|word| !skipped.contains(&word.as_str()));
    names.next().cloned().unwrap_or_default()
}

fn begins(words: &[String], first: &[&str]) -> bool {
    words.len() >= first.len() && words.iter().zip(first).all(|(word, first)| word == first)
}

fn position(words: &[String], word: &str) -> Option<usize> {
    words.iter().position(|other| other == word)
}
