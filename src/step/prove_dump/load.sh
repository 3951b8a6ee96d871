# shellcheck shell=bash disable=SC2154 # follows prover/common.sh
# Reading dumps: each object is fetched, decrypted and used in one pipe, so that nothing of it lies on the disk but in the
# scratch cluster itself. The age identity comes by standard input, each time.

fetch="RCLONE_CONFIG=$base/rclone.conf RCLONE_LOG_LEVEL=ERROR RCLONE_RETRIES=3 rclone --s3-no-check-bucket"
if [ -s "$base/ca.pem" ]; then fetch="$fetch --ca-cert=$base/ca.pem"; fi

# Arguments: object, its SHA-256 as it lies in the bucket, a command line that reads it. Fails when any of fetching,
# decrypting and reading fails. What age says of a damaged object may be that the identity is wrong, and of one that was
# not fetched whole that it is damaged: so a failure looks at the object itself first.
open_sealed() {
  local is
  confined bash -c "set -o pipefail; exec 3<&0
    $fetch cat '$1' </dev/null | age --decrypt --identity=<(cat <&3) | { $3; }" 2>"$base/log/open" && return 0
  is=$(confined bash -c "set -o pipefail; $fetch cat '$1' | sha256sum" </dev/null 2>"$base/log/fetch") ||
    die "cannot fetch $1: $(grep -v '^$' "$base/log/fetch" | head -3)"
  # rclone prints nothing of an object that is not there, and calls that well.
  [ "${is%% *}" != e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 ] || die "missing object $1"
  [ "${is%% *}" = "$2" ] || die "invalid object $1"
  die "$1: $(said)"
}

# What was complained of; never a password.
said() { grep -v '^$' "$base/log/open" | sed -E "s/(PASSWORD) +'[^']*'?/\1 '...'/g" | head -5; }

# Arguments: object, SHA-256. Prints it. Passwords of roles stay where they are.
show() {
  case $1 in */globals.*) die "globals hold passwords and are not shown" ;; esac
  open_sealed "$@" cat
}

# Arguments: object, SHA-256. The names of the roles that it declares, one a line, as SQL writes them.
roles() { open_sealed "$@" "sed -n 's/^CREATE ROLE \(.*\);\$/\1/p'"; }

# Arguments: object, SHA-256. Decrypts all of it and prints how many entries its table of contents has.
list() { open_sealed "$@" "$(bin pg_restore) --list >$base/log/list && cat >/dev/null && { grep -vc '^;' $base/log/list || :; }"; }

# An empty cluster. Its first role is the one that the dumped cluster began with, for grants name it as their grantor.
scratch() {
  confined "$(bin initdb)" --pgdata="$base/data" --username=postgres --auth=trust --no-sync --encoding=UTF8 --locale=C.UTF-8 --data-checksums >"$base/log/initdb" 2>&1 ||
    die "initdb failed: $(tail -5 "$base/log/initdb")"
  : >"$base/data/postgresql.auto.conf"
  configure
  serve 2>/dev/null || die "the scratch cluster does not start: $(tail -5 "$base/log/server")"
}

# Arguments: object, SHA-256. Makes the roles; the first one is there already. Tablespaces are folders of the machine that would be lost, so they are left out.
globals() {
  open_sealed "$@" "sed -E '/^CREATE ROLE postgres;$/d; /^(CREATE|ALTER) TABLESPACE |^(GRANT|REVOKE) .* ON TABLESPACE /d' | $(bin psql) --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --set=VERBOSITY=terse --host=$base/socket --username=postgres --dbname=template1 --file=- >/dev/null"
}

# The names of the roles that are there, as SQL writes them, and nothing more.
roles_there() { ask template1 --command="SELECT quote_ident(rolname) FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"; }

# Arguments: object, SHA-256. Makes the database and everything in it.
load() {
  local begun
  begun=$(date +%s.%N)
  open_sealed "$@" "$(bin pg_restore) --create --clean --if-exists --no-tablespaces --exit-on-error --host=$base/socket --username=postgres --dbname=template1"
  echo "loaded_seconds $(awk -v a="$begun" -v b="$(date +%s.%N)" 'BEGIN {print b - a}')"
}

case $what in
prepare | needs | show | list | roles | roles_there | scratch | globals | load | digest | clean) "$what" "$@" ;;
*) die "there is no part called $what" ;;
esac
