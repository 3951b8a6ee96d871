#!/bin/bash
# Describes a database exactly as it is at one point of the WAL, while others go on writing: a temporary logical slot
# exports a snapshot that holds every transaction committed before its consistent point and no other.
# Arguments: database, slot, socket folder, port, then digest.sql and sequences.sql themselves. Runs as postgres.
set -euo pipefail
database=$1 slot=$2 socket=$3 port=$4 digest=$5 sequences=$6
export PGHOST=$socket PGPORT=$port PGDATABASE=$database PGAPPNAME=hactl-at-point PGTZ=UTC PGCLIENTENCODING=UTF8
psql=(psql --no-psqlrc --quiet --no-align --tuples-only --no-password --set=ON_ERROR_STOP=1 --set=copy=physical)
# A session of its own, with nothing of ours but its statement.
apart=(env PGAPPNAME=hactl-at-point-apart "${psql[@]}" --dbname=postgres)

# Ends the sessions of ours that a killed attempt left, and with them its slot.
clear_away() {
  local left
  for _ in $(seq 100); do
    left=$("${apart[@]}" --set=slot="$slot" --file=- <<'SQL'
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'hactl-at-point' AND usename = current_user
UNION ALL
SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = :'slot' AND active_pid IS NOT NULL;
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = :'slot' AND active_pid IS NULL;
SQL
    )
    [ -n "$left" ] || return 0
    sleep 0.1
  done
  echo "the slot $slot, or a session of an earlier attempt, does not end" >&2
  return 75
}

ended() {
  [ -z "${pid:-}" ] || kill "$pid" 2>/dev/null || :
  clear_away || :
}
trap ended EXIT
clear_away

# Only the limits that this version has can be lifted.
PGOPTIONS=$("${apart[@]}" --command="SELECT string_agg('-c ' || name || '=0', ' ') FROM pg_settings WHERE name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'statement_timeout')")
export PGOPTIONS

# The slot keeps WAL from being recycled; a full disk would stop the server.
read -r needed data < <("${apart[@]}" --field-separator=' ' --command="SELECT pg_size_bytes(current_setting('max_wal_size')), current_setting('data_directory') || '/pg_wal'")
free=$(df --output=avail -B1 -- "$data" | tail -1)
if [ "$free" -lt "$needed" ]; then
  echo "only $((free / 1048576)) MiB are free where the server keeps its WAL ($data), less than its max_wal_size ($((needed / 1048576)) MiB): a slot could fill the disk" >&2
  exit 75
fi

# A database without sequences prints none.
"${psql[@]}" --file=- <<<"$sequences" | sed 's/"kind" : "sequence"/"kind" : "sequence_before"/'

# The exported snapshot lives as long as this session says nothing more; the temporary slot as long as the session.
coproc replication { exec "${psql[@]}" --field-separator=' ' --dbname=replication=database 2>&1; }
# shellcheck disable=SC2154 # set by coproc
pid=$replication_PID
# Of its own, for bash closes them as soon as the session ends.
exec {say}>&"${replication[1]}" {hear}<&"${replication[0]}"
printf 'CREATE_REPLICATION_SLOT "%s" TEMPORARY LOGICAL pgoutput (SNAPSHOT %s);\n' "$slot" "'export'" >&"$say"
if ! read -r -t 120 line <&"$hear"; then
  echo "the slot did not become consistent within 2 minutes; an open transaction holds it up:" >&2
  "${apart[@]}" --command="SELECT format('pid %s, user %s, database %s, since %s: %s', pid, usename, datname, xact_start, left(query, 80)) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 5" >&2
  exit 75
fi
read -r name lsn snapshot _ <<<"$line"
if [ "$name" != "$slot" ] || [[ ! $lsn =~ ^[0-9A-F]+/[0-9A-F]+$ ]]; then
  echo "PostgreSQL made no slot: $line $(timeout 2 cat <&"$hear" | head -5)" >&2
  exit 70
fi
printf '{"kind" : "point", "lsn" : "%s"}\n' "$lsn"
# Once another session has the snapshot, the slot's own may end: digests take long, and WAL is not kept meanwhile.
{
  printf "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSET TRANSACTION SNAPSHOT '%s';\n" "$snapshot"
  printf '\\! kill %s\n' "$pid"
  printf '%s\n%s\nCOMMIT;\n' "$digest" "$sequences"
} | "${psql[@]}" --file=-
