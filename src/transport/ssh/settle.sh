# Makes sure that nothing of an attempt can start late, and reports how it stands.
# Arguments: marker root fleet run epoch seq folder label which; which is the number of a command, or `all`
# shellcheck disable=SC2154 # common.sh goes before, and its users set these
marker=$1 root=$2 fleet=$3 run=$4 epoch=$5 seq=$6 folder=$2/$4/$7 label=$8 which=$9
attempt=$folder/$label

lock
check_owner
if [ "$which" = all ]; then
  last=0
  while [ -e "$attempt/$((last + 1))" ] && [ ! -e "$attempt/$((last + 1))/void" ]; do last=$((last + 1)); done
  # The newest claim may have died before its command began.
  if [ "$last" -gt 0 ] && [ ! -e "$attempt/$last/begun" ]; then
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
    sync "$attempt/$next/void" "$attempt/$next" "$attempt" "$folder" "$root/$run" "$root" ||
    refuse setup "cannot void a claim"
fi
say "command $last"
if [ "$last" -gt 0 ]; then report "$attempt/$last"; else say never; fi
