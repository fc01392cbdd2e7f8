"""Flags, settings, logs and processes: what a run needs before its first stage."""
