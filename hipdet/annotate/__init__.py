"""Labelling films in a local web page: the state of films, its journal, the COCO file, and the server of the page."""
