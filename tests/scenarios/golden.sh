# What scripts and people may rely on, byte for byte: help texts, the schema of the pipeline file and of the database,
# the manual page, docs/cli.md. MLOPS_ACCEPT=1 writes the files of tests/golden and docs/cli.md anew.
. "$(dirname "$0")/common.sh"
golden=$SOURCE_DIR/tests/golden
bad=

# compare FRESH GOLDEN
compare() {
    cmp -s "$1" "$2" && return
    if [ -n "${MLOPS_ACCEPT:-}" ]; then
        cp "$1" "$2" && echo "wrote ${2#"$SOURCE_DIR"/}"
    else
        echo "${2#"$SOURCE_DIR"/} is not what mlops prints now:" >&2
        diff -u "$2" "$1" | head -n 40 >&2
        bad="$bad ${2#"$SOURCE_DIR"/}"
    fi
}

mkdir fresh
"$MLOPS" --help > fresh/help.txt || fail "mlops --help"
commands=$(sed -nE 's/^  ([a-z]+)  +.*/\1/p' fresh/help.txt)
[ "$(wc -w <<< "$commands")" -ge 16 ] || fail "mlops --help does not list the commands"
for command in $commands; do
    "$MLOPS" "$command" --help > "fresh/help-$command.txt" || fail "mlops $command --help"
    for sub in $(sed -nE 's/^  ([a-z]+)  +.*/\1/p' "fresh/help-$command.txt"); do
        echo && "$MLOPS" "$command" "$sub" --help || fail "mlops $command $sub --help"
    done > subcommands
    cat subcommands >> "fresh/help-$command.txt"
done
run python3 "$golden/examples.py" "$MLOPS"; expect_ok
"$MLOPS" schema > fresh/pipeline.schema.json || fail "mlops schema"
"$MLOPS" man > fresh/mlops.1 || fail "mlops man"

printf 'steps: {a: {run: "true"}}\n' > p.yaml
"$MLOPS" run p.yaml --quiet > /dev/null || fail "mlops run"
mlops sql --json "select sql from sqlite_schema where sql is not null order by type = 'view', name"
expect_ok
python3 -c 'import json, sys; print("\n\n".join(r["sql"] + ";" for r in json.load(sys.stdin)["rows"]))' \
    < .out > fresh/database.sql

# Only libraries of one layout can be compared letter by letter.
cli11=$("$MLOPS" version --deps --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["dependencies"]["cli11"])')
case $cli11 in
    2.[1-4] | 2.[1-4].*) layout=same ;;
    *) layout=other; echo "CLI11 $cli11 lays help out in another way: help texts are not compared" ;;
esac
for file in fresh/*; do
    case $file-$layout in fresh/help*-other) continue ;; esac
    compare "$file" "$golden/${file#fresh/}"
done
for file in "$golden"/*.txt; do
    [ -e "fresh/$(basename "$file")" ] && continue
    if [ -n "${MLOPS_ACCEPT:-}" ]; then rm "$file"; else bad="$bad $(basename "$file") (its command is gone)"; fi
done
if [ $layout = same ]; then
    python3 "$golden/cli_page.py" "$MLOPS" "$SOURCE_DIR/docs/cli.md" > cli.md || fail "cannot renew docs/cli.md"
    compare cli.md "$SOURCE_DIR/docs/cli.md"
fi
[ -z "$bad" ] || { echo "FAILED:$bad; if this is wanted: MLOPS_ACCEPT=1 bash tests/scenarios/golden.sh" >&2; exit 1; }
