"""The commands of `python -m pipeline`, a file each."""
