-- The databases of the scene: a business on one server (cell) and its workflow engine (temporal).
create role cell login;
create role temporal login;
create database cell owner cell;
create database temporal owner temporal;
\connect cell
set role cell;
create table tenants (
  id bigint generated always as identity primary key,
  name text not null unique,
  plan text not null check (plan in ('small', 'medium', 'large')),
  settings jsonb not null,
  contract oid,
  created_at timestamptz not null
);
create table slots (
  id bigint generated always as identity primary key,
  tenant_id bigint not null references tenants,
  node text not null,
  state text not null,
  spec jsonb not null
);
create index on slots (tenant_id);
create table quota (
  tenant_id bigint primary key references tenants,
  limit_mb integer not null,
  used_mb integer not null check (used_mb >= 0),
  updated_at timestamptz not null default now()
);
create sequence provisioning_seq;
create table provisioning_history (
  id bigint primary key default nextval('provisioning_seq'),
  tenant_id bigint not null references tenants,
  slot_id bigint not null references slots,
  event text not null,
  detail jsonb not null,
  at timestamptz not null default now()
);
alter sequence provisioning_seq owned by provisioning_history.id;
create index on provisioning_history (tenant_id, at);
select setseed(0.42);
insert into tenants (name, plan, settings, created_at)
  select 'tenant-' || n, (array['small', 'medium', 'large'])[1 + n % 3],
         jsonb_build_object('region', 'eu-' || n % 4, 'features', jsonb_build_array('backup', 'feature-' || n % 7)),
         timestamptz '2025-01-01 00:00+00' + n * interval '2 hours'
  from generate_series(1, 2000) n;
update tenants set contract = lo_from_bytea(0, decode(repeat('436f6e74726163740a', 30000), 'hex')) where id = 1;
insert into slots (tenant_id, node, state, spec)
  select 1 + n % 2000, 'node-' || 1 + n % 3, (array['running', 'stopped'])[1 + (n % 10 = 0)::int],
         jsonb_build_object('cpu', 1 + n % 8, 'memory_mb', 256 * (1 + n % 16), 'image', md5(n::text))
  from generate_series(0, 7999) n;
insert into quota (tenant_id, limit_mb, used_mb, updated_at)
  select n, 4096, (n * 37) % 4096, timestamptz '2026-01-01 00:00+00' from generate_series(1, 2000) n;
insert into provisioning_history (tenant_id, slot_id, event, detail, at)
  select tenant_id, id, (array['created', 'started', 'resized', 'stopped'])[1 + n % 4],
         jsonb_build_object('request', md5(n::text), 'attempt', n % 3),
         timestamptz '2025-06-01 00:00+00' + n * interval '2 minutes'
  from generate_series(1, 190000) n join slots on id = 1 + n % 8000;
reset role;
analyze;
\connect temporal
set role temporal;
create table schema_version (version_partition integer, db_name text, curr_version text, primary key (version_partition, db_name));
create table namespaces (id uuid primary key, name text unique not null, data bytea not null);
create table executions (
  shard_id integer not null, namespace_id uuid not null references namespaces, workflow_id text not null,
  run_id uuid not null, next_event_id bigint not null, data bytea not null,
  primary key (shard_id, namespace_id, workflow_id, run_id)
);
create table history_node (
  shard_id integer not null, tree_id uuid not null, branch_id uuid not null, node_id bigint not null,
  txn_id bigint not null, data bytea not null,
  primary key (shard_id, tree_id, branch_id, node_id, txn_id)
);
insert into schema_version values (0, 'temporal', '1.14');
insert into namespaces select md5(n::text)::uuid, 'namespace-' || n, decode(md5('ns' || n), 'hex') from generate_series(1, 3) n;
insert into executions
  select n % 4, md5((1 + n % 3)::text)::uuid, 'provision-tenant-' || n, md5('run' || n)::uuid, n % 20, decode(md5('e' || n), 'hex')
  from generate_series(1, 1500) n;
insert into history_node
  select n % 4, md5('tree' || n / 8)::uuid, md5('branch' || n / 8)::uuid, n % 8, n, decode(repeat(md5('h' || n), 4), 'hex')
  from generate_series(1, 6000) n;
reset role;
analyze;
checkpoint;
