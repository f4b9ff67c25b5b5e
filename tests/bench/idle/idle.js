// SPDX-License-Identifier: GPL-3.0-or-later
// An idle node that measures from inside for how long it was stopped; speaks as victim_bench does.
// Its timers tick once a millisecond: a shorter freeze reads as about one.
'use strict';

const now = process.hrtime.bigint;
let last = now();
let longest = 0n;
let waiting = [];

function tick() {
    const time = now();
    if (time - last > longest)
        longest = time - last;
    last = time;
    waiting = waiting.filter((entry) => --entry.ticks > 0 || entry.run());
}

function answer(line) {
    if (line === 'reset') {
        longest = 0n;
        last = now();
    }
    const text = () => (line === 'reset' ? 'ok' : String(longest));
    waiting.push({ ticks: 2, run: () => { process.stdout.write(text() + '\n'); return false; } });
}

setInterval(tick, 1);
require('readline')
    .createInterface({ input: process.stdin })
    .on('line', answer)
    .on('close', () => process.exit(0));
process.stdout.write('ready\n');
