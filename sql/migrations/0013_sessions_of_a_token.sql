-- The sessions of a token are found by it, because a sign-in ends the oldest if there are very many.
CREATE INDEX dashboard_sessions_token ON dispatcher.dashboard_sessions (token_hash, created_at);
