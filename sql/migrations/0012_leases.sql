-- A lease names the server process (pid and start) of the session that renews it: anybody may look
-- whether it lives, and nobody can stand in for it. It replaces an advisory lock, which every role
-- that can connect could have held, or waited for, in the daemon's place.
ALTER TABLE dispatcher.daemons
  DROP COLUMN lock_key,
  ADD COLUMN backend_pid integer,                -- NULL: entered by an earlier release, nothing is known
  ADD COLUMN backend_start timestamptz,          -- NULL: the role may not see when its own session started
  ADD COLUMN renewals bigint NOT NULL DEFAULT 0; -- counted, so that others can time silence by their own clocks
