# Completion in the shells themselves: commands, options, run ids, step names, files where there is nothing to say.
. "$(dirname "$0")/common.sh"
printf 'name: comp\nsteps:\n  ingest: {run: echo}\n  train: {run: echo, foreach: [1, 2]}\n' > p.yaml
"$MLOPS" run p.yaml -q > /dev/null || fail "the run"
id=$("$MLOPS" runs --ids)
mkdir bin && ln -s "$MLOPS" bin/mlops
unset -f mlops  # the word of common.sh would be asked in place of the program
export PATH=$here/bin:$PATH

# What the program answers, one candidate a word.
answers() { "$MLOPS" complete -- "$@" | cut -f1 | tr '\n' ' '; }
printf 'name: comp\nparams: {lr: 0.1, train: {epochs: 3, layers: [1, 2]}, note: "a b"}\nsteps:\n  ingest: {run: echo}\n  train: {run: echo, foreach: [1, 2]}\n' > params.yaml
for command in run plan validate graph; do
    expect_equal "$(answers $command params.yaml --set '')" "lr= note= train.epochs= train.layers= "
done
expect_equal "$(answers run params.yaml -s tr)" "train.epochs= train.layers= "
expect_equal "$(answers run params.yaml --set=tr)" "--set=train.epochs= --set=train.layers= "
expect_equal "$(answers run params.yaml --set lr=)" ""
expect_equal "$(answers run params.yaml --only ingest,)" "ingest,ingest ingest,train ingest,train@1 ingest,train@2 "
expect_equal "$(answers run params.yaml --only=ingest,in)" "--only=ingest,ingest "
expect_equal "$(answers run params.yaml --force in)" "ingest "
expect_equal "$(answers run params.yaml --force --only in)" "ingest "
expect_equal "$(answers run params.yaml --force --on)" "--only "
expect_equal "$(answers run params.yaml -j 4 --only=in)" "--only=ingest "
expect_equal "$(answers runs -p '')" "comp "
expect_equal "$(answers runs --pipeline=c)" "--pipeline=comp "
expect_equal "$(answers runs --state '')" "running orphaned succeeded failed cancelled interrupted "
expect_equal "$(answers why in)" "ingest "
expect_equal "$(answers why ingest "${id:0:8}")" "$id "
expect_equal "$(answers diff "$id" latest)" "latest latest:comp "
expect_equal "$(answers diff "$id" latest '')" ""
expect_equal "$(answers store '')" "stat verify gc where "
expect_equal "$(answers store gc --ke)" "--keep --keep-tag "
expect_equal "$(answers plan p.yaml --j)" "--json "
expect_equal "$(answers --ver)" "--version --verbose "
expect_equal "$(answers runs -w '')" ""

# Runs are offered where they are of use.
expect_equal "$(answers cancel '')" ""
expect_equal "$(answers run --resume '')" ""
printf 'name: bad\nsteps: {s: {run: exit 1}}\n' > bad.yaml
printf 'name: long\nsteps: {s: {run: touch started; sleep 60}}\n' > long.yaml
"$MLOPS" run bad.yaml -q > /dev/null 2>&1
failed=$("$MLOPS" runs -p bad --ids)
"$MLOPS" run long.yaml -q > /dev/null 2>&1 & pid=$!
wait_for 10 test -e started
running=$("$MLOPS" runs -p long --ids)
expect_equal "$(answers cancel '')" "$running "
expect_equal "$(answers run --resume '')" "$failed "
"$MLOPS" cancel "$running" --now > /dev/null || fail "cancel"
wait $pid
"$MLOPS" rm "$running" "$failed" > /dev/null || fail "rm"

# From elsewhere.
mkdir elsewhere
expect_equal "$(cd elsewhere && answers -C .. run p.yaml --from ing)" "ingest "
expect_equal "$(cd elsewhere && answers -C .. --no-color show "${id:0:8}")" "$id "
mv .mlops elsewhere/; mkdir deep
expect_equal "$(cd deep && answers show "${id:0:8}")" ""
for words in "-w elsewhere show" "--workspace=elsewhere show" "show -w elsewhere" "-C elsewhere -v show"; do
    expect_equal "$(answers $words "${id:0:8}")" "$id "
done
mv elsewhere/.mlops .

# bash: what readline would offer for a line.
eval "$("$MLOPS" completion bash)" 2>/dev/null || fail "the bash script has a syntax error"
offers() { COMP_LINE=$1 COMP_POINT=${#1}; _mlops; printf '%s\n' "${COMPREPLY[@]}"; }
expect_equal "$(offers 'mlops sh')" show
expect_equal "$(offers 'mlops run p.yaml --js')" --json
expect_equal "$(offers "mlops show ${id:0:6}")" "$id"
expect_equal "$(offers 'mlops logs latest tr' | tr '\n' ' ')" "train@1 train@2 "
expect_equal "$(offers 'mlops run p.yaml --from tr' | tr '\n' ' ')" "train train@1 train@2 "
expect_equal "$(offers 'mlops runs --state fa')" failed
COMP_WORDBREAKS=$' \t\n:'   # readline takes latest:comp for three words
expect_equal "$(offers 'mlops show latest:')" comp
expect_equal "$(offers 'mlops run p.ya')" ""
COMP_WORDBREAKS=$' \t\n:='
expect_equal "$(offers 'mlops run p.yaml --only=ing')" ingest
expect_equal "$(offers 'mlops run p.yaml --only=ingest,ing')" ingest,ingest
expect_equal "$(offers 'mlops run params.yaml --set l')" lr=

if command -v fish > /dev/null; then
    "$MLOPS" completion fish > comp.fish
    run fish --no-config -c 'source comp.fish; complete -C "mlops sh"'; expect_ok; expect_out "show"
    run fish --no-config -c 'source comp.fish; complete -C "mlops logs latest tr"'; expect_out "train@2"
else
    echo "fish is not installed: its completion was not tried"
fi
if command -v zsh > /dev/null; then
    mkdir zsh && "$MLOPS" completion zsh > zsh/_mlops
    # A terminal of its own, in which a key press completes; zsh/zpty is part of zsh.
    run zsh -f -c 'zmodload zsh/zpty; zpty z zsh -f -i
        zpty -w z "PS1=; fpath=('"$here"'/zsh \$fpath); autoload -U compinit; compinit -u -D; bindkey \"^I\" complete-word"
        zpty -w -n z $'"'"'mlops logs latest ing\t; echo done-$((1+1))\n'"'"'
        zpty -r -m z line "*done-2*"; print -r -- $line'
    expect_out "mlops logs latest ingest"
else
    echo "zsh is not installed: its completion was not tried"
fi
