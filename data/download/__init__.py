"""Bytes from outside: fetched, resumed and verified, or found where the user already has them."""
