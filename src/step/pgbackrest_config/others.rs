//! What else on the host tells pgBackRest what to do, so that nothing of somebody else is silently put out of force by
//! our file, and nothing of somebody else silently changes what ours says.
//!
//! Where pgBackRest looks, in this order: `/etc/pgbackrest/pgbackrest.conf`, and only without that `/etc/pgbackrest.conf`
//! (where Debian puts its own); to either it adds every `*.conf` of `/etc/pgbackrest/conf.d`. Variables of the
//! environment, `PGBACKREST_…`, go before all files; those of PostgreSQL's own processes stand in a file of Debian's.

use super::FOLDER;
use super::conf::WRITTEN_BY;
use crate::access::HostView;
use crate::diagnostic::Result;
use crate::workspace::PostgresConfig;

/// Read only where our file is not there.
const OLD: &str = "/etc/pgbackrest.conf";

/// What Debian's package says there, and means by it: nothing is set up yet.
const DEBIANS: &[&str] = &["[global]", "repo1-path=/var/lib/pgbackrest"];

/// One sentence for each thing that stands in the way of our configuration.
pub(in crate::step) async fn others(host: &HostView<'_>, instance: &PostgresConfig) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if let Some(seen) = host.file(OLD).await? {
        let text = String::from_utf8_lossy(&seen.bytes);
        let says = settings(&text);
        if !says.iter().all(|line| DEBIANS.contains(&line.as_str())) && !text.starts_with(WRITTEN_BY) {
            found.push(format!(
                "{OLD} sets pgBackRest up already ({}), and {FOLDER}/pgbackrest.conf would silently take its place: if \
                 nothing backs up by it any more, move it away: sudo mv {OLD} {OLD}.old",
                told(&says)
            ));
        }
    }
    let included = format!("{FOLDER}/conf.d");
    for entry in host.directory(&included).await?.unwrap_or_default() {
        let path = format!("{included}/{}", entry.name);
        if !entry.name.ends_with(".conf") {
            continue;
        }
        let Some(seen) = host.file(&path).await? else { continue };
        let says = settings(&String::from_utf8_lossy(&seen.bytes));
        if !says.is_empty() {
            found.push(format!(
                "pgBackRest adds {path} to every configuration ({}), and so to hactl's: if nobody needs it any more, move \
                 it away: sudo mv {path} {path}.old",
                told(&says)
            ));
        }
    }
    let environment = format!("/etc/postgresql/{}/{}/environment", instance.version, instance.cluster);
    if let Some(seen) = host.file(&environment).await? {
        let text = String::from_utf8_lossy(&seen.bytes);
        let names = variables(&text);
        if !names.is_empty() {
            found.push(format!(
                "{environment} sets {}, which goes before every configuration of pgBackRest: take it out there",
                names.join(", ")
            ));
        }
    }
    Ok(found)
}

/// The lines that say something, without the spaces that do not.
fn settings(text: &str) -> Vec<String> {
    let says = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let tight = |line: &str| match line.split_once('=') {
        Some((key, value)) => format!("{}={}", key.trim_end(), value.trim_start()),
        None => line.to_owned(),
    };
    text.lines().map(str::trim).filter(says).map(tight).collect()
}

/// Sections and names of settings: enough to recognise whose file it is, without the values, which may be secret.
fn told(says: &[String]) -> String {
    let mut names: Vec<&str> =
        says.iter().map(|line| line.split_once('=').map_or(line.as_str(), |(key, _)| key)).collect();
    names.dedup();
    let more = names.len().saturating_sub(8);
    names.truncate(8);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", names.join(" "))
}

/// The variables for pgBackRest that a file of Debian's for PostgreSQL's environment sets.
fn variables(text: &str) -> Vec<String> {
    let name = |line: &str| Some(line.split_once('=')?.0.trim().to_owned());
    settings(text).iter().filter_map(|line| name(line)).filter(|n| n.starts_with("PGBACKREST_")).collect()
}

#[cfg(test)]
mod tests {
    use super::{DEBIANS, settings, told, variables};

    #[test]
    fn what_debian_ships_says_nothing() {
        let shipped =
            "[global]\nrepo1-path = /var/lib/pgbackrest\n\n#[main]\n#pg1-path=/var/lib/postgresql/17/main\n";
        assert!(settings(shipped).iter().all(|line| DEBIANS.contains(&line.as_str())));
        let theirs = settings("[global]\nrepo1-path=/srv/backups\n");
        assert!(!theirs.iter().all(|line| DEBIANS.contains(&line.as_str())));
    }

    #[test]
    fn values_are_not_told() {
        let says =
            settings("[global]\nrepo1-s3-key-secret=hunter2\nrepo1-cipher-pass = x\n[demo]\npg1-path=/d\n");
        assert_eq!(told(&says), "[global] repo1-s3-key-secret repo1-cipher-pass [demo] pg1-path");
    }

    #[test]
    fn only_pgbackrests_variables_count() {
        assert_eq!(
            variables("# PGBACKREST_X = 1\nLANG = C\nPGBACKREST_REPO1_PATH = '/x'\n"),
            ["PGBACKREST_REPO1_PATH"]
        );
    }
}
