// SPDX-License-Identifier: GPL-3.0-or-later
// A JVM that measures from inside for how long it was stopped; speaks as victim_bench does. Idle, or
// with the argument "busy" one that allocates, and keeps the last 256 MiB or so.
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

    static void allocate() {
        Object[] kept = new Object[256 * 1024];
        for (int i = 0;; i++) {
            kept[i % kept.length] = new long[128];
            if (i % 200 == 0)
                LockSupport.parkNanos(1_000_000);
        }
    }

    static void startDaemon(Runnable run) {
        Thread thread = new Thread(run);
        thread.setDaemon(true);
        thread.start();
    }

    public static void main(String[] args) throws Exception {
        startDaemon(Idle::watch);
        if (args.length > 0 && args[0].equals("busy"))
            startDaemon(Idle::allocate);
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
