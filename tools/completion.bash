# Completion of qlcshape in bash. Verbs and options are read from the command's own --help, so there
# is no list here that could be out of date.
_qlcshape() {
    local current=${COMP_WORDS[COMP_CWORD]} verb=() word help
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $word =~ ^[a-z]+$ && ${#verb[@]} -lt 2 ]] || break
        verb+=("$word")
    done
    help=$("${COMP_WORDS[0]}" "${verb[@]}" --help 2>/dev/null) || return
    local words=()
    if [[ $current == -* ]]; then
        mapfile -t words < <(grep -oE -- '--[a-z][a-z-]*' <<<"${help%%Each verb*}" | sort -u)
    else
        mapfile -t words < <(sed -n '/^Subcommands:/,/^$/s/^  \([a-z]*\) .*/\1/p' <<<"$help")
    fi
    mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$current")
    # Elsewhere the names of files: compopt's default.
}
complete -o default -F _qlcshape qlcshape
