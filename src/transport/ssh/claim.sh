# Claims a command of an attempt, starts it in a process session of its own, waits for its end and reports it.
# Standard input: the words of the command, each followed by a NUL; then its own input.
# shellcheck disable=SC2034,SC2154 # common.sh goes before and uses these
marker=$1 runner=$2 root=$3 fleet=$4 run=$5 folder=$3/$5/$6 label=$7 number=$8 epoch=$9
shift 9
seq=$1 sum=$2 hold=$3 vouched=$4 words_bytes=$5 input_bytes=$6 seconds=$7 keep=$8 arriving=$9

attempt=$folder/$label
dir=$attempt/$number
[ -d "$root" ] || mkdir -p -- "$root" || refuse setup "cannot make $root"
arriving=hactl-in.$arriving-$number.XXXXXXXX
inbox=$(mktemp -d "$root/$arriving") || refuse setup "cannot write in $root"
trap 'rm -rf -- "$inbox"' EXIT
# Where nobody hears us any more, a shell would die of saying so, and leave what arrived.
trap 'exit 1' HUP PIPE TERM
# The input may be a secret: it stays in memory, and goes as soon as the command has opened it.
if [ "$input_bytes" -gt 0 ]; then
  memory=$(memory) || refuse setup "neither /run nor /dev/shm is in memory, where the command's input must wait"
  input=$(mktemp "$memory/$arriving") || refuse setup "cannot write in $memory"
else
  input=/dev/null
fi
drop_input() { [ "$input" = /dev/null ] || rm -f -- "$input"; }
trap 'rm -rf -- "$inbox"; drop_input' EXIT
head -c "$words_bytes" >"$inbox/words"
head -c "$input_bytes" >"$input"
# Settling removes what arrived, after it made the command void.
if [ -e "$dir/void" ]; then refuse void; fi
[ "$(size "$inbox/words")" = "$words_bytes" ] &&
  { [ "$input" = /dev/null ] || [ "$(size "$input")" = "$input_bytes" ]; } ||
  refuse input "the input did not arrive whole, or $root or ${memory:-$root} is full"

lock
check_owner
if [ -e "$dir/void" ]; then refuse void; fi
if [ -e "$dir" ]; then refuse claimed; fi
if [ "$number" -gt 1 ]; then
  before=$(state_of "$attempt/$((number - 1))")
  case $before in
    finished* | timeout) ;;
    *) refuse order "$before" ;;
  esac
fi
own
mkdir -p -- "$attempt" && mkdir -- "$dir" || refuse setup "cannot make $dir"
mv -- "$inbox/words" "$dir/" && ln -s -- "$input" "$dir/input" &&
  sync "$dir/words" "$dir" "$attempt" "$folder" "$root/$run" "$root" ||
  refuse setup "cannot make the claim durable"

trap 'rm -rf -- "$inbox"' EXIT
setsid sh -c "$runner" hactl-run "$dir" "$seconds" "$keep" </dev/null >/dev/null 2>&1 &
pid=$!
# From here on the lock is the runner's, until it has said that it began.
exec 9>&-
say started
wait "$pid"
report "$dir"
