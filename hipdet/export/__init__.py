"""Export of detectors as graphs of plain operators, for runtimes without torch or mmdet."""
