-- Before 0004: the consumers seen since $1.
SELECT 'consumer' AS kind, host, pid FROM worker WHERE seen_at > $1 ORDER BY host, pid
