-- Where the inbox is read from: below are rows that were taken, and what is committed late. A
-- sequence, as a row that is updated every second would leave what it exists to avoid: versions that
-- cannot be removed while an old snapshot is held.
CREATE SEQUENCE dispatcher.inbox_mark MINVALUE 0 START 0;
SELECT setval('dispatcher.inbox_mark', greatest(0, least(
  dispatcher.id_floor(now() - interval '1 minute'), (SELECT min(id) - 1 FROM dispatcher.inbox))));
REVOKE ALL ON SEQUENCE dispatcher.inbox_mark FROM PUBLIC;
