-- $1 'events' or 'attempts'  $2 seconds to keep
SELECT dispatcher.drop_partition($1, make_interval(secs => $2))
