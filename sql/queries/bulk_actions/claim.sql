-- $1 most rows in the inbox that are to be sent again  $2 most change notices
--
-- Lock the bulk action that has been due longest. `has_room` is false if the inbox has so many rows, or
-- `has_notice_room` if so many change notices wait. No row: none is due, or another daemon holds it.
SELECT b.*, (SELECT count(*) FROM (SELECT 1 FROM dispatcher.change_notices ORDER BY id LIMIT $2) AS counted) < $2 AS has_notice_room,
  (SELECT count(*) FROM (SELECT 1 FROM dispatcher.inbox_directed i WHERE i.delivery_id IS NOT NULL ORDER BY i.delivery_id LIMIT $1) AS counted) < $1 AS has_room
FROM dispatcher.bulk_actions b WHERE b.state = 'RUNNING' AND b.next_at <= now()
ORDER BY b.next_at LIMIT 1 FOR UPDATE OF b SKIP LOCKED
