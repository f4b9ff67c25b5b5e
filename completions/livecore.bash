# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion for livecore(1). Needs nothing but bash.

_livecore_filter() {
    # A comma-separated list: only its last name is completed, with the sign it has.
    local cur=$1 done='' sign='' name
    local names='anon-private anon-shared file-private file-shared elf-headers
        hugetlb-private hugetlb-shared dax-private dax-shared'

    if [[ $cur == *,* ]]; then
        done=${cur%,*},
        cur=${cur##*,}
    fi
    if [[ $cur == [+-]* ]]; then
        sign=${cur:0:1}
        cur=${cur:1}
    fi
    for name in $names; do
        [[ $name == "$cur"* ]] && COMPREPLY+=("$done$sign$name")
    done
    compopt -o nospace 2>/dev/null
}

_livecore() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev='' equals=''
    local options='-p --pid -a --all -f --filter --minimal -n --dry-run --force --fsync
        -o --output --verify --json --progress -q --quiet --timeout --max-freeze --yield
        --wait --snapshot --passes --precopy-time --buffer -v --verbose
        -? --help --usage -V --version'

    ((COMP_CWORD > 0)) && prev=${COMP_WORDS[COMP_CWORD - 1]}
    # bash makes words of "--option", "=" and "value".
    if [[ $cur == = ]]; then
        cur=
        equals=yes
    elif [[ $prev == = ]] && ((COMP_CWORD > 1)); then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
        equals=yes
    fi

    COMPREPLY=()
    case $prev in
    -f | --filter)
        _livecore_filter "$cur"
        return
        ;;
    -o | --output)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        compopt -o filenames 2>/dev/null
        return
        ;;
    --progress)
        mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$cur")
        return
        ;;
    --snapshot)
        # A word behind it that "=" does not tie to it is a process ID.
        if [[ $equals ]]; then
            mapfile -t COMPREPLY < <(compgen -W 'auto precopy fork copy off' -- "$cur")
            return
        fi
        ;;
    --timeout | --max-freeze | --wait | --passes | --precopy-time | --buffer)
        return
        ;;
    esac
    if [[ $cur == -* && $prev != -p && $prev != --pid ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        # Only a long option takes its value behind '='.
        case ${COMPREPLY[*]} in
        --pid | --filter | --output | --progress | --timeout | --max-freeze | --passes | --precopy-time | --buffer)
            COMPREPLY[0]+='='
            compopt -o nospace 2>/dev/null
            ;;
        esac
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [1-9]*)" -- "$cur")
}

complete -F _livecore livecore
