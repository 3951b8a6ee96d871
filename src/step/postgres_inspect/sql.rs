//! The queries of an inspection. Each runs as a member of `pg_monitor`; those that end in JSON yield one text.

/// The instance as a whole, in one row. The command that archives may carry a secret, so only whether there is one is
/// asked here.
pub(super) const SERVER: &str = "select split_part(current_setting('server_version'), ' ', 1), \
    current_setting('server_version_num')::bigint / 10000, \
    current_setting('data_directory'), \
    current_setting('data_checksums') = 'on', \
    current_setting('wal_level'), \
    (select system_identifier::text from pg_control_system()), \
    array(select datname::text from pg_database where datallowconn and not datistemplate order by 1), \
    (select sum(pg_database_size(oid))::bigint from pg_database), \
    case when current_setting('archive_mode') = 'off' then 'off' \
      when coalesce((select reset_val from pg_settings where name = 'archive_command'), '') <> '' then 'on, by a command' \
      when current_setting('archive_library', true) <> '' then 'on, by the library ' || current_setting('archive_library', true) \
      else 'on, with nothing to archive by' end, \
    pg_is_in_recovery()";

/// The command that archives, also where it is not in force; shown without what looks like a secret.
pub(super) const ARCHIVE_COMMAND: &str =
    "select coalesce((select reset_val from pg_settings where name = 'archive_command'), '')";

/// One database from the inside. Of partitions each one is listed, of partitioned tables none: they hold no rows.
pub(super) const INSIDE: &str = "select json_build_object(\
    'tables', (select coalesce(json_agg(json_build_object('name', n.nspname || '.' || c.relname, \
        'rows', greatest(coalesce(s.n_live_tup, 0), c.reltuples::bigint, 0), \
        'bytes', pg_table_size(c.oid), 'unlogged', c.relpersistence = 'u') order by n.nspname, c.relname), '[]') \
      from pg_class c join pg_namespace n on n.oid = c.relnamespace \
        left join pg_stat_user_tables s on s.relid = c.oid \
      where c.relkind in ('r', 'm') and c.relpersistence <> 't' \
        and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'), \
    'sequences', (select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
      where c.relkind = 'S' and c.relpersistence <> 't' and n.nspname !~ '^pg_'), \
    'large_objects', (select count(*) from pg_largeobject_metadata), \
    'acting', array(select extname::text from pg_extension where extname in ('pg_cron', 'pg_net', 'http', 'dblink', \
      'postgres_fdw', 'timescaledb', 'pg_partman', 'pglogical', 'spock', 'citus', 'pg_background', 'pgagent', \
      'plpython3u', 'plperlu', 'pgmq', 'aws_s3') order by 1), \
    'foreign_servers', array(select 'foreign server ' || srvname from pg_foreign_server order by 1))::text";

/// Who is connected, without us.
pub(super) const CONNECTED: &str = "select coalesce(json_agg(c), '[]')::text from (\
    select coalesce(nullif(application_name, ''), '(no name)') as application, usename as \"user\", datname as database, \
      coalesce(host(client_addr), 'the local socket') as \"from\", count(*) as count \
    from pg_stat_activity where backend_type in ('client backend', 'walsender') and usename is distinct from current_user \
    group by 1, 2, 3, 4 order by count(*) desc, 1 limit 50) c";

/// Settings that somebody changed. Connection strings and commands can carry passwords; they are left out.
pub(super) const SETTINGS: &str = "select coalesce(json_agg(s), '[]')::text from (\
    select name, case when name ~ '(command|conninfo|passphrase|password)' then '(not shown)' else setting end as setting, \
      unit, source from pg_settings \
    where source in ('configuration file', 'command line', 'environment variable', 'global', 'database') order by name) s";

/// What the archiver counts.
pub(super) const ARCHIVER: &str = "select to_json(a)::text from pg_stat_archiver a";

/// Logical replication from elsewhere.
pub(super) const SUBSCRIPTIONS: &str =
    "select coalesce(json_agg(subname order by subname), '[]')::text from pg_subscription where subenabled";

/// What keeps WAL.
pub(super) const SLOTS: &str = "select coalesce(json_agg(s), '[]')::text from (\
    select slot_name as name, slot_type as type, active, restart_lsn::text from pg_replication_slots order by 1) s";

/// Data outside of the data folder.
pub(super) const TABLESPACES: &str = "select coalesce(json_agg(t), '[]')::text from (\
    select spcname as name, pg_tablespace_location(oid) as location from pg_tablespace \
    where pg_tablespace_location(oid) <> '' order by 1) t";
