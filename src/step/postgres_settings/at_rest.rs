//! Settings are taken back where the server does not run: ALTER SYSTEM cannot be asked for then, and a server that does
//! not start because of these very settings would never be.
//!
//! Invariant: `postgresql.auto.conf` is written only while systemd and Debian's tools both say that the server is at
//! rest, and only the lines of the step's own settings in it change.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::common::unit;
use super::super::kind::Failure;
use super::value;
use crate::access::{Command, FileMode, HostHands, HostView};
use crate::diagnostic::{Error, Result, codes};
use crate::workspace::PostgresConfig;

/// The data folder, where the server certainly does not run; nothing where it runs, or may.
pub(super) async fn data_of_a_server_at_rest(
    host: &HostView<'_>,
    instance: &PostgresConfig,
) -> Result<Option<String>> {
    let state = host.unit(&unit(instance)).await?.active_state;
    if !matches!(state.as_str(), "inactive" | "failed") {
        return Ok(None);
    }
    let clusters = host.postgres_clusters().await?;
    let ours = clusters.into_iter().find(|c| c.version == instance.version && c.name == instance.cluster);
    Ok(ours.filter(|cluster| cluster.status == "down").map(|cluster| cluster.data_dir))
}

/// Puts the former values into the file, and starts the server.
pub(super) async fn restore(
    host: &HostHands<'_>,
    instance: &PostgresConfig,
    data: &str,
    former: &BTreeMap<String, Option<String>>,
    within: Duration,
) -> Result<(), Failure> {
    let path = format!("{data}/postgresql.auto.conf");
    let seen = host.file(&path).await.map_err(Failure::NotStarted)?.ok_or_else(|| {
        Failure::NotStarted(
            Error::new(codes::POSTGRES_DOWN, format!("the server does not run, and there is no {path}"))
                .host(host.name())
                .state("nothing was changed")
                .next(format!("is this the data folder? sudo pg_lsclusters   (on {})", host.name())),
        )
    })?;
    let text = String::from_utf8_lossy(&seen.bytes).into_owned();
    let wanted = value::rewritten(&text, former);
    if wanted != text {
        let facts = &seen.facts;
        host.write_file(&path, wanted, &FileMode::new(&facts.owner, &facts.group, facts.mode)).await?;
    }
    let unit = unit(instance);
    let start = Command::new("systemctl").args(["start", "--", &unit]).within(within);
    let started = host.run(&start).await?;
    if started.succeeded() {
        return Ok(());
    }
    Err(Failure::Unclear(
        started
            .error(format!("cannot start {unit}"))
            .state(format!("{path} has the former settings again, and PostgreSQL does not run"))
            .next(format!("sudo tail -n 20 /var/log/postgresql/*.log   (on {})", host.name()))
            .next("mend what it complains of, then type the same rollback again, which starts it"),
    ))
}
