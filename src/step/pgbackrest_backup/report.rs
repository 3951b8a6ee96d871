//! What `pgbackrest verify --output=text --verbose` prints, which alone says whether the repository is sound.

/// A report, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    status: String,
    archives: Vec<Counted>,
    backups: Vec<Counted>,
}

/// An archive or a backup, and how much of it is sound.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    name: String,
    /// What pgBackRest calls a backup; nothing for an archive.
    status: String,
    checked: u64,
    valid: u64,
    /// Such as `checksum invalid: 1`.
    troubles: Vec<String>,
}

impl Counted {
    fn parse(line: &str) -> Self {
        let mut counted = Self::default();
        for part in line.split(", ") {
            let Some((key, value)) = part.split_once(": ") else { continue };
            match key {
                "archiveId" | "backup" => value.clone_into(&mut counted.name),
                "status" => value.clone_into(&mut counted.status),
                "total WAL checked" | "total files checked" => counted.checked = value.parse().unwrap_or(0),
                "total valid WAL" | "total valid files" => counted.valid = value.parse().unwrap_or(0),
                _other => {}
            }
        }
        counted
    }

    fn said(&self) -> String {
        let mut said = format!("{} of {} are valid", self.valid, self.checked);
        for trouble in &self.troubles {
            said.push_str(", ");
            said.push_str(trouble);
        }
        said
    }
}

impl Report {
    pub(super) fn parse(text: &str) -> Self {
        let mut report = Self::default();
        let mut last_is_backup = None;
        for line in text.lines().map(str::trim) {
            if let Some(status) = line.strip_prefix("status: ") {
                status.clone_into(&mut report.status);
            } else if line.starts_with("archiveId: ") {
                report.archives.push(Counted::parse(line));
                last_is_backup = Some(false);
            } else if line.starts_with("backup: ") {
                report.backups.push(Counted::parse(line));
                last_is_backup = Some(true);
            } else {
                let current = match last_is_backup {
                    Some(true) => report.backups.last_mut(),
                    Some(false) => report.archives.last_mut(),
                    None => None,
                };
                let bad = |part: &&str| {
                    part.rsplit_once(": ").is_some_and(|(_, n)| n.parse::<u64>().is_ok_and(|n| n > 0))
                };
                if let Some(current) = current {
                    current.troubles.extend(line.split(", ").filter(bad).map(str::to_owned));
                }
            }
        }
        report
    }

    /// The sentence that says how the backup was found sound.
    ///
    /// # Errors
    /// The sentence that says what is wrong.
    pub(super) fn vouches_for(&self, label: &str) -> Result<String, String> {
        let Some(backup) = self.backups.iter().find(|b| b.name == label) else {
            return Err(format!("pgbackrest verify said nothing of the backup {label}"));
        };
        if backup.status != "valid"
            || backup.checked == 0
            || backup.valid != backup.checked
            || !backup.troubles.is_empty()
        {
            return Err(format!(
                "the backup {label} is {} in the repository: of its files, {}",
                backup.status,
                backup.said()
            ));
        }
        if let Some(archive) = self.archives.iter().find(|a| a.valid != a.checked || !a.troubles.is_empty()) {
            return Err(format!(
                "the WAL archive {} is damaged: of its segments, {}",
                archive.name,
                archive.said()
            ));
        }
        if self.status != "ok" {
            return Err(format!("pgbackrest verify says {:?}", self.status));
        }
        let wal: u64 = self.archives.iter().map(|a| a.checked).sum();
        Ok(format!(
            "read back from the bucket: {} files and {wal} WAL segments, all with the right checksums",
            backup.checked
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    // Three outputs of pgBackRest 2.55.1; each ended with status 0.
    const SOUND: &str = "stanza: main\nstatus: ok\n  archiveId: 17-1, total WAL checked: 2, total valid WAL: 2\n    \
        missing: 0, checksum invalid: 0, size invalid: 0, other: 0\n  backup: 20261121-091513F, status: valid, \
        total files checked: 963, total valid files: 963\n    missing: 0, checksum invalid: 0, size invalid: 0, other: 0\n";
    const DAMAGED: &str = "stanza: main\nstatus: error\n  archiveId: 17-1, total WAL checked: 1, total valid WAL: 1\n    \
        missing: 0, checksum invalid: 0, size invalid: 0, other: 0\n  backup: 20261121-091513F, status: invalid, \
        total files checked: 963, total valid files: 962\n    missing: 0, checksum invalid: 1, size invalid: 0, other: 0\n";
    const SHORT: &str = "stanza: main\nstatus: error\n  backup: 20261121-091513F, status: invalid, total files checked: 963, \
        total valid files: 962\n    checksum invalid: 1\n";

    #[test]
    fn a_sound_backup_is_vouched_for() {
        let said = Report::parse(SOUND).vouches_for("20261121-091513F").unwrap();
        assert_eq!(
            said,
            "read back from the bucket: 963 files and 2 WAL segments, all with the right checksums"
        );
    }

    #[test]
    fn damage_is_named_although_pgbackrest_ends_well() {
        for text in [DAMAGED, SHORT] {
            let said = Report::parse(text).vouches_for("20261121-091513F").unwrap_err();
            assert!(said.contains("962 of 963 are valid, checksum invalid: 1"), "{said}");
        }
        let wal = SOUND.replace("total valid WAL: 2", "total valid WAL: 1");
        assert!(Report::parse(&wal).vouches_for("20261121-091513F").unwrap_err().contains("17-1"));
        let status = SOUND.replace("status: ok", "status: error");
        assert!(Report::parse(&status).vouches_for("20261121-091513F").is_err());
    }

    #[test]
    fn silence_is_no_voucher() {
        for text in [
            "",
            "stanza: main\nstatus: ok\n",
            "no backups",
            "status: ok\n  backup: 20261121-091513F, status: valid",
        ] {
            assert!(Report::parse(text).vouches_for("20261121-091513F").is_err(), "{text}");
        }
        assert!(Report::parse(SOUND).vouches_for("20261122-000000F").is_err());
    }
}
