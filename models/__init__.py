"""Networks: backbones, feature extraction, classifiers, training, prediction. Imported before torch is."""

import os

# How long OpenMP's threads spin for the next parallel region before they sleep; read when torch loads it. Waking them
# is slow, and a training batch has thousands of regions: asleep at once, 500 to 600 samples a second on two cores;
# after 10,000 turns (a fraction of a millisecond), 750. But whoever shares the cores starves while they spin: two
# trainings at once make 400 each asleep, 225 so, and 36 to 150 with GNU OpenMP's own 300,000 turns.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # other OpenMPs know this alone
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
