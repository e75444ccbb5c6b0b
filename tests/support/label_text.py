"""Label files from text."""

import json

from hipdet.data.formats.reader import read_labels


def read_text(folder, name, content, **options):
    """Write a label file and read its films; `content` is bytes, text, or an object for JSON."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, (bytes, str)):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_labels(path, **options)


def boxes(films):
    """Boxes of the films as tuples, by film name."""
    return {film.name: [box.box for box in film.boxes] for film in films}
