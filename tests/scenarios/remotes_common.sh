# What holds for every kind of remote; sourced by the scenarios of each.

# make_project: $here/one, with results: a large file, a directory of small ones, values, metrics.
make_project() {
    mkdir "$here/one"; cd "$here/one" || exit 1
    mkdir .mlops; chmod 700 .mlops
    cat > p.yaml <<'YAML'
name: p
steps:
  make:
    run: |
      mkdir -p tree/deep
      i=0; while [ $i -lt 300 ]; do echo "small $i" > tree/deep/$i; i=$((i + 1)); done
      echo a > tree/a; ln -s a tree/link; echo '#!/bin/sh' > tree/tool; chmod +x tree/tool
      echo "rows=300" >> "$MLOPS_OUTPUT"
    inputs: [p.yaml]
    outputs: [tree]
  train:
    run: |
      head -c 4000000 /dev/zero | tr '\0' 'm' > model.bin
      echo '{"accuracy": 0.9}' > metrics.json
    inputs: [tree]
    outputs: [{path: model.bin, kind: model}]
    metrics: [metrics.json]
  tell:
    run: echo "trained on "${steps.make.outputs.rows} > values.txt
    inputs: [model.bin]
    outputs: [values.txt]
YAML
    mlops run p.yaml -q; expect_ok
    cp p.yaml "$here/p.yaml"
}

# remote_core URL [OPTION…]: push, fetch, pull, cache hits on another machine, going on, changes on both sides.
remote_core() {
    local url=$1; shift
    cd "$here/one" || exit 1
    mlops remote add first "$url" "$@"; expect_ok
    mlops remote list; expect_ok; expect_out "$url"
    mlops push --dry-run --json; expect_ok; local would; would=$(json 'j["objects"]')
    mlops push --json; expect_ok
    expect_equal "$(json 'j["objects"]')" "$would"
    expect_equal "$(json 'j["runs"]')" 1
    expect_equal "$(json 'j["packs"]')" 1
    mlops push; expect_ok; expect_out "pushed 0 objects"; expect_out "there already"
    mlops push --check; expect_ok; expect_out "pushed 0 objects"

    # Another machine: nothing there but the pipeline file.
    mkdir "$here/two"; cp "$here/p.yaml" "$here/two/"; cd "$here/two" || exit 1
    mlops remote add first "$url" "$@"; expect_ok
    mlops fetch --dry-run; expect_ok; expect_out "would fetch"; expect_out "1 run"
    mlops runs --ids; expect_equal "$out" ""
    mlops fetch; expect_ok; expect_out "and 1 run from first"
    mlops fetch; expect_ok; expect_out "fetched 0 objects, 0 B, and 0 runs"
    expect_missing model.bin
    mlops run p.yaml; expect_ok; expect_out "3 cached"
    cmp -s model.bin "$here/one/model.bin" || fail "model.bin is another"
    diff -r tree "$here/one/tree" || fail "the tree is another"
    [ -x tree/tool ] && [ -L tree/link ] || fail "modes and links are lost"
    expect_file values.txt "trained on 300"
    mlops show --json; expect_equal "$(json '[m["value"] for m in j["metrics"] if m["name"] == "accuracy"]')" "[0.9]"
    mlops show "$("$MLOPS" runs --ids | tail -n 1)"; expect_ok; expect_out succeeded
    mlops logs "$("$MLOPS" runs --ids | tail -n 1)" > /dev/null
    mlops why train; expect_ok
    mlops doctor; expect_ok
    mlops store verify; expect_ok; expect_out " 0 damaged"

    # It changes something and sends it back; the first one pulls.
    echo '# new' >> p.yaml; mlops run p.yaml -q; expect_ok
    sed -i "s/'m'/'n'/" p.yaml; mlops run p.yaml -q; expect_ok
    mlops push; expect_ok
    cd "$here/one" || exit 1
    mlops pull; expect_ok; expect_out "placed model.bin"
    cmp -s model.bin "$here/two/model.bin" || fail "pull did not place the new model"
    mlops pull; expect_ok; expect_out "in place already"; expect_no_out "placed model.bin"

    # What was changed here and is kept nowhere is not overwritten.
    echo mine > model.bin; echo mine > tree/a
    mlops pull; expect_exit 3; expect_err "model.bin, tree"; expect_file model.bin mine
    mlops pull --dry-run; expect_exit 3
    rm -r tree/deep
    mlops pull --force; expect_ok; expect_out "placed model.bin"; expect_out "placed tree"
    expect_exists tree/deep/299; expect_file tree/a a
    # An older result, by its run; what is in the store may be overwritten.
    mlops pull "$("$MLOPS" runs --ids | tail -n 1)" --json; expect_ok
    expect_equal "$(json '[p["path"] for p in j["placed"]]')" "['model.bin']"
    mlops pull latest:p; expect_ok

    # All that was ever made.
    mlops push --all; expect_ok; expect_out "pushed 0 objects"
    mlops fetch --all; expect_ok
}

# proxy PORT: puts a connection with bad days in front of a server; sets $proxy_port. `weather WORDS` says how it is.
proxy() {
    weather ok
    coproc PROXY { exec python3 "$SOURCE_DIR/tests/scenarios/flaky_proxy.py" "$1" "$here/weather"; }
    cleanups+=("kill $PROXY_PID 2>/dev/null")
    read -r proxy_port <&"${PROXY[0]}" || fail "the proxy did not start"
}
weather() { echo "$*" > "$here/weather.new"; mv "$here/weather.new" "$here/weather"; }

free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# many_large COUNT: a project in the working directory with so many files of 3 MB.
many_large() {
    mkdir -p .mlops; chmod 700 .mlops
    cat > large.yaml <<YAML
name: large
steps:
  make:
    run: |
      mkdir -p big
      i=0; while [ \$i -lt $1 ]; do { echo \$i; head -c 3000000 /dev/zero; } > big/\$i; i=\$((i + 1)); done
    inputs: [large.yaml]
    outputs: [big]
YAML
    mlops run large.yaml -q; expect_ok
}
