-- Return whether `delivery.paused` was applied to this database, and when sending was resumed and
-- by which actor. The row is locked. Otherwise two daemons that start at the same time could both
-- apply the setting.
SELECT s.paused_in IS NOT DISTINCT FROM dispatcher.incarnation() AS applied, s.paused_at, s.resumed_at, (
  SELECT a.actor FROM dispatcher.audit a
  WHERE a.id >= dispatcher.id_floor(s.resumed_at - interval '1 second') AND a.id < dispatcher.id_floor(s.resumed_at + interval '1 minute')
    AND a.action = 'sending.resume' AND a.subject = '*'
  ORDER BY a.id DESC LIMIT 1) AS resumed_by
FROM dispatcher.settings s FOR UPDATE OF s
