"""Small label documents of every format; any key can be changed, or omitted with ``...``."""


def coco(**changes):
    """A COCO file with changed keys: of the file, or of its only annotation or image."""
    image = {"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 40]}
    image.update({key: changes.pop(key) for key in list(changes) if key in image and key != "id"})
    annotation.update(
        {
            key: changes.pop(key)
            for key in list(changes)
            if key in ("bbox", "image_id", "category_id", "iscrowd", "ignore")
        }
    )
    document = {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "hip"}], **changes}
    return {key: value for key, value in document.items() if value is not ...}


def voc(body, head="", size="<size><width>100</width><height>80</height></size>"):
    return f"{head}<annotation><filename>a.jpg</filename>{size}{body}</annotation>"


def thing(edges="<xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax>", name="<name>hip</name>"):
    return f"<object>{name}<bndbox>{edges}</bndbox></object>"


def labelme(**changes):
    shape = {"label": "hip", "points": [[1, 2], [3, 4]], "shape_type": "rectangle"}
    shape.update({key: changes.pop(key) for key in list(changes) if key in shape})
    document = {"shapes": [shape], "imagePath": "a.jpg", "imageWidth": 100, "imageHeight": 80, **changes}
    return {key: value for key, value in document.items() if value is not ...}


def cvat(
    attributes='label="hip" xtl="1" ytl="2" xbr="3" ybr="4"', image='name="a.jpg" width="100" height="80"', tag="box"
):
    return f"<annotations><image {image}><{tag} {attributes}/></image></annotations>"


def studio(value=None, **changes):
    box = {"x": 10, "y": 20, "width": 30, "height": 40, "rectanglelabels": ["hip"], **(value or {})}
    region = {"type": "rectanglelabels", "original_width": 100, "original_height": 80, "value": box}
    region.update({key: changes.pop(key) for key in list(changes) if key in region})
    task = {"data": {"image": "a.jpg"}, "annotations": [{"completed_by": 1, "result": [region]}], **changes}
    return [task]


def via(shape, regions=None, **attributes):
    region = {"shape_attributes": shape, "region_attributes": attributes}
    return {"a.jpg1": {"filename": "a.jpg", "size": 1, "regions": [region] if regions is None else regions}}


RECT = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}
VIA_HEAD = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
CSV_HEAD = "image,x,y,side\n"
LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
