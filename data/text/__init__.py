"""Questions, answers and word vectors: the official JSON, tokens, classes, GloVe."""
