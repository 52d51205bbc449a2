# What steps read and write without declaring it: found whoever does it, told everywhere, turned into lines to paste.
. "$(dirname "$0")/common.sh"
mkdir lib data
echo '#define V 3' > v.h; printf '#include "v.h"\nint main(void) { return V; }\n' > m.c
echo 'X = 1' > lib/helper.py; echo 'secret' > data/hidden.csv; echo '1' > data/in.csv
cat > train.py <<'P'
import subprocess, sys, threading
sys.path.insert(0, "lib")
import helper
open("data/in.csv").read()
t = threading.Thread(target=lambda: open("data/hidden.csv").read()); t.start(); t.join()
subprocess.run(["sh", "-c", "cat from_child > /dev/null; exit 0"], check=True)
open("model.bin", "w").write("m"); open("notes.txt", "w").write("n")
open("scratch.tmp", "w").close(); import os; os.remove("scratch.tmp")
P
echo c > from_child
cat > p.yaml <<'Y'
name: t
steps:
  make: {run: 'echo 1 > made.txt', outputs: made.txt}
  train:
    run: python3 train.py
    inputs: data/in.csv
    outputs: [{path: model.bin, kind: model}]
  build: {run: 'gcc -c m.c -o m.o', inputs: m.c, outputs: m.o}
  use: {run: 'cat made.txt > used.txt', outputs: used.txt}
  code: {run: 'exit 7', on_failure: continue}
  killed: {run: 'kill -9 $$', on_failure: continue}
  slow: {run: 'while :; do cat /dev/null; done', timeout: 300ms, on_failure: continue}
  serve: {run: 'cat from_child', leave_running: true, kind: deploy}
Y
# Needs no run at all.
mlops lint p.yaml; expect_ok; expect_out "runs train.py, of which a change is not noticed"
expect_out "code: [train.py]"; expect_out "names 'made.txt', which make makes, without declaring it"
mlops lint p.yaml --strict; expect_exit 3
mlops lint; expect_exit 2; expect_err "no pipeline.yaml"
mlops lint nothing.yaml; expect_exit 2

command -v gcc > /dev/null || skip "there is no gcc to build programs with"
mlops run p.yaml --trace-reads -k -q; expect_ok
if [ -n "$(sql "select 1 from step_traces where problem <> '' limit 1")" ]; then
    expect_out "its reads are not traced"
    skip "reads cannot be traced here: $(sql "select problem from step_traces limit 1")"
fi
# Ends are what they are without.
expect_equal "$(sql "select exit_code from v_attempts where step = 'code'")" 7
expect_equal "$(sql "select signal from v_attempts where step = 'killed'")" 9
expect_equal "$(sql "select cause from v_attempts where step = 'slow'")" timeout
hidden() { sql "select access || ' ' || path from v_hidden_files where step = '$1' and run_id = (select max(id) from runs) order by path" | tr '\n' ' '; }
expect_equal "$(hidden train)" "read data/hidden.csv read from_child read lib/helper.py written notes.txt read train.py "
expect_equal "$(hidden build)" "read v.h "
expect_equal "$(hidden use)" "read made.txt "
expect_equal "$(hidden make)" ""
expect_equal "$(sql "select count(*) from step_traces t join steps s using (run_id, step) where s.name = 'serve'")" 0
expect_equal "$(sql "select sha256 from v_hidden_files where path = 'v.h'")" "$(sha256sum v.h | cut -d' ' -f1)"

mlops show; expect_ok; expect_out "train read 4 files that it does not declare; wrote 1 file"
mlops show --json; expect_equal "$(json '[s["traced"] for s in j["steps"]][:2]')" "[True, True]"
mlops why build; expect_ok; expect_out "it read 1 file that it does not declare: v.h"
mlops why train --json; expect_equal "$(json '[f["path"] for f in j["steps"][0]["undeclared"]][0]')" data/hidden.csv

mlops lint p.yaml; expect_ok
expect_out "reads 4 files that it does not declare"; expect_out "writes 1 file that it does not declare"
expect_out "inputs: [data/in.csv, data/hidden.csv, from_child]"
expect_out "code: [lib/helper.py, train.py]"
expect_out "outputs: [{path: model.bin, kind: model}, notes.txt]"
expect_out "code: [v.h]"
expect_out "reads 'made.txt', which make makes, without declaring it: it may run before that is made"
mlops lint p.yaml --json; expect_ok
expect_equal "$(json '[s["suggested"] for s in j["steps"] if s["step"] == "build"][0]["code"]')" "code: [v.h]"

# What is pasted is enough: nothing is left to say, and a change is noticed.
cat > p.yaml <<'Y'
name: t
steps:
  make: {run: 'echo 1 > made.txt', outputs: made.txt}
  train:
    run: python3 train.py
    inputs: [data/in.csv, data/hidden.csv, from_child]
    code: [lib/helper.py, train.py]
    outputs: [{path: model.bin, kind: model}, notes.txt]
  build: {run: 'gcc -c m.c -o m.o', inputs: [m.c], code: [v.h], outputs: m.o}
  use: {run: 'cat made.txt > used.txt', inputs: [made.txt], outputs: used.txt}
Y
mlops lint p.yaml --strict; expect_ok; expect_out "nothing to suggest"
mlops run p.yaml --trace-reads -q; expect_ok
mlops lint p.yaml --strict; expect_ok
echo '#define V 4' > v.h; mlops run p.yaml -q; expect_ok; mlops why build; expect_out "code v.h: "

# A static program that calls the kernel itself, in threads; LD_PRELOAD would see nothing of it.
cat > raw.c <<'C'
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
static void *look(void *name) { return (void *)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY); }
int main(void) {
    pthread_t t[2];
    pthread_create(&t[0], 0, look, "one.txt");
    pthread_create(&t[1], 0, look, "two.txt");
    for (int i = 0; i < 2; i++) pthread_join(t[i], 0);
    if (vfork() == 0) { execl("./other", "other", (char *)0); _exit(1); }
    return 0;
}
C
echo 1 > one.txt; echo 2 > two.txt; printf '#!/bin/sh\ncat three.txt\n' > other; chmod +x other; echo 3 > three.txt
gcc -static -pthread raw.c -o raw 2> /dev/null || gcc -pthread raw.c -o raw
printf 'name: raw\nsteps: {a: {run: "./raw; sleep 0.1"}}\n' > r.yaml
mlops run r.yaml --trace-reads -q; expect_ok
expect_equal "$(hidden a)" "read one.txt executed other executed raw read three.txt read two.txt "

# Many at once, a resumed run, and a killed runner lose no trace.
{ echo 'name: many'; echo 'steps:'; for i in $(seq 40); do echo "  s$i: {run: 'cat one.txt > o$i', outputs: o$i}"; done; } > many.yaml
mlops run many.yaml --trace-reads -q -j 8; expect_ok
expect_equal "$(sql "select count(*) from v_hidden_files where pipeline = 'many' and path = 'one.txt'")" 40
cat > k.yaml <<'Y'
name: k
steps:
  a: {run: 'sleep 1; cat one.txt > ka', outputs: ka}
  b: {run: 'cat two.txt > kb', outputs: kb, needs: a}
Y
"$MLOPS" run k.yaml --trace-reads -q > /dev/null 2>&1 & pid=$!
sleep 0.5; kill -9 $pid; wait $pid 2> /dev/null
mlops run --resume latest -q; expect_ok
expect_equal "$(hidden a)$(hidden b)" "read one.txt read two.txt "

# What is added to keeps what was there, also once it is declared as suggested.
echo '{name: h, steps: {a: {run: "cat one.txt > ho; echo line >> hist.log", inputs: one.txt, outputs: ho}}}' > h.yaml
echo old > hist.log
mlops run h.yaml --trace-reads -q; expect_ok
mlops lint h.yaml; expect_ok; expect_out "outputs: [ho, {path: hist.log, persist: true}]"
echo '{name: h, steps: {a: {run: "cat one.txt > ho; echo line >> hist.log", inputs: one.txt, outputs: [ho, {path: hist.log, persist: true}]}}}' > h.yaml
mlops run h.yaml -q --force a; expect_ok; expect_file hist.log "$(printf 'old\nline\nline')"

# Folders of many files, names of all kinds, links, a deploy step that may be left out.
mkdir many; for i in $(seq 12); do echo > many/$i.csv; done; echo > 'odd, name: x.csv'; ln -s one.txt link.txt
printf 'name: f\nsteps:\n  a: {run: "cat many/* odd* link.txt > fo", outputs: fo}\n  d: {kind: deploy, run: "true", cache: true, inputs: fo, outputs: fo2, on_failure: continue}\n' > f.yaml
mlops run f.yaml --trace-reads -q; mlops lint f.yaml; expect_ok
expect_out 'inputs: [many, "odd, name: x.csv", one.txt]'
expect_out "runs each time as it declares no inputs"; expect_out "cache: true lets it be left out"
mlops rm latest; expect_ok
