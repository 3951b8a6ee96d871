# Installs the packages that are its arguments. A second call finishes what an interrupted one began.
set -eu
export LC_ALL=C DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none NEEDRESTART_SUSPEND=1
get() {
  apt-get --yes --quiet --no-install-recommends --no-remove \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}
if [ -n "$(dpkg --audit)" ]; then dpkg --configure --pending; fi
# The lists are read anew only where they do not do: known names, files that still exist.
if get --simulate install -- "$@" >/dev/null 2>&1 && get install -- "$@"; then exit 0; fi
apt-get --quiet -o DPkg::Lock::Timeout=300 update
get install -- "$@"
