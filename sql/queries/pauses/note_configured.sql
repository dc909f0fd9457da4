-- `delivery.paused` was applied to this very database.
UPDATE dispatcher.settings SET paused_in = dispatcher.incarnation()
