"""Networks: backbones, feature extraction, classifiers, training, prediction. Imported before torch is."""

import os

# Between two parallel regions OpenMP's threads spin, which starves whoever shares the cores (a second run, Luigi's
# workers): two trainings on two cores fell from 535 and 216 to 150 and 36 samples a second. Read when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
