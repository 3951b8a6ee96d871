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
    let object =
        || said.lines().find_map(|line| line.split_once(": ").map(|(object, _)| object)).unwrap_or("a dump");
    if said.contains("no identity matched any of the recipients") {
        let what = format!(
            "the age identity of the workspace does not open {}: it is not one of its recipients",
            object()
        );
        return Some((codes::PROVE_IDENTITY, what));
    }
    if said.contains("failed to decrypt and authenticate payload") || said.contains("failed to read header") {
        return Some((
            codes::PROVE_DAMAGED,
            format!("{} is damaged: age cannot authenticate what it holds", object()),
        ));
    }
    if let Some(missing) = between(said, "unable to open missing file '", "'") {
        return Some((codes::PROVE_DAMAGED, format!("the repository lacks the object {missing}")));
    }
    if said.contains("unable to load info file") || said.contains("CryptoError") {
        let what = "the repository cannot be decrypted with the pass phrase in [pgbackrest] cipher_pass";
        return Some((codes::PROVE_PASS, what.to_owned()));
    }
    if said.contains("the throwaway did not reach the point") {
        let mut missing = said.lines().filter_map(|line| between(line, "unable to find ", " in the archive"));
        if let Some(segment) = missing.rfind(|name| !name.ends_with(".history")) {
            let what = format!(
                "the WAL segment {segment} is missing in the archive, so nothing after it can be restored"
            );
            return Some((codes::PROVE_WAL_MISSING, what));
        }
        let last = said.lines().rev().find_map(|line| between(line, "restored log file \"", "\""));
        if let (Some(last), true) = (last, said.contains("recovery ended before configured recovery target"))
        {
            let what = format!("the WAL segment {last} of the archive is damaged: replay ends within it");
            return Some((codes::PROVE_DAMAGED, what));
        }
    }
    if let Some(object) = said.lines().find_map(|line| line.strip_prefix("invalid object ")) {
        let what =
            format!("the object {} of the repository is damaged: it is not what was written", object.trim());
        return Some((codes::PROVE_DAMAGED, what));
    }
    let damage = ["zst error", "lz4 error", "bad decrypt", "checksum", "corruption detected"];
    let line = said.lines().find(|line| damage.iter().any(|word| line.contains(word)))?;
    Some((codes::PROVE_DAMAGED, format!("the repository is damaged: {}", line.trim())))
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

        // The very first segment: there recovery does not even begin.
        let (code, _) = named(
            "INFO: unable to find 000000010000000000000007 in the archive\n x FATAL:  could not locate required checkpoint \
             record at 0/703D7F0\nthe throwaway did not reach the point",
        );
        assert_eq!(code, codes::PROVE_WAL_MISSING);

        let (code, _) = named("ERROR: [055]: unable to load info file '/pgbackrest/backup/main/backup.info'");
        assert_eq!(code, codes::PROVE_PASS);

        let (code, what) = named(
            "pgBackRest could not restore: P00 ERROR: [029]: zst error: [-20] Data corruption detected",
        );
        assert_eq!(code, codes::PROVE_DAMAGED);
        assert!(what.contains("zst error"));
        let (_, what) =
            named("invalid object 1F/pg_data/base/1/2.zst\npgBackRest could not restore: checksum");
        assert!(what.contains("1F/pg_data/base/1/2.zst of the repository"), "{what}");
        assert_eq!(recognise("something else"), None);
    }
}
