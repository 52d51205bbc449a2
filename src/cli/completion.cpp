#include "cli/context.hpp"
#include "cli/output.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

// Each script asks `mlops complete`, which answers lines of CANDIDATE<tab>DESCRIPTION; where it has no
// answer, the shell completes files.
constexpr const char* bash_script = R"sh(_mlops() {
    local line
    COMPREPLY=()
    # Words as readline splits them break at ':' and '='; take the line up to the cursor instead.
    local typed=${COMP_LINE:0:COMP_POINT} words=()
    read -ra words <<< "$typed"
    [[ $typed == *' ' ]] && words+=('')
    while IFS=$'\t' read -r line _; do
        [ -n "$line" ] && COMPREPLY+=("$line")
    done < <(mlops complete -- "${words[@]:1}" 2>/dev/null)
    # readline replaces only what comes after the last such break.
    local current=${words[-1]} head= break i
    for break in : =; do
        [[ $current == *$break* && $COMP_WORDBREAKS == *$break* ]] || continue
        local upto=${current%"${current##*$break}"}
        [ ${#upto} -gt ${#head} ] && head=$upto
    done
    for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]=${COMPREPLY[i]#"$head"}; done
    # A name that wants a value.
    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o default -o bashdefault -F _mlops mlops
)sh";

constexpr const char* zsh_script = R"sh(#compdef mlops
_mlops() {
    local -a candidates
    local line
    while IFS= read -r line; do
        candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done < <(mlops complete -- "${(@)words[2,$CURRENT]}" 2>/dev/null)
    if (( ${#candidates} )); then
        # No space after a name that wants a value.
        local -a no_space
        [[ ${candidates[1]} == *=:* ]] && no_space=(-S '')
        _describe -V 'mlops' candidates $no_space
    else
        _files
    fi
}
if [ "$funcstack[1]" = "_mlops" ]; then _mlops "$@"; else compdef _mlops mlops; fi
)sh";

constexpr const char* fish_script = R"sh(function __mlops_complete
    set -l words (commandline -opc) (commandline -ct)
    mlops complete -- $words[2..-1] 2>/dev/null
end
complete -c mlops -a '(__mlops_complete)'
)sh";

}  // namespace

void set_up_completion(CLI::App& app, Context& context) {
  (void)context;
  auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  app.footer(
      "Examples:\n"
      "  mlops completion bash > ~/.local/share/bash-completion/completions/mlops\n"
      "  mlops completion zsh > \"${fpath[1]}/_mlops\"\n"
      "  mlops completion fish > ~/.config/fish/completions/mlops.fish");
  app.callback([shell] {
    std::fputs(*shell == "bash" ? bash_script : *shell == "zsh" ? zsh_script : fish_script, stdout);
  });
}

}  // namespace mlops::cli
