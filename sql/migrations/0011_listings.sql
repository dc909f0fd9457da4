-- A page of webhooks is read in the order of an index, from its first row on. An index that lacks the
-- id has not the whole order: all webhooks of the environment were then read and sorted for each page.
CREATE INDEX endpoints_environment_age ON dispatcher.endpoints (environment_id, created_at, id);
DROP INDEX dispatcher.endpoints_environment;
CREATE INDEX endpoints_age ON dispatcher.endpoints (created_at, id);

-- Names are listed by code point, and the primary key sorts them by the database's language.
CREATE INDEX event_types_name ON dispatcher.event_types (environment_id, name COLLATE "C");
