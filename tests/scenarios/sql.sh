# `mlops sql`: nothing of an answer is lost, whatever its columns are called and whatever they hold.
. "$(dirname "$0")/common.sh"
printf 'steps: {a: {run: "true"}}\n' > p.yaml
"$MLOPS" run p.yaml -q > /dev/null || fail "the run"

mlops sql --json "select 1 as a, 2 as a, 3 as a, 4 as \"a:2\", 5 as b"; expect_ok
expect_equal "$(json 'j["columns"]')" "['a', 'a:3', 'a:4', 'a:2', 'b']"
expect_equal "$(json 'sorted(j["rows"][0].items())')" "[('a', 1), ('a:2', 4), ('a:3', 2), ('a:4', 3), ('b', 5)]"
mlops sql --json "select r.id, s.run_id, s.step as id from runs r join steps s on s.run_id = r.id"
expect_equal "$(json 'j["rows"][0]["id:2"]')" 0

mlops sql --json "select x'00ff' as blob, 'text' as text, null as none"
expect_equal "$(json 'j["rows"][0]')" "{'blob': {'hex': '00ff'}, 'none': None, 'text': 'text'}"
mlops sql --csv "select x'00ff' as blob, x'' as none"; expect_equal "$out" "$(printf "blob,none\nx'00ff',x''")"
mlops sql "select x'00ff' as blob"; expect_out "x'00ff'"

mlops sql "select 'two' || char(10) || 'lines' || char(9) || char(27) || '[31m' as text, 'end' as last"
expect_ok; expect_equal "$(wc -l <<< "$out")" 2; expect_out 'two\nlines\t\x1b[31m  end'
mlops sql --csv "select 'two' || char(10) || 'lines' as text"; expect_equal "$out" "$(printf 'text\n"two\nlines"')"

mlops sql --csv --json "select 1"; expect_exit 2
mlops sql "select * from v_nothing"; expect_exit 2; for view in v_runs v_slots v_requests v_backfills v_events v_promises; do expect_err $view; done
