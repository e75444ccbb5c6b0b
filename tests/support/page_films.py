"""The content of a page of films, without a browser."""

import json


def page_films(path):
    """The JSON blocks of a page."""
    mark = '<script type="application/json" class="film">'
    return [json.loads(part.partition("</script>")[0]) for part in path.read_text(encoding="utf-8").split(mark)[1:]]
