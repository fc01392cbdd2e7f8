"""Where every input comes from: addresses, sizes, hashes, splits and defaults of the datasets."""
