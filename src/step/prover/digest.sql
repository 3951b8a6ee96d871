-- Prints one JSON object a line for everything in this database that is compared: tables, large objects, sequences;
-- and what is left out, with the reason. Run it inside a transaction whose snapshot is the one to be described.
-- Variable `copy`: `physical` (a restored copy, byte for byte) or `logical` (dumped and restored).
--
-- A table's digest: the SHA-256 of each row's text (columns by name, generated ones too), taken as four 64-bit
-- numbers, each summed over all rows without overflow; then the SHA-256 of the row count and the four sums. It depends
-- on neither the order of rows nor any collation, and, unlike an XOR, tells how often equal rows occur.
SET LOCAL client_encoding = 'UTF8';
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO, YMD';
SET LOCAL IntervalStyle = 'postgres';
SET LOCAL extra_float_digits = 1;
SET LOCAL bytea_output = 'hex';
SET LOCAL xmlbinary = 'base64';
SET LOCAL lc_monetary = 'C';
SET LOCAL search_path = '';
SET LOCAL row_security = off;
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '60s';
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL synchronize_seqscans = on;

SELECT pg_catalog.json_build_object('kind', 'database', 'name', d.datname, 'encoding', pg_catalog.getdatabaseencoding(),
  'collate', d.datcollate, 'bytes', pg_catalog.pg_database_size(d.oid), 'server', pg_catalog.current_setting('server_version'))
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database();

SELECT pg_catalog.format($query$
SELECT pg_catalog.json_build_object('kind', 'table', 'name', %1$L, 'rows', r.n, 'digest',
  pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat_ws(':', r.n, r.a, r.b, r.c, r.d), 'UTF8')), 'hex'))
FROM (
  SELECT pg_catalog.count(*) AS n,
    pg_catalog.sum("substring"(h.h, 1, 64)::bigint) AS a, pg_catalog.sum("substring"(h.h, 65, 64)::bigint) AS b,
    pg_catalog.sum("substring"(h.h, 129, 64)::bigint) AS c, pg_catalog.sum("substring"(h.h, 193, 64)::bigint) AS d
  FROM (
    SELECT ('x' || pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(ROW(%3$s)::text,
      pg_catalog.getdatabaseencoding())), 'hex'))::bit(256) AS h
    FROM ONLY %2$s AS t OFFSET 0
  ) AS h
) AS r
$query$,
  pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.format('%I.%I', n.nspname, c.relname),
  (SELECT pg_catalog.string_agg(pg_catalog.format('t.%I', a.attname), ', ' ORDER BY a.attname COLLATE "C")
   FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND (c.relkind = 'r' OR (c.relkind = 'm' AND c.relispopulated AND :'copy' = 'physical'))
  AND (c.relpersistence = 'p' OR (c.relpersistence = 'u' AND :'copy' = 'logical'))
  AND NOT (:'copy' = 'logical' AND :is_of_an_extension)
ORDER BY c.oid
\gexec

-- A dump does not keep apart a page that ends in zero bytes and one that ends before them; a physical copy does.
SELECT pg_catalog.json_build_object('kind', 'large_objects', 'rows', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata),
  'digest', pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat_ws(':', p.n, p.a, p.b, p.c, p.d, m.ids), 'UTF8')), 'hex'))
FROM (
  SELECT pg_catalog.count(*) AS n,
    pg_catalog.sum("substring"(h.h, 1, 64)::bigint) AS a, pg_catalog.sum("substring"(h.h, 65, 64)::bigint) AS b,
    pg_catalog.sum("substring"(h.h, 129, 64)::bigint) AS c, pg_catalog.sum("substring"(h.h, 193, 64)::bigint) AS d
  FROM (
    SELECT ('x' || pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(l.loid || ' ' || l.pageno || ' ', 'UTF8') || l.bytes), 'hex'))::bit(256) AS h
    FROM (
      SELECT loid, pageno, CASE :'copy' WHEN 'physical' THEN data ELSE pg_catalog.rtrim(data, '\x00') END AS bytes
      FROM pg_catalog.pg_largeobject
    ) AS l
    WHERE :'copy' = 'physical' OR pg_catalog.length(l.bytes) > 0 OFFSET 0
  ) AS h
) AS p,
(SELECT pg_catalog.sum(oid::text::numeric) || '/' || pg_catalog.sum(pg_catalog.hashint8extended(oid::text::bigint, 0)) AS ids
 FROM pg_catalog.pg_largeobject_metadata) AS m;

SELECT pg_catalog.json_build_object('kind', 'excluded', 'name', pg_catalog.format('%I.%I', n.nspname, c.relname), 'why',
  CASE WHEN c.relkind = 'f' THEN 'a foreign table, whose rows are kept elsewhere'
       WHEN c.relkind = 'p' THEN 'a partitioned table, whose rows are in its partitions'
       WHEN c.relkind = 'm' AND :'copy' = 'logical' THEN 'a materialized view, which a dump computes anew'
       WHEN c.relkind = 'm' AND c.relpersistence = 'p' THEN 'a materialized view that was never filled'
       WHEN c.relkind IN ('r', 'S') AND :'copy' = 'logical' AND :is_of_an_extension
         THEN 'a table or sequence of an extension, which a dump makes anew'
       WHEN c.relkind = 'S' THEN 'an unlogged sequence'
       ELSE 'an unlogged table, which no WAL restores' END)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND (c.relkind IN ('f', 'p')
       OR (c.relkind = 'm' AND (:'copy' = 'logical' OR c.relpersistence <> 'p' OR NOT c.relispopulated))
       OR (c.relkind = 'r' AND c.relpersistence = 'u' AND :'copy' = 'physical')
       OR (c.relkind = 'S' AND c.relpersistence = 'u')
       OR (c.relkind IN ('r', 'S') AND :'copy' = 'logical' AND :is_of_an_extension))
ORDER BY 1::text;
