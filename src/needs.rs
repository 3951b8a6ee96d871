//! What a runbook, or a phase of it, needs of `hactl.toml`, by the kinds of its steps.

use crate::runbook::{Gate, Phase, Runbook};

/// The parts of `hactl.toml` that a runbook's steps look into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// `[s3]`.
    pub s3: bool,
    /// The key for restores in `[s3]`.
    pub restore_key: bool,
    /// A step makes the bucket.
    pub makes_bucket: bool,
    /// `[hcloud]`.
    pub hcloud: bool,
    /// `[postgres]`.
    pub postgres: bool,
    /// `[pgbackrest]`.
    pub pgbackrest: bool,
    /// `[age]`, to encrypt.
    pub age: bool,
    /// The identity in `[age]`, to decrypt.
    pub identity: bool,
    /// `[approvals]`.
    pub signers: bool,
}

/// Every kind, and what it looks into.
pub(crate) const KINDS: &[(&str, Needs)] = {
    const NONE: Needs = Needs {
        s3: false,
        restore_key: false,
        makes_bucket: false,
        hcloud: false,
        postgres: false,
        pgbackrest: false,
        age: false,
        identity: false,
        signers: false,
    };
    const HCLOUD: Needs = Needs { hcloud: true, ..NONE };
    const POSTGRES: Needs = Needs { postgres: true, ..NONE };
    const BACKREST: Needs = Needs { s3: true, postgres: true, pgbackrest: true, ..NONE };
    const DUMP: Needs = Needs { s3: true, postgres: true, age: true, ..NONE };
    &[
        ("apt_package", NONE),
        ("command", NONE),
        ("dump_now", DUMP),
        ("floating_ip_address", NONE),
        ("hcloud_apply_firewall", HCLOUD),
        ("hcloud_assign_floating_ip", HCLOUD),
        ("hcloud_attach", HCLOUD),
        ("hcloud_balancer_service", HCLOUD),
        ("hcloud_balancer_target", HCLOUD),
        ("hcloud_firewall", HCLOUD),
        ("hcloud_floating_ip", HCLOUD),
        ("hcloud_join_group", HCLOUD),
        ("hcloud_load_balancer", HCLOUD),
        ("hcloud_network", HCLOUD),
        ("hcloud_placement_group", HCLOUD),
        ("hcloud_power", HCLOUD),
        ("hcloud_protection", HCLOUD),
        ("hcloud_rotate_host_key", NONE),
        ("hcloud_server", Needs { age: true, identity: true, ..HCLOUD }),
        ("hcloud_ssh_key", HCLOUD),
        ("manual", NONE),
        ("nightly_dump", DUMP),
        ("nightly_timer", BACKREST),
        ("pgbackrest_backup", BACKREST),
        ("pgbackrest_config", BACKREST),
        ("pgbackrest_stanza", BACKREST),
        ("postgres_access", POSTGRES),
        ("postgres_inspect", POSTGRES),
        ("postgres_monitor", POSTGRES),
        ("postgres_restart", POSTGRES),
        ("postgres_settings", POSTGRES),
        ("postgres_wal_archive", BACKREST),
        ("prove_dump", Needs { restore_key: true, identity: true, ..DUMP }),
        ("prove_restore", Needs { restore_key: true, ..BACKREST }),
        ("reboot", NONE),
        ("s3_bucket", Needs { s3: true, makes_bucket: true, ..NONE }),
        ("s3_restore_credential", Needs { s3: true, restore_key: true, ..NONE }),
        ("secret", Needs { age: true, ..NONE }),
        ("see_clocks", NONE),
        ("see_firewall", NONE),
        ("see_floating_ip", NONE),
        ("see_private_network", NONE),
        ("see_spread", HCLOUD),
    ]
};

/// References in a runbook's text, and what they look into.
const REFERENCES: &[(&str, Needs)] = {
    const NONE: Needs = KINDS[0].1;
    &[
        ("${s3.", Needs { s3: true, ..NONE }),
        ("${postgres.", Needs { postgres: true, ..NONE }),
        ("${age.", Needs { age: true, ..NONE }),
    ]
};

impl Needs {
    /// What this runbook needs.
    #[must_use]
    pub fn of(runbook: &Runbook) -> Self {
        let by_kind = runbook.steps().map(|(_, step)| Self::of_kind(&step.action.kind));
        let text = String::from_utf8_lossy(&runbook.bytes);
        let by_reference =
            REFERENCES.iter().filter(|(named, _)| text.contains(named)).map(|(_, needs)| *needs);
        let signs = runbook.steps().any(|(_, step)| step.gate == Gate::Sign);
        by_kind.chain(by_reference).fold(Self { signers: signs, ..Self::default() }, Self::and)
    }

    /// What the steps of one phase look into. What references name is missed when the files are loaded.
    #[must_use]
    pub fn of_phase(phase: &Phase) -> Self {
        let signs = phase.steps.iter().any(|step| step.gate == Gate::Sign);
        let by_kind = phase.steps.iter().map(|step| Self::of_kind(&step.action.kind));
        by_kind.fold(Self { signers: signs, ..Self::default() }, Self::and)
    }

    /// What steps of this kind need.
    #[must_use]
    pub fn of_kind(kind: &str) -> Self {
        KINDS.iter().find(|(named, _)| *named == kind).map(|(_, needs)| *needs).unwrap_or_default()
    }

    fn and(self, more: Self) -> Self {
        Self {
            s3: self.s3 || more.s3,
            restore_key: self.restore_key || more.restore_key,
            makes_bucket: self.makes_bucket || more.makes_bucket,
            hcloud: self.hcloud || more.hcloud,
            postgres: self.postgres || more.postgres,
            pgbackrest: self.pgbackrest || more.pgbackrest,
            age: self.age || more.age,
            identity: self.identity || more.identity,
            signers: self.signers || more.signers,
        }
    }
}
