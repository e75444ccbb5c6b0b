"""ROI figures.  Matching, figures, table and report are free of mm*; the metrics and ``report_hook`` register."""
