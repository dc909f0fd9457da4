"""Fan events out: which come next, from where in the inbox, after the checks of schemas."""
