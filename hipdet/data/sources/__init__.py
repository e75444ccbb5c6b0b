"""One module per data set: it finds the films, their labels and their patients."""
