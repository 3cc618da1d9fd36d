# SPDX-License-Identifier: Apache-2.0
# Completion of qlcshape in bash. Verbs, options and their values are read from the command's own
# --help, and volumes from the array, so there is no list here that could be out of date.
_qlcshape() {
    local command=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    local verb=() word help array=
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        if [[ $word =~ ^[a-z]+$ && ${#verb[@]} -lt 2 && -z $array ]]; then
            verb+=("$word")
        elif [[ $word == *.toml && -z $array ]]; then
            array=$word
        fi
    done
    help=$("$command" "${verb[@]}" --help 2>/dev/null) || return
    local words=()
    if [[ $before == --volume || ($before == "$array" && $current != -* &&
        "${verb[*]}" =~ ^volume\ (delete|resize)$) ]]; then
        # The names; nothing where the array can't be read.
        mapfile -t words < <("$command" volume list "${array/#~\//$HOME/}" 2>/dev/null |
            sed -n '2,$s/^ *\([^ ]*\) .*/\1/p')
    elif [[ $before == --* && $help =~ $before\ \{([a-z,]+)\} ]]; then
        IFS=, read -ra words <<<"${BASH_REMATCH[1]}"
    elif [[ $current == -* ]]; then
        mapfile -t words < <(grep -oE -- '--[a-z][a-z-]*' <<<"${help%%Each verb*}" | sort -u)
    else
        mapfile -t words < <(sed -n '/^Subcommands:/,/^$/s/^  \([a-z]*\) .*/\1/p' <<<"$help")
    fi
    mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$current")
    # Elsewhere the names of files: compopt's default.
}
complete -o default -F _qlcshape qlcshape
