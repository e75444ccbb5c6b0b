from hipdet.evaluation.report import table


def test_table():
    figures = {
        "roi/num_images": 101,
        "roi/num_rois": 202,
        "roi/avg_iou": 0.8115,
        "roi/below50": 2,
        "coco/bbox_mAP": 0.5,
        "something/else": 1,
    }
    assert table(figures).splitlines() == [
        "101 films, 202 ROIs",
        "average IoU                                     0.8115",
        "ROIs with IoU < 0.5                                  2",
        "COCO mAP                                        0.5000",
    ]


def test_nothing_measured():
    assert table({}) == ""


def test_classes_stand_below_their_mean():
    figures = {"roi/avg_iou": 0.8, "roi/avg_iou/heart": 0.9, "roi/avg_iou/lung": 0.75, "coco/bbox_mAP": 0.5}
    assert [line.split() for line in table(figures).splitlines()] == [
        ["average", "IoU", "0.8000"],
        ["heart", "0.9000"],
        ["lung", "0.7500"],
        ["COCO", "mAP", "0.5000"],
    ]
