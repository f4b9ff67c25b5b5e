# SPDX-License-Identifier: GPL-3.0-or-later
# The manual page is well-formed and complete.

load helpers

MANUAL=$TESTS/../cmd/livecore.1

@test "mandoc finds nothing to say" {
    need_tool mandoc
    # Whether the manuals that it refers to are installed depends on this machine.
    mandoc -Tlint -Wall "$MANUAL" 2>&1 | grep -vE 'referenced manual not found|mandoc\.db' >problems || true
    [ ! -s problems ] || fail "$(cat problems)"
}

@test "each option of --help has its entry" {
    need_tool mandoc
    local option options
    options=$("$LIVECORE" --help | grep -oE -- '^  +(-.,)? *--[a-z-]+' | grep -oE -- '--[a-z-]+')
    [ "$(wc -w <<<"$options")" -gt 15 ]
    mandoc -Tascii "$MANUAL" 2>/dev/null | col -b >text
    for option in $options; do
        grep -qE -- "^ +(-., | *-[a-zA-Z?] [a-z]+, )?$option" text || fail "$option has no entry"
    done
}

@test "each specifier of a name has its entry" {
    need_tool mandoc
    local letter
    mandoc -Tascii "$MANUAL" 2>/dev/null | col -bx >text
    for letter in p P e E t h u g i I %; do
        grep -qE "^ +(%., )?%$letter( |,)" text || fail "%$letter has no entry"
    done
}

@test "each exit status and each kind of mapping is explained" {
    local word words
    for word in 0 1 2 64; do
        grep -qx "\.It $word" "$MANUAL" || fail "status $word"
    done
    words=$("$LIVECORE" --help | grep -oE '(anon|file|hugetlb|dax)-(private|shared)|elf-headers')
    [ "$(wc -w <<<"$words")" -eq 9 ]
    for word in $words; do
        grep -qx "\.It Cm $word" "$MANUAL" || fail "$word"
    done
}

@test "each field of the JSON is explained" {
    local word
    grep -oE '^	add_[a-z]+\([a-z]+, "[a-z_]+"' "$TESTS/../cmd/json.c" | cut -d '"' -f 2 | sort -u >fields
    [ "$(wc -l <fields)" -gt 25 ]
    while read -r word; do
        grep -qE "(Va|,) (.* )?$word( |\$)" "$MANUAL" || fail "$word"
    done <fields
}
