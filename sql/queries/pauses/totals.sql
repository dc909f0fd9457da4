-- `all_since` is the start of the pause of all environments, `environments` how many are paused
-- themselves, `oldest` the start of the oldest pause of either kind.
SELECT s.paused_at AS all_since, p.environments, least(s.paused_at, p.oldest) AS oldest
FROM dispatcher.settings s CROSS JOIN (
  SELECT count(*) AS environments, min(paused_at) AS oldest FROM dispatcher.environments WHERE paused_at IS NOT NULL
) AS p
