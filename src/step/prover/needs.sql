-- Prints one JSON object a line for everything that a machine must have so that this database works there: its locales,
-- the extensions, whose files no backup holds.
SELECT pg_catalog.json_build_object('kind', 'needs', 'what', 'locale', 'name', l.name)
FROM (
  SELECT DISTINCT u.name
  FROM pg_catalog.pg_database d, LATERAL (VALUES (d.datcollate::text), (d.datctype::text)) AS u (name)
  WHERE d.datname IN (pg_catalog.current_database(), 'template1')
  UNION
  SELECT u.name
  FROM pg_catalog.pg_collation o JOIN pg_catalog.pg_attribute a ON a.attcollation = o.oid
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid,
    LATERAL (VALUES (o.collcollate::text), (o.collctype::text)) AS u (name)
  WHERE o.collprovider = 'c' AND c.relkind IN ('r', 'm', 'i', 'p', 'I') AND a.attnum > 0 AND NOT a.attisdropped
) AS l WHERE l.name IS NOT NULL ORDER BY 1::text;
SELECT pg_catalog.json_build_object('kind', 'needs', 'what', 'extension', 'name', x.extname)
FROM pg_catalog.pg_extension x WHERE x.extname <> 'plpgsql' ORDER BY x.extname;
