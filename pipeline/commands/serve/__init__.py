"""The page of `python -m pipeline serve`."""
