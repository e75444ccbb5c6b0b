"""Small label files from text."""

import json

from hipdet.data.formats.reader import read_labels


def read_text(folder, name, content, **options):
    """The films of one label file with this content: bytes, text, or what becomes JSON."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, (bytes, str)):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_labels(path, **options)


def boxes(films):
    """Films by name, their boxes as tuples."""
    return {film.name: [box.box for box in film.boxes] for film in films}
