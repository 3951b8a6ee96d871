# Runs in a mount namespace of the load balancer's own, in the lab's folder.
# $1 layers, $2 its folder, $3 its network namespace's name, then its control groups' files.
layers=$1 own=$2 name=$3
shift 3
for group in "$@"; do echo $$ > "$group"; done
exec 3< "/run/netns/$name"
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$own/upper,workdir=$own/work" "$own/root"
mkdir -p "$own/root/run/balancer"
mount --bind "$own/run" "$own/root/run/balancer"
exec nsenter --net=/proc/self/fd/3 env -i PATH="$PATH" chroot "$own/root" \
  /usr/sbin/haproxy -W -db -f /run/balancer/haproxy.cfg
