"""The original project's three files, read and written."""
