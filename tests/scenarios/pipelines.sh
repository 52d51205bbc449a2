# Every pipeline in pipelines/ runs, from a copy, and does what its page says. Those that need more than python3 have a
# scenario of their own, pipelines_NAME.sh, which is skipped where it is missing.
. "$(dirname "$0")/common.sh"
cp -r "$SOURCE_DIR/pipelines" . && cd pipelines || exit 1
rm -rf ./*/data ./*/models ./*/releases ./*/reports ./*/.mlops
mkdir .mlops
for file in */pipeline.yaml; do
    name=${file%/*}
    mlops validate "$file"; expect_ok
    mlops graph "$file"; expect_ok
    [ -e "$SOURCE_DIR/tests/scenarios/pipelines_$name.sh" ] && continue
    mlops run "$file"; expect_ok; expect_out "succeeded in"
done

# The quickstart answered three questions rightly and left no service behind.
expect_exists quickstart/releases/current/model.json
run "$MLOPS" logs latest:penguins smoke; expect_equal "$(grep -c 'POST /predict' <<< "$out")" 3
expect_exists quickstart/releases/.service/log
expect_missing quickstart/releases/.service/pid
first=$(readlink quickstart/releases/current)

# A gate that says no: nothing new goes live, the service is not started, the exit code tells.
mlops run quickstart/pipeline.yaml --set gate.min_accuracy=0.9999; expect_exit 3; expect_out "gate said no"
expect_equal "$(readlink quickstart/releases/current)" "$first"
mlops show latest --json
expect_equal "$(json '[s["state"] for s in j["steps"] if s["name"] == "stop-service"][0]')" succeeded

# Bad data stops at the door, with the line of the file.
sed -i '10s/Adelie Penguin/Emperor Penguin/' quickstart/data-source/penguins-raw.csv
mlops run quickstart/pipeline.yaml; expect_exit 1; expect_out "penguins-raw.csv:10: unknown species 'Emperor"
expect_equal "$(readlink quickstart/releases/current)" "$first"
