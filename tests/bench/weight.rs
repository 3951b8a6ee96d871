//! How large the program is, and which crates weigh most in it, by the symbols of its code.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::table::Table;

/// How many crates are named.
const NAMED: usize = 8;

pub(crate) fn measure(table: &mut Table) {
    if !table.wants("weight") {
        return;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_hactl"));
    let folder = tempfile::tempdir().unwrap();
    let stripped = folder.path().join("hactl");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(program).status();
    if !strip.is_ok_and(|status| status.success()) {
        table.note("weight: not measured, for there is no strip and nm (binutils)");
        return;
    }
    let bytes = std::fs::metadata(&stripped).unwrap().len();
    let symbols = Command::new("nm").args(["-S", "--defined-only"]).arg(program).output().unwrap();
    let crates = code(&String::from_utf8_lossy(&symbols.stdout));
    let all: u64 = crates.values().sum();
    table.note(format!("weight: {:.1} MB stripped, of it {:.1} MB of code", mega(bytes), mega(all)));
    let mut heaviest: Vec<_> = crates.into_iter().collect();
    heaviest.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let named: Vec<_> = heaviest
        .iter()
        .take(NAMED)
        .map(|(name, bytes)| format!("{name} {:.1} MB ({} %)", mega(*bytes), bytes * 100 / all.max(1)))
        .collect();
    table.note(format!("weight of crates: {}", named.join(", ")));
}

fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Bytes of code by the crate in which it was written: what is generic counts where it was defined.
fn code(symbols: &str) -> BTreeMap<String, u64> {
    let mut crates = BTreeMap::new();
    for line in symbols.lines() {
        let mut words = line.split_whitespace();
        let (Some(_), Some(size), Some("t" | "T" | "w" | "W"), Some(name)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let size = u64::from_str_radix(size, 16).unwrap_or(0);
        *crates.entry(crate_of(name).unwrap_or("(no crate)").to_owned()).or_insert(0) += size;
    }
    crates
}

/// The crate that a mangled name begins with: `_ZN4core…`, `_ZN69_$LT$hyper..body…`, `_RNvNtCs1a_4core…`.
fn crate_of(symbol: &str) -> Option<&str> {
    if symbol.starts_with("ring_core") {
        return Some("ring");
    }
    if let Some(rest) = symbol.strip_prefix("_ZN") {
        let path = sized(rest)?;
        let name = path.trim_start_matches('_');
        let name = name.strip_prefix("$LT$").unwrap_or(name);
        let name =
            name.trim_start_matches("$RF$").trim_start_matches("dyn$u20$").trim_start_matches("mut$u20$");
        return name.split(['.', '$', ' ']).find(|word| !word.is_empty());
    }
    let mut rest = symbol.strip_prefix("_R")?;
    loop {
        rest = rest.split_once('C')?.1;
        let unique =
            rest.strip_prefix('s').and_then(|more| more.split_once('_')).map_or(rest, |(_, name)| name);
        if let Some(name) = sized(unique).filter(|name| !name.is_empty()) {
            return Some(name);
        }
    }
}

/// What follows a number, as long as that says.
fn sized(text: &str) -> Option<&str> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (length, rest) = text.split_at(digits);
    rest.get(..length.parse().ok()?)
}
