-- $1 to $3 are arrays with one element a delivery: its id, endpoint and shard
INSERT INTO dispatcher.change_notices (delivery_id, endpoint_id, shard)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::smallint[])
