// SPDX-License-Identifier: GPL-3.0-or-later
// A node that measures from inside for how long it was stopped; speaks as victim_bench does. Idle, or
// with the argument "busy" one that allocates, and keeps the last 100 MiB or so.
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

const kept = new Array(100000);
let number = 0;

function allocate() {
    for (let i = 0; i < 200; i++, number++)
        kept[number % kept.length] = { name: `object ${number}`, list: new Array(100).fill(number + 0.5) };
}

setInterval(tick, 1);
if (process.argv[2] === 'busy')
    setInterval(allocate, 1);
require('readline')
    .createInterface({ input: process.stdin })
    .on('line', answer)
    .on('close', () => process.exit(0));
process.stdout.write('ready\n');
