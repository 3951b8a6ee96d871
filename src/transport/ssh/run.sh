# Runs a claimed command to its end, whatever becomes of the connection that started it.
# Arguments: folder seconds keep
cd "$1" || exit 1
seconds=$2 keep=$3
exec 8>alive
flock -n 8 || exit 1
read -r boot </proc/sys/kernel/random/boot_id
printf '%s %s\n' "$$" "$boot" >begun
sync begun . || exit 1
exec 7<input || exit 1
taken=$(readlink input)
if [ "$taken" != /dev/null ]; then rm -f -- "$taken"; fi
rm -f -- input
exec 9>&-

mkfifo out.pipe err.pipe || exit 1
collect() {
  stdbuf -o0 head -c "$keep" >"$1"
  wc -c >"$1.cut"
  : >"$1.whole"
}
collect stdout <out.pipe 7<&- 8>&- &
collect stderr <err.pipe 7<&- 8>&- &

# What is ours stays private; the command itself gets the umask that programs and package scripts expect.
# The innermost shell writes how the command itself ended, so that its own 124 is not taken for a timeout.
# shellcheck disable=SC2016 # expanded by the innermost shell
timeout -k 10 "$seconds" xargs -0 -x -n 100000 -s 1500000 -a words sh -c \
  'rc=$1; shift; cd /; umask 022; "$@" 8>&-; echo "$?" >"$rc"' hactl-words "$1/rc" <&7 7<&- >out.pipe 2>err.pipe &
group=$!
wait "$group"
ended=$?
if [ ! -s rc ]; then
  # Cut short: what ignores being terminated is killed. timeout made a process group of itself and its children.
  tries=100
  while [ "$tries" -gt 0 ] && kill -s 0 -- "-$group" 2>/dev/null; do
    tries=$((tries - 1))
    sleep 0.1
  done
  kill -s KILL -- "-$group" 2>/dev/null
fi

# Output may still be on its way; but a service that was started may hold the pipes for ever.
for pause in 0.002 0.005 0.01 0.02 0.05 0.1 0.2 0.5 1 1; do
  if [ -e stdout.whole ] && [ -e stderr.whole ]; then break; fi
  sleep "$pause"
done
rm -f out.pipe err.pipe
if [ -s rc ]; then
  read -r rc <rc
  echo "finished $rc" >status.new
elif [ "$ended" = 124 ] || [ "$ended" = 137 ]; then
  echo timeout >status.new
else
  echo unknown >status.new
fi
sync stdout stderr status.new
mv status.new status
sync .
