"""What every other folder uses: boxes, classes, errors, files, tables, configs as text, versions.  No torch, no mm*."""
