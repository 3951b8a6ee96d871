# Runs in a mount namespace of the server's own, in the lab's folder.
# $1 layers, $2 the server's folder, $3 its network namespace's name, which is its machine name too, then its control
# groups' files.
layers=$1 own=$2 name=$3
shift 3
for group in "$@"; do echo $$ > "$group"; done
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$own/upper,workdir=$own/work" "$own/root"
# What systemd-nspawn keeps under /run stays in here and goes with the namespace.
mkdir -p /run/systemd
mount -t tmpfs -o mode=755 tmpfs /run/systemd
while :; do
  # A real boot finds the addresses that the cloud gives, and nothing that was added by hand: the namespace outlives it.
  ip -n "$name" -force -batch "$own/addresses"
  ended=0
  env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --directory="$own/root" \
    --machine="$name" --keep-unit --register=no --network-namespace-path="/run/netns/$name" \
    --capability=CAP_NET_ADMIN,CAP_NET_RAW --resolv-conf=off --timezone=off --link-journal=no \
    --bind-ro="$PWD/image/repo:/srv/apt" --boot || ended=$?
  # 133 is how systemd-nspawn says that the system asked for a reboot.
  [ "$ended" = 133 ] || exit 0
done
