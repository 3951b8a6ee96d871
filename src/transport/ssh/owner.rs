//! The owner file of a host: whose it is, and up to which record of which journal it has been changed.

use crate::name::{FleetName, RunId};

/// What claims leave on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Whose it is.
    pub fleet: FleetName,
    /// The run that claimed last.
    pub run: RunId,
    /// Which machine's hold on the fleet.
    pub epoch: u32,
    /// The number of the journal's record behind the last claim.
    pub seq: u64,
}

impl Owner {
    /// Reads the file: four lines `fleet …`, `run …`, `epoch …`, `seq …`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        Some(Self {
            fleet: field("fleet")?.parse().ok()?,
            run: field("run")?.parse().ok()?,
            epoch: field("epoch")?.parse().ok()?,
            seq: field("seq")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Owner;

    #[test]
    fn an_owner_is_read_strictly() {
        let owner = Owner::parse("fleet cell0\nrun abc\nepoch 2\nseq 17\n").unwrap();
        assert_eq!((owner.fleet.as_str(), owner.epoch, owner.seq), ("cell0", 2, 17));
        assert_eq!(Owner::parse("fleet cell0\nrun abc\nseq 17\n"), None);
        assert_eq!(Owner::parse(""), None);
    }
}
