import os, sys
lines = open(sys.argv[1]).read().split()
os.makedirs("data/prepared", exist_ok=True)
open("data/prepared/train.tsv", "w").write("\n".join(lines[:8]) + "\n")
open("data/prepared/test.tsv", "w").write("\n".join(lines[8:]) + "\n")
