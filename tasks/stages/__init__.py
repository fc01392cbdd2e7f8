"""The Luigi stages, a file a concern."""
