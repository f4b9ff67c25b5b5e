# SPDX-License-Identifier: GPL-3.0-or-later
# fish completion for livecore(1).

function __livecore_filter
    # A comma-separated list: only its last name is completed, with the sign it has.
    set -l done (commandline -ct | string replace -r -- '^--filter=' '' | string match -r -- '^(?:.*,)?[+-]?')
    for name in anon-private anon-shared file-private file-shared elf-headers \
            hugetlb-private hugetlb-shared dax-private dax-shared
        echo $done$name
    end
end

complete -c livecore -f -a '(__fish_complete_pids)'
complete -c livecore -s p -l pid -x -a '(__fish_complete_pids)' -d 'Dump this process'
complete -c livecore -s a -l all -d 'Every readable mapping'
complete -c livecore -s f -l filter -x -a '(__livecore_filter)' -d 'Which kinds of mappings'
complete -c livecore -l minimal -d 'Registers and notes only, no memory'
complete -c livecore -s n -l dry-run -d 'Show what would be dumped'
complete -c livecore -l force -d 'Replace an existing file, try in spite of little space'
complete -c livecore -l fsync -d 'Wait until the core is on stable storage'
complete -c livecore -s o -l output -r -F -d 'Write to this file'
complete -c livecore -l verify -d 'Read the finished core again and check it'
complete -c livecore -l json -d 'Print one JSON object for each process'
complete -c livecore -l progress -x -a 'auto always never' -d 'Show progress'
complete -c livecore -s q -l quiet -d 'Print errors and losses only'
complete -c livecore -l timeout -x -d 'How long a thread may take to stop, in seconds'
complete -c livecore -l max-freeze -x -d 'Let the process go after so many milliseconds'
complete -c livecore -l yield -d 'Let the process go when a signal arrives for it'
complete -c livecore -l snapshot -a 'auto precopy fork copy off' -d 'Stop the process for less than its memory takes to write'
complete -c livecore -l passes -x -d 'Passes of precopy, at most'
complete -c livecore -l precopy-time -x -d 'How long precopy copies, at most, in seconds'
complete -c livecore -l buffer -x -d 'Memory that a snapshot may take, at most'
complete -c livecore -l wait -d 'Wait while another livecore dumps the process'
complete -c livecore -s v -l verbose -d 'Print more figures, and every loss'
complete -c livecore -s '?' -l help -d 'Give a help list'
complete -c livecore -l usage -d 'Give a short usage message'
complete -c livecore -s V -l version -d 'Print the version'
