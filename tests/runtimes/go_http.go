// SPDX-License-Identifier: BSD-2-Clause

package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

var count, ticks int64

func main() {
	go func() {
		for range time.Tick(time.Second) {
			atomic.AddInt64(&ticks, 1)
		}
	}()
	http.HandleFunc("/time", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%d %d\n", time.Now().UnixNano()/1000000,
			atomic.LoadInt64(&ticks))
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %d\n", atomic.AddInt64(&count, 1))
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
