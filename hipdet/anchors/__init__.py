"""Anchors derived from the data: the paper's section 3.3 as a tool.  numpy only."""
