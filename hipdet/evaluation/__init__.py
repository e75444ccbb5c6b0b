"""ROI figures.  Matching, figures, table and report are free of mm*; ``roi_metric``, ``coco_films_metric`` and ``report_hook`` register."""
