-- A database in memory: 200 000 rows in, indexed, joined, grouped, half of them out again; prints a checksum.
PRAGMA cache_size = -4000;
CREATE TABLE entry (id INTEGER PRIMARY KEY, name TEXT, group_id INTEGER, note TEXT);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
INSERT INTO entry SELECT i, 'name ' || (i * 7919 % 200000), i % 997, printf('%.*c', i % 60, 'x') FROM n;
CREATE INDEX entry_by_name ON entry (name);
CREATE INDEX entry_by_group ON entry (group_id, name);
SELECT 'checksum', sum(length(names)) FROM (SELECT group_concat(name, ', ') AS names FROM entry GROUP BY group_id);
SELECT 'checksum', count(*) FROM entry AS a JOIN entry AS b ON b.name = 'name ' || (a.id * 31 % 200000);
UPDATE entry SET note = note || name WHERE id % 3 = 0;
DELETE FROM entry WHERE id % 2 = 0;
SELECT 'checksum', count(*), sum(length(note)) FROM entry;
