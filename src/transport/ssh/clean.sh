# Runs words in a clean environment: NAME=VALUE …, program, argument …
home=$(getent passwd "$(id -u)" | cut -d: -f6)
exec env -i HOME="${home:-/}" USER="$(id -un)" LOGNAME="$(id -un)" SHELL=/bin/sh LANG=C.UTF-8 \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
