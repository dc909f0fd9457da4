-- Return the size limit of data in bytes, and the check value of the encryption key, or NULL.
SELECT max_data, key_check FROM dispatcher.settings
