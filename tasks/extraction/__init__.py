"""Feature extraction in shards, on this machine or on a Ray cluster. Nothing here knows Luigi."""
