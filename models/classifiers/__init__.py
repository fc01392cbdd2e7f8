"""Models that answer questions, and the layers that they share."""
