"""Everything the daemon keeps in files, except records and logs. Blocking: call from worker threads."""
