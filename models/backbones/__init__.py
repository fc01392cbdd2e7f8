"""Networks that turn pictures into features: names, weights, decoding, fast inference."""
