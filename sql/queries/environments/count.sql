-- $1 up to how many are counted
SELECT count(*) AS count FROM (SELECT FROM dispatcher.environments LIMIT $1) AS counted
