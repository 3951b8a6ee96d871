//! The doctor on PostgreSQL: the cluster is there and new enough, answers, has room, and archives.

use jiff::Timestamp;

use super::{Found, Verdict, examine_disk};
use crate::access::{HostView, PgAccess};
use crate::backups::Archiving;
use crate::render::status;
use crate::step::postgres_unit;
use crate::workspace::{PostgresConfig, Workspace};

/// What is found on a host that has the role of the database.
pub(super) async fn examine(host: &HostView<'_>, workspace: &Workspace, now: Timestamp) -> Vec<Found> {
    let Some(config) = workspace.postgres.as_ref().filter(|config| host.host().roles.contains(&config.role))
    else {
        return Vec::new();
    };
    let what = format!("{} PostgreSQL", host.name());
    let (version, cluster) = (&config.version, &config.cluster);
    let clusters = match host.postgres_clusters().await {
        Ok(clusters) => clusters,
        Err(error) => return vec![Found::fail(what, &error)],
    };
    let Some(found) = clusters.iter().find(|c| c.version == *version && c.name == *cluster) else {
        let there: Vec<_> = clusters.iter().map(|c| format!("{}/{}", c.version, c.name)).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        let text = format!("there is no cluster {version}/{cluster}; there: {there}");
        let lowest = PostgresConfig::LOWEST;
        return vec![
            Found::new(what, Verdict::Fail, text)
                .next(format!("see [postgres] in hactl.toml; hactl needs PostgreSQL {lowest} or newer")),
        ];
    };
    if !found.status.starts_with("online") {
        let text = format!("cluster {version}/{cluster} is {}", found.status);
        let next = format!("sudo systemctl start {}    (on {})", postgres_unit(config), host.name());
        return vec![Found::new(what, Verdict::Fail, text).next(next)];
    }
    let mut all = Vec::new();
    let pg = match host.postgres_now("postgres").await {
        Ok(PgAccess::Ready(pg)) => pg,
        Ok(PgAccess::NotYet(_)) => {
            let text = format!(
                "cluster {version}/{cluster} is online; the role that reads it is made by the runbook"
            );
            return vec![Found::ok(what, text), wal_disk(host, &found.data_dir).await];
        }
        Ok(PgAccess::Moving(said)) => {
            let text = format!("cluster {version}/{cluster} lets nobody in yet: {said}");
            let next = "hactl doctor    (again, when it is up)";
            return vec![Found::new(what, Verdict::Fail, text).next(next)];
        }
        Ok(PgAccess::NoServer(said)) => {
            let text = format!("cluster {version}/{cluster} does not answer: {said}");
            let next = "see socket_dir and port of [postgres] in hactl.toml";
            return vec![Found::new(what, Verdict::Fail, text).next(next)];
        }
        Err(error) => return vec![Found::fail(what, &error)],
    };
    const VERSION: &str = "select split_part(current_setting('server_version'), ' ', 1)";
    match pg.query_one(VERSION, &[]).await {
        Ok(row) => {
            let exact: String = row.get(0);
            all.push(Found::ok(
                what,
                format!("cluster {version}/{cluster} answers queries, PostgreSQL {exact}"),
            ));
        }
        Err(error) => all.push(Found::fail(what, &error)),
    }
    all.push(wal_disk(host, &found.data_dir).await);
    all.extend(archiving(host, now).await);
    all
}

async fn wal_disk(host: &HostView<'_>, data: &str) -> Found {
    examine_disk(host, "disk for WAL", &format!("{data}/pg_wal")).await
}

/// How archiving does, where it is switched on: before that, a runbook has to do it.
async fn archiving(host: &HostView<'_>, now: Timestamp) -> Option<Found> {
    let what = format!("{} archiving", host.name());
    let archiving = match Archiving::of(host).await {
        Ok(archiving) if archiving.mode == "off" => return None,
        Ok(archiving) => archiving,
        Err(error) => return Some(Found::fail(what, &error)),
    };
    let seen = status::seen_of_archiving(&archiving, now);
    Some(match status::trouble_with_archiving(&archiving, now) {
        None => Found::ok(what, seen),
        Some(trouble) => Found::new(what, Verdict::Fail, format!("{trouble}: {seen}")).next(format!(
            "sudo tail --lines=30 /var/log/postgresql/*.log    (on {}: what archiving says)",
            host.name()
        )),
    })
}
