# Runs words in a clean environment, as the user that runs this already.
# Arguments: user NAME=VALUE … program argument …
user=$1
shift
home=$(getent passwd "$user")
home=${home%:*}
exec env -i HOME="${home##*:}" USER="$user" LOGNAME="$user" SHELL=/bin/sh LANG=C.UTF-8 \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
