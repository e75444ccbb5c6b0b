"""Parts of ``benchmarks/odd_films.py``: kinds of odd films, how they are made, and how models are tested on them."""
