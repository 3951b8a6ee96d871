# Makes sure that nothing of an attempt can start late, and reports how it stands.
# Arguments: marker root fleet run folder label which sessions epoch seq sum hold vouched arriving; which is the number of a
# command, or `all`; sessions is the application_name of the attempt's database sessions, whose last word is its mark
# shellcheck disable=SC2034,SC2154 # common.sh goes before and uses these
marker=$1 root=$2 fleet=$3 run=$4 folder=$2/$4/$5 label=$6 which=$7 sessions=$8 epoch=$9
shift 9
seq=$1 sum=$2 hold=$3 vouched=$4 arriving=$5
attempt=$folder/$label

# Ends what PostgreSQL still does for the attempt: a killed psql leaves its statement running.
end_sessions() {
  command -v psql >/dev/null || return 0
  for socket in /var/run/postgresql/.s.PGSQL.*; do
    [ -S "$socket" ] || continue
    # Chosen first, and ended then: in one condition the planner might end sessions before it compares their names.
    left=$(printf '%s' "with ours as materialized (select pid from pg_stat_activity
        where application_name = :'sessions' and pid <> pg_backend_pid())
      select count(*) from ours where not pg_terminate_backend(pid, 10000)" |
      PGCONNECT_TIMEOUT=5 timeout 20 runuser -u postgres -- psql -X -q -A -t -w -v ON_ERROR_STOP=1 \
        -v sessions="$sessions" -h /var/run/postgresql -p "${socket##*.}" -d postgres -f - 2>/dev/null)
    case $? in
      0) [ "$left" = 0 ] || refuse sessions "$left" ;;
      # It let us not in: one that is down has no sessions, and any other may have ours.
      2) pg_is_down "${socket##*.}" || refuse sessions unknown ;;
      *) refuse sessions unknown ;;
    esac
  done
}

# Does nobody answer on this port's socket? A server that lets nobody in, or is starting or stopping, answers.
pg_is_down() {
  timeout 20 pg_isready -q -t 5 -h /var/run/postgresql -p "$1"
  [ $? = 2 ]
}

# Removes what writes of the attempt left beside their files, where they were killed: it may hold a secret. One that lives
# on without its wrapper can then no longer put it in place.
sweep_writes() {
  perl -e '
    my $mark = shift;
    for (@ARGV) {
      open my $file, "<:raw", $_ or next;
      my @words = split /\0/, do { local $/; <$file> };
      my ($at) = grep { $words[$_] eq "hactl-write-file" } 0 .. $#words - 1;
      next unless defined $at;
      my ($folder) = $words[$at + 1] =~ m{\A(.*/)[^/]+\z}s or next;
      opendir my $beside, $folder or next;
      unlink map { "$folder$_" } grep { /\A\.hactl\.\Q$mark\E\.[A-Za-z0-9]{8}\z/ } readdir $beside;
    }' "${sessions##* }" "$attempt"/*/words
}

lock
check_owner
if [ "$which" = all ]; then
  last=0
  while [ -e "$attempt/$((last + 1))" ] && [ ! -e "$attempt/$((last + 1))/void" ]; do last=$((last + 1)); done
  # The newest claim may have died before its command began.
  if [ "$last" -gt 0 ] && [ ! -e "$attempt/$last/begun" ]; then
    rm -f -- "$attempt/$last/input"
    : >"$attempt/$last/void" && sync "$attempt/$last/void" "$attempt/$last" || refuse setup "cannot void a claim"
    last=$((last - 1))
  else
    next=$((last + 1))
  fi
else
  last=$which
  if [ ! -e "$attempt/$last/begun" ]; then
    next=$last last=0
  fi
fi
if [ -n "${next:-}" ]; then
  mkdir -p -- "$attempt/$next" && : >"$attempt/$next/void" &&
    sync "$attempt/$next/void" "$attempt/$next" "$attempt" "$folder" "$root/$run" "$root" "${root%/*}" ||
    refuse setup "cannot void a claim"
fi
# After the mark that makes it void, which tells whoever still waits why his input is gone.
case $which in
  all) sweep "$arriving-" ;;
  *) sweep "$arriving-$which." ;;
esac
# What is void stays so and what began has begun: the rest needs no lock, and may take as long as the link does.
exec 9>&-
if [ "$which" = all ]; then
  if [ "$last" -eq 0 ] || [ "$(state_of "$attempt/$last")" != running ]; then
    sweep_writes
    end_sessions
  fi
fi
say "command $last"
if [ "$last" -gt 0 ]; then report "$attempt/$last"; else say never; fi
