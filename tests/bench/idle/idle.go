// SPDX-License-Identifier: GPL-3.0-or-later
// An idle Go program that measures from inside for how long it was stopped; speaks as victim_bench
// does.
package main

import (
	"bufio"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

var longest, ticks int64
var reset int32

func watch() {
	for last := time.Now(); ; {
		time.Sleep(50 * time.Microsecond)
		now := time.Now()
		gap := int64(now.Sub(last))
		if atomic.SwapInt32(&reset, 0) != 0 {
			atomic.StoreInt64(&longest, 0)
		} else if gap > atomic.LoadInt64(&longest) {
			atomic.StoreInt64(&longest, gap)
		}
		last = now
		atomic.AddInt64(&ticks, 1)
	}
}

func waitTicks() {
	for start := atomic.LoadInt64(&ticks); atomic.LoadInt64(&ticks)-start < 2; {
		time.Sleep(50 * time.Microsecond)
	}
}

func main() {
	go watch()
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() == "reset" {
			atomic.StoreInt32(&reset, 1)
			waitTicks()
			fmt.Println("ok")
		} else {
			waitTicks()
			fmt.Println(atomic.LoadInt64(&longest))
		}
	}
}
