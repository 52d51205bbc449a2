import os, sys
os.makedirs(sys.argv[2], exist_ok=True)
for name in ("train", "test"):
    words = open(f"{sys.argv[1]}/{name}.tsv").read().split()
    open(f"{sys.argv[2]}/{name}.pkl", "w").write("".join(f"{len(w)}\n" for w in words))
