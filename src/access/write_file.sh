# Writes standard input to a file: beside its place, made durable, then renamed into it.
# Arguments: path owner group mode mark; what is left beside the file, where this is killed, is found by the attempt's mark
# when the attempt is settled.
set -eu
umask 077
path=$1 owner=$2 group=$3 mode=$4 mark=$5
dir=$(dirname -- "$path")
[ -d "$dir" ] || { echo "the folder $dir does not exist" >&2; exit 66; }
[ ! -d "$path" ] || { echo "$path is a folder" >&2; exit 66; }
temp=$(mktemp -- "$dir/.hactl.$mark.XXXXXXXX")
trap 'rm -f -- "$temp"' EXIT
cat >"$temp"
chown -- "$owner:$group" "$temp"
chmod -- "$mode" "$temp"
sync -- "$temp"
mv -fT -- "$temp" "$path"
sync -- "$dir"
