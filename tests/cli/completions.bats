# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2016
# The completions offer the options that --help lists, no more and no fewer.

load helpers

COMPLETIONS=$TESTS/../completions

# The options of --help, one in a line, without their values.
options_of_help() {
    "$LIVECORE" --help |
        sed -nE 's/^  +((-[^-],? *)?(--[a-z-]+)?).*/\1/p' |
        grep -oE -- '(^|[ ,])--?[a-zA-Z?][a-z-]*' | tr -d ' ,' | sort -u
}

same_as_help() {
    diff <(options_of_help) <(sort -u)
}

# bash_completes WORD...: what the last word can become.
bash_completes() {
    bash --norc -c '
        source "$1"
        shift
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        _livecore
        printf "%s\n" "${COMPREPLY[@]}"
    ' _ "$COMPLETIONS/livecore.bash" "$@"
}

fish_completes() {
    fish --no-config -c 'source $argv[1]; complete -C "$argv[2]"' "$COMPLETIONS/livecore.fish" "$1" | cut -f 1
}

@test "--help is read correctly" {
    [ "$(options_of_help | wc -l)" -gt 20 ]
    options_of_help | grep -qx -- --dry-run
    options_of_help | grep -qx -- -V
    options_of_help | grep -qxF -- '-?'
}

@test "bash: the options" {
    bash_completes livecore - | same_as_help
}

@test "bash: values" {
    [ "$(bash_completes livecore --progress = a | xargs)" = 'auto always' ]
    [ "$(bash_completes livecore -f anon-private,+dax | xargs)" = 'anon-private,+dax-private anon-private,+dax-shared' ]
    [ "$(bash_completes livecore --filter = -elf)" = -elf-headers ]
    bash_completes livecore -p '' | grep -qx $$
    bash_completes livecore "$$" | grep -qx $$
    : >some-file
    [ "$(bash_completes livecore -o some)" = some-file ]
    [ -z "$(bash_completes livecore --timeout '')" ]
    [ -z "$(bash_completes livecore --buffer = '')" ]
    [ "$(bash_completes livecore --snapshot = '' | xargs)" = 'auto precopy fork copy off' ]
    [ "$(bash_completes livecore --snapshot = p | xargs)" = precopy ]
    # Without the sign it is not the mode.
    bash_completes livecore --snapshot '' | grep -qx $$
    [ "$(bash_completes livecore --passe)" = '--passes=' ]
}

@test "zsh: the options" {
    need_tool zsh
    zsh -f -c '
        compdef() { }
        # What _arguments is told: groups, then one word or several with one meaning.
        _arguments() { print -rl -- "$@" }
        source $1
    ' _ "$COMPLETIONS/_livecore" | sed -E 's/^(\([^)]*\)|\*)+//' | grep -E '^--?[a-zA-Z?]' |
        grep -vxE -- '-[sS]' | sed -E 's/^(--?[a-zA-Z?][a-z-]*).*/\1/' | same_as_help
}


@test "fish: the options" {
    need_tool fish
    {
        fish_completes 'livecore -'
        fish_completes 'livecore --'
    } | sed 's/=$//' | same_as_help # --snapshot with and without
}

@test "fish: values" {
    need_tool fish
    [ "$(fish_completes 'livecore --progress=a' | xargs)" = '--progress=always --progress=auto' ]
    [ "$(fish_completes 'livecore --snapshot=p')" = '--snapshot=precopy' ]
    [ "$(fish_completes 'livecore -f anon-private,+dax' | xargs)" = 'anon-private,+dax-private anon-private,+dax-shared' ]
}

@test "each shell knows the kinds of mappings" {
    local name names file
    names=$("$LIVECORE" --help | grep -oE '(anon|file|hugetlb|dax)-(private|shared)|elf-headers')
    [ "$(wc -w <<<"$names")" -eq 9 ]
    for name in $names; do
        for file in livecore.bash _livecore livecore.fish; do
            grep -q -- "$name" "$COMPLETIONS/$file" || fail "$file lacks $name"
        done
    done
}

@test "each shell knows the modes of snapshots" {
    local mode modes file
    modes=$("$LIVECORE" --snapshot=nonsense 1 2>&1 | sed -n 's/.*--snapshot is \(.*\), not.*/\1/p' | sed 's/,//g; s/ or / /')
    [ "$(wc -w <<<"$modes")" -eq 5 ]
    for file in livecore.bash _livecore livecore.fish; do
        grep -q -- "$modes" "$COMPLETIONS/$file" || fail "$file does not have $modes"
    done
    for mode in $modes; do
        "$LIVECORE" --help | grep -qw -- "$mode" || fail "$mode is not in --help"
    done
}
