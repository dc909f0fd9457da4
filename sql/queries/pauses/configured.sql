-- Whether `delivery.paused` was applied to this very database, and who resumed sending when. The row is locked:
-- two daemons that start at the same time apply it once.
SELECT s.paused_in IS NOT DISTINCT FROM dispatcher.incarnation() AS applied, s.paused_at, s.resumed_at, (
  SELECT a.actor FROM dispatcher.audit a
  WHERE a.id >= dispatcher.id_floor(s.resumed_at - interval '1 second') AND a.id < dispatcher.id_floor(s.resumed_at + interval '10 seconds')
    AND a.action = 'sending.resume' AND a.subject = '*'
  ORDER BY a.id LIMIT 1) AS resumed_by
FROM dispatcher.settings s FOR UPDATE OF s
