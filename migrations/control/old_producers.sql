-- From 0003 on, before 0004: the producers seen since $1.
SELECT 'producer' AS kind, host, pid FROM producer WHERE seen_at > $1 ORDER BY host, pid
