# Claims a command of an attempt, starts it in a process session of its own, waits for its end and reports it.
# Standard input: the words of the command, each followed by a NUL; then its own input.
# shellcheck disable=SC2034,SC2154 # common.sh goes before and uses these
marker=$1 runner=$2 root=$3 fleet=$4 run=$5 folder=$3/$5/$6 label=$7 number=$8 epoch=$9
shift 9
seq=$1 sum=$2 hold=$3 vouched=$4 words_bytes=$5 input_bytes=$6 seconds=$7 keep=$8

[ -d "$root" ] || mkdir -p -- "$root" || refuse setup "cannot make $root"
inbox=$(mktemp -d "$root/in.XXXXXXXX") || refuse setup "cannot write in $root"
# The input may be a secret: it stays in memory, and goes as soon as the command has opened it.
memory=/run
[ -w "$memory" ] || memory=$root
input=$(mktemp "$memory/hactl-in.XXXXXXXX") || refuse setup "cannot write in $memory"
trap 'rm -rf -- "$inbox" "$input"' EXIT
head -c "$words_bytes" >"$inbox/words"
head -c "$input_bytes" >"$input"
[ "$(size "$inbox/words")" = "$words_bytes" ] && [ "$(size "$input")" = "$input_bytes" ] ||
  refuse input "the input did not arrive whole, or $root is full"

lock
check_owner
attempt=$folder/$label
dir=$attempt/$number
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
