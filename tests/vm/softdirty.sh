# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2034,SC2086,SC2094,SC2154
# For a kernel before 6.7: no PAGEMAP_SCAN, no asynchronous userfaultfd, but soft-dirty pages. What it
# asks for holds on any other.

TESTS='
plain         a mapping of each kind: pages that exist are found by pagemap(5)
registers     registers of threads that work
static        a small static program
reserved      few pages in 64 GiB of reserved memory
kernel        every note and page as in the core of this kernel, of a mapping of each kind
kernel_regs   every note and page as in the core of this kernel, of threads and their registers
changes       a plain core of memory that changes is of one instant
precopy       precopy by soft-dirty pages, of a mapping of each kind
precopy_notes threads and registers of a core by precopy
dropped       precopy: pages that were dropped between the passes are zero
anew          precopy: munmap and mmap of the same addresses
moved         precopy: mremap to addresses that were there
tables        precopy: mremap of whole page tables, whose pages stay clean
thp           precopy: transparent huge pages, written to and dropped
hugetlb       precopy: pages of hugetlbfs, whose writes are not tracked
shared        precopy: shared memory and files that others write to
precopy_one   precopy with a single pass
precopy_user  precopy by a user, who sees no page frame numbers
pipe          precopy to a pipe
auto          auto is precopy
fork          fork, of a mapping of each kind
fork_changes  fork, of memory that changes
copy          copy, of a mapping of each kind
copy_changes  copy, of memory that changes
rule          precopy: memory that obeys a rule at every instant
rule_fork     fork: memory that obeys a rule at every instant
rule_copy     copy: memory that obeys a rule at every instant
'

# What the usual filter takes and leaves.
USUAL='*=full dontdump=absent file_private_clean=left file_shared=left deleted_private=absent memfd_private=any'
# Of victim_pages: those that every strategy can be asked for.
PAGES='still written dropped anew moved thp file shared'

# usual CORE: holds what the usual filter takes. Here, because it is compared with files.
usual() {
    ! grep -q '^map huge_private' out || USUAL="$USUAL huge_shared=absent"
    set -f
    corecheck "$1" truth out $USUAL
    set +f
}

guest_plain() {
    huge_pages 4
    start victim_mem
    dump core --verify
    expect_strategy core off
    usual core
    huge_pages 0
}
host_plain() {
    check core sane
    by_gdb core victim_mem -ex 'print data_point' -ex 'print data_words[1]' >gdb
    grep -q 'x = 42, y = -43' gdb || fail "$(cat gdb)"
    eu-readelf -n core >readelf
    grep -q '  FILE$' readelf || grep -q ' FILE' readelf
}

guest_registers() {
    start victim_regs
    dump core
    # Or it would take the processors from what follows.
    stop
    corecheck core registers out
}
host_registers() {
    check core sane
    by_gdb core victim_regs -ex 'info threads' >gdb
    [ "$(grep -c '^[* ] *[0-9].*LWP' gdb)" -eq "$(check core threads | wc -l)" ] || fail "$(cat gdb)"
}

guest_static() {
    LOOSE=loose
    start victim_pages written
    dump core
    ask count
}
host_static() {
    check core sane
    check core moment out
    [ "$(check core threads | wc -l)" -eq 1 ] || fail "it has one thread"
    # Not even a linker's mappings: the program, its heap, its stack, the kernel's own.
    ! check core names | grep -v victim_pages || fail "it maps other files"
}

guest_reserved() {
    LOOSE=loose
    start victim_pages written reserved
    dump core
    ask count
}
host_reserved() {
    check core sane
    check core moment out
}

# as_kernel: both cores of the stopped victim.
as_kernel() {
    stop
    dump core
    kerneldiff snapshot "$PID" >snapshot
    abort "$PID" >abort.log 2>&1 || fail "$(cat abort.log)"
    [ -e kernel ] || fail "the kernel wrote no core" "$(ls)"
    kerneldiff compare core kernel snapshot 0x33
    corecheck kernel notes >kernels
    # It has holes, which the archive would write out.
    rm kernel
}

guest_kernel() {
    start victim_mem
    as_kernel
}
host_kernel() {
    check core sane
    # A later kernel writes this one as well.
    check core notes | grep -v NT_X86_XSAVE_LAYOUT >ours
    grep -v NT_X86_XSAVE_LAYOUT kernels | diff ours -
}

guest_kernel_regs() {
    start victim_regs
    as_kernel
}
host_kernel_regs() {
    host_kernel
    [ "$(check core threads | wc -l)" -gt 1 ] || fail "it has more threads"
}

# ---- memory that changes ------------------------------------------------------------------------

CORES=1

# changing STRATEGY TRACKER KINDS [OPTION...]: cores, and the victim goes on and finds its memory as it
# left it.
changing() {
    LOOSE=loose
    strategy=$1 tracker=$2 kinds=$3
    shift 3
    start victim_pages $kinds
    before_count=$(ask count)
    for i in $(seq "$CORES"); do
        if [ "$strategy" = off ]; then
            dump "core$i" "$@"
        else
            dump "core$i" "--snapshot=$strategy" "$@"
        fi
        expect_strategy "core$i" "$strategy" $tracker
    done
    after_count=$(ask count)
    [ "${after_count#* }" -gt "${before_count#* }" ] || fail "it does not go on"
}

# Each core agrees with the table that is in it.
changed() {
    for core in core?; do
        check "$core" sane
        check "$core" moment out || fail "$core is not of one instant"
    done
}

guest_changes() { changing off '' "$PAGES tables thp_dropped"; }
host_changes() { changed; }

# precopying KINDS [OPTION...]
precopying() {
    need_snapshots
    kinds=$1
    shift
    changing precopy "$(tracker)" "still $kinds" "$@"
}

guest_precopy() {
    need_snapshots
    huge_pages 4
    start victim_mem
    dump core --snapshot=precopy --verify
    expect_strategy core precopy "$(tracker)"
    usual core
    huge_pages 0
}
host_precopy() { host_plain; }

guest_precopy_notes() {
    need_snapshots
    start victim_regs
    dump core --snapshot=precopy
    expect_strategy core precopy "$(tracker)"
    # After the first stop the kernel goes on with these by restart_syscall(2).
    stop
    sed 's/^\(sleep .* in-\(nanosleep\|poll\)\) .*/\1 219/' out >restarted
    corecheck core registers restarted
}
host_precopy_notes() { host_registers; }

guest_dropped() { precopying dropped; }
host_dropped() { changed; }

guest_anew() { precopying anew; }
host_anew() { changed; }

guest_moved() { precopying moved; }
host_moved() { changed; }

guest_tables() {
    CORES=3
    precopying tables
}
host_tables() { changed; }

guest_thp() { precopying 'thp thp_dropped'; }
host_thp() { changed; }

guest_hugetlb() {
    huge_pages 2
    precopying 'written hugetlb' --filter=+hugetlb-private
    grep '^skip' out && skip "no huge pages are to be had"
    huge_pages 0
}
host_hugetlb() { changed; }

guest_shared() { precopying 'file shared'; }
host_shared() { changed; }

guest_precopy_one() { precopying "$PAGES" --passes=1; }
host_precopy_one() { changed; }

# Either it says that it cannot, or it is right.
guest_precopy_user() {
    need_snapshots
    LOOSE=loose
    start /compare/setpriv --reuid 12345 --regid 12345 --clear-groups victim_pages $PAGES tables
    AS_USER='/compare/setpriv --reuid 12345 --regid 12345 --clear-groups'
    for i in 1 2; do
        dump_or_fail "core$i" --snapshot=precopy
        case $dump_status in
        0) expect_strategy "core$i" precopy ;;
        2) cat "core$i.json" "core$i.err" | grep -q CAP_SYS_ADMIN || fail "no reason" "$(cat "core$i.json" "core$i.err")" ;;
        *) fail "status $dump_status" "$(cat "core$i.err")" ;;
        esac
    done
    ask count
}
host_precopy_user() {
    [ ! -e core1 ] || changed
}

guest_pipe() {
    need_snapshots
    LOOSE=loose
    start victim_pages $PAGES
    procstate "$PID" loose >before
    timeout -s KILL 60 livecore -p "$PID" -o - --snapshot=precopy 2>core1.err | cat >core1
    [ -s core1 ] || fail "no core" "$(cat core1.err)"
    wait_for 5 is_untouched || fail "the process is not as it was" "$(diff before after)"
    ask count
}
host_pipe() {
    check core1 sane
    check core1 moment out
}

guest_auto() {
    need_snapshots
    start victim_mem
    dump core --snapshot
    expect_strategy core precopy "$(tracker)"
    usual core
}
host_auto() { check core sane; }

# one_of_each STRATEGY
one_of_each() {
    need_snapshots
    start victim_mem
    dump core "--snapshot=$1"
    expect_strategy core "$1"
    usual core
}

guest_fork() { one_of_each fork; }
host_fork() { check core sane; }

guest_fork_changes() {
    need_snapshots
    changing fork '' "$PAGES tables"
}
host_fork_changes() { changed; }

guest_copy() { one_of_each copy; }
host_copy() { check core sane; }

guest_copy_changes() {
    need_snapshots
    changing copy '' "$PAGES tables"
}
host_copy_changes() { changed; }

# ---- the rule of every instant ------------------------------------------------------------------

# ruled STRATEGY [TRACKER]: two cores of memory that several threads change in every way.
ruled() {
    need_snapshots
    LOOSE=loose
    [ -x /victims/victim_rule ] || skip "there is no victim_rule"
    start victim_rule size=16 threads=3 rate=20
    for i in 1 2; do
        dump "core$i" "--snapshot=$1"
        expect_strategy "core$i" "$@"
    done
    ask verify
}

obeyed() {
    for i in 1 2; do
        check "core$i" sane
        rulecheck "core$i" brief
    done
}

guest_rule() { ruled precopy "$(tracker)"; }
host_rule() { obeyed; }

guest_rule_fork() { ruled fork; }
host_rule_fork() { obeyed; }

guest_rule_copy() { ruled copy; }
host_rule_copy() { obeyed; }
