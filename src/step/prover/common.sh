#!/bin/bash
# The throwaway on the prover: made, asked, destroyed. Runs as root; what it starts runs as a user of its own, in units
# of its own, with no way out of the machine but to the object storage. Everything is below one folder, and `clean`
# finds all of it by name, also what a killed run left behind. Where nobody comes back to it, it cleans itself up: a timer
# does, a while after the last part ended; after a power cut the folder goes when the machine starts.
# This is the common part; what a step adds follows it and ends with the choice of what to do.
# Arguments: what to do, then that part's own. Secrets come by standard input and stay in files of mode 0600.
set -euo pipefail
export LC_ALL=C PGTZ=UTC
umask 077
# shellcheck disable=SC2034 # used at the end of what follows
what=$1
shift
base=/var/lib/hactl-scratch/prove
user=hactl-prove
server=hactl-prove-postgres.service
# Locked by each part while it runs; its time is when the last one ended.
alive=$base.alive
sweeper=hactl-sweep-prove
# So many seconds without a part, and the throwaway goes. Nothing that takes longer lies between two parts.
lease=900
# Nothing of a proof runs longer, whatever becomes of who started it.
longest=25h

die() { echo "$*" >&2; exit 70; }
setting() { cat "$base/settings/$1"; }
bin() { echo "/usr/lib/postgresql/$(setting version)/bin/$1"; }

# What a role of the restored databases was told of time limits and encodings is not for proofs.
unhurried() {
  local options='-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0'
  [ "$(setting version)" -lt 17 ] || options="$options -c transaction_timeout=0"
  echo "$options"
}

# The limits of everything that runs here (a dash in the name of a slice would make a parent of it). A private /etc/hosts pins the storage's address, so no name is looked up.
limits() {
  limits=(--quiet --slice=hactlprove.slice --uid="$user" --working-directory="$base" --setenv=LC_ALL=C --setenv=PGTZ=UTC
    --setenv=PGOPTIONS="$(unhurried)"
    --property=MemoryMax="$(setting memory)" --property=MemorySwapMax=0 --property=Nice=10
    --property=IOSchedulingClass=idle --property=NoNewPrivileges=yes --property=ProtectSystem=strict
    --property=ReadWritePaths="$base" --property=PrivateTmp=yes --property=ProtectHome=yes --property=UMask=0077
    --property=InaccessiblePaths=-/run/postgresql --property=InaccessiblePaths=-/var/lib/postgresql
    --property=BindReadOnlyPaths="$base/hosts:/etc/hosts" --property=LimitCORE=0
    --property=RuntimeMaxSec="$longest")
}
confined() { limits; systemd-run --wait --pipe --collect --service-type=exec "${limits[@]}" -- "$@"; }
# Arguments: database, then more for psql. A name may hold anything, so it goes by the environment.
ask() {
  limits
  limits+=(--setenv=PGCLIENTENCODING=UTF8 --setenv=PGDATABASE="$1" --setenv=PGHOST="$base/socket" --setenv=PGUSER=postgres)
  shift
  systemd-run --wait --pipe --collect --service-type=exec "${limits[@]}" -- \
    psql --no-psqlrc --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 "$@"
}

clean() {
  local unit
  for unit in $(systemctl list-units --all --plain --no-legend 'hactl-prove-*' | cut -d' ' -f1) hactlprove.slice; do
    systemctl kill --signal=SIGKILL "$unit" 2>/dev/null || :
    systemctl stop "$unit" 2>/dev/null || :
    systemctl reset-failed "$unit" 2>/dev/null || :
  done
  if id "$user" >/dev/null 2>&1; then
    ! pgrep -u "$user" >/dev/null || pkill -KILL -u "$user" || :
    for _ in $(seq 100); do pgrep -u "$user" >/dev/null || break; sleep 0.1; done
  fi
  if command -v nft >/dev/null; then nft delete table inet hactl_prove 2>/dev/null || :; fi
  rm -rf --one-file-system -- "$base"
  if id "$user" >/dev/null 2>&1; then userdel -- "$user" 2>/dev/null || die "the user $user could not be removed"; fi
  systemctl stop "$sweeper.timer" 2>/dev/null || :
  systemctl reset-failed "$sweeper.service" 2>/dev/null || :
  rm -f -- "$base.sweep" "$alive" /etc/tmpfiles.d/hactl-prove.conf
}

# What the timer does: nothing while a part runs, or one ended just now.
sweep() {
  exec 8>>"$alive"
  flock --nonblock --exclusive 8 || exit 0
  [ $(($(date +%s) - $(stat -c %Y "$alive"))) -ge "$lease" ] || exit 0
  echo "nobody has come back to the restored copy for $lease s: it is removed"
  clean
}

# Sees to it that the throwaway goes even if nobody ever comes back.
see_to_the_end() {
  {
    printf 'export LC_ALL=C\nset -euo pipefail\nbase=%q user=%q alive=%q sweeper=%q lease=%q\n' "$base" "$user" "$alive" "$sweeper" "$lease"
    declare -f die clean sweep
    printf '{ sweep; exit; }\n'
  } >"$base.sweep"
  mkdir -p /etc/tmpfiles.d
  printf 'R! %s*\nr! %s\n' "$base" /etc/tmpfiles.d/hactl-prove.conf >/etc/tmpfiles.d/hactl-prove.conf
  chmod 644 /etc/tmpfiles.d/hactl-prove.conf
  systemd-run --quiet --unit="$sweeper" --on-active=30 --on-unit-inactive=30 --timer-property=AccuracySec=5 \
    --description='hactl: removes a restored copy that nobody comes back to' -- /bin/bash "$base.sweep"
}

# Is a TCP port reached? As root, or under the throwaway's limits.
reached() { timeout 5 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; }
reached_confined() { confined timeout 5 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; }

# Arguments: version, memory, storage host, storage port, then control addresses as host:port. Input: three files, each
# a line with its name and its length in bytes, then its bytes.
prepare() {
  local version=$1 memory=$2 host=$3 port=$4 uid name length addresses control open=0 tried=0
  shift 4
  clean
  exec 8>>"$alive"
  flock --shared --wait 60 8
  command -v nft >/dev/null || die "nft is not installed, so the throwaway cannot be kept from the network: install nftables"
  [ -x "/usr/lib/postgresql/$version/bin/postgres" ] || die "PostgreSQL $version is not installed here: install postgresql-$version"
  see_to_the_end
  useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$user"
  uid=$(id -u "$user")
  mkdir "$base" "$base/settings" "$base/socket" "$base/lock" "$base/spool" "$base/log" "$base/tablespaces"
  echo "$version" >"$base/settings/version"
  echo "$memory" >"$base/settings/memory"
  : >"$base/settings/preload"
  while read -r name length; do
    case $name in pgbackrest.conf | rclone.conf | ca.pem) ;; *) die "a file that nobody expects: $name" ;; esac
    head -c "$length" >"$base/$name"
  done
  addresses=$(getent ahosts "$host" | awk '{print $1}' | sort -u)
  [ -n "$addresses" ] || die "the name $host of the object storage has no address here"
  {
    printf '127.0.0.1 localhost\n'
    for a in $addresses; do printf '%s %s\n' "$a" "$host"; done
  } >"$base/hosts"
  chmod 644 "$base/hosts"
  chown -R "$user:" "$base"
  {
    echo "table inet hactl_prove {"
    echo "  chain own {"
    for a in $addresses; do
      case $a in *:*) echo "    ip6 daddr $a tcp dport $port accept" ;; *) echo "    ip daddr $a tcp dport $port accept" ;; esac
    done
    echo "    counter reject with icmpx admin-prohibited"
    echo "  }"
    echo "  chain out { type filter hook output priority 0; policy accept; meta skuid $uid goto own; }"
    echo "}"
  } | nft -f -
  # A wall counts only when something was seen to stop at it.
  for control in "$@"; do
    reached "${control%:*}" "${control##*:}" || continue
    tried=1
    ! reached_confined "${control%:*}" "${control##*:}" || open=1
  done
  [ "$open" = 0 ] || die "this machine does not keep the throwaway from the network: it reached what it must not reach"
  [ "$tried" = 1 ] || die "none of the addresses $* answers here, so it cannot be shown that the throwaway is kept from the network"
  reached_confined "$host" "$port" || die "the object storage $host:$port is not reached from here"
  memory_limited
  df --output=avail -B1 "$base" | awk 'NR == 2 {print "available " $1}'
}

# Input: what the databases need, a line each, with its sort before the name. Prints what is not here.
needs() {
  local sort name version
  version=$(setting version)
  while read -r sort name; do
    case $sort in
      locale) if env LC_ALL="$name" locale 2>&1 >/dev/null | grep 'Cannot set' >/dev/null; then echo "$sort $name"; fi ;;
      extension) [ -e "/usr/share/postgresql/$version/extension/$name.control" ] || echo "$sort $name" ;;
      *) die "nobody knows what $sort is" ;;
    esac
  done
}

memory_limited() {
  if grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then echo "memory limited"; else echo "memory unlimited"; fi
}

# A configuration from nothing but the control file: what a standby must have at least as large as its primary.
configure() {
  local name value
  cat >"$base/postgresql.conf" <<CONF
data_directory = '$base/data'
hba_file = '$base/hba.conf'
ident_file = '$base/ident.conf'
cluster_name = 'hactl-prove'
listen_addresses = ''
unix_socket_directories = '$base/socket'
unix_socket_permissions = 0700
archive_mode = off
max_logical_replication_workers = 0
shared_preload_libraries = '$(cat "$base/settings/preload")'
autovacuum = off
fsync = off
full_page_writes = off
shared_buffers = 64MB
jit = off
ssl = off
restart_after_crash = off
lc_messages = 'C'
hot_standby = on
log_min_error_statement = panic
max_standby_archive_delay = -1
recovery_target_inclusive = off
recovery_target_action = pause
include_if_exists = '$base/target.conf'
CONF
  if [ -e "$base/log/control" ]; then
    for name in max_connections max_worker_processes max_wal_senders max_prepared_xacts max_locks_per_xact; do
      value=$(awk -F': *' -v n="$name setting" '$1 == n {print $2}' "$base/log/control")
      name=${name/max_prepared_xacts/max_prepared_transactions}
      echo "${name/max_locks_per_xact/max_locks_per_transaction} = $value" >>"$base/postgresql.conf"
    done
  fi
  echo 'local all all trust' >"$base/hba.conf"
  : >"$base/ident.conf"
  chown "$user:" "$base"/*.conf
}

serve() {
  limits
  : >>"$base/log/server"
  chown "$user:" "$base/log/server"
  systemd-run --unit="$server" --service-type=notify --property=TimeoutStartSec=infinity --property=KillMode=mixed \
    --property=KillSignal=SIGINT --property=StandardError="append:$base/log/server" --property=StandardOutput=null "${limits[@]}" -- \
    "$(bin postgres)" -c config_file="$base/postgresql.conf"
}

halt() {
  systemctl stop "$server" 2>/dev/null || :
  systemctl reset-failed "$server" 2>/dev/null || :
}

# Arguments: database, `physical` or `logical`, then the SQL.
digest() {
  local database=$1 copy=$2
  shift 2
  {
    echo 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;'
    printf '%s\n' "$@"
    echo 'COMMIT;'
  } | ask "$database" --set=copy="$copy" --file=-
}

# Every part keeps the throwaway alive while it runs, and a while longer.
mkdir -p /var/lib/hactl-scratch && chmod 711 /var/lib/hactl-scratch
exec 8>>"$alive"
flock --shared --wait 60 8 || die "another clean-up of the throwaway does not end"
trap '[ ! -e "$alive" ] || touch -- "$alive"' EXIT
case $what in
prepare | clean) ;;
*) [ -d "$base/settings" ] || die "the throwaway was removed, for nothing was heard for $lease s" ;;
esac
