"""Ten films and a small writer of each label format, written from the documentation of the formats."""

import csv
import io
import json
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from PIL import Image, ImageOps


@dataclass(frozen=True)
class Sample:
    """A film: stored size, EXIF orientation, and boxes in its upright frame."""

    name: str
    stored: tuple
    orientation: int
    boxes: tuple

    @property
    def upright(self):
        return self.stored[::-1] if self.orientation >= 5 else self.stored


TEN = (
    Sample("IMG0000.jpg", (454, 373), 1, ((40.25, 60.5, 170.75, 191.0), (280.0, 62.125, 408.5, 190.625))),
    Sample("IMG0001.jpg", (300, 300), 1, ((10.5, 20.25, 90.0, 99.75),)),
    Sample("b c.png", (373, 454), 1, ()),
    Sample("turned over.jpg", (400, 333), 3, ((33.3, 44.4, 155.5, 166.6), (240.7, 50.9, 360.2, 170.4))),
    Sample("cw.jpg", (500, 420), 6, ((1 / 3, 2 / 3, 100 / 3, 101 / 3), (219.0, 300.0, 420.0, 499.5))),
    Sample("ccw.jpg", (500, 420), 8, ((12.0, 310.0, 112.0, 410.0), (250.06, 320.11, 340.17, 410.22))),
    Sample("mirrored.tif", (640, 480), 2, ((100.1, 100.2, 220.3, 220.4), (420.5, 101.6, 540.7, 221.8))),
    Sample("mirrored and turned.tif", (640, 480), 5, ((100.1, 100.2, 220.3, 220.4), (300.5, 101.6, 420.7, 221.8))),
    Sample("große Hüfte.bmp", (211, 97), 7, ((0.0, 0.0, 97.0, 90.5),)),
    Sample("IMG0009.jpeg", (2304, 2880), 4, ((300.0, 1500.0, 800.0, 2000.0), (1500.25, 1490.5, 2010.75, 2001.0))),
)


def items(samples, boxes_of=lambda sample: sample.boxes, size_of=lambda sample: sample.upright):
    """The input of writers: name, size and boxes of each film, in the frame of the labelling tool."""
    return [(sample.name, size_of(sample), boxes_of(sample)) for sample in samples]


def raw_box(sample, box):
    """`box` of the upright film in the stored frame: Pillow rotates a mask of its pixels back.

    Whole pixels only; fractions have their own tests.
    """
    inverse = {6: 8, 8: 6}.get(sample.orientation, sample.orientation)
    mark = Image.new("L", sample.upright)
    mark.paste(255, box)
    mark.getexif()[0x0112] = inverse
    return tuple(float(value) for value in ImageOps.exif_transpose(mark).getbbox())


WHOLE = {sample: [tuple(round(value) for value in box) for box in sample.boxes] for sample in TEN}


def write_coco(folder, films):
    images, annotations = [], []
    for number, (name, (width, height), boxes) in enumerate(films):
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for x0, y0, x1, y1 in boxes:
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
            annotations.append({"id": len(annotations), "image_id": number, "category_id": 0, **box})
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "hip"}]}
    return _write(folder / "labels.json", json.dumps(coco))


def write_voc(folder, films, origin=0):
    for name, (width, height), boxes in films:
        objects = "".join(
            f"<object><name>hip</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult><bndbox>"
            f"<xmin>{x0 + origin!r}</xmin><ymin>{y0 + origin!r}</ymin><xmax>{x1!r}</xmax><ymax>{y1!r}</ymax>"
            "</bndbox></object>"
            for x0, y0, x1, y1 in boxes
        )
        path = f"<path>C:\\Users\\me\\films\\{name}</path>" if origin == 0 else ""
        size = f"<size><width>{width}</width><height>{height}</height><depth>1</depth></size>"
        text = f"<annotation><folder>films</folder><filename>{name}</filename>{path}{size}{objects}</annotation>"
        _write(folder / f"{name}.xml", text)
    return folder


def write_voc_standard(folder, films):
    return write_voc(folder, films, origin=1)


def write_labelme(folder, films):
    for name, (width, height), boxes in films:
        # from the lower right corner to the upper left one, which is allowed as well
        shapes = [
            {"label": "hip", "points": [[x1, y1], [x0, y0]], "shape_type": "rectangle", "group_id": None, "flags": {}}
            for x0, y0, x1, y1 in boxes
        ]
        document = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": "UEFUSUVOVA=="}
        _write(folder / f"{name}.json", json.dumps({**document, "imageHeight": height, "imageWidth": width}))
    return folder


def write_cvat(folder, films):
    images = []
    for number, (name, (width, height), boxes) in enumerate(films):
        shapes = "".join(
            f'<box label="hip" source="manual" occluded="0" xtl="{x0!r}" ytl="{y0!r}" xbr="{x1!r}" ybr="{y1!r}" z_order="0"/>'
            for x0, y0, x1, y1 in boxes
        )
        images.append(f'<image id="{number}" name={quoteattr(name)} width="{width}" height="{height}">{shapes}</image>')
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task/></meta>'
    return _write(folder / "annotations.xml", head + "".join(images) + "</annotations>")


def percent_region(box, size, label="hip", rotation=0):
    x0, y0, x1, y1 = box
    width, height = size
    return {
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "type": "rectanglelabels",
        "value": {
            "x": 100 * x0 / width,
            "y": 100 * y0 / height,
            "width": 100 * (x1 - x0) / width,
            "height": 100 * (y1 - y0) / height,
            "rotation": rotation,
            "rectanglelabels": [label],
        },
    }


def write_label_studio(folder, films):
    tasks = []
    for number, (name, size, boxes) in enumerate(films, 1):
        result = [percent_region(box, size) for box in boxes]
        annotation = {"id": 100 + number, "completed_by": 1, "was_cancelled": False, "result": result}
        data = {"image": f"/data/upload/1/0a1b2c3d-{name}"}
        tasks.append({"id": number, "data": data, "annotations": [annotation], "predictions": []})
    return _write(folder / "project.json", json.dumps(tasks))


def write_label_studio_min(folder, films):
    tasks = []
    for number, (name, size, boxes) in enumerate(films, 1):
        task = {"id": number, "image": f"/data/upload/1/0a1b2c3d-{name}", "annotator": 1, "annotation_id": 100 + number}
        if boxes:
            regions = [percent_region(box, size) for box in boxes]
            sizes = {"original_width": size[0], "original_height": size[1]}
            task["label"] = [{**region["value"], **sizes} for region in regions]
        tasks.append(task)
    return _write(folder / "project-min.json", json.dumps(tasks))


def via_shape(box):
    x0, y0, x1, y1 = box
    return {"name": "rect", "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}


def via_films(films, version):
    document = {}
    for name, _, boxes in films:
        regions = [{"shape_attributes": via_shape(box), "region_attributes": {"class": "hip"}} for box in boxes]
        if version == 1:
            regions = {str(number): region for number, region in enumerate(regions)}
        document[f"{name}1234"] = {"filename": name, "size": 1234, "regions": regions, "file_attributes": {}}
    return document


def write_via1(folder, films):
    return _write(folder / "via.json", json.dumps(via_films(films, 1)))


def write_via2(folder, films):
    return _write(folder / "via.json", json.dumps(via_films(films, 2)))


def write_via_project(folder, films):
    project = {"_via_settings": {}, "_via_img_metadata": via_films(films, 2), "_via_attributes": {"region": {}}}
    return _write(folder / "via_project.json", json.dumps(project))


def write_via_csv(folder, films, mark=""):
    header = ["filename", "file_size", "file_attributes", "region_count", "region_id"]
    rows = [[mark + header[0], *header[1:], "region_shape_attributes", "region_attributes"]]
    for name, _, boxes in films:
        if not boxes:
            rows.append([name, 1234, "{}", 0, 0, "{}", "{}"])
        for number, box in enumerate(boxes):
            shape = json.dumps(via_shape(box))
            rows.append([name, 1234, "{}", len(boxes), number, shape, '{"class":"hip"}'])
    return _write(folder / "via.csv", _csv(rows, ","))


def write_via1_csv(folder, films):
    return write_via_csv(folder, films, mark="#")


def write_yolo(folder, films, digits=17):
    for name, (width, height), boxes in films:
        lines = [
            f"0 {(x0 + x1) / 2 / width:.{digits}f} {(y0 + y1) / 2 / height:.{digits}f} "
            f"{(x1 - x0) / width:.{digits}f} {(y1 - y0) / height:.{digits}f}\n"
            for x0, y0, x1, y1 in boxes
        ]
        _write(folder / (name.rpartition(".")[0] + ".txt"), "".join(lines))
    _write(folder / "classes.txt", "hip\n")
    return folder


def write_yolo_rounded(folder, films):
    return write_yolo(folder, films, digits=6)


def write_csv(folder, films, delimiter=",", form=("x0", "y0", "x1", "y1"), bom="", number=repr):
    rows = [["image", *form, "label", "width", "height"]]
    for name, size, boxes in films:
        for box in boxes or [None]:
            x0, y0, x1, y1 = box or (None,) * 4
            values = dict(x0=x0, y0=y0, x1=x1, y1=y1, x=x0, y=y0)
            if box:
                values.update(w=x1 - x0, h=y1 - y0, side=max(x1 - x0, y1 - y0))
            numbers = [number(values[column]) if box else "" for column in form]
            rows.append([name, *numbers, "hip" if box else "", *size])
    return _write(folder / "labels.csv", bom + _csv(rows, delimiter))


def write_csv_xywh(folder, films):
    return write_csv(folder, films, form=("x", "y", "w", "h"))


def write_csv_semicolon(folder, films):
    """A CSV as a German spreadsheet writes it: byte order mark, semicolons, decimal commas."""
    return write_csv(folder, films, delimiter=";", bom="\ufeff", number=lambda value: repr(value).replace(".", ","))


def write_csv_tab(folder, films):
    return write_csv(folder, films, delimiter="\t", form=("x", "y", "w", "h"))


def _csv(rows, delimiter):
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    return buffer.getvalue()


def _write(path, text):
    path.write_bytes(text.encode())
    return path


NO_SIZE = ("via", "yolo")  # formats that give no size of films
WRITERS = {  # writer, format, largest rounding error of an edge in px
    "coco": (write_coco, "coco", 1e-6),
    "voc": (write_voc, "voc", 1e-6),
    "voc standard": (write_voc_standard, "voc", 1e-6),
    "labelme": (write_labelme, "labelme", 1e-6),
    "cvat": (write_cvat, "cvat", 1e-6),
    "label studio": (write_label_studio, "labelstudio", 1e-6),
    "label studio min": (write_label_studio_min, "labelstudio", 1e-6),
    "via 1": (write_via1, "via", 1e-6),
    "via 2": (write_via2, "via", 1e-6),
    "via project": (write_via_project, "via", 1e-6),
    "via csv": (write_via_csv, "via", 1e-6),
    "via 1 csv": (write_via1_csv, "via", 1e-6),
    "yolo": (write_yolo, "yolo", 1e-6),
    # 6 digits: half a millionth of the side for the centre and a quarter for half the width, of 2880 px
    "yolo rounded": (write_yolo_rounded, "yolo", 0.75e-6 * 2880),
    "csv": (write_csv, "csv", 1e-6),
    "csv xywh": (write_csv_xywh, "csv", 1e-6),
    "csv semicolon": (write_csv_semicolon, "csv", 1e-6),
    "csv tab": (write_csv_tab, "csv", 1e-6),
}
