# Runs in a mount namespace of the machine's own, in the lab's folder.
# $1 layers, $2 the machine's folder, $3 its network namespace, $4 its unique name, $5 the file with the addresses that
# each boot finds, or nothing, then its control groups' files.
layers=$1 own=$2 namespace=$3 name=$4 addresses=$5
shift 5
for group in "$@"; do echo $$ > "$group"; done
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$own/upper,workdir=$own/work" "$own/root"
# What systemd-nspawn keeps under /run stays in here and goes with the namespace.
mkdir -p /run/systemd
mount -t tmpfs -o mode=755 tmpfs /run/systemd
while :; do
  # A real boot finds the addresses that the cloud gives, and nothing that was added by hand: the namespace outlives it.
  [ -z "$addresses" ] || ip -n "${namespace##*/}" -force -batch "$addresses"
  ended=0
  env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --directory="$own/root" \
    --machine="$name" --keep-unit --register=no --network-namespace-path="$namespace" \
    --capability=CAP_NET_ADMIN,CAP_NET_RAW --resolv-conf=off --timezone=off --link-journal=no \
    --bind-ro="$PWD/image/repo:/srv/apt" --boot || ended=$?
  # 133 is how systemd-nspawn says that the system asked for a reboot.
  [ "$ended" = 133 ] || exit 0
done
