# Installs the packages that are its arguments. A second call finishes what an interrupted one began.
set -eu
export LC_ALL=C DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none NEEDRESTART_SUSPEND=1
get() {
  apt-get --yes --quiet --no-install-recommends --no-remove \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# Debian's PostgreSQL makes and starts a cluster where there is none yet. That would be a second effect, so it is told not
# to while it is installed; a cluster that exists is left alone either way.
conf=/etc/postgresql-common/createcluster.conf
folder=/etc/postgresql-common/createcluster.d
no_cluster() {
  mkdir -p "$folder"
  echo 'create_main_cluster = false' >"$folder/hactl.conf"
  # A configuration of one's own may not look into that folder.
  if [ -e "$conf" ] && ! grep -q "^include_dir.*$folder" "$conf" && ! grep -q '# hactl, while installing$' "$conf"; then
    echo 'create_main_cluster = false # hactl, while installing' >>"$conf"
  fi
}
as_before() {
  rm -f "$folder/hactl.conf"
  rmdir --ignore-fail-on-non-empty "$folder" 2>/dev/null || :
  [ ! -e "$conf" ] || ! grep -q '# hactl, while installing$' "$conf" || sed -i '/# hactl, while installing$/d' "$conf"
}
for p; do
  case $p in
    postgresql | postgresql-[0-9]*)
      # A shell that a signal ends runs no trap for its end.
      trap as_before EXIT
      trap 'exit 129' HUP
      trap 'exit 130' INT
      trap 'exit 143' TERM
      no_cluster
      ;;
  esac
done

if [ -n "$(dpkg --audit)" ]; then dpkg --configure --pending; fi
# The lists are read anew only where they do not do: known names, files that still exist.
if get --simulate install -- "$@" >/dev/null 2>&1 && get install -- "$@"; then exit 0; fi
apt-get --quiet -o DPkg::Lock::Timeout=300 update
get install -- "$@"
