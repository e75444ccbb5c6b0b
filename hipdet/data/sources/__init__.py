"""One module per data set: which films, which labels, which patient."""
