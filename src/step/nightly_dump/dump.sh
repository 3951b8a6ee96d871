#!/bin/bash
# Dumps every database and the globals, encrypted, into the bucket: one folder a run, its manifest last. A folder
# without a manifest is an unfinished dump and counts for nothing. Put here by hactl, which replaces the whole folder.
# Beside each dump goes a digest of every table, taken in the dump's own snapshot, so that a restore can be compared.
set -euo pipefail
umask 077
here=$(dirname -- "$(readlink -f -- "$0")")
# BUCKET PREFIX KEEP_DAYS KEEP_LEAST PGVERSION PGHOST PGPORT
# shellcheck source=/dev/null
. "$here/settings"
export PGHOST PGPORT PGAPPNAME=hactl-dump PGTZ=UTC LC_ALL=C
export RCLONE_CONFIG=$here/rclone.conf RCLONE_S3_UPLOAD_CONCURRENCY=2 RCLONE_RETRIES=3 RCLONE_CONTIMEOUT=30s RCLONE_LOG_LEVEL=ERROR
if [ -s "$here/ca.pem" ]; then export RCLONE_CA_CERT=$here/ca.pem; fi
bin=/usr/lib/postgresql/$PGVERSION/bin
# What psql prints is UTF-8, whatever the database or the role says; a dump stays in its database's own encoding.
psql=(env PGCLIENTENCODING=UTF8 "$bin/psql" --no-psqlrc --quiet --no-align --tuples-only --no-password --set=ON_ERROR_STOP=1)
# Only the limits that this version has can be lifted.
PGOPTIONS=$("${psql[@]}" --dbname=postgres --command="SELECT string_agg('-c ' || name || '=0', ' ') FROM pg_settings WHERE name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'statement_timeout')")
export PGOPTIONS

taken=$(date -u +%Y%m%dT%H%M%SZ)
root=s3:$BUCKET/$PREFIX
work=$(mktemp -d)
done=''
ended() {
  rm -rf -- "$work"
  [ -n "$done" ] || rclone purge "$root/$taken" 2>/dev/null || :
}
trap ended EXIT

# Arguments: object, what it is, database as JSON. Encrypts standard input into the object and notes it.
seal() {
  local bytes sum
  rm -f "$work/to-sum" "$work/to-count"
  mkfifo "$work/to-sum" "$work/to-count"
  sha256sum <"$work/to-sum" >"$work/sum" &
  local summing=$!
  wc -c <"$work/to-count" >"$work/count" &
  local counting=$!
  age --encrypt --recipients-file="$here/recipients" | tee "$work/to-sum" "$work/to-count" | rclone rcat "$root/$taken/$1"
  wait "$summing" "$counting"
  read -r sum _ <"$work/sum"
  read -r bytes <"$work/count"
  printf '{"object": "%s", "what": "%s", "database": %s, "bytes": %s, "sha256": "%s"}\n' "$1" "$2" "$3" "$bytes" "$sum" >>"$work/objects"
}

# Arguments: oid, name as JSON.
dump() {
  local oid=$1 json=$2 name size encoding snapshot answer
  name=$("${psql[@]}" --dbname=postgres --command="SELECT datname FROM pg_database WHERE oid = $oid")
  export PGDATABASE=$name
  # A stream has at most 10,000 parts, and nobody knows its length beforehand.
  size=$("${psql[@]}" --command='SELECT pg_database_size(current_database())')
  encoding=$("${psql[@]}" --command='SELECT getdatabaseencoding()')
  export RCLONE_S3_CHUNK_SIZE=$((16 + size / 9000 / 1048576))Mi

  coproc session { exec "${psql[@]}" --set=copy=logical 2>&1; }
  # shellcheck disable=SC2154 # set by coproc
  local say hear pid=$session_PID
  # Of its own, for bash closes them as soon as the session ends.
  exec {say}>&"${session[1]}" {hear}<&"${session[0]}"
  {
    printf '\\o %s\n' "$work/before"
    cat "$here/sequences.sql"
    printf '\\o\nBEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSELECT pg_export_snapshot();\n'
  } >&"$say"
  read -r snapshot <&"$hear"
  [[ $snapshot =~ ^[0-9A-F-]+$ ]] || { echo "no snapshot of $json: $snapshot $(timeout 2 cat <&"$hear" | head -5)" >&2; exit 1; }
  "$bin/pg_dump" --format=custom --compress=zstd:3 --lock-wait-timeout=60s --encoding="$encoding" --snapshot="$snapshot" | seal "$oid.dump.age" dump "$json"
  {
    printf '\\o %s\n' "$work/digests"
    cat "$here/digest.sql" "$here/sequences.sql"
    printf '\\o\nCOMMIT;\n\\echo complete\n\\q\n'
  } >&"$say"
  read -r answer <&"$hear" || answer='the session ended'
  [ "$answer" = complete ] || { echo "no digests of $json: $answer $(timeout 2 cat <&"$hear" | head -5)" >&2; exit 1; }
  exec {say}>&- {hear}<&-
  wait "$pid"
  { sed 's/"kind" : "sequence"/"kind" : "sequence_before"/' "$work/before"; cat "$work/digests"; } | seal "$oid.digests.age" digests "$json"
  unset PGDATABASE
}

"${psql[@]}" --dbname=postgres --field-separator=' ' --file=- >"$work/databases" <<'SQL'
SELECT oid, to_json(datname) FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY oid;
SQL
while read -r oid json <&3; do
  dump "$oid" "$json"
done 3<"$work/databases"
"$bin/pg_dumpall" --globals-only --encoding=UTF8 | seal globals.sql.age globals null

version=$("${psql[@]}" --dbname=postgres --command='SHOW server_version')
objects=$(paste -sd, "$work/objects")
printf '{"format": 1, "taken": "%s", "finished": "%s", "host": "%s", "postgres": "%s", "objects": [%s]}\n' \
  "$taken" "$(date -u +%Y%m%dT%H%M%SZ)" "$(uname -n)" "$version" "$objects" | rclone rcat "$root/$taken/manifest.json"
done=yes
echo "dumped into $PREFIX/$taken"

# Retention, only after a dump that counts: old ones go, but never the newest few; unfinished ones after two days.
rclone lsf --files-only --recursive --include='/*/manifest.json' "$root" | sed 's,/.*,,' | sort -r >"$work/good"
rclone lsf --dirs-only "$root" | sed 's,/.*,,' | sort -r >"$work/all"
old=$(date -u -d "$KEEP_DAYS days ago" +%Y%m%dT%H%M%SZ)
unfinished=$(date -u -d '2 days ago' +%Y%m%dT%H%M%SZ)
kept=0
while read -r folder; do
  [[ $folder =~ ^[0-9]{8}T[0-9]{6}Z$ ]] || continue
  if grep -qxF -- "$folder" "$work/good"; then
    kept=$((kept + 1))
    if [ "$kept" -le "$KEEP_LEAST" ] || [[ ! $folder < $old ]]; then continue; fi
  elif [[ ! $folder < $unfinished ]]; then
    continue
  fi
  rclone purge "$root/$folder"
  echo "removed $PREFIX/$folder"
done <"$work/all"
