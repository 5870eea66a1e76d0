"""What a shell runs to complete the tool's command lines.

Each script asks the tool itself, with ``_HIVELLM_LITE_COMPLETE`` set, and gives it the command line
up to the cursor as text. Nothing of the answer is ever evaluated: names are inserted as words, and
files are found by the shell, which quotes them by its own rules.
"""

from __future__ import annotations

__all__ = ["SCRIPTS"]

_BASH = r"""
# bash completion of hivellm-lite; bash 4.4 or newer
_hivellm_lite_complete() {
    local kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            expert) _hivellm_lite_files "$2" f '!*.expert' ;;
            file) _hivellm_lite_files "$2" f '' ;;
            dir) _hivellm_lite_files "$2" d '' ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_CUR="$2" \
        _HIVELLM_LITE_COMPLETE=bash_complete "${1/#\~\//$HOME/}" 2>/dev/null)
}

# The files that continue $1; readline quotes them. Folders are among them always.
_hivellm_lite_files() {
    local found word=$1
    [[ $word == [=:@] ]] && word=
    while IFS= read -r found; do
        COMPREPLY+=("$found")
        compopt -o filenames
    done < <(compgen "-$2" -X "$3" -- "$word"; [[ $2 == d ]] || compgen -d -- "$word")
}

complete -o nosort -F _hivellm_lite_complete hivellm-lite
"""

_ZSH = r"""
#compdef hivellm-lite
# zsh completion of hivellm-lite

_hivellm_lite_complete() {
    local kind value help line="${(j: :)words[1,CURRENT]}"
    local -a answer plain described told
    [[ $PREFIX == *=* ]] && compset -P '*='
    answer=("${(@f)$(COMP_LINE="$line" COMP_CUR="$PREFIX" \
        _HIVELLM_LITE_COMPLETE=zsh_complete "${words[1]/#\~\//$HOME/}" 2>/dev/null)}")
    for kind value help in "${answer[@]}"; do
        case $kind in
            plain)
                plain+=("$value")
                described+=("${value//:/\\:}:$help")
                told+=(${help# }) ;;
            expert) _path_files -g '*.expert(-.)'; _path_files -/ ;;
            file) _path_files ;;
            dir) _path_files -/ ;;
        esac
    done
    if (( $#told )); then
        _describe -V 'hivellm-lite' described
    elif (( $#plain )); then
        compadd -V hivellm-lite -- "${plain[@]}"
    fi
}

if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _hivellm_lite_complete "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _hivellm_lite_complete hivellm-lite
fi
"""

_FISH = r"""
# fish completion of hivellm-lite
function __hivellm_lite_complete
    set -lx COMP_LINE (commandline --cut-at-cursor --current-process | string collect)
    set -lx _HIVELLM_LITE_COMPLETE fish_complete
    command hivellm-lite 2>/dev/null
end

complete --no-files --keep-order --command hivellm-lite --arguments '(__hivellm_lite_complete)'
"""

SCRIPTS = {name: text.lstrip() for name, text in (("bash", _BASH), ("zsh", _ZSH), ("fish", _FISH))}
"""The script for each shell."""
