"""Pages for people: the report of one run, and two runs side by side."""
