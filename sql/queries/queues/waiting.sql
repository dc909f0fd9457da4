-- $1 the inbox is read above this id. Return which queues have work that is due, of whatever daemon.
--
-- An idle daemon runs this once a second in place of the statements that take the work, which cost
-- many times as much.
SELECT EXISTS (SELECT 1 FROM dispatcher.inbox WHERE id > $1 ORDER BY id LIMIT 1) AS inbox,
       EXISTS (SELECT 1 FROM dispatcher.unvalidated_events ORDER BY id LIMIT 1) AS unvalidated_events,
       EXISTS (SELECT 1 FROM dispatcher.replays WHERE state = 'RUNNING' AND next_at <= clock_timestamp()) AS replays,
       EXISTS (SELECT 1 FROM dispatcher.bulk_actions WHERE state = 'RUNNING' AND next_at <= clock_timestamp()) AS bulk_actions
