"""What every stage keeps: where its artifact lies, when it is done, and how it is made."""
