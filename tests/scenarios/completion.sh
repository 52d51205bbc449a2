# Completion in the shells themselves: commands, options, run ids, step names, files where there is nothing to say.
. "$(dirname "$0")/common.sh"
printf 'name: comp\nsteps:\n  ingest: {run: echo}\n  train: {run: echo, foreach: [1, 2]}\n' > p.yaml
"$MLOPS" run p.yaml -q > /dev/null || fail "the run"
id=$("$MLOPS" runs --ids)
mkdir bin && ln -s "$MLOPS" bin/mlops
unset -f mlops  # the word of common.sh would be asked in place of the program
export PATH=$here/bin:$PATH

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
