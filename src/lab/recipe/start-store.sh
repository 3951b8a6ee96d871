# Runs in a mount namespace of the object store's own, in the lab's folder.
# $1 layers, $2 its folder, $3 its network namespace, $4 its address, then its control groups' files.
layers=$1 own=$2 namespace=$3 address=$4
shift 4
for group in "$@"; do echo $$ > "$group"; done
exec 3< "$namespace"
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$own/upper,workdir=$own/work" "$own/root"
# It puts sockets into /tmp under fixed names, so a second store on this computer would answer for the first.
# What it is given lies under /tmp where the lab's folder does; relative paths still lead there.
mount -t tmpfs tmpfs /tmp
exec nsenter --net=/proc/self/fd/3 env -i HOME=/tmp PATH="$PATH" image/bin/weed -logtostderr=true server \
  -dir="$own/root" -ip=127.0.0.1 -ip.bind=127.0.0.1 -filer -s3 \
  -master.telemetry=false -master.electionTimeout=1s -master.volumeSizeLimitMB=1024 \
  -volume.max=0 -volume.minFreeSpacePercent=1 \
  -s3.ip.bind="$address" -s3.domainName=s3.lab -s3.port=8333 -s3.port.https=8443 -s3.port.iceberg=0 -s3.port.lance=0 \
  -s3.cert.file=keys/s3.pem -s3.key.file=keys/s3.key -s3.config=keys/s3.json
