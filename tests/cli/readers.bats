# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2016,SC2034
# What readers show of a core: gdb, elfutils, lldb, readelf. Values are held against the victims' truth.

load helpers

# gdb_says PROGRAM COMMAND...: what gdb prints of ./core for the commands. Its warnings are in
# ./gdb.err.
gdb_says() {
    local program=$1 args=() command
    shift
    for command; do
        args+=(-ex "$command")
    done
    gdb -nx -batch -iex 'set debuginfod enabled off' -iex 'set width 0' -iex 'set height 0' \
        -iex 'set print thread-events off' "$program" core -ex 'echo ----\n' "${args[@]}" 2>gdb.err |
        sed '1,/^----$/d'
}

# word SEED INDEX: of the pattern in victim.h.
word() {
    printf '%#x' $(($1 * 0x9e3779b97f4a7c15 + $2 * 0xd1342543de82ef95 + 1))
}

# address_of NAME [N]: of the victim's Nth "fill" or "zero" line for NAME.
address_of() {
    awk -v name="$1" -v n="${2:-1}" '($1 == "fill" || $1 == "zero") && $2 == name && !--n { print $3 }' "$(victim_out)"
}

# tids: of the victim, sorted.
tids() {
    find "/proc/$VICTIM/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n
}

expect_equal() {
    [ "$2" = "$3" ] || fail "$1 is '$2', not '$3'" "$(cat gdb.err 2>/dev/null)"
}

# expect_word NAME ADDR VALUE: gdb reads a word of 8 bytes.
expect_word() {
    expect_equal "$1 in gdb" "$(gdb_says "$VICTIMS/victim_mem" "output/x *(unsigned long *)$2")" "$3"
}

expect_inaccessible() {
    local said
    said=$(gdb_says "$VICTIMS/victim_mem" "output/x *(unsigned long *)$2")
    [ -z "$said" ] || fail "gdb reads $1 at $2 as $said"
    grep -qF "Cannot access memory at address $2" gdb.err || fail "$1: " "$(cat gdb.err)"
}

# ---- gdb ----------------------------------------------------------------------------------------

@test "gdb: every thread under its TID, the leader first, each in its function" {
    need_tool gdb
    start_victim victim_regs 4
    dump "$VICTIM"
    gdb_says "$VICTIMS/victim_regs" 'info threads' >threads
    expect_equal "number of threads" "$(grep -c 'LWP' threads)" "$(tids | wc -l)"
    grep -qE "^\* 1 .*\(LWP $VICTIM\).* .*read" threads || fail "the leader is not the current thread" "$(cat threads)"
    grep -E '^(spin|sleep) ' "$(victim_out)" | while read -r kind tid _ name _; do
        case $kind in
        spin) function=spin ;;
        sleep) function='(call|sleep_start)' ;;
        esac
        grep -qE "\(LWP $tid\)\)? .*\b$function \(" threads || fail "thread $tid ($name) is not in $function" "$(cat threads)"
    done
}

@test "gdb: the backtrace of every thread" {
    need_tool gdb
    start_victim victim_regs 4
    dump "$VICTIM"
    gdb_says "$VICTIMS/victim_regs" 'thread apply all -q bt' >traces
    [ "$(grep -cE '^#[0-9]+ .*\bspin_start \(' traces)" -eq 4 ] || fail "$(cat traces)"
    [ "$(grep -cE '^#[0-9]+ .*\bsleep_start \(' traces)" -eq "$(grep -c '^sleep ' "$(victim_out)")" ] || fail "$(cat traces)"
    [ "$(grep -cE '^#[0-9]+ .*\bstart_thread ' traces)" -eq "$(grep -cE '^(spin|sleep) ' "$(victim_out)")" ] || fail "$(cat traces)"
    grep -qE '^#[0-9]+ .*\bmain \(' traces || fail "$(cat traces)"
    ! grep -E 'corrupt|Cannot access|previous frame' traces || fail "$(cat traces)"
}

@test "gdb: the same backtraces as of the living process" {
    need_tool gdb
    start_victim victim_regs 2
    stop_process "$VICTIM"
    dump "$VICTIM"
    gdb_says "$VICTIMS/victim_regs" 'thread apply all -q bt' | grep '^#' >of-core
    gdb -nx -batch -iex 'set debuginfod enabled off' -iex 'set width 0' -iex 'set height 0' \
        -p "$VICTIM" -ex 'echo ----\n' -ex 'thread apply all -q bt' 2>/dev/null | sed '1,/^----$/d' | grep '^#' >of-process
    [ "$(wc -l <of-core)" -gt 20 ]
    # In the order of the threads, which differs.
    diff <(sort of-process) <(sort of-core)
}

@test "gdb: variables: constant, initialised, .bss, heap, stack, thread-local" {
    need_tool gdb
    start_victim victim_mem
    dump "$VICTIM"
    gdb_says "$VICTIMS/victim_mem" 'output data_point' 'echo \n' 'output const_point' 'echo \n' 'output data_text' \
        'echo \n' 'output/x data_words[511]' 'echo \n' 'output/x bss_words[3]' 'echo \n' 'output/x tls_words[63]' \
        'echo \n' 'output tls_number' 'echo \n' >said
    expect_equal data_point "$(sed -n 1p said)" '{x = 42, y = -43}'
    expect_equal const_point "$(sed -n 2p said)" '{x = 1234, y = -5678}'
    [[ $(sed -n 3p said) == *'"text of the victim"' ]] || fail "data_text: $(cat said)"
    expect_equal 'data_words[511]' "$(sed -n 4p said)" "$(word 0x51 511)"
    expect_equal 'bss_words[3]' "$(sed -n 5p said)" "$(word 0x52 3)"
    expect_equal 'tls_words[63]' "$(sed -n 6p said)" "$(word 0x53 63)"
    expect_equal tls_number "$(sed -n 7p said)" 7
    expect_equal stack_words "$(gdb_says "$VICTIMS/victim_mem" 'frame apply all -q -s output/x stack_words[63]')" "$(word 0x54 63)"
    expect_word heap "$(address_of heap)" "$(word 0x50 0)"
    expect_word stack "$(address_of stack)" "$(word 0x54 0)"
}

@test "gdb: memory of each kind" {
    need_tool gdb
    start_victim victim_mem
    dump "$VICTIM"
    expect_word anon_dirty "$(address_of anon_dirty)" "$(word 0x10 0)"
    expect_word none_touched "$(address_of none_touched)" "$(word 0x20 0)"
    expect_word write_only "$(address_of write_only)" "$(word 0x21 0)"
    expect_word anon_shared "$(address_of anon_shared)" "$(word 0x17 0)"
    expect_word sysv_shm "$(address_of sysv_shm)" "$(word 0x40 0)"
    expect_word memfd_shared "$(address_of memfd_shared)" "$(word 0x36 0)"
    expect_word "third part of sparse" "$(address_of sparse 3)" "$(word 0x16 0)"
    # Left to its file, and read from there.
    expect_word file_private_clean "$(address_of file_private_clean)" "$(word 0x30 0)"
    expect_word "file_private_modified, clean page" "$(address_of file_private_modified 1)" "$(word 0x31 0)"
    expect_word "file_private_modified, modified page" "$(address_of file_private_modified 2)" "$(word 0x32 0)"
}

@test "gdb: memory that was never touched is zero" {
    need_tool gdb
    start_victim victim_mem
    dump "$VICTIM"
    expect_word anon_untouched "$(address_of anon_untouched)" 0x0
    expect_word anon_read "$(address_of anon_read)" 0x0
    expect_word none_untouched "$(address_of none_untouched)" 0x0
    expect_word "the first gap of sparse" "$(address_of sparse 4)" 0x0
    expect_word "the second gap of sparse" "$(address_of sparse 5)" 0x0
    expect_word "the start of anon_partial" "$(address_of anon_partial 3)" 0x0
}

@test "gdb: MADV_DONTDUMP cannot be accessed, unless --all took it" {
    need_tool gdb
    start_victim victim_mem
    dump "$VICTIM"
    expect_inaccessible dontdump "$(address_of dontdump)"
    dump "$VICTIM" --all
    expect_word dontdump "$(address_of dontdump)" "$(word 0x18 0)"
}

@test "gdb: memory that the filter leaves out cannot be accessed" {
    need_tool gdb
    start_victim victim_mem
    dump "$VICTIM" --filter=elf-headers
    check truth "$(victim_out)" anon_dirty=absent heap=absent bss=absent tls=absent stack=absent \
        memfd_shared=absent anon_shared=absent sysv_shm=absent deleted_shared=absent deleted_private=absent
    local name
    for name in anon_dirty heap stack sparse anon_shared sysv_shm memfd_shared deleted_shared deleted_private \
        anon_untouched; do
        expect_inaccessible "$name" "$(address_of "$name")"
    done
    # Its first page is taken, as by the kernel: a memfd has execute bits.
    expect_word memfd_private "$(address_of memfd_private)" "$(word 0x36 0)"
    expect_inaccessible memfd_private "$(printf '%#x' $(($(address_of memfd_private) + 4096)))"
    # With its header and its file, the program's code is there.
    expect_equal const_point "$(gdb_says "$VICTIMS/victim_mem" 'output const_point')" '{x = 1234, y = -5678}'
    dump "$VICTIM" --filter=anon-private
    expect_word anon_dirty "$(address_of anon_dirty)" "$(word 0x10 0)"
    for name in anon_shared sysv_shm memfd_shared deleted_shared; do
        expect_inaccessible "$name" "$(address_of "$name")"
    done
}

@test "what was modified and left out is not covered, so that no reader takes the file for it" {
    start_victim victim_mem
    dump "$VICTIM" --filter=0x0
    check truth "$(victim_out)" data=absent bss=absent
    [ "$(check where "$(address_of file_private_modified 2)" 4096 | cut -d ' ' -f 1)" = none ]
    dump "$VICTIM" --filter=elf-headers
    check truth "$(victim_out)" data=absent bss=absent
    [ "$(check where "$(address_of file_private_modified 2)" 4096 | cut -d ' ' -f 1)" = none ]
    dump "$VICTIM" --filter=anon-shared,file-shared
    check truth "$(victim_out)" data=absent bss=absent
}

@test "gdb: what was modified and left out never has the file's value" {
    need_tool gdb
    start_victim victim_mem
    local filter said
    for filter in 0x0 elf-headers; do
        dump "$VICTIM" --filter="$filter"
        said=$(gdb_says "$VICTIMS/victim_mem" "output/x *(unsigned long *)$(address_of file_private_modified 2)")
        [ -z "$said" ] || fail "a modified page of a file reads as $said with --filter=$filter"
    done
}

@test "gdb: a program whose file is gone" {
    need_tool gdb
    mkdir dir
    cp "$VICTIMS/victim_mem" dir/victim_mem
    VICTIMS=$PWD/dir start_victim victim_mem
    mv dir/victim_mem dir/gone
    cp dir/gone other
    rm dir/gone
    dump "$VICTIM"
    # Nothing covers what was left to a file that nobody finds.
    local const
    const=$(truth const_point)
    run check where "$const" 8
    [[ $output == none* || $output == file* ]] || fail "$output"
    expect_equal const_point "$(gdb_says other 'output const_point')" '{x = 1234, y = -5678}'
    gdb_says other bt >trace
    grep -qE '^#[0-9]+ .*\bmain \(' trace || fail "$(cat trace)"
    expect_equal 'bss_words[3]' "$(gdb_says other 'output/x bss_words[3]')" "$(word 0x52 3)"
}

# ---- registers ----------------------------------------------------------------------------------

@test "gdb: general and SSE registers of each spinning thread" {
    need_tool gdb
    start_victim victim_regs 3
    dump "$VICTIM"
    check registers "$(victim_out)"
    local names=(rax rbx rcx rdx rsi rdi r8 r9 r10 r11 r12 r13 r14 r15) tid seed i
    while read -r _ tid seed _; do
        local commands=("python [t.switch() for t in gdb.selected_inferior().threads() if t.ptid[1] == $tid]")
        for i in "${!names[@]}"; do
            commands+=("output/x \$${names[i]}" 'echo \n')
        done
        for i in 0 7 15; do
            commands+=("output/x \$xmm$i.v2_int64" 'echo \n')
        done
        commands+=('output/x $mxcsr' 'echo \n' 'output/x $fctrl' 'echo \n')
        gdb_says "$VICTIMS/victim_regs" "${commands[@]}" >said
        for i in "${!names[@]}"; do
            expect_equal "${names[i]} of $tid" "$(sed -n "$((i + 1))p" said)" "$(word "$seed" "$i")"
        done
        local line=15
        for i in 0 7 15; do
            expect_equal "xmm$i of $tid" "$(sed -n "${line}p" said)" \
                "{$(word $((seed + 1)) $((8 * i))), $(word $((seed + 1)) $((8 * i + 1)))}"
            line=$((line + 1))
        done
        expect_equal "mxcsr of $tid" "$(sed -n 18p said)" 0x3f80
        expect_equal "fctrl of $tid" "$(sed -n 19p said)" 0x27f
    done < <(grep '^spin ' "$(victim_out)")
}

@test "gdb: AVX registers, or the same complaint as of the kernel's core" {
    need_tool gdb
    start_victim victim_regs 1
    [ "$(truth cpu)" != sse ] || skip "this processor has no AVX"
    local tid seed i
    read -r _ tid seed _ < <(grep '^spin ' "$(victim_out)")
    dump "$VICTIM"
    gdb_says "$VICTIMS/victim_regs" \
        "python [t.switch() for t in gdb.selected_inferior().threads() if t.ptid[1] == $tid]" \
        'output/x $ymm5.v4_int64' >said
    if grep -q 'reg-xstate.* too small' gdb.err; then
        mv core ours
        kernel_core
        gdb_says "$VICTIMS/victim_regs" 'info threads' >/dev/null
        grep -q 'reg-xstate.* too small' gdb.err || fail "gdb takes the kernel's NT_X86_XSTATE, and not livecore's"
        mv ours core
        # The bytes are right.
        check registers "$(victim_out)"
        return 0
    fi
    local want=()
    for i in 0 1 2 3; do
        want+=("$(word $((seed + 1)) $((40 + i)))")
    done
    expect_equal "ymm5 of $tid" "$(cat said)" "{${want[0]}, ${want[1]}, ${want[2]}, ${want[3]}}"
}

# kernel_core: ./core of the victim by the kernel, which ends the victim.
kernel_core() {
    need_kernel_core
    prlimit --pid "$VICTIM" --core=unlimited
    kill -ABRT "$VICTIM"
    kill -CONT "$VICTIM" 2>/dev/null || true
    wait "$VICTIM" || true
    cp "${VICTIM_DIR[$VICTIM]}"/core* core
}

need_kernel_core() {
    need_tool prlimit
    [ "$(cat /proc/sys/kernel/core_pattern)" = core ] || skip "the kernel writes no core here (core_pattern)"
}

@test "NT_X86_XSTATE: every AVX half where NT_X86_XSAVE_LAYOUT says" {
    start_victim victim_regs 3
    [ "$(truth cpu)" != sse ] || skip "this processor has no AVX"
    dump "$VICTIM"
    check notes process | grep -q XSAVE_LAYOUT || skip "this kernel has no NT_X86_XSAVE_LAYOUT"
    # By itself: no code of corecheck or livecore.
    python3 - core "$(victim_out)" <<'PYTHON'
import struct, sys
data = open(sys.argv[1], "rb").read()
phoff, = struct.unpack_from("<Q", data, 32)
kind, _, off, _, _, size = struct.unpack_from("<IIQQQQ", data, phoff)
assert kind == 4
pos, end, tid, notes, layout = off, off + size, None, {}, None
while pos < end:
    namesz, descsz, kind = struct.unpack_from("<III", data, pos)
    pos += 12 + (namesz + 3 & ~3)
    desc = data[pos:pos + descsz]
    pos += descsz + 3 & ~3
    if kind == 1:
        tid, = struct.unpack_from("<i", desc, 32)
    elif kind == 0x202:
        notes[tid] = desc
    elif kind == 0x205:
        layout = {k: (o, s) for k, s, o, _ in struct.iter_unpack("<IIII", desc)}
assert layout and 2 in layout, layout
word = lambda seed, i: (seed * 0x9E3779B97F4A7C15 + i * 0xD1342543DE82EF95 + 1) % 2**64
checked = 0
for line in open(sys.argv[2]):
    fields = line.split()
    if fields[0] == "cpu":
        level = fields[1]
    if fields[0] != "spin":
        continue
    note, seed = notes[int(fields[1])], int(fields[2], 16) + 1
    xstate_bv, = struct.unpack_from("<Q", note, 512)
    assert xstate_bv & 4, hex(xstate_bv)
    assert max(o + s for o, s in layout.values()) == len(note), (layout, len(note))
    for i in range(16):
        got = struct.unpack_from("<2Q", note, layout[2][0] + 16 * i)
        assert got == (word(seed, 8 * i + 2), word(seed, 8 * i + 3)), ("ymm", i)
    if level == "avx512":
        for i in range(16):
            got = struct.unpack_from("<4Q", note, layout[6][0] + 32 * i)
            assert got == tuple(word(seed, 8 * i + j) for j in range(4, 8)), ("zmm", i)
            got = struct.unpack_from("<8Q", note, layout[7][0] + 64 * i)
            assert got == tuple(word(seed, 8 * (16 + i) + j) for j in range(8)), ("zmm", 16 + i)
    checked += 1
assert checked == 3, checked
PYTHON
}

# ---- elfutils -----------------------------------------------------------------------------------

@test "eu-readelf: headers, segments and notes without a complaint" {
    need_tool eu-readelf
    start_victim victim_regs 3
    dump "$VICTIM"
    eu-readelf -hln core >said 2>complaints || fail "status $?" "$(cat complaints)"
    [ ! -s complaints ] || fail "$(cat complaints)"
    grep -qE 'Type: +CORE' said
    grep -qE 'Machine: +AMD x86-64|Machine: +Advanced Micro Devices X86-64' said || fail "$(grep Machine said)"
    expect_equal "number of PRSTATUS" "$(grep -cE '^ +CORE +336 +PRSTATUS' said)" "$(tids | wc -l)"
    [ "$(grep -cE '^ +CORE +[0-9]+ +(PRPSINFO|AUXV|FILE)' said)" -eq 3 ]
    grep -qE "pid: $VICTIM,"  said || fail "no pid: $VICTIM"
    grep -qF "$VICTIMS/victim_regs" said || fail "NT_FILE lacks the program"
    run ! grep -qF '???' said
}

expect_same_stacks() {
    stop_process "$VICTIM"
    dump "$VICTIM"
    eu-stack -p "$VICTIM" >of-process 2>process.err || true
    eu-stack --core core >of-core 2>core.err || true
    [ "$(head -1 of-core)" = "PID $VICTIM - core" ] || fail "$(head -1 of-core)" "$(cat core.err)"
    expect_equal "threads in eu-stack" "$(grep -c '^TID ' of-core)" "$(tids | wc -l)"
    grep -q '^#.* main$' of-core || fail "$(cat of-core core.err)"
    diff <(tail -n +2 of-process) <(tail -n +2 of-core)
    diff process.err core.err
}

@test "eu-stack --core is eu-stack -p: spinning and sleeping threads" {
    need_tool eu-stack
    start_victim victim_regs 4
    expect_same_stacks
}

@test "eu-stack --core is eu-stack -p: one thread" {
    need_tool eu-stack
    start_victim victim_mem
    expect_same_stacks
}

@test "eu-stack --core is eu-stack -p: fifty threads" {
    need_tool eu-stack
    start_victim victim_many_threads 50
    expect_same_stacks
}

@test "eu-stack --core is eu-stack -p: every system call that sleeps" {
    need_tool eu-stack
    start_victim victim_syscalls
    expect_same_stacks
}

# ---- lldb ---------------------------------------------------------------------------------------

# lldb_says PROGRAM COMMAND...: the Python tracebacks of some installations are no news.
lldb_says() {
    local program=$1 args=() command
    shift
    for command; do
        args+=(-o "$command")
    done
    lldb -b -o "target create --core core $program" "${args[@]}" 2>lldb.err || true # of its last command
}

@test "lldb: every thread under its TID, and a backtrace of each" {
    need_tool lldb
    start_victim victim_regs 3
    dump "$VICTIM"
    lldb_says "$VICTIMS/victim_regs" 'thread list' >threads
    grep -q 'was loaded' threads || fail "$(cat threads lldb.err)"
    local tids
    tids=$(grep -oE 'tid = [0-9]+' threads | cut -d ' ' -f 3 | sort -n)
    expect_equal "threads in lldb" "$tids" "$(tids)"
    grep -qE "^\* thread #1: tid = $VICTIM,.*name = 'victim_regs'" threads || fail "$(cat threads)"
    lldb_says "$VICTIMS/victim_regs" 'thread backtrace all' >traces
    [ "$(grep -c 'frame #.*`spin_start' traces)" -ge 3 ] || fail "$(cat traces)"
    grep -q 'frame #.*`main' traces || fail "$(cat traces)"
    [ "$(grep -c 'frame #.*`start_thread' traces)" -eq "$(grep -cE '^(spin|sleep) ' "$(victim_out)")" ] || fail "$(cat traces)"
}

@test "lldb: memory and variables" {
    need_tool lldb
    start_victim victim_mem
    dump "$VICTIM"
    local name seed
    for name in anon_dirty:0x10 heap:0x50 data:0x51 bss:0x52 tls:0x53 stack:0x54 sparse:0x14; do
        seed=${name#*:}
        name=${name%:*}
        lldb_says "$VICTIMS/victim_mem" "memory read -f x -s 8 -c 1 $(address_of "$name")" >said
        grep -qiE ": 0x0*$(printf '%s' "$(word "$seed" 0)" | sed 's/^0x//')\$" said || fail "$name: $(tail -1 said), not $(word "$seed" 0)" "$(cat lldb.err)"
    done
    lldb_says "$VICTIMS/victim_mem" 'target variable data_point' >said
    grep -q 'x = 42, y = -43' said || fail "$(cat said)"
    lldb_says "$VICTIMS/victim_mem" "memory read -f x -s 8 -c 1 $(address_of anon_partial 3)" >said
    grep -qE ': 0x0+$' said || fail "untouched pages: $(cat said lldb.err)"
    # What is behind the contents of a segment is zero or an error, depending on the version.
    local addr
    for addr in "$(address_of anon_partial 4)" "$(address_of anon_untouched)"; do
        lldb_says "$VICTIMS/victim_mem" "memory read -f x -s 8 -c 1 $addr" >said
        run ! grep -E ': 0x0*[1-9a-fA-F]' said
    done
    lldb_says "$VICTIMS/victim_mem" "memory read -f x -s 8 -c 1 $(address_of dontdump)" >said
    run ! grep -E ': 0x[0-9a-fA-F]+$' said
}

@test "lldb: registers of a spinning thread" {
    need_tool lldb
    start_victim victim_regs 1
    dump "$VICTIM"
    local tid seed index
    read -r _ tid seed _ < <(grep '^spin ' "$(victim_out)")
    index=$(lldb_says "$VICTIMS/victim_regs" 'thread list' | sed -nE "s/^[* ]+thread #([0-9]+): tid = $tid,.*/\1/p")
    lldb_says "$VICTIMS/victim_regs" "thread select $index" 'register read rax r15 rdi' >said
    grep -qiE "rax = 0x0*$(word "$seed" 0 | sed 's/^0x//')" said || fail "$(cat said)"
    grep -qiE "r15 = 0x0*$(word "$seed" 13 | sed 's/^0x//')" said || fail "$(cat said)"
    grep -qiE "rdi = 0x0*$(word "$seed" 5 | sed 's/^0x//')" said || fail "$(cat said)"
}

# ---- binutils -----------------------------------------------------------------------------------

@test "readelf: without a warning" {
    need_tool readelf
    start_victim victim_regs 3
    dump "$VICTIM"
    readelf -h -l -W core >said 2>complaints
    [ ! -s complaints ] || fail "$(cat complaints)"
    grep -qE 'Type: +CORE' said
    expect_equal "number of LOAD" "$(grep -cE '^ +LOAD ' said)" "$(check segments | wc -l)"
    readelf -n -W core >notes 2>complaints
    # Binutils do not know every note type; those they know must be well-formed.
    ! grep -iE 'corrupt|malformed|unexpected|truncated' complaints notes || fail "$(cat complaints)"
    expect_equal "number of NT_PRSTATUS" "$(grep -c NT_PRSTATUS notes)" "$(tids | wc -l)"
}

@test "file(1) knows it for a core, and of which program" {
    need_tool file
    start_victim victim_busy 1
    dump "$VICTIM"
    run file core
    [[ $output == *"ELF 64-bit LSB core file"*"from '$VICTIMS/victim_busy 1'"* ]] || fail "$output"
}
