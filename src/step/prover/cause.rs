//! Why a proof failed, named from what the programs on the prover said.
//!
//! Their words differ from version to version, so what is not recognised is passed on as it is, never guessed.

use crate::access::Finished;
use crate::diagnostic::{Code, Error, codes};
use crate::redact::sanitize_for_terminal;

/// The error that a part of the prover's script ended with.
pub(super) fn explain(part: &str, finished: &Finished) -> Error {
    let said = finished.stderr.text();
    match recognise(&said) {
        Some((code, what)) => Error::new(code, sanitize_for_terminal(&what)).host(&finished.host),
        None => {
            let tail: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let tail = tail.get(tail.len().saturating_sub(8)..).unwrap_or_default().join("; ");
            let what = format!(
                "{part} failed on the prover ({}): {}",
                finished.status,
                sanitize_for_terminal(&tail)
            );
            Error::new(codes::PROVE_FAILED, what).host(&finished.host)
        }
    }
}

fn recognise(said: &str) -> Option<(Code, String)> {
    let damaged = |what: String| Some((codes::PROVE_DAMAGED, what));
    // Both were seen by the script itself, which compares sums and asks pgBackRest to check the whole backup.
    if let Some(object) = said.lines().find_map(|line| line.strip_prefix("invalid object ")) {
        return damaged(format!("the object {} is damaged: it is not what was written", object.trim()));
    }
    if let Some(object) = said.lines().find_map(|line| line.strip_prefix("missing object ")) {
        return damaged(format!("the object {} is missing in the bucket", object.trim()));
    }
    let object =
        || said.lines().find_map(|line| line.split_once(": ").map(|(object, _)| object)).unwrap_or("a dump");
    // The object is what was written, or it would be named above: so it is the identity.
    if said.contains("no identity matched any of the recipients") {
        let what = format!(
            "the age identity of the workspace does not open {}: it is not one of its recipients",
            object()
        );
        return Some((codes::PROVE_IDENTITY, what));
    }
    if said.contains("failed to decrypt and authenticate payload") || said.contains("failed to read header") {
        return damaged(format!("{} is damaged: age cannot authenticate what it holds", object()));
    }
    if let Some(missing) = between(said, "unable to open missing file '", "'") {
        return damaged(format!("the object {missing} is missing in the bucket"));
    }
    // Whether the pass phrase is right was seen at the indexes, before anything else was asked of the repository.
    for index in ["unable to load backup manifest file '", "unable to load info file '"] {
        if let Some(file) = between(said, index, "'") {
            return damaged(format!("the object {file} is damaged: it cannot be read, nor can its copy"));
        }
    }
    if let Some(file) = between(said, "stop file exists for ", "\n") {
        let what = format!("pgBackRest was told to stop ({file}): pgbackrest start ends that");
        return Some((codes::PROVE_FAILED, what));
    }
    if said.contains("the throwaway did not reach the point")
        && let Some(cause) = wal(said)
    {
        return Some(cause);
    }
    // The pass phrase opened the indexes before anything else was asked, so it is right: what does not open is damaged.
    let damage = [
        "CryptoError",
        "zst error",
        "lz4 error",
        "gz error",
        "bz2 error",
        "bad decrypt",
        "checksum",
        "corruption detected",
    ];
    let line = said.lines().find(|line| damage.iter().any(|word| line.contains(word)))?;
    damaged(format!("the repository is damaged: {}", line.trim()))
}

/// Why recovery did not come to its point, by what fetching the WAL said.
fn wal(said: &str) -> Option<(Code, String)> {
    // Where the storage was not reached, nothing is known of what it holds.
    let away = ["HostConnectError", "ServiceError", "HTTP request failed", "unable to connect", "timeout"];
    if away.iter().any(|word| said.contains(word)) {
        return None;
    }
    let lines = || said.lines().rev();
    // What pgBackRest complains of is about the segment that it was asked for last.
    if let Some(segment) =
        lines().find_map(|line| between(line, "unable to get ", ":")).filter(|name| is_segment(name))
    {
        let what = format!("the WAL segment {segment} of the archive is damaged: it cannot be read");
        return Some((codes::PROVE_DAMAGED, what));
    }
    let missing = lines().filter_map(|line| between(line, "unable to find ", " in the archive"));
    if let Some(segment) = missing.into_iter().find(|name| is_segment(name)) {
        let what = format!(
            "the WAL segment {segment} is missing in the archive, so nothing after it can be restored"
        );
        return Some((codes::PROVE_WAL_MISSING, what));
    }
    let last = lines()
        .find_map(|line| between(line, "restored log file \"", "\""))
        .filter(|name| is_segment(name))?;
    let ends = [
        "recovery ended before configured recovery target",
        "could not locate a valid checkpoint record",
        "could not locate required checkpoint record",
    ];
    ends.iter().any(|word| said.contains(word)).then(|| {
        let what = format!("the WAL segment {last} of the archive is damaged: replay ends within it");
        (codes::PROVE_DAMAGED, what)
    })
}

/// Is it the name of a WAL segment, and not that of a timeline's history?
fn is_segment(name: &str) -> bool {
    name.len() == 24 && name.chars().all(|c| c.is_ascii_hexdigit())
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::recognise;
    use crate::diagnostic::{Code, codes};

    fn named(said: &str) -> (Code, String) {
        recognise(said).unwrap()
    }

    #[test]
    fn causes_are_named() {
        let (code, what) = named(
            "s3:b/dumps/x/5.dump.age: age: error: no identity matched any of the recipients\nage: report unexpected",
        );
        assert_eq!(code, codes::PROVE_IDENTITY);
        assert!(what.contains("does not open s3:b/dumps/x/5.dump.age"), "{what}");

        let (code, what) = named(
            "INFO: unable to find 00000002.history in the archive\n x LOG:  restored log file \"000000010000000000000008\" \
             from archive\nINFO: unable to find 000000010000000000000009 in the archive\n x FATAL:  recovery ended before \
             configured recovery target was reached\nthe throwaway did not reach the point",
        );
        assert_eq!(code, codes::PROVE_WAL_MISSING);
        assert!(what.contains("000000010000000000000009"), "{what}");

        let (code, what) = named(
            "INFO: unable to find 00000002.history in the archive\n x LOG:  restored log file \"000000010000000000000009\" \
             from archive\n x FATAL:  recovery ended before configured recovery target was reached\nthe throwaway did not reach the point",
        );
        assert_eq!(code, codes::PROVE_DAMAGED);
        assert!(what.contains("000000010000000000000009"), "{what}");

        // Where the storage did not answer, nothing is said of what it holds.
        let away = "P00 ERROR: [104]: unable to get 000000010000000000000009:\n[HostConnectError] unable to connect to \
             's3.lab:8443'\nFATAL: recovery ended before configured recovery target was reached\nthe throwaway did not reach the point";
        assert_eq!(recognise(away), None);

        // The very first segment: there recovery does not even begin.
        let (code, _) = named(
            "INFO: unable to find 000000010000000000000007 in the archive\n x FATAL:  could not locate required checkpoint \
             record at 0/703D7F0\nthe throwaway did not reach the point",
        );
        assert_eq!(code, codes::PROVE_WAL_MISSING);

        // Whether the pass phrase is right was seen before; here it is one object that does not open.
        let (code, _) =
            named("ERROR: [055]: unable to load info file '/pgbackrest/archive/main/archive.info'");
        assert_eq!(code, codes::PROVE_DAMAGED);
        let (code, _) =
            named("P00 ERROR: [095]: raised from local-1 shim protocol: [CryptoError] unable to flush");
        assert_eq!(code, codes::PROVE_DAMAGED);
        let (_, what) = named("missing object 1F/pg_data/base/1/2.zst\npgBackRest could not restore: x");
        assert!(what.contains("1F/pg_data/base/1/2.zst is missing"), "{what}");
        let (code, what) = named("ERROR: [062]: stop file exists for all stanzas\nmore");
        assert_eq!(code, codes::PROVE_FAILED);
        assert!(what.contains("pgbackrest start"), "{what}");
        // A damaged header of an age file makes age blame the identity; the object itself was looked at first.
        let (code, _) = named("invalid object s3:b/5.dump.age\nno identity matched any of the recipients");
        assert_eq!(code, codes::PROVE_DAMAGED);

        let (code, what) = named(
            "pgBackRest could not restore: P00 ERROR: [029]: zst error: [-20] Data corruption detected",
        );
        assert_eq!(code, codes::PROVE_DAMAGED);
        assert!(what.contains("zst error"));
        let (_, what) =
            named("invalid object 1F/pg_data/base/1/2.zst\npgBackRest could not restore: checksum");
        assert!(what.contains("the object 1F/pg_data/base/1/2.zst is damaged"), "{what}");
        assert_eq!(recognise("something else"), None);
    }
}
