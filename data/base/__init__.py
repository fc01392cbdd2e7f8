"""What every floor may use: errors, progress, files, hashes, words. Standard library only."""
