-- `delivery.paused` is not set any more: set again, it is applied again.
UPDATE dispatcher.settings SET paused_in = NULL WHERE paused_in IS NOT NULL
