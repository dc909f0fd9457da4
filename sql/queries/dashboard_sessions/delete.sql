-- $1 id
DELETE FROM dispatcher.sign_ins WHERE id = $1
