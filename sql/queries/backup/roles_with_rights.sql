-- The roles that a policy or a privilege of some relations names, except their owners. Parameter: names text[].
SELECT DISTINCT r.rolname AS role
FROM unnest(%(names)s::text[]) AS wanted
JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(wanted))
CROSS JOIN LATERAL (
    SELECT unnest(p.polroles) AS oid FROM pg_policy AS p WHERE p.polrelid = c.oid
    UNION ALL
    SELECT g.grantee FROM aclexplode(c.relacl) AS g
) AS named
JOIN pg_roles AS r ON r.oid = named.oid AND r.oid <> c.relowner
ORDER BY role
