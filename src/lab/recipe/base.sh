# Makes a base system into what a freshly rented server is: an operator with sudo, SSH by key only.
rm -f /etc/ssh/ssh_host_* /etc/hostname
: > /etc/machine-id
useradd --create-home --uid 1000 --shell /bin/bash --password '*' ops
printf 'ops ALL=(ALL) NOPASSWD: ALL\n' > /etc/sudoers.d/ops
chmod 440 /etc/sudoers.d/ops
cat > /etc/ssh/sshd_config.d/lab.conf <<'END'
PasswordAuthentication no
PermitRootLogin no
UseDNS no
MaxSessions 10
END
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=persistent\nSystemMaxUse=64M\n' > /etc/systemd/journald.conf.d/lab.conf
# Nothing of Debian's own housekeeping runs behind a rehearsal's back.
systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
  getty.target console-getty.service systemd-pstore.service sshd-keygen.service \
  systemd-networkd-wait-online.service
# A machine of a lab dies with its processes, never with the kernel that holds its disk: dpkg need not wait for that.
echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/lab
