# SPDX-License-Identifier: BSD-2-Clause
# Tcl: one thread, and events.
set count 0
set ticks 0

proc tick {} {
	incr ::ticks
	after 1000 tick
}

proc accepted {s args} {
	fconfigure $s -translation crlf -blocking 0
	set ::first($s) ""
	fileevent $s readable [list readable $s]
}

proc answer {s} {
	if {[string match "GET /time *" $::first($s)]} {
		set body "[clock milliseconds] $::ticks\n"
	} else {
		set body "hello [incr ::count]\n"
	}
	set date [clock format [clock seconds] -gmt 1 -locale C \
	    -format "%a, %d %b %Y %H:%M:%S GMT"]
	puts -nonewline $s "HTTP/1.1 200 OK\nDate: $date\n"
	puts -nonewline $s "Content-Length: [string length $body]\n\n"
	flush $s
	fconfigure $s -translation lf
	puts -nonewline $s $body
	flush $s
	fconfigure $s -translation crlf
	set ::first($s) ""
}

proc readable {s} {
	while {[gets $s line] >= 0} {
		if {$line eq ""} {
			answer $s
		} elseif {$::first($s) eq ""} {
			set ::first($s) $line
		}
	}
	if {[eof $s]} {
		close $s
		unset ::first($s)
	}
}

tick
socket -server accepted -myaddr 127.0.0.1 [lindex $argv 0]
vwait forever
