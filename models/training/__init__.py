"""From arrays to a trained model, epoch after epoch."""
