# Runs in namespaces of its own. $1 the root, $2 the repository's folder or nothing, $3 a layer to fill above the
# root or nothing; the script is on stdin, the rest are its arguments.
root=$1 repo=$2 layer=$3
shift 3
if [ -n "$layer" ]; then
  mkdir -p "$layer" "$layer.work" "$layer.root"
  mount -t overlay overlay -o "lowerdir=$root,upperdir=$layer,workdir=$layer.work" "$layer.root"
  root=$layer.root
fi
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root/srv/apt" "$root/dev/shm"
mount -t tmpfs tmpfs "$root/dev/shm"
if [ -n "$repo" ]; then mount --bind "$repo" "$root/srv/apt"; fi
cat > "$root/tmp/script"
exec env -i PATH="$PATH" HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
  ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
  chroot "$root" /bin/sh -eu /tmp/script "$@" < /dev/null
