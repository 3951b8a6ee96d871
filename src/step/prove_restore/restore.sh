# shellcheck shell=bash disable=SC2154 # follows prover/common.sh
# Restoring from the pgBackRest repository to exact points, and PostgreSQL's own checks of what came back.

backrest() { confined pgbackrest --config="$base/pgbackrest.conf" "$@"; }

# Arguments: stanza.
info() { backrest --stanza="$1" --output=json --log-level-console=off --log-level-stderr=error info; }

# Arguments: stanza. Which of the repository's indexes open with the pass phrase: each begins with the same word. What
# they hold is a key, and stays here.
indexes() {
  local index begins
  for index in archive/"$1"/archive.info{,.copy} backup/"$1"/backup.info{,.copy}; do
    begins=$(backrest --log-level-console=off --log-level-stderr=off repo-get "$index" 2>/dev/null | head -c 10 | tr -cd '[:print:]') || :
    if [ "$begins" = '[backrest]' ]; then echo "opens $index"; else echo "shut $index"; fi
  done
}

# Arguments: stanza, LSN. Restores the newest backup that ended before the LSN, and says which and how long it took.
restore() {
  local stanza=$1 lsn=$2 begun ended
  begun=$(date +%s.%N)
  install -d -m 700 -o "$user" "$base/data"
  backrest --stanza="$stanza" --pg1-path="$base/data" --type=lsn --target="$lsn" --target-exclusive --target-action=pause \
    --archive-mode=off --tablespace-map-all="$base/tablespaces" --process-max=2 --log-level-console=info --log-level-stderr=off restore \
    >"$base/log/restore" 2>&1 || :
  grep -q 'restore command end: completed successfully' "$base/log/restore" || damaged "$stanza"
  ended=$(date +%s.%N)
  # What the server that is proven was told by ALTER SYSTEM is not for the throwaway.
  : >"$base/data/postgresql.auto.conf"
  confined "$(bin pg_controldata)" "$base/data" >"$base/log/control"
  echo "$stanza" >"$base/settings/stanza"
  configure
  fetch_wal
  echo "backup $(sed -n 's/.*restore backup set \([^ ,]*\).*/\1/p' "$base/log/restore" | head -1)"
  echo "restored_seconds $(awk -v a="$begun" -v b="$ended" 'BEGIN {print b - a}')"
  du -sB1 "$base/data" | awk '{print "restored_bytes " $1}'
  awk -F': *' '/^Data page checksum version/ {print "checksums " $2}' "$base/log/control"
  awk -F': *' '/^Database system identifier/ {print "system_identifier " $2}' "$base/log/control"
}

# Why restoring failed. pgBackRest's own words do not always name the object, so all of the backup is checked for that.
damaged() {
  local label
  label=$(sed -n 's/.*restore backup set \([^ ,]*\).*/\1/p' "$base/log/restore" | head -1)
  if [ -n "$label" ]; then
    backrest --stanza="$1" --set="$label" --log-level-console=info verify 2>&1 |
      sed -nE "s/.*INFO: invalid (checksum|size|result [^ ]*) '(.*)'.*/invalid object \2/p; s/.*INFO: (missing[a-z ]*|file missing) '(.*)'.*/missing object \2/p" |
      head -5 >&2 || :
  fi
  die "pgBackRest could not restore: $(grep -E -A3 'ERROR|ASSERT' "$base/log/restore" | head -20)"
}

fetch_wal() {
  echo "restore_command = 'pgbackrest --config=$base/pgbackrest.conf --log-level-console=off --log-level-stderr=info --stanza=$(setting stanza) --pg1-path=$base/data archive-get %f \"%p\"'" >>"$base/postgresql.conf"
}

# Takes the settings anew from the control file, which follows the primary's.
raise() {
  halt
  confined "$(bin pg_controldata)" "$base/data" >"$base/log/control"
  configure
  fetch_wal
}

# What the server has logged since the mark.
logged() { tail -c "+$((mark + 1))" "$base/log/server"; }

# Waits until the recovery pauses, or the server ends.
paused() {
  local state=''
  serve 2>/dev/null || return 1
  while state=$(ask postgres --command='SELECT pg_get_wal_replay_pause_state()' 2>/dev/null) || systemctl --quiet is-active "$server"; do
    [ "$state" != paused ] || return 0
    sleep 0.1
  done
  return 1
}

# Arguments: LSN. Goes on with the recovery to this point, and waits there. Only forwards.
pause_at() {
  local lsn=$1 begun mark is=running
  begun=$(date +%s.%N)
  halt
  echo "recovery_target_lsn = '$lsn'" >"$base/target.conf"
  chown "$user:" "$base/target.conf"
  for _ in 1 2 3 4 5; do
    mark=$(stat -c %s "$base/log/server" 2>/dev/null || echo 0)
    if paused; then is=paused; else is=ended; fi
    # It also pauses, or ends, where the primary was given more than this has; the control file says by now how much.
    logged | grep 'insufficient parameter settings' >/dev/null || break
    is=short
    raise
  done
  [ "$is" = paused ] || said_by_server
  logged | grep 'recovery stopping before WAL location' >/dev/null || die "recovery paused, and not at $lsn: $(logged | tail -3)"
  ask postgres --command="SELECT 'paused_at ' || pg_last_wal_replay_lsn() || E'\nlast_transaction ' || coalesce(extract(epoch FROM pg_last_xact_replay_timestamp())::text, '')"
  echo "replay_seconds $(awk -v a="$begun" -v b="$(date +%s.%N)" 'BEGIN {print b - a}')"
}

# What stopped the server: its own words, and those of the command that fetches WAL.
said_by_server() {
  logged | grep -E 'FATAL|PANIC|ERROR|unable to find|restored log file|HINT|invalid' | tail -12 >&2 || :
  die "the throwaway did not reach the point"
}

# Ends the recovery and lets PostgreSQL's own checks read everything: every index entry and row, then every page.
finish() {
  local seconds=$SECONDS checked
  ask postgres --command='SELECT pg_promote(true, 600)' >/dev/null
  confined "$(bin pg_amcheck)" --host="$base/socket" --username=postgres --all --install-missing --heapallindexed --jobs=2 >"$base/log/amcheck" 2>&1 ||
    die "pg_amcheck found corruption: $(head -20 "$base/log/amcheck")"
  echo "amcheck passed"
  halt
  if grep -q '^Data page checksum version: *0$' "$base/log/control"; then
    echo "checksums off"
  else
    checked=$(confined "$(bin pg_checksums)" --check --pgdata="$base/data" 2>&1) || die "pg_checksums found corruption: $checked"
    echo "checksums passed, $(awk -F': *' '/^Blocks scanned/ {print $2}' <<<"$checked") pages"
  fi
  echo "checked_seconds $((SECONDS - seconds))"
}

# Arguments: mark. Which of the canary rows are there?
canary() {
  ask postgres --set=mark="$1" --file=- <<<"SELECT coalesce(string_agg(committed, ' and ' ORDER BY committed), '') FROM hactl_canary.row WHERE mark = :'mark'"
}

case $what in
prepare | needs | canary | info | indexes | restore | pause_at | digest | finish | clean) "$what" "$@" ;;
*) die "there is no part called $what" ;;
esac
