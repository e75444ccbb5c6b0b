"""What every folder needs: boxes, classes, errors, files, tables, configs as text, versions.  No torch, no mm*."""
