"""What every room needs: boxes, errors, files, records, tables, configs as text, versions.  No torch, no mm*."""
