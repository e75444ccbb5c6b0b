"""Label films in a local web page: the states of films, their journal, the COCO file, and the server of the page."""
