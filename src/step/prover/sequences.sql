-- Prints one JSON object a line for every sequence: how far it is, and what its WAL may run ahead. Sequences do not
-- follow snapshots, so their values are read before and after a point and compared with a tolerance. Variable `copy`: as
-- in digest.sql, which names those that are left out.
SELECT pg_catalog.format(
  'SELECT pg_catalog.json_build_object(''kind'', ''sequence'', ''name'', %L, ''last'', s.last_value, ''called'', s.is_called, '
  '''increment'', %s::bigint, ''cache'', %s::bigint, ''cycles'', %L::boolean) FROM %s AS s',
  pg_catalog.format('%I.%I', n.nspname, c.relname), q.seqincrement, q.seqcache, q.seqcycle,
  pg_catalog.format('%I.%I', n.nspname, c.relname))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_sequence q ON q.seqrelid = c.oid
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND c.relkind = 'S' AND c.relpersistence = 'p'
  AND NOT (:'copy' = 'logical' AND :is_of_an_extension)
ORDER BY c.oid
\gexec
