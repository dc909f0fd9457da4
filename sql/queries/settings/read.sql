SELECT max_data, key_check FROM dispatcher.settings
