-- $1 largest count
SELECT count(*) AS count FROM (SELECT FROM dispatcher.environments LIMIT $1) AS counted
