import json, os, sys
mean = float(open(sys.argv[1]).read())
values = [int(v) for v in open(sys.argv[2] + "/test.pkl")]
os.makedirs("eval", exist_ok=True)
json.dump({"error": {"mean": sum(abs(v - mean) for v in values) / len(values)}}, open("eval/metrics.json", "w"))
open("eval/prc.csv", "w").write("recall,precision\n0.1,0.9\n0.9,0.1\n")
