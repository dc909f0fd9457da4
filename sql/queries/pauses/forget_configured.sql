-- Record that `delivery.paused` is not set any more. If it is set later, it is applied again.
UPDATE dispatcher.settings SET paused_in = NULL WHERE paused_in IS NOT NULL
