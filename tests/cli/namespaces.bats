# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2016,SC2030,SC2031,SC2034
# Processes in other PID, mount and user namespaces, and below another root directory. The core is as
# they see themselves, as the kernel's own core is; and no path of theirs is ever opened in ours.

load helpers

SEED=0x5eed
DECOY_SEED=0xdecade

setup() {
    chmod 0711 "$BATS_RUN_TMPDIR"
    cd "$BATS_TEST_TMPDIR" || return 1
    need_root
    need_tool unshare nsenter setpriv
    publish_elsewhere
    DIR=$PWD/dir
    mkdir -m 0777 "$DIR" out
    chmod 0777 out
    # What is found in our own mount namespace under the target's names.
    decoy file "$DECOY_SEED"
    decoy gone $((DECOY_SEED + 1))
}

publish_elsewhere() {
    local name=$VICTIMS/victim_elsewhere
    publish
    cp "$name" "$VICTIMS"
    chmod 0755 "$VICTIMS"/*
}

decoy() {
    /usr/bin/python3 - "$DIR/$1" "$2" <<'PYTHON'
import struct, sys
seed = int(sys.argv[2], 0)
open(sys.argv[1], "wb").write(b"".join(struct.pack("<Q", (
    seed * 0x9E3779B97F4A7C15 + i * 0xD1342543DE82EF95 + 1) & (1 << 64) - 1) for i in range(32768)))
PYTHON
}

# In namespaces of its own, with a file system of its own on DIR.
OWN=(sh -c 'mount -t tmpfs tmpfs "$0" && exec "$@"')

# start_inside PREFIX... -- VICTIM ARG...: through unshare(1), which forks; sets INSIDE, the victim's PID
# as we see it.
start_inside() {
    VICTIM_PREFIX=()
    while [ "$1" != -- ]; do
        VICTIM_PREFIX+=("$1")
        shift
    done
    shift
    start_victim "$@"
    INSIDE=$VICTIM
    while ! grep -q victim_elsewhe "/proc/$INSIDE/comm"; do
        INSIDE=$(cut -d ' ' -f 1 "/proc/$INSIDE/task/$INSIDE/children")
        [ -n "$INSIDE" ] || fail "there is no victim"
    done
}

# dump_inside STATUS [ARG...]: to ./core.
dump_inside() {
    local want=$1
    shift
    rm -f out/core core
    remember "$INSIDE"
    livecore -p "$INSIDE" -o out/core --force --verify "$@"
    expect_status "$want"
    assert_untouched "$INSIDE"
    ln -sf out/core core
    check sane
}

# ids_are_its_own: of process and threads.
ids_are_its_own() {
    local key value psinfo status
    [ "$(check threads | sort -n)" = "$(awk '$1 == "thread" { print $2 }' "$(victim_out)" | sort -n)" ] ||
        fail "threads: $(check threads | xargs), the victim has: $(grep '^thread' "$(victim_out)")"
    psinfo=$(check prpsinfo)
    status=$(check prstatus "$(truth ids 3)")
    while read -r key value; do
        grep -qx "$key $value" <<<"$psinfo" || fail "prpsinfo has not $key $value" "$psinfo"
        grep -qx "$key $value" <<<"$status" || fail "prstatus has not $key $value" "$status"
    done < <(awk '$1 == "ids" { for (i = 2; i < NF; i += 2) print $i, $(i + 1) }' "$(victim_out)")
}

# names_are_its_own [DIRECTORY]: in NT_FILE, and in a dry run.
names_are_its_own() {
    "$CORECHECK" core names >names
    grep -qxF "$1/file" names || fail "NT_FILE:" "$(cat names)"
    grep -qxF "$1/gone (deleted)" names || fail "NT_FILE:" "$(cat names)"
    livecore -n "$INSIDE"
    expect_status 0
    grep -qE "^[0-9a-f-]+ rw-s .* $1/file\$" <<<"$output" || fail "$output"
}

@test "another PID and mount namespace" {
    start_inside unshare --pid --mount --fork --kill-child --mount-proc "${OWN[@]}" "$DIR" -- victim_elsewhere "$DIR" "$SEED"
    [ "$(truth ids 3)" = 1 ]
    dump_inside 0 --all
    ids_are_its_own
    check truth "$(victim_out)" '*=full'
    names_are_its_own "$DIR"
    dump_inside 0
    ids_are_its_own
    check truth "$(victim_out)" private=full gone=full
    dump_inside 0 --minimal
    ids_are_its_own
    is_nowhere_a_decoy
}

@test "the same, by names: a caller who may not use map_files" {
    local caps=+sys_ptrace,+dac_read_search
    start_inside unshare --pid --mount --fork --kill-child --mount-proc "${OWN[@]}" "$DIR" -- victim_elsewhere "$DIR" "$SEED"
    RUN_PREFIX=(setpriv --reuid 12346 --regid 12346 --clear-groups --inh-caps="$caps" --ambient-caps="$caps")
    "${RUN_PREFIX[@]}" true 2>/dev/null || skip "no capability can be handed on here"
    # What was removed has no name any more: what the process has not touched of it is a loss.
    dump_inside 1 --all
    ids_are_its_own
    check truth "$(victim_out)" shared=full private=full
    expect_stderr 'whether it exists is for CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN to see$'
    [ "$(grep -c ' loss: ' <<<"$stderr")" -eq 1 ] || fail "$stderr"
    is_nowhere_a_decoy
}

# No word of the files that are not the target's.
is_nowhere_a_decoy() {
    /usr/bin/python3 - core "$DECOY_SEED" <<'PYTHON'
import struct, sys
core, seed = open(sys.argv[1], "rb").read(), int(sys.argv[2], 0)
word = lambda s, i: struct.pack("<Q", (s * 0x9E3779B97F4A7C15 + i * 0xD1342543DE82EF95 + 1) & (1 << 64) - 1)
sys.exit(any(word(s, i) in core for s in (seed, seed + 1) for i in range(0, 32768, 512)))
PYTHON
}

@test "another mount namespace alone, and a bind mount" {
    mkdir -m 0777 elsewhere
    start_inside unshare --mount sh -c 'mount --bind "$0" "$1" && shift && exec "$@"' "$PWD/elsewhere" "$DIR" -- \
        victim_elsewhere "$DIR" "$SEED"
    dump_inside 0 --all
    ids_are_its_own
    check truth "$(victim_out)" '*=full'
    names_are_its_own "$DIR"
    is_nowhere_a_decoy
}

# make_root: a directory with what the victim needs.
make_root() {
    local file
    mkdir -p root/bin "root$DIR"
    cp "$VICTIMS/victim_elsewhere" root/bin
    for file in $(ldd "$VICTIMS/victim_elsewhere" | grep -o '/[^ ]*'); do
        mkdir -p "root$(dirname "$file")"
        cp -L "$file" "root$file"
    done
}

@test "below another root directory" {
    make_root
    VICTIMS=/bin
    start_inside chroot "$PWD/root" -- victim_elsewhere "$DIR" "$SEED"
    dump_inside 0 --all
    ids_are_its_own
    check truth "$(victim_out)" '*=full'
    names_are_its_own "$DIR"
    "$CORECHECK" core names | grep -qx /bin/victim_elsewhere
    is_nowhere_a_decoy
    livecore --minimal "$INSIDE" -o 'out/%E'
    expect_status 0
    [ -e 'out/!bin!victim_elsewhere' ] || fail "$(ls out)"
}

@test "the same as the kernel's core" {
    [ "$(cat /proc/sys/kernel/core_pattern)" = core ] || skip "kernel.core_pattern is not 'core'"
    make_root
    mkdir -p root/proc
    VICTIMS=/bin
    start_inside unshare --pid --fork --kill-child sh -c \
        'ulimit -c unlimited; setsid chroot "$0" "$@"; exit 0' "$PWD/root" -- victim_elsewhere "$DIR" "$SEED"
    [ "$(truth ids 5)" = 1 ] # its parent, the shell
    dump_inside 0
    kill -ABRT "$INSIDE"
    wait_for 20 has_kernels_core
    ids_are_its_own
    "$CORECHECK" core names >ours
    "$CORECHECK" kernels names >theirs
    diff theirs ours
    [ "$(check prpsinfo | grep -E '^(pid|ppid|pgrp|sid) ')" = "$("$CORECHECK" kernels prpsinfo | grep -E '^(pid|ppid|pgrp|sid) ')" ]
    [ "$(check threads | sort)" = "$("$CORECHECK" kernels threads | sort)" ]
}

has_kernels_core() {
    find root -name 'core*' -type f -exec ln -f {} kernels ';'
    "$CORECHECK" kernels sane 2>/dev/null
}

@test "livecore in a PID namespace whose /proc is not its own dumps nobody" {
    local pid
    start_victim victim_busy 2
    remember "$VICTIM"
    without_leak_check
    RUN_PREFIX=(unshare --pid --fork --kill-child)
    for pid in "$VICTIM" 1 2; do
        for how in --minimal -n; do
            livecore "$how" "$pid"
            expect_status 2
            expect_stderr '^livecore: /proc is that of another PID namespace than livecore.s' '^livecore: hint: mount the right one'
        done
    done
    assert_files dir out
    assert_untouched "$VICTIM"
}

@test "livecore with the /proc of a PID namespace below its own dumps nobody" {
    [ -z "${SANITIZED:-}" ] || skip "AddressSanitizer reads its options below /proc/self, which is somebody else's here"
    start_inside unshare --pid --mount --fork --kill-child --mount-proc "${OWN[@]}" "$DIR" -- victim_elsewhere "$DIR" "$SEED"
    remember "$INSIDE"
    RUN_PREFIX=(nsenter -t "$INSIDE" --mount)
    livecore -p 1 -o "$PWD/out/core"
    expect_status 2
    expect_stderr '/proc is that of another PID namespace'
    assert_untouched "$INSIDE"
}

@test "livecore inside of the namespaces" {
    start_inside unshare --pid --mount --fork --kill-child --mount-proc "${OWN[@]}" "$DIR" -- victim_elsewhere "$DIR" "$SEED"
    RUN_PREFIX=(nsenter -t "$INSIDE" --mount --pid)
    remember "$INSIDE"
    livecore -p 1 -o "$PWD/out/core" --all --verify
    expect_status 0
    assert_untouched "$INSIDE"
    ln -s out/core core
    check sane
    ids_are_its_own
    check truth "$(victim_out)" '*=full'
    "$CORECHECK" core names | grep -qxF "$DIR/file"
}

@test "a plain user's container, from outside and from inside" {
    local inside
    "${AS_USER[@]}" unshare -Urpmf --mount-proc true 2>/dev/null || skip "plain users can make no user namespace here"
    start_inside "${AS_USER[@]}" unshare -Urpmf --kill-child --mount-proc "${OWN[@]}" "$DIR" -- victim_elsewhere "$DIR" "$SEED"
    inside=$INSIDE
    RUN_PREFIX=("${AS_USER[@]}")
    dump_inside 1 --all # the removed file, as above
    ids_are_its_own
    check truth "$(victim_out)" shared=full private=full
    [ "$(check prpsinfo | grep -E '^[ug]id ' | xargs)" = 'uid 0 gid 0' ]
    names_are_its_own "$DIR"
    is_nowhere_a_decoy
    RUN_PREFIX=("${AS_USER[@]}" nsenter -t "$inside" --user --mount --pid --preserve-credentials)
    remember "$inside"
    livecore -p 1 -o "$PWD/out/core" --force
    expect_status 1
    assert_untouched "$inside"
    ids_are_its_own
    [ "$(check prpsinfo | grep -E '^[ug]id ' | xargs)" = 'uid 0 gid 0' ]
}

@test "names of outputs have both numbers" {
    start_inside unshare --pid --mount --fork --kill-child --mount-proc "${OWN[@]}" "$DIR" -- victim_elsewhere "$DIR" "$SEED"
    livecore --minimal "$INSIDE" -o 'out/%p.%P.%i.%I'
    expect_status 0
    [ -e "out/1.$INSIDE.1.$INSIDE" ] || fail "$(ls out)"
}
