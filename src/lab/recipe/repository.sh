# Fetches packages and what they depend on into /srv/apt, and makes it the only source of packages.
# $1: the packages.
apt-get update -q
# shellcheck disable=SC2086
apt-get install -y -q --no-install-recommends --download-only -o Dir::Cache::archives=/srv/apt -o APT::Sandbox::User=root $1
rm -rf /srv/apt/partial /srv/apt/lock
cd /srv/apt
for deb in *.deb; do
  dpkg-deb --field "$deb"
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done > Packages
chmod -R a+rX .
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
printf 'deb [trusted=yes] file:/srv/apt ./\n' > /etc/apt/sources.list
printf 'Acquire::Languages "none";\nAPT::Install-Recommends "false";\n' > /etc/apt/apt.conf.d/90lab
apt-get clean
rm -rf /var/lib/apt/lists/*
apt-get update -q
: > /etc/resolv.conf
