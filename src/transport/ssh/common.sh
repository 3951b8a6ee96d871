# shellcheck disable=SC2015 # refuse never returns
# What the scripts of attempts share. Every line of ours begins with a marker that nobody else knows.
set -u
umask 077
LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
cd /

say() { printf '%s %s\n' "$marker" "$*"; }
refuse() {
  say "refused $*"
  exit 0
}
number() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }

# Takes the host's lock as file 9. It is held until a started command has said so, or this script ends.
lock() {
  [ -d "$root" ] || mkdir -p -- "$root" || refuse setup "cannot make $root"
  for program in flock sync timeout runuser; do
    command -v "$program" >/dev/null || refuse setup "$program is not installed"
  done
  exec 9>"$root/lock" || refuse setup "cannot open $root/lock"
  flock -w 30 9 || refuse setup "another command holds $root/lock"
}

# Refuses another fleet, a lower epoch, another run, and a journal without the line under which this host was changed last.
check_owner() {
  o_fleet='' o_run='' o_epoch='' o_seq='' o_sum='' o_hold=''
  [ -e "$root/owner" ] || return 0
  while read -r key value; do
    case $key in
      fleet) o_fleet=$value ;;
      run) o_run=$value ;;
      epoch) o_epoch=$value ;;
      seq) o_seq=$value ;;
      sum) o_sum=$value ;;
      hold) o_hold=$value ;;
    esac
  done <"$root/owner"
  [ -n "$o_fleet" ] && [ -n "$o_run" ] && [ -n "$o_sum" ] && [ -n "$o_hold" ] && number "$o_epoch" && number "$o_seq" ||
    refuse owner_damaged
  [ "$o_fleet" = "$fleet" ] || refuse other_fleet "$o_fleet"
  [ "$o_epoch" -le "$epoch" ] || refuse old_epoch "$o_epoch"
  [ "$o_epoch" -eq "$epoch" ] || return 0
  [ "$o_run" = "$run" ] || refuse other_run "$o_run"
  # Claims of one process may overtake each other; it knows its own journal.
  [ "$o_hold" != "$hold" ] || return 0
  [ "$o_sum" = "$vouched" ] || refuse old_journal "$o_seq $o_sum"
}

# Writes the owner file, unless it says so already, or as much of a later line of the same process.
own() {
  if [ "$o_hold" = "$hold" ] && [ "$o_epoch" = "$epoch" ] && [ "$o_seq" -ge "$seq" ]; then return 0; fi
  printf 'fleet %s\nrun %s\nepoch %s\nseq %s\nsum %s\nhold %s\n' "$fleet" "$run" "$epoch" "$seq" "$sum" "$hold" \
    >"$root/owner.new" && sync "$root/owner.new" &&
    mv -f "$root/owner.new" "$root/owner" && sync "$root" || refuse setup "cannot write $root/owner"
}

# How the command in folder $1 stands: never, running, finished STATUS, timeout, unknown.
state_of() {
  if [ ! -e "$1/begun" ]; then
    # Who claims holds the lock until then, and we hold it now.
    echo never
  elif [ -e "$1/status" ]; then
    first_line "$1/status"
  elif ! flock -n "$1/alive" true; then
    echo running
  elif [ -e "$1/status" ]; then
    first_line "$1/status"
  elif group_lives "$1"; then
    echo running
  else
    echo unknown
  fi
}

# Does the command in folder $1 go on, though all were killed who waited for it?
group_lives() {
  boot='' group='' since=''
  read -r _ boot <"$1/begun"
  [ "$boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] && [ -s "$1/group" ] || return 1
  read -r group since <"$1/group"
  number "$group" && number "$since" || return 1
  # The number of a group is nobody else's as long as one of it lives.
  if stat=$(cat "/proc/$group/stat" 2>/dev/null); then
    # shellcheck disable=SC2086 # words are wanted; a name with spaces stands before them
    set -- ${stat##*) }
    [ "$since" = "${20}" ]
  else
    kill -0 -- "-$group" 2>/dev/null
  fi
}

# Starting a program takes longer than all that a shell does by itself; of an attempt it is most of the time.
first_line() {
  line=''
  read -r line <"$1"
  printf '%s\n' "$line"
}

# Removes what arrived under names that begin with $1 and is not used: whoever brought it may have been killed, or may
# still wait for the rest of it on a dead connection. A command that began has taken its input away before it let go of
# the lock, which we hold.
sweep() {
  for place in /run /dev/shm "$root"; do
    rm -rf -- "$place/hactl-in.$1"*
  done
}

size() { stat -c %s -- "$1" 2>/dev/null || echo 0; }

# Reports how the command in folder $1 stands, with what it printed where it ended.
report() {
  state=$(state_of "$1")
  case $state in
    finished* | timeout)
      out=$(size "$1/stdout") err=$(size "$1/stderr")
      # A program that it left behind may still print: no more than this is sent.
      out_cut=0 err_cut=0
      [ ! -s "$1/stdout.cut" ] || read -r out_cut <"$1/stdout.cut"
      [ ! -s "$1/stderr.cut" ] || read -r err_cut <"$1/stderr.cut"
      say "$state : $out $out_cut $err $err_cut"
      [ "$out" = 0 ] || head -c "$out" "$1/stdout" 2>/dev/null
      [ "$err" = 0 ] || head -c "$err" "$1/stderr" 2>/dev/null
      say end
      ;;
    *) say "$state" ;;
  esac
}
