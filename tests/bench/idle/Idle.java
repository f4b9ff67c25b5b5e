// SPDX-License-Identifier: GPL-3.0-or-later
// An idle JVM that measures from inside for how long it was stopped; speaks as victim_bench does.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.concurrent.locks.LockSupport;

class Idle {
    static volatile long longest, ticks;
    static volatile boolean reset;

    static void watch() {
        long last = System.nanoTime();
        for (;;) {
            LockSupport.parkNanos(50_000);
            long now = System.nanoTime();
            if (reset) {
                longest = 0;
                reset = false;
            } else if (now - last > longest) {
                longest = now - last;
            }
            last = now;
            ticks++;
        }
    }

    static void waitTicks() {
        for (long start = ticks; ticks - start < 2; )
            LockSupport.parkNanos(50_000);
    }

    public static void main(String[] args) throws Exception {
        Thread clock = new Thread(Idle::watch);
        clock.setDaemon(true);
        clock.start();
        System.out.println("ready");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            if (line.equals("reset"))
                reset = true;
            waitTicks();
            System.out.println(line.equals("reset") ? "ok" : Long.toString(longest));
        }
    }
}
