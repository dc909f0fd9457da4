-- Record that `delivery.paused` was applied to this database.
UPDATE dispatcher.settings SET paused_in = dispatcher.incarnation()
