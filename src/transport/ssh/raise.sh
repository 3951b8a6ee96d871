# Tells the host which epoch counts, before anything is claimed there.
# Arguments: marker root fleet run epoch seq sum hold vouched
# shellcheck disable=SC2034,SC2154 # common.sh goes before and uses these
marker=$1 root=$2 fleet=$3 run=$4 epoch=$5 seq=$6 sum=$7 hold=$8 vouched=$9

lock
check_owner
own
say raised
