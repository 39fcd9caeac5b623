"""State on disk: the journal of jobs (SQLite) and the one function that writes files durably."""
