# The one server that a plan begins with: PostgreSQL 17 with the business's database, the workflow engine's
# database, and a program that never stops writing. /tmp/single-server.sql holds what is in them.
install -d /etc/postgresql-common
echo "initdb_options = '--data-checksums'" > /etc/postgresql-common/createcluster.conf
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get install -y -q postgresql-17
rm /usr/sbin/policy-rc.d
useradd --system --shell /usr/sbin/nologin --home-dir /nonexistent cell
useradd --system --shell /usr/sbin/nologin --home-dir /nonexistent temporal
ip link set lo up
pg_ctlcluster --skip-systemctl-redirect 17 main start
su postgres -s /bin/sh -c 'psql -X -q -v ON_ERROR_STOP=1 -d postgres' < /tmp/single-server.sql
pg_ctlcluster --skip-systemctl-redirect 17 main stop
cat > /etc/systemd/system/cell-writer.service <<'END'
[Unit]
Description=The cell: commits about 20 transactions a second
After=postgresql@17-main.service
StartLimitIntervalSec=0

[Service]
User=cell
Environment=PGAPPNAME=cell-writer PGDATABASE=cell PGOPTIONS=--client-min-messages=warning
ExecStart=/usr/bin/psql -X -q -o /dev/null -v ON_ERROR_STOP=1 -f /usr/local/share/cell-writer.sql
Restart=always
RestartSec=250ms

[Install]
WantedBy=multi-user.target
END
cat > /usr/local/share/cell-writer.sql <<'END'
with chosen as (
  select id, tenant_id from slots where id = 1 + floor(random() * 8000)::bigint
), written as (
  insert into provisioning_history (tenant_id, slot_id, event, detail)
  select tenant_id, id, 'resized', jsonb_build_object('cpu', 1 + floor(random() * 8)::int, 'by', 'writer') from chosen
  returning tenant_id
)
update quota set used_mb = 64 + floor(random() * 4000)::int, updated_at = now()
 where tenant_id in (select tenant_id from written) \watch 0.045
END
systemctl --quiet enable cell-writer.service
systemctl --quiet enable postgresql.service
