"""The one exception of data/: something the user can mend."""


class DataError(Exception):
    """Expected failure. Its text is the whole message: what was found, what was expected, what to do."""
