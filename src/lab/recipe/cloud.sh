# What a server of the cloud has beside the base: cloud-init, and root's login by key instead of an operator of the lab's.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get install -y -q cloud-init
rm /usr/sbin/policy-rc.d
rm /etc/sudoers.d/ops
userdel --remove ops 2>/dev/null
sed -i 's/^PermitRootLogin .*/PermitRootLogin prohibit-password/' /etc/ssh/sshd_config.d/lab.conf
cat > /etc/cloud/cloud.cfg.d/90_lab.cfg <<'END'
# The network is there before the system is, and nothing is asked for over it.
datasource_list: [NoCloud]
network: {config: disabled}
manage_etc_hosts: false
disable_root: false
ssh_deletekeys: true
users: [default]
system_info:
  default_user: {name: root, lock_passwd: true, shell: /bin/bash}
END
rm -rf /var/lib/cloud /var/log/cloud-init*
