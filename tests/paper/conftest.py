"""COCO files of made-up films: annotations only, because nothing here reads pixels."""

import json

import pytest

from hipdet.paper.data import DataSet


def build_label_coco(name, films, per_patient=1, size=(100, 80), patients=True):
    """`films` films of `name` with a left and a right hip of 20 px, `per_patient` films of a patient."""
    images, annotations = [], []
    for i in range(films):
        image = dict(id=i + 1, file_name=f"images/{name}{i}.png", width=size[0], height=size[1], source=name)
        if patients:
            image["patient"] = f"p{i // per_patient}"
        images.append(image)
        for x in (10, 70):
            annotations.append(
                dict(id=len(annotations) + 1, image_id=i + 1, category_id=1, bbox=[x, 30, 20, 20], area=400, iscrowd=0)
            )
    return dict(images=images, annotations=annotations, categories=[dict(id=1, name="hip")])


@pytest.fixture
def data_set(tmp_path):
    """Writes a COCO file and names it as a data set."""

    def write(name, films, change=None, **options):
        content = build_label_coco(name, films, **options)
        if change:
            change(content)
        path = tmp_path / name / "annotations" / f"{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
        return DataSet.at(name, path)

    return write
