-- A row that is committed before the point, and one that is committed after it, in a schema of our own.
-- Prints the point: the end of the restore point's record.
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS hactl_canary;
CREATE TABLE IF NOT EXISTS hactl_canary.row (mark text NOT NULL, committed text NOT NULL);
INSERT INTO hactl_canary.row VALUES (:'mark', 'before');
SELECT pg_create_restore_point(left(:'mark', 63));
INSERT INTO hactl_canary.row VALUES (:'mark', 'after');
