SELECT a, count(*) FROM s.t GROUP BY ROLLUP (a) HAVING count(*) > 1 ORDER BY ALL
SELECT a, b, grouping(a) FROM s.t GROUP BY GROUPING SETS ((a), (a, b), ())
SELECT quantile_cont(x, [0.5, 0.9]), median(x), mode(x), stddev(x), corr(x, y), regr_slope(y, x), entropy(x), kurtosis(x) FROM s.t
SELECT arg_max(a, b), max_by(a, b), first(a ORDER BY b), list(a), string_agg(a, ','), histogram(a), approx_count_distinct(a), bool_and(c) FROM s.t
SELECT lag(x) OVER w, lead(x, 2, 0) OVER w, ntile(4) OVER w, percent_rank() OVER w, sum(x) OVER (w ROWS 3 PRECEDING) FROM s.t WINDOW w AS (ORDER BY d)
SELECT * FROM s.t QUALIFY row_number() OVER (PARTITION BY a ORDER BY b) = 1
SELECT date_trunc('month', d), date_diff('day', d, now()), extract(epoch FROM d), d + INTERVAL 3 DAY, strftime(d, '%Y'), d AT TIME ZONE 'UTC' FROM s.t
SELECT current_date, current_timestamp, today(), make_date(2020, 1, 1), age(d), last_day(d), dayname(d), time_bucket(INTERVAL 1 HOUR, d) FROM s.t
SELECT x::DECIMAL(10, 2), TRY_CAST(x AS INTEGER), CAST(x AS VARCHAR[]), x::STRUCT(a INTEGER), DATE '2020-01-01', x::UUID FROM s.t
SELECT a || b, a LIKE 'x%', a ILIKE 'x', a SIMILAR TO 'x.*', a ~ 'x', a NOT LIKE 'b', a GLOB 'x*', starts_with(a, 'b'), a ^@ 'b' FROM s.t
SELECT regexp_extract(a, '(\d+)', 1), split_part(a, ',', 1), trim(a), lpad(a, 3, '0'), replace(a, 'b', 'c'), position('b' IN a), concat_ws('-', a, b) FROM s.t
SELECT levenshtein(a, b), jaro_winkler_similarity(a, b), md5(a), sha256(a), hash(a), to_base64(a::BLOB), url_encode(a), format('{}', a), printf('%d', x) FROM s.t
SELECT coalesce(a, b), nullif(a, b), ifnull(a, b), if(c, a, b), CASE a WHEN 1 THEN 2 END, a IS DISTINCT FROM b, a IS NULL, c IS TRUE FROM s.t
SELECT [1, 2, 3][1:2], l[1], list_filter(l, x -> x > 1), [x * 2 FOR x IN l IF x > 1], list_reduce(l, (x, y) -> x + y), len(l), l && [1] FROM s.t
SELECT {'a': 1}, s.a, s['a'], struct_pack(a := 1), MAP {'k': 1}['k'], map_keys(m), row(1, 2), unnest(l), unnest(s, recursive := true) FROM s.t
SELECT j->'a', j->>'$.b', json_extract_string(j, '$.a'), json_array_length(j), json_object('a', 1), to_json(s), json_keys(j) FROM s.t
SELECT abs(x), round(x, 2), floor(x), ln(x), sqrt(x), power(x, 2), x ** 2, x // 2, x % 2, sign(x), greatest(x, 1), random(), pi(), isnan(x), x & 1 FROM s.t
SELECT * FROM s.t PIVOT (sum(x) FOR y IN ('a', 'b') GROUP BY z)
SELECT * FROM s.t UNPIVOT (v FOR n IN (a, b))
UNPIVOT s.t ON a, b INTO NAME n VALUE v
SELECT * FROM s.t ASOF JOIN s.u ON t.k = u.k AND t.d >= u.d
SELECT * FROM s.t SEMI JOIN s.u USING (k)
SELECT * FROM s.t ANTI JOIN s.u USING (k)
SELECT * FROM s.t POSITIONAL JOIN s.u
SELECT * FROM s.t NATURAL FULL OUTER JOIN s.u CROSS JOIN s.v
SELECT * FROM s.t, LATERAL (SELECT max(x) FROM s.u WHERE u.k = t.k) AS m(x)
SELECT * REPLACE (upper(a) AS a), t.* RENAME (a AS b), COLUMNS('x.*'), COLUMNS(c -> c LIKE 'a%') FROM s.t
SELECT max(COLUMNS(*)) FROM s.t
SELECT * FROM s.t USING SAMPLE 10%
SELECT * FROM s.t TABLESAMPLE reservoir(20)
SELECT DISTINCT ON (a) a, b FROM s.t ORDER BY a, b DESC NULLS LAST LIMIT 10 OFFSET 5
SELECT a FROM s.t UNION BY NAME SELECT b FROM s.u
SELECT * FROM range(10) AS r(i), generate_series(1, 10, 2), unnest([1, 2]) AS u(x)
SELECT generate_series(DATE '2020-01-01', DATE '2020-01-31', INTERVAL 1 DAY)
SELECT x FROM s.t WHERE x > ALL (SELECT y FROM s.u) OR x = ANY ([1, 2]) OR (a, b) IN (SELECT a, b FROM s.u)
SELECT a.lower().replace('x', 'y') FROM s.t
SELECT a COLLATE NOCASE FROM s.t ORDER BY 1
SELECT try(1 / x), typeof(x), #1 FROM s.t
WITH a AS MATERIALIZED (SELECT * FROM s.t), b(x) AS NOT MATERIALIZED (SELECT 1) SELECT * FROM a, b
WITH RECURSIVE tree AS (SELECT id, parent FROM s.t WHERE parent IS NULL UNION ALL SELECT t.id, t.parent FROM s.t JOIN tree ON t.parent = tree.id) FROM tree
SELECT 'text with read_csv(x) and 1; 2' AS "select * from y.z", $$a;b$$ FROM s.t -- ; DROP TABLE s.t
TABLE s.t
VALUES (1, 'a'), (2, 'b')
