# shellcheck shell=bash disable=SC2154 # follows prover/common.sh
# Reading dumps: each object is fetched, decrypted and used in one pipe, so that nothing of it lies on the disk but in the
# scratch cluster itself. The age identity comes by standard input, each time.

fetch="RCLONE_CONFIG=$base/rclone.conf RCLONE_LOG_LEVEL=ERROR RCLONE_RETRIES=3 rclone --s3-no-check-bucket"
if [ -s "$base/ca.pem" ]; then fetch="$fetch --ca-cert=$base/ca.pem"; fi

# Arguments: object, a command line that reads it. Fails when any of fetching, decrypting and reading fails.
open_sealed() {
  confined bash -c "set -o pipefail; age --decrypt --identity=- <($fetch cat '$1') | { $2; }" 2>"$base/log/open" ||
    die "$1: $(grep -v '^$' "$base/log/open" | head -5)"
}

# Arguments: object. Prints it.
show() { open_sealed "$1" cat; }

# Arguments: object. Decrypts all of it and prints how many entries its table of contents has.
list() { open_sealed "$1" "$(bin pg_restore) --list >$base/log/list; cat >/dev/null; sed '/^;/d' $base/log/list | wc -l"; }

# An empty cluster. Its first role is the one that the dumped cluster began with, for grants name it as their grantor.
scratch() {
  confined "$(bin initdb)" --pgdata="$base/data" --username=postgres --auth=trust --no-sync --encoding=UTF8 --locale=C.UTF-8 --data-checksums >"$base/log/initdb" 2>&1 ||
    die "initdb failed: $(tail -5 "$base/log/initdb")"
  : >"$base/data/postgresql.auto.conf"
  configure
  serve 2>/dev/null || die "the scratch cluster does not start: $(tail -5 "$base/log/server")"
}

# Arguments: object. Makes the roles; the first one is there already. Tablespaces are folders of the machine that would be lost, so they are left out.
globals() {
  open_sealed "$1" "sed -E '/^CREATE ROLE postgres;$/d; /^(CREATE|ALTER) TABLESPACE |^(GRANT|REVOKE) .* ON TABLESPACE /d' | $(bin psql) --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --host=$base/socket --username=postgres --dbname=template1 --file=- >/dev/null"
}

# Arguments: object. Makes the database and everything in it.
load() {
  local begun
  begun=$(date +%s.%N)
  open_sealed "$1" "$(bin pg_restore) --create --clean --if-exists --no-tablespaces --exit-on-error --host=$base/socket --username=postgres --dbname=template1"
  echo "loaded_seconds $(awk -v a="$begun" -v b="$(date +%s.%N)" 'BEGIN {print b - a}')"
}

case $what in
prepare | show | list | scratch | globals | load | digest | clean) "$what" "$@" ;;
*) die "there is no part called $what" ;;
esac
