"""Each kind of bad input raises one DatasetError with place and cause, never another exception."""

import json

import pytest

from hipdet.core.errors import DatasetError
from label_documents import CSV_HEAD, EXTERNAL, LAUGHS, RECT, VIA_HEAD, coco, cvat, labelme, studio, thing, via, voc
from label_text import read_text

BAD = [
    # any format
    ("a.json", b"", "no known format, found text that begins with ''"),
    ("a.dat", b"", "no known format"),
    ("a.json", b"hello", "no known format, found text that begins with 'hello'"),
    ("a.json", b"\xff\xd8\xff\xe0JFIF\0", "not UTF-8 (byte 0), expected UTF-8"),
    ("a.txt", b"0 0.5\0", "not text, expected an annotation file"),
    ("a.csv", "größe".encode("latin-1"), "not UTF-8 (byte 2), expected UTF-8: save it as UTF-8"),
    ("a.csv", CSV_HEAD.encode("utf-16"), "UTF-16, expected UTF-8"),
    ("a.xml", voc("").encode("utf-16"), "UTF-16, expected UTF-8"),
    # JSON
    ("a.json", json.dumps(coco())[:-20], "not JSON (Expecting"),
    ("a.json", "[" * 100_000, "nested too deeply"),
    ("a.json", '{"a":' * 100_000, "nested too deeply"),
    ("a.json", json.dumps(coco(bbox=[float("nan"), 2, 3, 4])), "not JSON (NaN is not a number of JSON): export"),
    ("a.json", json.dumps(coco(bbox=[1, 2, float("inf"), 4])), "not JSON (Infinity is not a number of JSON)"),
    (
        "a.json",
        json.dumps(coco(bbox=[1, 2, 777, 4])).replace("777", "-Infinity"),
        "not JSON (-Infinity is not a number of JSON)",
    ),
    ("a.json", json.dumps(coco(bbox=[1, 2, 777, 4])).replace("777", "9" * 5000), "not JSON (Exceeds the limit"),
    ("a.json", '{"shapes": [], "shapes": []}', "not JSON (key 'shapes' occurs twice in an object)"),
    ("a.json", r'{"shapes": [], "a": "\ud800"}', "not UTF-8"),
    ("a.json", "{}", "no known format, found a JSON object with []"),
    # names and labels that could steer a terminal, or fill it
    (
        "a.json",
        coco(file_name="a\x1b[2J.jpg"),
        r"image 1: file_name is 'a\x1b[2J.jpg', expected the file name of a film",
    ),
    ("a.json", coco(file_name="a\u2028.jpg"), r"image 1: file_name is 'a\u2028.jpg', expected the file name of a film"),
    ("a.json", coco(file_name="a" * 10**6), "expected the file name of a film"),
    (
        "a.json",
        coco(categories=[{"id": 1, "name": "hip\x1b[1m"}]),
        r"category 1: name is 'hip\x1b[1m', expected the name of",
    ),
    (
        "a.json",
        labelme(label="hip\nerror: none"),
        r"shape 1: label is 'hip\nerror: none', expected the name of a class",
    ),
    ("a.json", labelme(label="h" * 10**6), "shape 1: label is 'hhh"),
    ("a.json", via(RECT, a="hip\x9b"), r"film 1, region 1: a is 'hip\x9b', expected the name of a class"),
    (
        "a.csv",
        "image,x,y,side,label\na.jpg,1,2,3,hip\x1b[0m\n",
        r"line 2: column label is 'hip\x1b[0m', expected the name",
    ),
    ("a.xml", f"<{'a' * 10**6}/>", "no known format, found XML with the root element <aaa"),
    ("a.csv", f"image,x,y,{'s' * 10**6}\n", "expected image and one group of"),
    ("a.json", coco(images=[dict(coco()["images"][0], **{"x" * 10**6: 1, "id": []})]), "image 1: id is [], expected"),
    ("a.json", "[]", "no known format, found a JSON list of 0"),
    ("a.json", "[1, null]", "no known format, found a JSON list of 2"),
    ("a.json", {"hello": 1}, "no known format, found a JSON object with ['hello']"),
    # COCO
    ("a.json", coco(categories=...), "a.json: categories is missing, found ['annotations', 'images']"),
    ("a.json", coco(images={}), "a.json: images is {}, expected a list"),
    ("a.json", coco(images=[3], annotations=[]), "image 1: the image is 3, expected an object"),
    ("a.json", coco(categories=[{"id": 1}]), "category 1: name is missing"),
    ("a.json", coco(categories=[{"id": 1, "name": " "}]), "category 1: name is ' ', expected the name of a class"),
    ("a.json", coco(bbox=[1, 2, 3]), "annotation 1: bbox is [1, 2, 3], expected 4 numbers"),
    ("a.json", coco(bbox=None), "annotation 1: bbox is None, expected a list"),
    ("a.json", coco(bbox=[1, "2", 3, 4]), "annotation 1: bbox[1] is '2', expected a number"),
    ("a.json", coco(bbox=[True, 2, 3, 4]), "bbox[0] is True, expected a number"),
    (
        "a.json",
        json.dumps(coco(bbox=[777, 2, 3, 4])).replace("777", "1e999"),
        "not JSON ('1e999' is too large a number)",
    ),
    ("a.json", coco(bbox=[10**400, 2, 3, 4]), "bbox[0] is 1000"),
    ("a.json", coco(bbox=[1, 2, -3, 4]), "annotation 1: box is -3 px wide and 4 px high, expected more than 0"),
    ("a.json", coco(bbox=[1, 2, 0, 4]), "annotation 1: box is 0 px wide"),
    ("a.json", coco(bbox=[200, 2, 3, 4]), "box [200, 2, 203, 6] [x0, y0, x1, y1] is outside the film of 100x80 px"),
    ("a.json", coco(width=-100), "image 1: width of the film is -100, expected a whole number of pixels above 0"),
    ("a.json", coco(height=80.5), "height of the film is 80.5, expected a whole number"),
    ("a.json", coco(height="80"), "height of the film is '80', expected a number"),
    ("a.json", coco(file_name=None), "image 1: file_name is None, expected the file name of a film"),
    ("a.json", coco(file_name="films/.."), "file_name is 'films/..', expected the file name of a film"),
    ("a.json", coco(image_id=2), "annotation 1: image_id 2 found, expected an id of images"),
    ("a.json", coco(image_id=[1]), "annotation 1: image_id [1] found, expected an id of images"),
    ("a.json", coco(category_id=7), "annotation 1: category_id 7 found, expected an id of categories"),
    ("a.json", coco(category_id=True), "category_id True found, expected an id of categories"),
    ("a.json", coco(iscrowd=2), "annotation 1: iscrowd is 2, expected 0 or 1"),
    ("a.json", coco(iscrowd="no"), "annotation 1: iscrowd is 'no', expected 0 or 1"),
    ("a.json", coco(ignore=[1]), "annotation 1: ignore is [1], expected 0 or 1"),
    (
        "a.json",
        coco(images=[{"id": 1, "file_name": "a.jpg"}] * 2),
        "image 2: id 1 is used more than once, expected unique ids",
    ),
    (
        "a.json",
        coco(images=[{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "a.jpg"}]),
        "image 2: a.jpg is labelled in a.json: image 1 too, expected once",
    ),
    (
        "a.json",
        coco(annotations=coco()["annotations"] * 2),
        "annotation 2: the same box of a.jpg is annotation 1: remove",
    ),
    ("a.json", coco(images=[], annotations=[]), "no labelled film, expected at least one"),
    # XML
    ("a.xml", voc("")[:-5], "not XML ("),
    ("a.xml", "<", "not XML ("),
    ("a.xml", voc("&b;", LAUGHS), "has a DTD or entities, which no annotation tool writes"),
    ("a.xml", voc("&a;", EXTERNAL), "has a DTD or entities"),
    ("a.xml", voc("", '<!DOCTYPE annotation SYSTEM "http://127.0.0.1:9/a.dtd">'), "has a DTD or entities"),
    ("a.xml", "<annotation>" * 100_000, "not XML ("),
    ("a.xml", '<?xml version="1.0" encoding="nonsense"?><annotation/>', "not XML ("),
    ("a.xml", '<?xml version="1.0" encoding="utf-7"?><annotation/>', "not XML ("),
    ("a.xml", b"<annotation>\xff</annotation>", "not XML ("),
    ("a.xml", "<html><body/></html>", "no known format, found XML with the root element <html>"),
    # Pascal VOC
    ("a.xml", "<annotation/>", "a.xml: filename is None, expected the file name of a film"),
    ("a.xml", voc("<object><name>hip</name></object>"), "object 1: bndbox is missing, expected the edges of a box"),
    ("a.xml", voc(thing("<xmin>1</xmin>")), "object 1: ymin is missing, expected a number"),
    ("a.xml", voc(thing("<xmin>x</xmin>")), "object 1: xmin is 'x', expected a number"),
    ("a.xml", voc(thing("<xmin>nan</xmin>")), "object 1: xmin is 'nan', expected a number"),
    ("a.xml", voc(thing("<xmin>inf</xmin>")), "object 1: xmin is 'inf', expected a number"),
    ("a.xml", voc(thing("<xmin>1e999</xmin>")), "object 1: xmin is inf, expected a number from"),
    ("a.xml", voc(thing("<xmin>1_0</xmin>")), "object 1: xmin is '1_0', expected a number"),
    ("a.xml", voc(thing("<xmin>1</xmin><xmin>1</xmin>")), "object 1: <xmin> occurs 2 times, expected once"),
    (
        "a.xml",
        voc(thing("<xmin>9</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax>")),
        "object 1: box is -5 px wide and 3 px high",
    ),
    ("a.xml", voc(thing(name="")), "object 1: name is missing, expected the name of a class"),
    ("a.xml", voc("", size="<size><width>-1</width><height>5</height></size>"), "width of the film is -1"),
    ("a.xml", voc("", size="<size><width>wide</width></size>"), "width of the film is 'wide', expected a number"),
    ("a.xml", voc(thing() * 2), "object 2: the same box of a.jpg is object 1: remove one"),
    # LabelMe
    ("a.json", labelme(imagePath=...), "a.json: imagePath is missing, found ['imageHeight', 'imageWidth', 'shapes']"),
    ("a.json", labelme(shapes={}), "a.json: shapes is {}, expected a list"),
    ("a.json", labelme(shapes=["x"]), "shape 1: the shape is 'x', expected an object"),
    ("a.json", labelme(label=""), "shape 1: label is '', expected the name of a class"),
    ("a.json", labelme(shape_type="polygon"), "shape 1: shape_type is 'polygon', expected rectangle or circle"),
    ("a.json", labelme(shape_type=["x"]), "shape 1: shape_type is ['x'], expected rectangle or circle"),
    ("a.json", labelme(points=[[1, 2]]), "shape 1: rectangle has 1 points, expected 2"),
    ("a.json", labelme(points=[[1, 2], [3, 4]], shape_type="rotation"), "rotation has 2 points, expected 4"),
    ("a.json", labelme(points=[[1, 2], [3]]), "shape 1: points[1] is [3], expected 2 numbers"),
    ("a.json", labelme(points=[[1, 2], [3, None]]), "shape 1: points[1][1] is None, expected a number"),
    ("a.json", labelme(points=[[1, 2], [1, 2]], shape_type="circle"), "shape 1: box is 0 px wide"),
    (
        "a.json",
        labelme(points=[[0, 9], [9, 0], [18, 9], [9, 18]]),
        "shape 1: box is rotated, expected an axis-aligned one",
    ),
    ("a.json", labelme(imageWidth=[100]), "width of the film is [100], expected a number"),
    # CVAT
    ("a.xml", cvat('label="hip" xtl="1"'), "image 1, shape 1: ytl is missing, expected a number"),
    (
        "a.xml",
        cvat('xtl="1" ytl="2" xbr="3" ybr="4"'),
        "image 1, shape 1: label is missing, expected the name of a class",
    ),
    ("a.xml", cvat('label="hip" xtl="1" ytl="2" xbr="1" ybr="4"'), "image 1, shape 1: box is 0 px wide"),
    ("a.xml", cvat('label="hip" xtl="1" ytl="2" xbr="3" ybr="4" rotation="x"'), "rotation is 'x', expected a number"),
    ("a.xml", cvat('label="hip" points="1,2;3,4"', tag="polygon"), "image 1, shape 1: <polygon> found, expected <box>"),
    ("a.xml", cvat(image='width="100" height="80"'), "image 1: name is None, expected the file name of a film"),
    (
        "a.xml",
        cvat(image='name="a.jpg" width="1e9" height="80"'),
        "width of the film is 1000000000.0, expected a number",
    ),
    ("a.xml", "<annotations/>", "no labelled film"),
    (
        "a.xml",
        '<annotations><track label="hip"><box frame="-1"/></track></annotations>',
        "frame is '-1', expected a whole",
    ),
    # Label Studio
    (
        "a.json",
        studio({"x": 120}),
        "task 1, annotation 1, region 1: x is 120, expected a percentage of the film from 0 to 100",
    ),
    ("a.json", studio({"width": -5}), "region 1: width is -5, expected a percentage"),
    ("a.json", studio({"width": 0}), "region 1: box is 0 px wide"),
    ("a.json", studio({"x": None}), "region 1: x is None, expected a number"),
    ("a.json", studio({"rotation": "x"}), "region 1: rotation is 'x', expected a number"),
    ("a.json", studio({"rotation": 30}), "region 1: box is rotated, expected an axis-aligned one"),
    ("a.json", studio({"rectanglelabels": []}), "region 1: rectanglelabels are [], expected one label"),
    ("a.json", studio({"rectanglelabels": ["a", "b"]}), "rectanglelabels are ['a', 'b'], expected one label"),
    ("a.json", studio(original_width=None), "original_width or original_height is null or 0"),
    ("a.json", studio(value={"x": 1}, type="polygonlabels"), "type is 'polygonlabels', expected rectanglelabels"),
    ("a.json", studio(data={}), "task 1: image is missing, expected the address of one film"),
    ("a.json", studio(data={"image": ["a.jpg"]}), "task 1: image is ['a.jpg'], expected the address of one film"),
    ("a.json", studio(data={"image": "data:image/png;base64,AAAA"}), "embedded picture found, expected an address"),
    ("a.json", studio(data={"image": "http://[a/b.jpg"}), "address 'http://[a/b.jpg' can't be parsed"),
    ("a.json", studio(data={"image": "/data/local-files/"}), "the image's address is '', expected the file name"),
    ("a.json", studio(annotations=None), "task 1: annotations is None, expected a list"),
    ("a.json", studio(annotations=[{}]), "task 1, annotation 1: result is missing"),
    # VIA
    ("a.json", via({**RECT, "name": "polygon"}), "film 1, region 1: shape is 'polygon', expected rect or circle"),
    ("a.json", via({"name": "rect"}), "film 1, region 1: x is missing, found ['name']"),
    ("a.json", via({**RECT, "width": -3}), "film 1, region 1: box is -3 px wide"),
    ("a.json", via(RECT, a="1", b="2"), "region has the attributes ['a', 'b'], expected one: name the label's with"),
    ("a.json", via(RECT, a=3), "film 1, region 1: a is 3, expected the name of a class"),
    ("a.json", via(RECT, a={"x": True, "y": True}), "a has ['x', 'y'] ticked, expected one label"),
    ("a.json", via(RECT, regions="x"), "film 1: regions are 'x', expected a list, or VIA 1's object"),
    ("a.json", via(RECT, regions=[None]), "film 1, region 1: the region is None, expected an object"),
    ("a.json", {"_via_img_metadata": []}, "_via_img_metadata is [], expected an object"),
    ("a.csv", VIA_HEAD + 'a.jpg,1,"{}",1,0,"{","{}"\n', "line 2: column region_shape_attributes: not JSON"),
    ("a.csv", VIA_HEAD + 'a.jpg,1,"{}",1,0,"[]","{}"\n', "column region_shape_attributes is [], expected an object"),
    ("a.csv", VIA_HEAD + 'a.jpg,1,"{}",x,0,"{}","{}"\n', "line 2: region_count is 'x', expected a number"),
    # YOLO
    ("a.txt", "0 0.5 0.5 0.1", "a.txt: line 1: 4 numbers, expected 5 (class cx cy width height) or 9"),
    (
        "a.txt",
        "0 0.5 0.5 0.1 0.1 0.9",
        "line 1: 6 numbers, expected 5 (class cx cy width height) or 9 (corners): exp",
    ),
    ("a.txt", "0 .1 .1 .2 .1 .2 .2", "line 1: 7 numbers, expected 5"),
    ("a.txt", "\n0 0.5 0.5 0.1 x", "line 2: number 5 is 'x', expected a number"),
    ("a.txt", "0 nan 0.5 0.1 0.1", "line 1: number 2 is 'nan', expected a number"),
    ("a.txt", "0 0.5 0.5 inf 0.1", "line 1: number 4 is 'inf', expected a number"),
    (
        "a.txt",
        "0 50 50 10 10",
        "line 1: number 2 is 50, expected a fraction of the film from 0 to 1: are these pixels?",
    ),
    ("a.txt", "0 0.5 0.5 -0.1 0.1", "line 1: number 4 is -0.1, expected a fraction"),
    ("a.txt", "0 0.5 0.5 0 0.1", "line 1: box is 0 px wide"),
    ("a.txt", "1 0.5 0.5 0.1 0.1", "line 1: class is '1', expected a whole number from 0 to 0 (1 classes: ['hip'])"),
    ("a.txt", "-1 0.5 0.5 0.1 0.1", "line 1: class is '-1', expected a whole number"),
    ("a.txt", "0.5 0.5 0.5 0.1 0.1", "line 1: class is '0.5', expected a whole number"),
    ("a.txt", "hip 0.5 0.5 0.1 0.1", "line 1: class is 'hip', expected a number"),
    ("a.txt", "0 .5 .5 .1 .1\n0 .5 .5 .1 .1", "line 2: the same box of a is line 1: remove one"),
    # plain CSV
    ("a.csv", "image,x,y\na.jpg,1,2\n", "columns are ['image', 'x', 'y'], expected image and one group of x,y,side or"),
    ("a.csv", "image,x,y,side,w,h\n", "expected image and one group of"),
    ("a.csv", "film,x,y,side\na.jpg,1,2,3\n", "columns image are missing, found ['film', 'x', 'y', 'side']"),
    ("a.csv", "image,x,y,side,x\n", "a column occurs twice in ["),
    ("a.csv", "image|x|y|side\na.jpg|1|2|3\n", "columns are ['image|x|y|side'], expected image and one group"),
    ("a.csv", CSV_HEAD, "no labelled film"),
    ("a.csv", CSV_HEAD + "a.jpg,1,2\n", "line 2: 3 fields, expected 4 as the header has: check the ','"),
    ("a.csv", CSV_HEAD + "a.jpg,1,5,2,3\n", "line 2: 5 fields, expected 4"),  # a decimal comma
    ("a.csv", CSV_HEAD + '"a.jpg,1,2,3\n', "not CSV (unexpected end of data)"),
    ("a.csv", CSV_HEAD + "a.jpg,one,2,3\n", "line 2: column x is 'one', expected a number"),
    ("a.csv", CSV_HEAD + "a.jpg,1,,3\n", "line 2: column y is '', expected a number"),
    ("a.csv", CSV_HEAD + "a.jpg,nan,2,3\n", "line 2: column x is 'nan', expected a number"),
    ("a.csv", CSV_HEAD + "a.jpg,1,inf,3\n", "line 2: column y is 'inf', expected a number"),
    ("a.csv", CSV_HEAD + "a.jpg,1.2E+03,2,3\n", "line 2: column x is '1.2E+03', rounded by a spreadsheet"),
    ("a.csv", CSV_HEAD + "a.jpg,12. Mai,2,3\n", "line 2: column x is '12. Mai', expected a number"),
    ("a.csv", CSV_HEAD + "a.jpg,####,2,3\n", "line 2: column x is '####', expected a number"),
    ("a.csv", CSV_HEAD.replace(",", ";") + "a.jpg;1.234,5;2;3\n", "column x is '1.234,5', expected a number"),
    ("a.csv", CSV_HEAD + "a.jpg,1,2,-3\n", "line 2: box is -3 px wide"),
    ("a.csv", CSV_HEAD + ",1,2,3\n", "line 2: column image is '', expected the file name of a film"),
    ("a.csv", CSV_HEAD + "a.jpg,1,2,3\na.jpg,1,2,3\n", "line 3: the same box of a.jpg is line 2: remove one"),
    ("a.csv", CSV_HEAD + "a.jpg,,,\na.jpg,1,2,3\n", "line 3: a.jpg is in line 2 too, once without a box"),
    (
        "a.csv",
        "image,x,y,side,width,height\na.jpg,1,2,3,9,9\na.jpg,2,2,3,8,9\n",
        "line 3: size of a.jpg is (8, 9), expected (9, 9)",
    ),
]


def test_enough_kinds():
    assert len(BAD) >= 40
    assert len({(name, str(content)) for name, content, _ in BAD}) == len(BAD)


@pytest.mark.parametrize(("name", "content", "expected"), BAD, ids=range(len(BAD)))
def test_bad_input(tmp_path, name, content, expected):
    with pytest.raises(DatasetError) as caught:
        read_text(tmp_path, name, content, film_size=lambda film: (100, 80), classes=["hip"])
    message = str(caught.value)
    assert expected in message
    assert message.startswith(f"{tmp_path / name}: ")
    assert len(message) < 1000


def test_all_faults_at_once(tmp_path):
    annotations = [{"image_id": 1, "category_id": 1, "bbox": [index, 0, -1, 5]} for index in range(30)]
    with pytest.raises(DatasetError) as caught:
        read_text(tmp_path, "a.json", coco(annotations=annotations, categories=[{"id": 1, "name": "hip"}, {"id": 2}]))
    lines = str(caught.value).split("\n  ")
    assert lines[0].endswith("a.json: 31 faults")
    assert lines[1] == "a.json: category 2: name is missing, found ['id']"
    assert lines[2] == "a.json: annotation 1: box is -1 px wide and 5 px high, expected more than 0: draw it again"
    assert lines[-1] == "... and 11 more"


def test_entities_of_another_file_are_never_read(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    head = f'<!DOCTYPE a [<!ENTITY a SYSTEM "{secret.as_uri()}">]>'
    with pytest.raises(DatasetError) as caught:
        read_text(tmp_path, "a.xml", voc("&a;", head))
    assert "SECRET" not in str(caught.value)
