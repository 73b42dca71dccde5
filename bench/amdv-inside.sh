# SPDX-License-Identifier: BSD-2-Clause
#
# Runs inside the emulated machine, under busybox sh, where an instruction takes
# a nanosecond. Prints lines for `amdv`:
#	COUNT label new|kept CLIENT-AND-SERVER SERVER EXITS FAULTS
#	VM program JSON-OF-IDLE-FORKS
# $only has beginnings of the labels that are wanted, `amdv` sets it; '': all.

n=300
export LD_LIBRARY_PATH=/usr/lib
mount -t debugfs debugfs /sys/kernel/debug
mkdir -p /tmp/v /usr/lib/gcc

wanted() {
	[ -n "$only" ] || return 0
	for o in $only; do
		case $1 in
		$o*) return 0 ;;
		esac
	done
	return 1
}

cpu() { cat $(for p; do echo /proc/$p/task/*/schedstat; done) |
	awk '{ s += $1 } END { printf "%.0f", s }'; }
kvm() { cat /sys/kernel/debug/kvm/$1 2> /dev/null || echo 0; }

# One run: LABEL new|kept "PIDS" ADDRESS CONNECTIONS REQUESTS [HEADER]
one() {
	label=$1 mode=$2 pids=$3
	shift 3
	k=$(($2 * $3))
	e0=$(kvm exits) f0=$(kvm pf_taken) c0=$(cpu $pids)
	t=$(/t/load "$@") || { echo "FAIL $label $mode"; return; }
	c1=$(cpu $pids) e1=$(kvm exits) f1=$(kvm pf_taken)
	echo "$label $mode $t $c0 $c1 $e0 $e1 $f0 $f1 $k" | awk '{
		line = sprintf("%.0f %.0f %.3f %.3f", $3, ($5 - $4) / $10,
		    ($7 - $6) / $10, ($9 - $8) / $10)
		print "COUNT", $1, $2, line
	}'
}

# LABEL "PIDS" ADDRESS [HEADER]
phases() {
	label=$1 pids=$2 at=$3
	shift 3
	# pools grow, caches fill, forks learn
	/t/load $at 60 1 "$@" > /dev/null && /t/load $at 2 60 "$@" > /dev/null
	one "$label" new "$pids" $at $n 1 "$@"
	one "$label" kept "$pids" $at 2 $n "$@"
}

wait_for() {
	i=0
	while ! /t/load "$@" > /dev/null 2>&1; do
		i=$((i + 1))
		[ $i -lt 300 ] || { echo "FAIL not ready: $*"; return 1; }
		usleep 100000
	done
	# what is done in the background
	sleep 3
}

# LABEL COMMAND...: one server on unix:/tmp/s
server() {
	label=$1
	shift
	wanted $label || return
	rm -f /tmp/s
	"$@" > /tmp/server.log 2>&1 &
	p=$!
	wait_for unix:/tmp/s 1 1 && phases $label $p unix:/tmp/s
	kill $p
	wait $p 2> /dev/null
}

# LABEL-PREFIX THREADS MODES...: Varnish with so many threads
varnish() {
	prefix=$1 threads=$2 run=$3
	shift 3
	ways=
	for way; do
		! wanted $prefix-$way || ways="$ways $way"
	done
	[ -n "$ways" ] || return
	sed "s/RUN-MODE/$run/" /t/tenants.toml > /tmp/tenants.toml
	rm -f /tmp/b /tmp/v.sock
	/t/epoll unix:/tmp/b &
	native=$!
	/t/varnishd -j none -F -n /tmp/v -a /tmp/v.sock -f /t/amdv.vcl \
	    -s default,32m -s Transient=default -p vmod_path=/t \
	    -p cc_command='cp /t/vcl.so %o' -p thread_pools=1 -p vcc_allow_inline_c=on \
	    -p thread_pool_min=$threads > /tmp/varnish.log 2>&1 &
	master=$!
	wait_for unix:/tmp/v.sock 1 1 "way: synth" ||
	    { cat /tmp/varnish.log; return; }
	worker=$(cat /proc/$master/task/$master/children)
	for way in $ways; do
		pids=$worker
		[ $way != backend ] || pids="$worker $native"
		phases $prefix-$way "$pids" unix:/tmp/v.sock "way: $way"
	done
	kill $master $native
	wait $master 2> /dev/null
	rm -rf /tmp/v
	mkdir /tmp/v
}

for s in epoll chttp_static; do
	! wanted vm || echo "VM $s $(/t/idle_forks -j -f 1 -n 100 /t/$s 8080)"
	! wanted vm || echo "VM $s-warm $(/t/idle_forks -j -f 1 -n 100 \
	    -o warm-connection=true /t/$s 8080)"
done
server native /t/epoll unix:/tmp/s
for s in epoll chttp_static; do
	for m in worker runner; do
		server kvmserver-$s-$m /t/kvmserver -e -t 1 -w 20 --allow-all \
		    --run-mode=$m --listen=unix:/tmp/s run /t/$s 8080
	done
done
server kvmserver-epoll-worker-warm /t/kvmserver -e -t 1 -w 20 --allow-all \
    --warm-connection --run-mode=worker --listen=unix:/tmp/s run /t/epoll 8080
# without a reset: the program goes on with what it has
server kvmserver-epoll-resident /t/kvmserver -t 1 -w 20 --allow-all \
    --run-mode=worker --listen=unix:/tmp/s run /t/epoll 8080
varnish varnish-worker 20 worker none empty backend deliver synth \
    deliver-warm synth-warm
varnish varnish-runner 20 runner deliver synth
varnish varnish-1-thread 5 auto deliver synth
