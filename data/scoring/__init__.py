"""The official VQA accuracy, results files, and the baselines that need no picture."""
