# gc beside everything else, without a grace for the young: what a run or a dataset relies on is never taken from
# under it. And kill -9 at any moment.
. "$(dirname "$0")/common.sh"
seconds=${RACE_SECONDS:-15}
cat > p.yaml <<'Y'
name: race
params: {n: 1}
steps:
  make: {run: 'echo ran >> log; mkdir -p out; for i in $(seq 60); do echo "$i of "${params.n} > out/$i; done; head -c 20000 /dev/zero > out/large; echo ${params.n} >> out/large', inputs: p.yaml, outputs: out}
  use: {run: 'cat out/* | cksum > sum', inputs: out, outputs: sum}
Y
"$MLOPS" run p.yaml -q > /dev/null || fail "the first run"
stop() { kill "$collector" 2> /dev/null; wait "$collector" 2> /dev/null; }
cleanups+=(stop)
( while true; do "$MLOPS" store gc --grace 0 --keep 1 >> gc.log 2>> gc.err; done ) & collector=$!

# Packs of which a part is dead keep gc busy between its look at the packs and their removal.
mkdir parts
churn() {
    local round=0 k
    while true; do
        round=$((round + 1))
        for k in 1 2 3 4; do
            for i in $(seq 40); do printf "%s %s %0400d\n" $round $k $i > parts/$i; done; "$MLOPS" data add parts --name "parts$k"
            rm parts/[1-9]; "$MLOPS" data add parts --name "parts$k"
            for i in $("$MLOPS" sql --csv "select version from v_dataset_versions where dataset = 'parts$k' order by version" | sed '1d;$d'); do
                "$MLOPS" data rm "parts$k@$i"
            done
        done
    done
}
churn > churn.log 2>&1 & churner=$!
cleanups+=('kill "$churner" 2> /dev/null')

# A run whose results were there: they are still there when it has ended, though only it needs them.
end=$(($(date +%s) + seconds)) hits=0 rounds=0
while [ "$(date +%s)" -lt $end ]; do
    n=$((rounds % 2)) rounds=$((rounds + 1))
    rm -rf out sum
    mlops run p.yaml -q --set n=$n; expect_ok
    expect_file out/7 "7 of $n"
    [ "$(find out -type f | wc -l)" = 61 ] || fail "out is not whole"
    rm -rf out sum; : > log
    mlops run p.yaml -q --set n=$n; expect_ok; expect_file out/7 "7 of $n"; expect_file log ""
    hits=$((hits + 1))
done
kill "$churner"; wait "$churner" 2> /dev/null
grep -q "nothing is here" gc.log && fail "gc removed outputs that a run relied on: $(grep -m1 'nothing is here' gc.log)"
grep -q "are taken back later" gc.log || fail "gc met no pack of which a part is dead"
echo "$rounds rounds of runs beside gc, $hits hits survived"

# Versions of a dataset that come and go share most of their files with one another, and with garbage.
mkdir data; for i in $(seq 300); do echo "file $i" > data/$i; done
end=$(($(date +%s) + seconds)) rounds=0
while [ "$(date +%s)" -lt $end ]; do
    rounds=$((rounds + 1))
    echo "round $rounds" > data/7; echo $((rounds % 3)) > data/9
    mlops data add data; expect_ok
    rm -rf copy; mlops data checkout data --to copy; expect_ok
    diff -r data copy > /dev/null || fail "round $rounds: the version is not what was added"
    mlops data rm data; expect_ok
    mlops data add data; expect_ok; rm -rf copy
    mlops data checkout data --to copy; expect_ok
    diff -r data copy > /dev/null || fail "round $rounds: the version that came back is not what was added"
    mlops data rm data; expect_ok
done
echo "$rounds rounds of versions beside gc"
stop
[ ! -s gc.err ] || fail "gc said: $(head -3 gc.err)"
[ "$(grep -c removed gc.log)" -gt 3 ] || fail "gc did not run"
grep -q "are not here" gc.log && fail "gc missed objects: $(grep -m1 'are not here' gc.log)"

# kill -9 at any moment of adding, checking out and collecting.
mlops data add data; expect_ok
for round in $(seq 12); do
    for i in $(seq 2000); do echo "$round.$i"; done | split -l 1 -a 4 - data/x
    head -c 3000000 /dev/urandom | split -b 100000 - data/large.
    for delay in 0.005 0.015 0.03 0.05; do
        case $((round % 3)) in
            0) "$MLOPS" data add data > /dev/null 2>&1 & ;;
            1) "$MLOPS" data checkout data --to out2 --force > /dev/null 2>&1 & ;;
            2) "$MLOPS" store gc --grace 0 > /dev/null 2>&1 & ;;
        esac
        pid=$!; sleep $delay; kill -9 $pid 2> /dev/null; wait $pid 2> /dev/null
    done
    mlops store verify; expect_ok
    mlops data add data; expect_ok
    rm -rf copy; mlops data checkout data --to copy; expect_ok; diff -r data copy > /dev/null || fail "kill $round"
    oldest=$(sql "select min(version) from v_dataset_versions where dataset = 'data'")
    [ $((round % 2)) = 0 ] || { mlops data rm "data@$oldest"; expect_ok; }
done
mlops data checkout data --to out2 --force; expect_ok; diff -r data out2 > /dev/null || fail "out2"
mlops store gc --grace 0; expect_ok; mlops store gc --grace 0; expect_ok; expect_out "removed 0 objects"
rm -rf copy; mlops data checkout data --to copy; expect_ok; diff -r data copy > /dev/null || fail "after gc"
[ -z "$(ls .mlops/store/tmp .mlops/store/leases | grep -v :)" ] || fail "leftovers: $(ls .mlops/store/tmp .mlops/store/leases)"
[ -z "$(ls -d .mlops-* 2> /dev/null)" ] || fail "leftovers in the work tree"
