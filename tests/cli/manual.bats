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
    local option
    mandoc -Tascii "$MANUAL" 2>/dev/null | col -b >text
    for option in $("$LIVECORE" --help | grep -oE -- '^  +(-.,)? *--[a-z-]+' | grep -oE -- '--[a-z-]+'); do
        grep -qE -- "^ +(-., | *-[a-zA-Z?] [a-z]+, )?$option" text || fail "$option has no entry"
    done
}

@test "each specifier of a name has its entry" {
    need_tool mandoc
    local letter
    mandoc -Tascii "$MANUAL" 2>/dev/null | col -b >text
    for letter in p P e E t h u g i I %; do
        grep -qE "^ +(%., )?%$letter( |,|	)" text || fail "%$letter has no entry"
    done
}

@test "each exit status, each kind of mapping and each field of the JSON is explained" {
    local word
    for word in 0 1 2 64; do
        grep -qx "\.It $word" "$MANUAL" || fail "status $word"
    done
    "$LIVECORE" 1 -f nonsense 2>err || true
    for word in $(sed -n 's/.*known are \(.*\), or.*/\1/p' err | tr -d ','); do
        grep -qx "\.It Cm $word" "$MANUAL" || fail "$word"
    done
    for word in $(grep -oE '^	add_[a-z]+\([a-z]+, "[a-z_]+"' "$TESTS/../cmd/json.c" | cut -d '"' -f 2); do
        grep -qE "(Va|,) (.* )?$word( |\$)" "$MANUAL" || fail "field $word"
    done
}
