MATCH (n) RETURN n
match (n:Person) return n.name as name, n.age order by name limit 5;
MATCH (p:Person {name: 'Alice'}) RETURN p.age
MATCH (p:Person)-[:ACTED_IN]->(m:Movie) WHERE m.released > 2000 RETURN p.name AS actor, m.title AS title ORDER BY m.released DESC, title LIMIT 10
MATCH (c:Customer)-[:PURCHASED]->(o:Order)-[:CONTAINS]->(p:Product) WITH c, SUM(p.price) AS total WHERE total > 1000 RETURN c.name, total ORDER BY total DESC SKIP 5 LIMIT 10
MATCH (order:Order) WITH order, count(*) AS count ORDER BY count DESC LIMIT 3 RETURN order.id AS end
MATCH (d:Director {name: "Christopher Nolan"})-[:DIRECTED]->(m:Movie) RETURN COUNT(m) AS movieCount
MATCH (m:Movie) RETURN avg(m.rating), min(m.rating), max(m.rating), count(DISTINCT m.genre), collect(m.title)[0..3]
MATCH (a:Person)-[:KNOWS*1..3]-(b:Person) WHERE a <> b RETURN DISTINCT b.name
MATCH (a)-[r:A|B*..2 {since: 2020}]->(b) RETURN a, r, b
MATCH p = (a:City {name: 'Oslo'})-[:ROAD*]->(b:City) RETURN p, length(p) AS hops ORDER BY hops LIMIT 1
MATCH p = shortestPath((a:Station {name: $from})-[:LINE*..15]-(b:Station {name: $to})) RETURN [n IN nodes(p) | n.name] AS stops
MATCH p = allShortestPaths((a)-[*]-(b)) WHERE a.id = 1 AND b.id = 2 RETURN count(p)
MATCH p = ANY SHORTEST (a:A)-[:R]-+(b:B) RETURN p
MATCH p = SHORTEST 2 GROUPS (a:A)-[:R]->{1,3}(b:B) RETURN p
MATCH p = ALL SHORTEST (a:A)<-[:R]-*(b:B) RETURN p
MATCH (a)<-[:MANAGES]-(b), (b)--(c) RETURN a, b, c
MATCH (a)-->(b)<--(c) RETURN *
MATCH (n:A:B) RETURN n
MATCH (m:A|B), (o:A&!B), (x:!(A|B)&C), (y:%) RETURN m, o, x, y
MATCH (n:Person WHERE n.age >= 18 AND n.age < 65)-[r:WORKS_FOR WHERE r.since > 2010]->(f) RETURN f
MATCH (n) WHERE n:Person OR n:Company&!Closed RETURN n
OPTIONAL MATCH (n:Nobody) RETURN n IS NULL AS missing
MATCH (p:Person) OPTIONAL MATCH (p)-[:LIVES_IN]->(c:City) RETURN p.name, coalesce(c.name, 'unknown') AS city
MATCH (p:Person) WHERE p.email IS NOT NULL AND NOT p.email ENDS WITH '@example.com' RETURN p
MATCH (p:Person) WHERE p.name STARTS WITH 'A' OR p.name CONTAINS "an" XOR p.name =~ '(?i).*son\\.' RETURN p.name
MATCH (p:Person) WHERE p.name IN ['Ann', 'Bob'] AND (p.age > 30 OR p.active = true) RETURN p
MATCH (p) WHERE NOT (p)-[:KNOWS]->() RETURN p
MATCH (p) WHERE NOT(p)-[:KNOWS]->(:Person {name: 'Eve'}) AND NOT(p.age < 3) RETURN p
MATCH (a), (b) WHERE (a)-[:X]-(b) OR (a:L)<--(b) RETURN a
MATCH (n) WHERE exists((n)-[:HAS]->()) RETURN n
MATCH (p:Person) WHERE EXISTS { MATCH (p)-[:OWNS]->(d:Dog) WHERE d.name = p.name } RETURN p
MATCH (p:Person) WHERE EXISTS { (p)-[:OWNS]->(:Cat) } RETURN p.name
MATCH (p:Person) WHERE COUNT { (p)-[:OWNS]->(:Dog) } > 2 RETURN p.name
MATCH (p:Person) RETURN p.name, count { MATCH (p)--(x) WHERE x.age > 3 RETURN x } AS n
MATCH (p:Person) RETURN COLLECT { MATCH (p)-->(d:Dog) RETURN d.name } AS dogs
MATCH (p) WHERE EXISTS { MATCH (p)-->(q) WITH q WHERE q.x = 1 MATCH (q)-->(r) RETURN r } RETURN p
MATCH (p) RETURN size([(p)-[:KNOWS]->(f:Person) WHERE f.age > 30 | f.name]) AS friends
MATCH (a) RETURN [path = (a)-->(b) WHERE b.x = 1 | length(path)] AS lengths
WITH [1, 2, 3] AS xs RETURN [x IN xs WHERE x > 1 | x * 2] AS a, [x IN xs | -x] AS b, [x IN xs WHERE x <> 2] AS c, [x IN xs] AS d
WITH [1, 2, 3] AS xs RETURN any(x IN xs WHERE x > 2), all(x IN xs WHERE x > 0), none(x IN xs WHERE x = 5), single(x IN xs WHERE x = 1)
RETURN reduce(total = 0, x IN [1, 2, 3] | total + x) AS total
RETURN [1 IN [1, 2], 2 = 3, [], [[1], [2, [3]]]] AS nested
WITH [1, 2, 3, 4] AS xs RETURN xs[0], xs[-1], xs[1..3], xs[..2], xs[2..], size(xs)
MATCH (n:Person) RETURN n {.name, .age, city: 'Oslo', tags: [1, 2]} AS person
MATCH (n:Person) RETURN n { .* } AS person, {name: n.name, `full name`: n.name} AS m
MATCH (n) RETURN CASE WHEN n.age < 18 THEN 'minor' WHEN n.age < 65 THEN 'adult' ELSE 'senior' END AS stage
MATCH (n) RETURN CASE n.eyes WHEN 'blue' THEN 1 WHEN 'brown' THEN 2 ELSE 3 END AS result, count(*)
MATCH (n) RETURN n.a + n.b * 2 - 3 / 4 % 5 ^ 2 AS x, -n.a AS y, -(n.a + 1) AS z, 'a' + "b" AS s, 1.5e-3 AS f
RETURN 1 < 2 <= 3 AS chain, 'it\'s' AS a, "say \"hi\"\n" AS b, 'caf\u00e9 \\ ok' AS c, 'Zürich' AS d, 'O"Neil' AS e
MATCH (n:`My Label`)-[:`HAS PART`]->(m) RETURN n.`first name` AS `First Name`
MATCH (n:Événement) WHERE n.größe > 3 RETURN n.größe AS größe
RETURN datetime('2024-01-01T00:00:00Z') AS t, date().year AS y, duration({days: 14, hours: 16}) AS d, date() - duration('P1Y') AS past
MATCH (t:Task) WHERE t.due >= date('2024-01-01') AND t.due < date('2024-01-01') + duration({months: 1}) RETURN t.due.month, count(t)
MATCH (a:Place), (b:Place) RETURN point.distance(a.location, b.location) AS meters, point({latitude: 59.9, longitude: 10.7}) AS p
MATCH (n) RETURN apoc.text.join(collect(n.name), ', ') AS names, apoc.coll.max([1, 2]) AS most
MATCH (n) RETURN labels(n)[0] AS label, count(*) AS n ORDER BY n DESCENDING
MATCH (a)-[r]->(b) RETURN type(r), properties(r), startNode(r), id(a), elementId(b), keys(a)
UNWIND [1, 2, 3] AS x RETURN x, x ^ 2 AS square
UNWIND range(1, 10) AS i WITH i WHERE i % 2 = 0 RETURN collect(i)
UNWIND $rows AS row MERGE (n:Person {id: row.id}) SET n += row.properties RETURN count(n)
CREATE (n:Person {name: 'Ann', age: 30})
CREATE (n:Person $properties) RETURN n
CREATE (a:Person {name: 'A'})-[r:KNOWS {since: 2020}]->(b:Person {name: 'B'}), (b)<-[:LIKES]-(:Cat)
CREATE p = (:A)-[:R]->(:B) RETURN p
MATCH (a:Person {name: 'A'}), (b:Person {name: 'B'}) CREATE (a)-[:KNOWS]->(b) RETURN a, b
MATCH (a:Person {name: 'A'}), (b:Person {name: 'B'}) MERGE (a)-[r:KNOWS]->(b) ON CREATE SET r.since = date() ON MATCH SET r.count = r.count + 1, r.last = timestamp() RETURN r
MERGE (c:City {name: 'Oslo'}) ON CREATE SET c.created = timestamp() RETURN c
MERGE (a:A {x: 1})-[:R]-(b:B {y: 2})
MATCH (n:Person {id: 7}) SET n.age = 31, n.name = 'Bo', n:Employee:Manager, n += {city: 'Oslo'}
MATCH (n) WHERE n.id = $id SET n = $properties RETURN n
MATCH (n) SET n[$key] = 1
MATCH (n:Person) WHERE n.age IS NULL REMOVE n.age, n:Person RETURN n
MATCH (n:Person {name: 'Ann'})-[r:KNOWS]->() DELETE r
MATCH (n:Temp) DETACH DELETE n
MATCH (n) DELETE n RETURN count(*)
MATCH p = (a)-[*]->(b) WHERE a.name = 'A' FOREACH (n IN nodes(p) | SET n.marked = true)
MATCH (n) FOREACH (x IN [1, 2] | CREATE (:Copy {x: x}) SET n.x = x)
CREATE (a:A) WITH a MATCH (b:B) CREATE (a)-[:R]->(b)
LOAD CSV WITH HEADERS FROM 'file:///people.csv' AS row CREATE (:Person {name: row.name, age: toInteger(row.age)})
LOAD CSV FROM $url AS line FIELDTERMINATOR ';' MERGE (:City {name: line[0]})
CALL db.labels()
CALL db.labels() YIELD label RETURN label ORDER BY label
CALL db.index.fulltext.queryNodes('titles', 'matrix~') YIELD node, score AS s WHERE s > 0.5 RETURN node.title, s
MATCH (p:Person) CALL { WITH p MATCH (p)-->(c:Car) RETURN count(c) AS cars } RETURN p.name, cars
MATCH (p:Person) CALL (p) { MATCH (p)-->(c:Car) RETURN count(c) AS cars UNION MATCH (p)-->(b:Bike) RETURN count(b) AS cars } RETURN p.name, cars
MATCH (n) CALL (n) { SET n.seen = true } IN TRANSACTIONS OF 1000 ROWS
MATCH (a:A) RETURN a.name AS name UNION MATCH (b:B) RETURN b.name AS name
MATCH (a:A) RETURN a.name AS name UNION ALL MATCH (b:B) RETURN b.title AS name
MATCH (u:User)-[:POSTED]->(t:Tweet)-[:TAGS]->(h:Hashtag) WITH h, count(DISTINCT u) AS users, collect(DISTINCT t.text)[..5] AS samples WHERE users >= 3 RETURN h.name, users, samples ORDER BY users DESC LIMIT 20
MATCH (e:Employee)-[:REPORTS_TO*0..]->(boss:Employee {name: 'Ann'}) WITH boss, collect(e) AS team RETURN boss.name, size(team) AS size, reduce(s = 0.0, e IN team | s + e.salary) / size(team) AS mean
MATCH (n) RETURN n ORDER BY n.x ASC, n.y DESC, n.z ASCENDING
MATCH (match:Match)-[:PLAYED_IN]->(start:Stadium) RETURN match, start
MATCH (n) WITH *, n.x AS x WHERE x > 1 RETURN *, x + 1 AS y
