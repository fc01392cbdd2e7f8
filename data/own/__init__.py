"""Your own pictures, questions and answers, turned into the official files."""
