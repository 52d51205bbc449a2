echo bbbb >> ingest/raw/a.txt
