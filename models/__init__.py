"""Networks: backbones, feature extraction, classifiers, training, prediction."""
