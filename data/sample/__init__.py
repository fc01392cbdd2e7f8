"""The embedded sample: scenes, questions about them, and the files of a small VQA dataset."""
