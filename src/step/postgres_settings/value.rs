//! Values of PostgreSQL's settings: how they are compared, written and read back.
//!
//! Pure: what is in force comes from `pg_settings`, what was asked for from `postgresql.auto.conf`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a setting that may be set here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Setting(String);

/// ALTER SYSTEM takes a quoted list as one element, so these would come out wrong.
const LISTS: &[&str] = &[
    "shared_preload_libraries",
    "session_preload_libraries",
    "local_preload_libraries",
    "search_path",
    "temp_tablespaces",
    "unix_socket_directories",
];

impl Setting {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Setting {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
        if !first
            || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.')
        {
            Err(format!("{name:?} is no name of a setting"))
        } else if LISTS.contains(&name.as_str()) {
            Err(format!("{name} is a list, which this kind does not set"))
        } else {
            Ok(Self(name))
        }
    }
}

impl From<Setting> for String {
    fn from(name: Setting) -> Self {
        name.0
    }
}

/// A row of `pg_settings`.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    pub(super) setting: String,
    pub(super) reset: String,
    pub(super) unit: String,
    pub(super) context: String,
    pub(super) vartype: String,
    pub(super) source: String,
    pub(super) pending: bool,
}

impl Live {
    /// The value in force. `archive_command` shows as "(disabled)" while archiving is off; what is set is in `reset_val`.
    pub(super) fn value(&self) -> &str {
        if self.vartype == "string" { &self.reset } else { &self.setting }
    }

    /// Is it read only at the start?
    pub(super) fn needs_restart(&self) -> bool {
        self.context == "postmaster"
    }

    fn shown(&self) -> String {
        match (self.value(), self.unit.as_str()) {
            ("", _) => "(empty)".to_owned(),
            (value, "") => value.to_owned(),
            (value, unit) => format!("{value} {unit}"),
        }
    }
}

/// How a setting stands to what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has the value; which.
    InForce(String),
    /// It was asked for, and comes with the next start.
    Waits,
    /// It has another value; which.
    Differs(String),
}

/// How one setting stands.
pub(super) fn standing(name: &str, wanted: &str, live: Option<&Live>, auto: Option<&str>) -> Standing {
    let Some(live) = live else { return Standing::Differs("not known".to_owned()) };
    if !live.pending && enough(name, wanted, live) {
        return Standing::InForce(live.shown());
    }
    let asked = auto.is_some_and(|auto| auto == wanted);
    if asked && live.pending && live.needs_restart() {
        Standing::Waits
    } else {
        Standing::Differs(live.shown())
    }
}

fn enough(name: &str, wanted: &str, live: &Live) -> bool {
    let level = |value: &str| ["minimal", "replica", "logical"].iter().position(|l| *l == value);
    match (name, level(wanted), level(live.value())) {
        ("wal_level", Some(wanted), Some(now)) => now >= wanted,
        (_, _, _) => same(wanted, live),
    }
}

fn same(wanted: &str, live: &Live) -> bool {
    match live.vartype.as_str() {
        "bool" => truth(wanted).is_some_and(|wanted| truth(live.value()) == Some(wanted)),
        "enum" => wanted.eq_ignore_ascii_case(live.value()),
        "integer" | "real" => match (amount(wanted, &live.unit), amount(live.value(), &live.unit)) {
            (Some(wanted), Some(now)) => (wanted - now).abs() < 1e-6,
            (None, _) | (_, None) => false,
        },
        _text => wanted == live.value(),
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _other => None,
    }
}

/// A number with PostgreSQL's units, in microseconds or bytes; one without takes `unit`.
fn amount(text: &str, unit: &str) -> Option<f64> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c))).unwrap_or(text.len());
    let number: f64 = text[..split].parse().ok()?;
    let own = text[split..].trim();
    Some(number * factor(if own.is_empty() { unit } else { own })?)
}

fn factor(unit: &str) -> Option<f64> {
    // Units of pg_settings can have a number of their own, such as 8kB.
    let split = unit.find(|c: char| !c.is_ascii_digit()).unwrap_or(unit.len());
    let count: f64 = if split == 0 { 1.0 } else { unit[..split].parse().ok()? };
    let base = match &unit[split..] {
        "" | "us" | "B" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "min" => 60e6,
        "h" => 3600e6,
        "d" => 86400e6,
        "kB" => 1024.0,
        "MB" => 1024.0 * 1024.0,
        "GB" => 1024.0 * 1024.0 * 1024.0,
        "TB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _other => return None,
    };
    Some(count * base)
}

/// The statement that sets a value, or takes it out of `postgresql.auto.conf`.
pub(super) fn alter(name: &str, value: Option<&str>) -> String {
    match value {
        // Outside of E'…' a backslash is itself; only the quote has to be doubled.
        Some(value) => format!("alter system set {name} = '{}';\n", value.replace('\'', "''")),
        None => format!("alter system reset {name};\n"),
    }
}

/// What `postgresql.auto.conf` says.
#[derive(Debug, Default)]
pub(super) struct Auto(BTreeMap<String, String>);

impl Auto {
    pub(super) fn parse(text: &str) -> Self {
        let setting = |line: &str| {
            let (name, value) = line.split_once('=')?;
            let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
            // Written with quotes and backslashes doubled.
            Some((name.trim().to_owned(), value.replace("''", "'").replace("\\\\", "\\")))
        };
        Self(text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(setting).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// `postgresql.auto.conf` with these settings as they were: their lines are taken out, and those that had a value are
/// put at the end.
pub(super) fn rewritten(text: &str, former: &BTreeMap<String, Option<String>>) -> String {
    let ours = |line: &&str| {
        let name = line.split(|c: char| c == '=' || c.is_whitespace()).next().unwrap_or_default();
        !line.starts_with('#') && former.contains_key(name)
    };
    let mut text: String = text.lines().filter(|line| !ours(line)).map(|line| format!("{line}\n")).collect();
    for (name, value) in former.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        let value = value.replace('\\', "\\\\").replace('\'', "''");
        text.push_str(&format!("{name} = '{value}'\n"));
    }
    text
}

/// A command for people: what looks like a secret in it is left out.
pub(in crate::step) fn without_secrets(command: &str) -> String {
    const WORDS: &[&str] = &["pass", "secret", "token", "key"];
    const MASK: &str = "(not shown)";
    let tells = |text: &str| WORDS.iter().any(|word| text.to_ascii_lowercase().contains(word));
    let mut next_is_secret = false;
    let mut mask = |word: &str| {
        let hidden = std::mem::take(&mut next_is_secret);
        if hidden {
            return MASK.to_owned();
        }
        if let Some((name, _)) = word.split_once('=').filter(|(name, _)| tells(name)) {
            return format!("{name}={MASK}");
        }
        if let Some((scheme, rest)) = word.split_once("://")
            && let Some((_, place)) = rest.rsplit_once('@')
        {
            return format!("{scheme}://{MASK}@{place}");
        }
        next_is_secret = word.starts_with('-') && tells(word);
        word.to_owned()
    };
    command.split(' ').map(&mut mask).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Auto, Live, Standing, alter, amount, rewritten, standing, without_secrets};

    #[test]
    fn the_file_is_put_back_as_postgresql_writes_it() {
        let text = "# Do not edit\nwal_level = 'logical'\nwork_mem = '8MB'\narchive_command = 'ours'\n";
        let former =
            [("wal_level".to_owned(), None), ("archive_command".to_owned(), Some("it's \\ %p".to_owned()))];
        let back = rewritten(text, &former.into());
        assert_eq!(back, "# Do not edit\nwork_mem = '8MB'\narchive_command = 'it''s \\\\ %p'\n");
        assert_eq!(Auto::parse(&back).get("archive_command"), Some("it's \\ %p"));
    }

    #[test]
    fn a_secret_in_a_command_is_not_shown() {
        assert_eq!(without_secrets("cp %p /srv/wal/%f"), "cp %p /srv/wal/%f");
        assert_eq!(
            without_secrets("PGPASSWORD=a send --secret-key b --to=x https://u:c@host/%f"),
            "PGPASSWORD=(not shown) send --secret-key (not shown) --to=x https://(not shown)@host/%f"
        );
    }

    fn live(setting: &str, vartype: &str, unit: &str, context: &str, pending: bool) -> Live {
        Live {
            setting: setting.into(),
            reset: setting.into(),
            unit: unit.into(),
            context: context.into(),
            vartype: vartype.into(),
            source: "default".into(),
            pending,
        }
    }

    #[test]
    fn a_setting_is_in_force_waits_or_differs() {
        let off = live("off", "enum", "", "postmaster", false);
        assert_eq!(standing("archive_mode", "on", Some(&off), None), Standing::Differs("off".into()));
        let waits = live("off", "enum", "", "postmaster", true);
        assert_eq!(standing("archive_mode", "on", Some(&waits), Some("on")), Standing::Waits);
        // Asked for and not read yet: the reload is missing.
        assert_eq!(standing("archive_mode", "on", Some(&off), Some("on")), Standing::Differs("off".into()));
        // In force now, and the next start would take it away.
        let leaves = live("on", "enum", "", "postmaster", true);
        assert_eq!(
            standing("archive_mode", "on", Some(&leaves), Some("off")),
            Standing::Differs("on".into())
        );
        let minute = live("60", "integer", "s", "sighup", false);
        assert_eq!(
            standing("archive_timeout", "1min", Some(&minute), None),
            Standing::InForce("60 s".into())
        );
        assert!(matches!(standing("nothing", "1", None, None), Standing::Differs(_)));
    }

    #[test]
    fn wal_level_is_never_lowered() {
        let logical = live("logical", "enum", "", "postmaster", false);
        assert!(matches!(standing("wal_level", "replica", Some(&logical), None), Standing::InForce(_)));
        let replica = live("replica", "enum", "", "postmaster", false);
        assert!(matches!(standing("wal_level", "logical", Some(&replica), None), Standing::Differs(_)));
    }

    #[test]
    fn a_command_that_is_set_shows_although_archiving_is_off() {
        let mut command = live("(disabled)", "string", "", "sighup", false);
        command.reset = "cp %p /x".into();
        assert_eq!(
            standing("archive_command", "cp %p /x", Some(&command), None),
            Standing::InForce("cp %p /x".into())
        );
        command.reset = String::new();
        assert_eq!(
            standing("archive_command", "x", Some(&command), None),
            Standing::Differs("(empty)".into())
        );
    }

    #[test]
    fn units_are_those_of_postgresql() {
        assert_eq!(amount("60", "s"), amount("1min", "s"));
        assert_eq!(amount("128", "8kB"), amount("1MB", "8kB"));
        assert_eq!(amount("0.5h", "min"), Some(1800e6));
        assert_eq!(amount("1 parsec", "s"), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(
            alter("archive_command", Some("echo 'a'")),
            "alter system set archive_command = 'echo ''a''';\n"
        );
        assert_eq!(alter("archive_command", None), "alter system reset archive_command;\n");
        let auto =
            Auto::parse("# Do not edit\narchive_command = 'echo ''a'' \\\\ %p'\nwal_level = 'logical'\n");
        assert_eq!(auto.get("archive_command"), Some("echo 'a' \\ %p"));
        assert_eq!((auto.get("wal_level"), auto.get("x")), (Some("logical"), None));
    }
}
