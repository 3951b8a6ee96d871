# Removes what the attempts of a run left, and makes sure that nothing of them that is still on its way can start.
# Arguments: marker root fleet run epoch seq sum hold vouched
# shellcheck disable=SC2034,SC2154 # common.sh goes before and uses these
marker=$1 root=$2 fleet=$3 run=$4 epoch=$5 seq=$6 sum=$7 hold=$8 vouched=$9

if [ ! -e "$root/owner" ]; then
  say pruned
  exit 0
fi
lock
check_owner
# Whoever claims after this has to show that this line stands in its journal; what was sent before cannot.
hold=-
own
rm -rf -- "${root:?}/${run:?}" || refuse setup "cannot remove $root/$run"
# What claims left that were killed before they began; a claim that lives is minutes old at most.
for place in /run /dev/shm "$root"; do
  [ ! -d "$place" ] || find "$place" -maxdepth 1 -name 'hactl-in.*' -mmin +1440 -exec rm -rf -- {} +
done
sync "$root"
say pruned
