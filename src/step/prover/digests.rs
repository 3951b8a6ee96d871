//! What a database holds, as digests, and the comparison of two such descriptions.
//!
//! Invariant: a comparison that finds nothing to compare is no success, and what is not compared is listed with its
//! reason. What a digest covers is said in `digest.sql`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use crate::diagnostic::{Error, Result, codes};

/// PostgreSQL writes WAL for so many values of a sequence ahead (`SEQ_LOG_VALS` in its source).
const LOGGED_AHEAD: i128 = 32;

/// A line of what `digest.sql`, `sequences.sql` and `at_point.sh` print.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    Point { lsn: String },
    Database { name: String, encoding: String, collate: String, bytes: u64, server: String },
    Table { name: String, rows: u64, digest: String },
    LargeObjects { rows: u64, digest: String },
    SequenceBefore(SequenceLine),
    Sequence(SequenceLine),
    Excluded { name: String, why: String },
    Needs(Need),
}

/// What a machine must have so that a database works there; no backup holds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(tag = "what", content = "name", rename_all = "snake_case")]
pub(in crate::step) enum Need {
    /// A locale of the C library.
    Locale(String),
    /// The files of an extension.
    Extension(String),
}

impl Need {
    pub(in crate::step) fn words(&self) -> String {
        match self {
            Self::Locale(name) => format!("the locale {name}"),
            Self::Extension(name) => format!("the extension {name}"),
        }
    }

    /// How it is put there; `from` says which package brings an extension, where that is known.
    pub(in crate::step) fn install(&self, from: &BTreeMap<String, String>) -> String {
        match self {
            Self::Locale(name) => {
                format!("add {name} to /etc/locale.gen and run locale-gen (package locales)")
            }
            Self::Extension(name) => match from.get(name) {
                Some(package) => format!("install the package {package}"),
                None => format!("install the package that brings the extension {name}"),
            },
        }
    }

    /// What a line of `needs.sql` says; none where it is no such line.
    pub(in crate::step) fn parse(line: &str) -> Option<Self> {
        match serde_json::from_str(line) {
            Ok(Line::Needs(need)) => Some(need),
            Ok(_) | Err(_) => None,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locale(name) => write!(f, "locale {name}"),
            Self::Extension(name) => write!(f, "extension {name}"),
        }
    }
}

#[derive(Debug, Deserialize)]
struct SequenceLine {
    name: String,
    #[serde(flatten)]
    sequence: Sequence,
}

/// How far a sequence is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(in crate::step) struct Sequence {
    last: i64,
    called: bool,
    increment: i64,
    cache: i64,
    cycles: bool,
}

impl Sequence {
    /// The last value that was handed out, or one step before the first.
    fn handed_out(&self) -> i128 {
        i128::from(self.last) - if self.called { 0 } else { i128::from(self.increment) }
    }
}

/// Rows and their digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::step) struct Rows {
    pub(in crate::step) rows: u64,
    digest: String,
}

/// What a database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::step) struct Description {
    /// The point of the WAL that it is of, where it is of one.
    pub(in crate::step) lsn: Option<String>,
    pub(in crate::step) name: String,
    pub(in crate::step) encoding: String,
    collate: String,
    pub(in crate::step) bytes: u64,
    pub(in crate::step) server: String,
    pub(in crate::step) tables: BTreeMap<String, Rows>,
    pub(in crate::step) large_objects: Rows,
    sequences_before: BTreeMap<String, Sequence>,
    sequences: BTreeMap<String, Sequence>,
    pub(in crate::step) excluded: BTreeMap<String, String>,
    pub(in crate::step) needs: BTreeSet<Need>,
}

/// How a copy was made, which decides how far ahead a sequence may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::step) enum Copy {
    /// Restored and replayed: WAL runs ahead of what a sequence handed out.
    Physical,
    /// Dumped and restored.
    Logical,
}

/// What comparing two descriptions found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::step) struct Comparison {
    pub(in crate::step) tables: usize,
    pub(in crate::step) rows: u64,
    pub(in crate::step) sequences: usize,
    /// Sequences that begin again at their end, so that none of their values is behind another.
    pub(in crate::step) cycling: usize,
    /// How far the furthest sequence is ahead of what was handed out.
    pub(in crate::step) ahead: i128,
    /// One sentence for each difference.
    pub(in crate::step) differences: Vec<String>,
}

impl Description {
    /// Reads what the scripts printed.
    pub(in crate::step) fn parse(text: &str) -> Result<Self> {
        let odd =
            |why: String| Error::new(codes::PROVE_FAILED, format!("cannot understand the digests: {why}"));
        let mut all = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let line: Line = serde_json::from_str(line).map_err(|e| odd(format!("{e} in {line:.80}")))?;
            match line {
                Line::Point { lsn } => all.lsn = Some(lsn),
                Line::Database { name, encoding, collate, bytes, server } => {
                    if !all.name.is_empty() {
                        return Err(odd(format!(
                            "they are of the databases {} and {name} at once",
                            all.name
                        )));
                    }
                    all.name = name;
                    all.encoding = encoding;
                    all.collate = collate;
                    all.bytes = bytes;
                    all.server = server;
                }
                Line::Table { name, rows, digest } => {
                    // Two descriptions in one, or a name that was not read right: what is left says too little.
                    if all.tables.insert(name.clone(), Rows { rows, digest }).is_some() {
                        return Err(odd(format!("the table {name} is there twice")));
                    }
                }
                Line::LargeObjects { rows, digest } => all.large_objects = Rows { rows, digest },
                Line::SequenceBefore(line) => drop(all.sequences_before.insert(line.name, line.sequence)),
                Line::Sequence(line) => drop(all.sequences.insert(line.name, line.sequence)),
                Line::Excluded { name, why } => drop(all.excluded.insert(name, why)),
                Line::Needs(need) => drop(all.needs.insert(need)),
            }
        }
        // Every database has this line, however empty it is; without it something was cut off.
        if all.name.is_empty() || all.large_objects.digest.is_empty() {
            return Err(odd("the database's own line, or that of large objects, is missing".to_owned()));
        }
        Ok(all)
    }

    /// The rows of all tables.
    pub(in crate::step) fn rows(&self) -> u64 {
        self.tables.values().map(|table| table.rows).sum()
    }

    /// What was compared of it, and what was not, as one sentence.
    pub(in crate::step) fn sentence(&self, found: &Comparison) -> String {
        let mut text = format!(
            "database {}: {} tables with {} rows equal in count and content; {} large objects equal",
            self.name, found.tables, found.rows, self.large_objects.rows
        );
        match (found.sequences, found.ahead) {
            (0, _) => {}
            (n, 0) => text.push_str(&format!("; {n} sequences, none behind or ahead")),
            (n, ahead) if ahead > 0 => {
                text.push_str(&format!(
                    "; {n} sequences, none behind, at most {ahead} ahead, as WAL is written"
                ));
            }
            (n, _) => {
                text.push_str(&format!("; {n} sequences, none behind what was handed out before the point"))
            }
        }
        if found.cycling > 0 {
            text.push_str(&format!("; not compared: {} × a sequence that cycles", found.cycling));
        }
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for why in self.excluded.values() {
            *reasons.entry(why).or_default() += 1;
        }
        for (why, number) in reasons {
            text.push_str(&format!("; not compared: {number} × {why}"));
        }
        text
    }

    /// Compares a copy with this, which it was made from.
    pub(in crate::step) fn compare(&self, copy: &Self, made: Copy) -> Comparison {
        let mut found = Comparison { tables: self.tables.len(), rows: self.rows(), ..Comparison::default() };
        let mut differ = |text: String| found.differences.push(text);
        for (what, a, b) in [("name", &self.name, &copy.name), ("encoding", &self.encoding, &copy.encoding)] {
            if a != b {
                differ(format!("the {what} of the database is {b} instead of {a}"));
            }
        }
        for (name, table) in &self.tables {
            match copy.tables.get(name) {
                None => differ(format!("table {name} is missing; it has {} rows", table.rows)),
                Some(other) if other.rows != table.rows => {
                    differ(format!("table {name} has {} rows instead of {}", other.rows, table.rows));
                }
                Some(other) if other != table => {
                    differ(format!(
                        "table {name} has the right number of rows ({}), with other content",
                        table.rows
                    ));
                }
                Some(_) => {}
            }
        }
        for name in copy.tables.keys().filter(|name| !self.tables.contains_key(*name)) {
            differ(format!("table {name} should not be there"));
        }
        if self.large_objects != copy.large_objects {
            let (is, should) = (copy.large_objects.rows, self.large_objects.rows);
            differ(format!("large objects differ: {is} of them instead of {should}, or with other content"));
        }
        found.cycling = self.sequences.values().filter(|sequence| sequence.cycles).count();
        let mut differ = |text: String| found.differences.push(text);
        let mut ahead = i128::MIN;
        for (name, after) in self.sequences.iter().filter(|(_, sequence)| !sequence.cycles) {
            // Made between the two readings: nothing was handed out before.
            let before = self.sequences_before.get(name).map_or(i128::MIN, Sequence::handed_out);
            let Some(is) = copy.sequences.get(name) else {
                if self.sequences_before.contains_key(name) {
                    differ(format!("sequence {name} is missing"));
                }
                continue;
            };
            found.sequences += 1;
            let direction = i128::from(after.increment.signum());
            let slack = match made {
                Copy::Physical => {
                    (LOGGED_AHEAD + i128::from(after.cache)) * i128::from(after.increment.unsigned_abs())
                }
                Copy::Logical => 0,
            };
            let (is, most) = (is.handed_out() * direction, after.handed_out() * direction);
            if before != i128::MIN && is < before * direction {
                differ(format!("sequence {name} is behind: it would hand out values a second time"));
            } else if is > most + slack {
                differ(format!("sequence {name} is ahead by {}, more than WAL explains", is - most));
            }
            ahead = ahead.max(is - most);
        }
        found.ahead = if found.sequences == 0 { 0 } else { ahead };
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{Copy, Description, Need};

    const CELL: &str = r#"{"kind" : "sequence_before", "name" : "app.s", "last" : 90, "called" : true, "increment" : 1, "cache" : 1, "cycles" : false}
{"kind" : "point", "lsn" : "0/B4B4060"}
{"kind" : "database", "name" : "cell", "encoding" : "UTF8", "collate" : "C.UTF-8", "bytes" : 40842931, "server" : "17.6"}
{"kind" : "table", "name" : "app.tenants", "rows" : 20000, "digest" : "26"}
{"kind" : "table", "name" : "app.\"B c\"", "rows" : 3, "digest" : "27"}
{"kind" : "large_objects", "rows" : 1, "digest" : "fa"}
{"kind" : "excluded", "name" : "app.scratch", "why" : "an unlogged table, which no WAL restores"}
{"kind" : "sequence", "name" : "app.s", "last" : 100, "called" : true, "increment" : 1, "cache" : 1, "cycles" : false}
"#;

    fn cell() -> Description {
        Description::parse(CELL).unwrap()
    }

    fn differences(copy: &str) -> Vec<String> {
        cell().compare(&Description::parse(copy).unwrap(), Copy::Physical).differences
    }

    #[test]
    fn a_copy_is_equal_to_itself() {
        let comparison = cell().compare(&cell(), Copy::Physical);
        assert_eq!((comparison.tables, comparison.rows, comparison.sequences), (2, 20_003, 1));
        assert_eq!(comparison.differences, Vec::<String>::new());
        assert_eq!(cell().lsn.as_deref(), Some("0/B4B4060"));
    }

    #[test]
    fn every_difference_is_named() {
        assert_eq!(
            differences(&CELL.replace("20000", "19999")),
            ["table app.tenants has 19999 rows instead of 20000"]
        );
        assert_eq!(differences(&CELL.replace("\"26\"", "\"2\"")).len(), 1);
        assert_eq!(differences(&CELL.replace("app.tenants", "app.other")).len(), 2);
        assert_eq!(differences(&CELL.replace("\"fa\"", "\"fb\"")).len(), 1);
        assert_eq!(differences(&CELL.replace("\"cell\"", "\"other\"")).len(), 1);
    }

    #[test]
    fn a_sequence_may_run_ahead_as_far_as_wal_does_and_never_be_behind() {
        let at = |last: i64| CELL.replace("\"last\" : 100", &format!("\"last\" : {last}"));
        for fine in [90, 100, 133] {
            assert!(differences(&at(fine)).is_empty(), "{fine}");
        }
        assert!(differences(&at(89))[0].contains("a second time"));
        assert!(differences(&at(134))[0].contains("more than WAL explains"));
        let logical = cell().compare(&Description::parse(&at(101)).unwrap(), Copy::Logical);
        assert_eq!(logical.differences.len(), 1);
    }

    #[test]
    fn a_table_that_is_there_twice_is_refused() {
        let table = CELL.lines().find(|line| line.contains("app.tenants")).unwrap();
        let twice = format!("{CELL}{table}\n");
        assert!(Description::parse(&twice).unwrap_err().to_string().contains("app.tenants is there twice"));
        assert!(Description::parse(&format!("{CELL}{CELL}")).is_err());
    }

    #[test]
    fn a_sequence_that_cycles_is_not_compared_and_that_is_said() {
        let cycles = CELL.replace("\"cycles\" : false", "\"cycles\" : true");
        let held = Description::parse(&cycles).unwrap();
        let behind = Description::parse(&cycles.replace("\"last\" : 100", "\"last\" : 1")).unwrap();
        let found = held.compare(&behind, Copy::Physical);
        assert_eq!((found.sequences, found.cycling, found.differences.len()), (0, 1, 0));
        assert!(held.sentence(&found).contains("not compared: 1 × a sequence that cycles"));
        assert!(!cell().sentence(&cell().compare(&cell(), Copy::Physical)).contains("cycles"));
    }

    #[test]
    fn what_a_database_needs_is_read_and_told() {
        let needs = r#"{"kind" : "needs", "what" : "extension", "name" : "postgis"}"#;
        let held = Description::parse(&format!("{CELL}{needs}\n")).unwrap();
        assert_eq!(held.needs.first(), Some(&Need::Extension("postgis".into())));
        assert_eq!(Need::parse(needs), held.needs.first().cloned());
        assert_eq!(Need::parse("psql: error"), None);
        let from = [("postgis".to_owned(), "postgresql-17-postgis-3".to_owned())].into();
        assert!(held.needs.first().unwrap().install(&from).contains("postgresql-17-postgis-3"));
    }

    #[test]
    fn what_was_cut_off_is_no_description() {
        let cut: String = CELL.lines().take(3).collect::<Vec<_>>().join("\n");
        assert!(Description::parse(&cut).is_err());
        assert!(Description::parse("").is_err());
        assert!(Description::parse("psql: error").is_err());
    }
}
