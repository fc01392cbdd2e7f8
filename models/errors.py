"""The one exception of models/: something the user can mend."""


class ModelError(Exception):
    """Expected failure. Its text is the whole message: what was found, what was expected, what to do."""
