dvc add -q data/data.txt
