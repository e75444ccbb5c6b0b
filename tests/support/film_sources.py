"""Small data sets with the structure of the real ones: CGOA, OAI as folders and zips, GIS."""

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np

import dicom_bytes
from film_bytes import encoded


def film(width, height, kind="JPEG", orientation=None, seed=0):
    """A film of `width` x `height` stored pixels, different for every seed."""
    small = np.random.default_rng(seed).integers(0, 255, (9, 9), np.uint8)
    pixels = np.kron(small, np.ones((height // 9 + 1, width // 9 + 1), np.uint8))[:height, :width]
    return encoded(pixels, kind, orientation)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(header, *rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header.split(","), *rows])
    return text.getvalue()


def voc(name, width, height, *boxes):
    """A file as LabelImg writes it: edges counted from 0, and a path of the annotator's machine."""
    objects = "".join(
        f"<object><name>hip</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for x0, y0, x1, y1 in boxes
    )
    return (
        f"<annotation><folder>films</folder><filename>{name}</filename><path>C:\\Users\\RL\\films\\{name}</path>"
        f"<size><width>{width}</width><height>{height}</height><depth>1</depth></size>{objects}</annotation>"
    )


def make_cgoa(root: Path) -> Path:
    """Eight films: a pair, one with a fracture, a normal one rotated by EXIF, one read by two annotators, and so on."""
    films = {
        "0001_pre": (90, 60, None), "0001_post": (90, 60, None), "0002": (80, 60, None), "0003": (60, 90, 6),
        "0004_pre": (90, 60, None), "0004_post": (90, 60, None), "0005": (90, 60, None), "0006": (90, 60, None),
    }  # fmt: skip
    for seed, (name, (width, height, orientation)) in enumerate(films.items()):
        write(root / f"images/{name}.jpg", film(width, height, "JPEG", orientation, seed))
    rows = [
        ["0001_pre.jpg", "P1", "OA", "0"], ["0001_post.jpg", "P1", "OA", "0"], ["0002.jpg", "P2", "normal", "0"],
        ["0003.jpg", "P3", "OA", "0"], ["0004_pre.jpg", "P4", "OA", "1"], ["0004_post.jpg", "P4", "OA", "0"],
        ["0005.jpg", "P5", "normal", "0"],
    ]  # fmt: skip
    write(root / "films.csv", table("film,patient,group,fracture", *rows))
    two = ((10, 20, 30, 40), (60, 20, 80, 40))
    for name in ("0001_pre", "0001_post", "0004_pre", "0004_post", "0006"):
        write(root / f"labels/RL/{name}.xml", voc(f"{name}.jpg", 90, 60, *two))
    write(root / "labels/RL/0002.xml", voc("0002.jpg", 80, 60, (10, 20, 30, 40)))  # one hip
    # drawn upright, where the film is 90x60
    write(root / "labels/RL/0003.xml", voc("0003.jpg", 90, 60, (60, 22, 80, 42), (12, 22, 32, 42)))
    # SC read 0001_post too, the right hip 4 px lower: IoU 20x16 / (2x400 - 320) = 2/3
    write(root / "labels/SC/0001_post.xml", voc("0001_post.jpg", 90, 60, two[0], (60, 24, 80, 44)))
    # only SC read 0005; the left hip reaches 2 px over the edge
    write(root / "labels/SC/0005.xml", voc("0005.jpg", 90, 60, (0, 20, 18, 40), (60, 20, 80, 40)))
    return root


OAI_HEADER = "Folder,ParticipantID,StudyDate,Barcode,StudyDescription,SeriesDescription"
# visit, participant, date, series, description: 12m and 96m are the paper's; 9000002 has films of both
OAI_SERIES = (
    ("00m", "9000001", "20040101", "00100001", "AP Pelvis"),
    ("12m", "9000001", "20050101", "00100002", "AP Pelvis"),
    ("12m", "9000001", "20050101", "00100003", "Bilateral PA Fixed Flexion Knee "),
    ("12m", "9000002", "20050202", "00100004", "AP Pelvis "),  # with a trailing blank, as in the real table
    ("96m", "9000002", "20120202", "00100005", "AP Pelvis"),
    ("96m", "9000003", "20120303", "00100006", "AP Pelvis"),  # in the table, but not on disk
)


def oai_files(dicom):
    """File contents by path; `dicom` makes a film of a width, height and seed."""
    files = {}
    for seed, (visit, participant, date, series, _) in enumerate(OAI_SERIES[:5]):
        folder = f"{visit}/0.C.2/{participant}/{date}"
        if visit == "96m":
            folder = f"96m/{folder}"  # unpacked doubly nested
        files[f"{folder}/{series}/001"] = dicom(180, 120, seed)
        files[f"{folder}/{series}_1x1.jpg"] = film(90, 60, "JPEG", None, seed)
        files[f"{folder}/10{series[2:]}/001"] = b"MR, which is never opened"
    for visit, nested in (("00m", ""), ("12m", ""), ("96m", "96m/")):
        rows = [
            [f"0.C.2/{participant}/{date}/{series}", participant, date, "016600000001", "OAI X-RAY", description]
            for v, participant, date, series, description in OAI_SERIES
            if v == visit
        ]
        files[f"{nested}{visit}/contents.csv"] = table(OAI_HEADER, *rows).encode()
    return files


def make_oai_tree(root, dicom):
    for name, content in oai_files(dicom).items():
        write(root / name, content)
    return root


def make_oai_zips(root, dicom):
    """One zip per visit, as the data are downloaded."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in oai_files(dicom).items():
        with zipfile.ZipFile(root / f"{name.split('/')[0]}.zip", "a") as archive:
            archive.writestr(name, content)
    return root


def oai_labels(path, *series, width=90, height=60):
    """COCO labels of previews: hips of 20 px at (10, 20) and (60, 20)."""
    images = [
        {"id": n, "file_name": f"{name}_1x1.jpg", "width": width, "height": height} for n, name in enumerate(series)
    ]
    boxes = [([60, 20, 20, 20], n) for n in range(len(series))] + [([10, 20, 20, 20], n) for n in range(len(series))]
    annotations = [{"id": n, "image_id": image, "category_id": 0, "bbox": box} for n, (box, image) in enumerate(boxes)]
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "hip"}]}
    return write(path, json.dumps(coco))


def make_gis(root):
    """Seven films of a web search: a small one, one excluded by hand, one with one hip, and two nearly the same."""
    sizes = {
        "a.jpg": (300, 240),
        "b.png": (256, 300),
        "tiny.jpg": (200, 150),
        "child.jpg": (300, 240),
        "one.jpg": (300, 240),
    }
    for seed, (name, (width, height)) in enumerate(sizes.items()):
        write(root / name, film(width, height, "PNG" if name.endswith("png") else "JPEG", None, seed))
    write(root / "a again.jpg", film(450, 360, "JPEG", None, 0))  # as a.jpg, larger
    write(root / "unread.jpg", film(300, 240, "JPEG", None, 9))
    write(root / "exclude.csv", table("film,reason", ["child.jpg", "age 3"]))
    names = ["a.jpg", "b.png", "tiny.jpg", "child.jpg", "a again.jpg"]
    rows = [[name, x, 20, 50, "hip"] for name in names for x in (20, 120)] + [["one.jpg", 20, 20, 50, "hip"]]
    write(root / "labels.csv", table("image,x,y,side,label", *rows))
    return root


def dicom_film(width, height, seed, description=None):
    """A 12-bit film with the tags of a patient."""
    stored = np.random.default_rng(seed).integers(0, 4096, (height, width), np.uint16)
    return dicom_bytes.film(stored, BitsStored=12, HighBit=11, SeriesDescription=description)
