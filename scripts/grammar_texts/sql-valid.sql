SELECT 1
select 1 ;
SELECT * FROM users;
SELECT COUNT(*) AS total FROM users u JOIN orders o ON u.id = o.user_id WHERE o.created_at >= '2024-01-01' GROUP BY u.id ORDER BY total DESC LIMIT 10;
SELECT name, email FROM customers WHERE country = 'Germany' AND active = TRUE ORDER BY name;
SELECT DISTINCT city FROM customers WHERE city IS NOT NULL
SELECT department_id, AVG(salary) AS average_salary FROM employees GROUP BY department_id HAVING AVG(salary) > 50000;
SELECT p.name, SUM(oi.quantity * oi.unit_price) AS revenue FROM order_items oi INNER JOIN products p ON p.id = oi.product_id GROUP BY p.name ORDER BY revenue DESC LIMIT 5;
SELECT c.name, COUNT(o.id) FROM customers c LEFT JOIN orders o ON c.id = o.customer_id GROUP BY c.name HAVING COUNT(o.id) = 0
SELECT * FROM a RIGHT OUTER JOIN b ON a.id = b.id FULL JOIN c USING (id, day)
SELECT * FROM a FULL OUTER JOIN b ON TRUE
SELECT * FROM a CROSS JOIN b NATURAL JOIN c NATURAL LEFT JOIN d
SELECT a.*, b.x FROM a, b WHERE a.id = b.id
SELECT * FROM (a JOIN b ON a.x = b.x) LEFT JOIN c ON c.y = b.y
SELECT u.name, latest.total FROM users u CROSS JOIN LATERAL (SELECT o.total FROM orders o WHERE o.user_id = u.id ORDER BY o.created_at DESC LIMIT 1) AS latest
SELECT u.name, l.total FROM users u LEFT JOIN LATERAL (SELECT total FROM orders WHERE user_id = u.id) l ON TRUE
SELECT id total, name label FROM t
SELECT id AS "Order No.", "Name" FROM "Sales"."Orders" AS "o"
SELECT "a""b" FROM public.t
SELECT s.t.c, s.t.* FROM s.t
SELECT t.order, t.from, t."end" FROM t
SELECT DISTINCT ON (user_id) user_id, created_at FROM events ORDER BY user_id, created_at DESC
SELECT DISTINCT(name) FROM t
SELECT ALL name FROM t
WITH recent AS (SELECT * FROM orders WHERE created_at > NOW() - INTERVAL '30 days') SELECT customer_id, COUNT(*) FROM recent GROUP BY customer_id
WITH RECURSIVE tree AS (SELECT id, parent_id, 1 AS depth FROM nodes WHERE parent_id IS NULL UNION ALL SELECT n.id, n.parent_id, t.depth + 1 FROM nodes n JOIN tree t ON n.parent_id = t.id) SELECT * FROM tree ORDER BY depth;
WITH a (x, y) AS (SELECT 1, 2), b AS (SELECT x FROM a) SELECT * FROM b
WITH a AS MATERIALIZED (SELECT 1), b AS NOT MATERIALIZED (SELECT 2) SELECT * FROM a, b
WITH moved AS (DELETE FROM inbox WHERE done RETURNING *) INSERT INTO archive SELECT * FROM moved
SELECT name, ROW_NUMBER() OVER (PARTITION BY department ORDER BY salary DESC) AS rank FROM employees
SELECT day, SUM(amount) OVER (ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM sales
SELECT AVG(x) OVER (PARTITION BY a, b ORDER BY c DESC NULLS LAST RANGE BETWEEN 3 PRECEDING AND 1 FOLLOWING) FROM t
SELECT SUM(x) OVER w, LAG(x, 1) OVER w FROM t WINDOW w AS (PARTITION BY a ORDER BY b)
SELECT COUNT(*) OVER() FROM t
SELECT RANK() OVER (ORDER BY score DESC) FROM results
SELECT SUM(x) OVER (ROWS UNBOUNDED PRECEDING) FROM t
SELECT AVG(t) OVER (ORDER BY day RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW) FROM weather
SELECT COUNT(*) FILTER (WHERE status = 'paid') AS paid, COUNT(*) FROM invoices
SELECT SUM(x) FILTER (WHERE y > 0) OVER (PARTITION BY z) FROM t
SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY price) FROM items
SELECT CASE WHEN age < 18 THEN 'minor' WHEN age < 65 THEN 'adult' ELSE 'senior' END AS age_group, COUNT(*) FROM people GROUP BY age_group
SELECT CASE status WHEN 1 THEN 'open' WHEN 2 THEN 'closed' END FROM tickets
SELECT SUM(CASE WHEN paid THEN amount ELSE 0 END) / NULLIF(COUNT(*), 0) FROM invoices
SELECT CASE WHEN a THEN CASE WHEN b THEN 1 ELSE 2 END ELSE 3 END FROM t
SELECT * FROM orders WHERE total BETWEEN 10 AND 20 AND status = 'open'
SELECT * FROM t WHERE x NOT BETWEEN a + 1 AND b * 2 OR y
SELECT * FROM t WHERE day BETWEEN '2024-01-01' AND '2024-12-31' ORDER BY day
SELECT * FROM t WHERE id IN (1, 2, 3) AND kind NOT IN ('a', 'b')
SELECT * FROM t WHERE id IN (SELECT t_id FROM u WHERE x > 0)
SELECT * FROM t WHERE (a, b) IN ((1, 2), (3, 4))
SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)
SELECT name FROM customers c WHERE NOT EXISTS (SELECT * FROM orders o WHERE o.customer_id = c.id) AND NOT c.blocked
SELECT * FROM t WHERE name LIKE 'A%' OR name ILIKE '%b_' AND name NOT LIKE 'x'
SELECT * FROM t WHERE name SIMILAR TO '(a|b)%'
SELECT * FROM t WHERE name LIKE '10!%' ESCAPE '!'
SELECT * FROM t WHERE name ~ '^a' AND name !~* 'b$'
SELECT * FROM t WHERE a IS NULL OR b IS NOT NULL OR c IS TRUE OR d IS NOT FALSE
SELECT * FROM t WHERE a IS DISTINCT FROM b AND c IS NOT DISTINCT FROM d
SELECT * FROM t WHERE x = ANY (SELECT y FROM u) AND z > ALL(ARRAY[1, 2])
SELECT * FROM t WHERE name LIKE ANY (ARRAY['a%', 'b%'])
SELECT * FROM t WHERE salary > (SELECT AVG(salary) FROM t)
SELECT (SELECT MAX(x) FROM u) AS m, a FROM t
SELECT * FROM (SELECT a, b FROM t) AS s (x, y) WHERE x > 1
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (id, name)
VALUES (1, 2), (3, 4)
SELECT region, product, SUM(sales) FROM t GROUP BY ROLLUP (region, product)
SELECT a, b, COUNT(*) FROM t GROUP BY CUBE(a, b) ORDER BY 1, 2
SELECT a, b, COUNT(*) FROM t GROUP BY GROUPING SETS ((a, b), (a), ())
SELECT DATE_TRUNC('month', created_at) AS month, COUNT(*) FROM t GROUP BY 1 ORDER BY month NULLS FIRST
SELECT a FROM t ORDER BY a ASC NULLS LAST, b DESC, c NULLS FIRST
SELECT a FROM t LIMIT 10 OFFSET 20
SELECT a FROM t OFFSET 5 LIMIT 5
SELECT a FROM t ORDER BY a OFFSET 10 ROWS FETCH NEXT 5 ROWS ONLY
SELECT a FROM t ORDER BY a FETCH FIRST 3 ROWS WITH TIES
SELECT a FROM t FETCH FIRST ROW ONLY
SELECT a FROM t LIMIT ALL
SELECT a FROM t LIMIT $1
SELECT a FROM t UNION SELECT b FROM u UNION ALL SELECT c FROM v ORDER BY 1 LIMIT 3
(SELECT a FROM t LIMIT 1) UNION (SELECT b FROM u LIMIT 1)
SELECT a FROM t INTERSECT SELECT a FROM u EXCEPT ALL SELECT a FROM v
SELECT * FROM t WHERE id IN (SELECT id FROM a UNION SELECT id FROM b)
SELECT price::numeric(10, 2), created_at::date, '1'::int::text FROM t
SELECT CAST(a AS integer), CAST(b AS varchar(20)), CAST('2024-01-01' AS date) FROM t
SELECT a::double precision, b::timestamp with time zone, c::int[], d::character varying(3) FROM t
SELECT ARRAY[1, 2, 3], ARRAY['a'], ARRAY[[1, 2], [3, 4]], ARRAY[]::int[]
SELECT ARRAY(SELECT a FROM t), tags[1], m[1:2] FROM u
SELECT (ARRAY[1, 2])[1], (point).x FROM t
SELECT data -> 'a' ->> 'b', data->'list'->0, data #>> '{a,b}' FROM t
SELECT * FROM t WHERE data @> '{"a": 1}' AND tags && ARRAY['x'] AND data ? 'k'
SELECT data->>'name' AS name FROM t WHERE (data->>'age')::int > 30
SELECT first_name || ' ' || last_name AS full_name FROM people
SELECT EXTRACT(YEAR FROM created_at) AS year, EXTRACT(epoch FROM (b - a)) / 60 FROM t
SELECT DATE '2024-01-01' + INTERVAL '1 day', TIMESTAMP '2024-01-01 00:00:00', TIME '10:00'
SELECT NOW() - INTERVAL '1' DAY, CURRENT_DATE - 7, CURRENT_TIMESTAMP
SELECT created_at AT TIME ZONE 'UTC' FROM t
SELECT 'it''s', '', E'a\nb\'c', $$it's$$
SELECT 1, 1.5, .5, 1e10, 2.5E-3, -1, - 1, +2, 3 - -4, 5-6
SELECT a FROM t WHERE id = $1
SELECT a % 2, a ^ 2, a & 1, a | 2, a << 1, a >> 1, -a * (b + c) / d FROM t
SELECT a <> b, a != b, a <= b, a >= b, a=-1, NOT a FROM t
SELECT SUBSTRING(name FROM 1 FOR 3), SUBSTRING(name, 2), TRIM(BOTH 'x' FROM name), TRIM(name), POSITION('@' IN email) FROM t
SELECT trim, position FROM t
SELECT LEFT(name, 3), RIGHT(name, 2), COALESCE(a, b, 0), GREATEST(a, b), ROUND(x, 2) FROM t
SELECT COUNT(DISTINCT user_id), STRING_AGG(name, ', ' ORDER BY name), ARRAY_AGG(DISTINCT x) FROM t
SELECT make_interval(days => 10), pg_catalog.now()
SELECT * FROM generate_series(1, 10) AS g (n), unnest(ARRAY[1, 2]) x
SELECT * FROM unnest(ARRAY['a', 'b']) WITH ORDINALITY AS t (name, n)
SELECT * FROM generate_series(DATE '2024-01-01', DATE '2024-01-31', INTERVAL '1 day') AS day
SELECT * FROM jobs WHERE state = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
SELECT größe, Straße FROM häuser WHERE größe > 100
SELECT date, time, year, user_name, value, type, status, count FROM t
SELECT a FROM t WHERE name COLLATE "C" < 'b'
SELECT selected, fromage, ordering, whereabouts, inn, android FROM union_members
INSERT INTO users (name, email) VALUES ('Ann', 'ann@example.org');
INSERT INTO users VALUES (1, 'Ann', NULL, DEFAULT), (2, 'Bob', NOW(), 3)
INSERT INTO t DEFAULT VALUES
INSERT INTO archive (id, body) SELECT id, body FROM inbox WHERE done
INSERT INTO t (a) VALUES (1) ON CONFLICT DO NOTHING
INSERT INTO t (id, n) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = t.n + EXCLUDED.n WHERE t.n < 10 RETURNING id, n
INSERT INTO t (a, b) VALUES (1, 2) RETURNING *
INSERT INTO t AS x (a) VALUES (1) ON CONFLICT ON CONSTRAINT t_key DO NOTHING
INSERT INTO t(a,b)VALUES(1,2)
UPDATE products SET price = price * 1.1 WHERE category = 'books';
UPDATE t SET a = 1, b = DEFAULT, c = (SELECT MAX(x) FROM u) WHERE id = 3 RETURNING id
UPDATE orders o SET total = s.total FROM (SELECT order_id, SUM(price) AS total FROM items GROUP BY order_id) s WHERE s.order_id = o.id
UPDATE t AS x SET (a, b) = (1, 2)
DELETE FROM sessions WHERE expires_at < NOW() - INTERVAL '1 day';
DELETE FROM a USING b WHERE a.id = b.a_id AND b.gone RETURNING a.id
DELETE FROM t
CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR(100) NOT NULL, email TEXT UNIQUE, created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW());
CREATE TABLE IF NOT EXISTS app.orders (id BIGINT GENERATED ALWAYS AS IDENTITY, user_id INT NOT NULL REFERENCES users (id) ON DELETE CASCADE, total NUMERIC(10, 2) DEFAULT 0 CHECK (total >= 0), PRIMARY KEY (id))
CREATE TABLE t (a int, b int, CONSTRAINT t_pk PRIMARY KEY (a, b), UNIQUE (b), FOREIGN KEY (a) REFERENCES u (id) ON UPDATE SET NULL, CHECK (a < b))
CREATE TEMP TABLE t AS SELECT * FROM u
CREATE TEMPORARY TABLE t (x double precision, y timestamp DEFAULT CURRENT_TIMESTAMP, z jsonb DEFAULT '{}'::jsonb)
CREATE INDEX idx_users_email ON users (email);
CREATE UNIQUE INDEX IF NOT EXISTS i ON t (lower(name), b DESC NULLS LAST) WHERE b > 0
CREATE INDEX CONCURRENTLY i ON t USING gin (data)
CREATE VIEW active_users AS SELECT * FROM users WHERE active;
CREATE OR REPLACE VIEW v (a, b) AS SELECT 1, 2
CREATE MATERIALIZED VIEW totals AS SELECT day, SUM(x) FROM t GROUP BY day
