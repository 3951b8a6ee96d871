# Purges packages (before `--`), then those that came along (after it) and that nothing needs any more.
# It refuses to remove anything else. To purge PostgreSQL is to drop its clusters: while there is one, whoever made it,
# PostgreSQL's own packages are removed and their configuration stays.
set -eu
export LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
wanted='' along='' past=''
for p; do
  if [ "$p" = -- ]; then past=1; elif [ -n "$past" ]; then along="$along $p"; else wanted="$wanted $p"; fi
done
known() {
  for p; do
    case $(dpkg-query -W -f '${db:Status-Status}' -- "$p" 2>/dev/null) in '' | not-installed) ;; *) echo "$p" ;; esac
  done
}
clusters() { find /etc/postgresql /var/lib/postgresql -mindepth 2 -maxdepth 2 2>/dev/null; }
# Arguments: purge or remove, then packages.
discard() {
  how=$1
  shift
  [ $# -gt 0 ] || return 0
  goes=$(apt-get --simulate --quiet "$how" -- "$@" | sed -n 's/^\(Purg\|Remv\) \([^ ]*\).*/\2/p')
  for g in $goes; do
    case " $wanted $along " in
      *" $g "*) ;;
      *) echo "removing $* would also remove $g, which this step did not install" >&2; exit 65 ;;
    esac
  done
  apt-get --yes --quiet -o DPkg::Lock::Timeout=300 "$how" -- "$@"
}
purge() {
  kept='' gone=''
  for p; do
    case $p in
      postgresql | postgresql-[0-9]* | postgresql-common*) if [ -n "$(clusters)" ]; then kept="$kept $p"; else gone="$gone $p"; fi ;;
      *) gone="$gone $p" ;;
    esac
  done
  # shellcheck disable=SC2086
  discard remove $kept
  # shellcheck disable=SC2086
  discard purge $gone
}
# What an installation that was cut off left of ours.
conf=/etc/postgresql-common/createcluster.conf
rm -f /etc/postgresql-common/createcluster.d/hactl.conf
rmdir --ignore-fail-on-non-empty /etc/postgresql-common/createcluster.d 2>/dev/null || :
[ ! -e "$conf" ] || ! grep -q '# hactl, while installing$' "$conf" || sed -i '/# hactl, while installing$/d' "$conf"
if [ -n "$(dpkg --audit)" ]; then dpkg --configure --pending; fi
# shellcheck disable=SC2046,SC2086
purge $(known $wanted)
while :; do
  orphans=''
  for o in $(apt-get --simulate --quiet -o APT::AutoRemove::RecommendsImportant=false \
    -o APT::AutoRemove::SuggestsImportant=false autoremove | sed -n 's/^Remv \([^ ]*\).*/\1/p'); do
    case " $along " in *" $o "*) orphans="$orphans $o" ;; esac
  done
  [ -n "$orphans" ] || break
  # shellcheck disable=SC2086
  purge $orphans
done
