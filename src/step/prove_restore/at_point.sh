#!/bin/bash
# Describes a database exactly as it is at one point of the WAL, while others go on writing: a temporary logical slot
# exports a snapshot that holds every transaction committed before its consistent point and no other.
# Arguments: database, slot, socket folder, port, then digest.sql and sequences.sql themselves. Runs as postgres.
set -euo pipefail
database=$1 slot=$2 socket=$3 port=$4 digest=$5 sequences=$6
export PGHOST=$socket PGPORT=$port PGDATABASE=$database PGAPPNAME=hactl PGTZ=UTC
export PGOPTIONS='-c idle_session_timeout=0 -c idle_in_transaction_session_timeout=0 -c transaction_timeout=0 -c statement_timeout=0'
psql=(psql --no-psqlrc --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 --set=copy=physical)

# Every line but the first kind is printed as it is; a database without sequences prints none.
"${psql[@]}" --file=- <<<"$sequences" | sed 's/"kind" : "sequence"/"kind" : "sequence_before"/'

# The snapshot lives as long as this session says nothing more; the temporary slot as long as the session.
coproc replication { exec "${psql[@]}" --field-separator=' ' --dbname=replication=database 2>&1; }
# shellcheck disable=SC2154 # set by coproc
pid=$replication_PID
trap 'kill "$pid" 2>/dev/null || :' EXIT
say=${replication[1]} hear=${replication[0]}
printf 'CREATE_REPLICATION_SLOT "%s" TEMPORARY LOGICAL pgoutput (SNAPSHOT %s);\n' "$slot" "'export'" >&"$say"
if ! read -r -t 120 name lsn snapshot _ <&"$hear"; then
  echo "the slot did not become consistent within 2 minutes; an open transaction holds it up:" >&2
  "${psql[@]}" --dbname=postgres --command="SELECT format('pid %s, user %s, database %s, since %s: %s', pid, usename, datname, xact_start, left(query, 80)) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 5" >&2
  exit 75
fi
if [ "$name" != "$slot" ]; then
  echo "PostgreSQL made no slot: $name $lsn $snapshot" >&2
  exit 70
fi
printf '{"kind" : "point", "lsn" : "%s"}\n' "$lsn"
{
  printf "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSET TRANSACTION SNAPSHOT '%s';\n" "$snapshot"
  printf '%s\n%s\nCOMMIT;\n' "$digest" "$sequences"
} | "${psql[@]}" --file=-
