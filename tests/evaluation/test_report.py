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
