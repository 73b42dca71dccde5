# SPDX-License-Identifier: BSD-2-Clause
#
# Runs inside the emulated machine, under busybox sh, after a line
# `kind=amdv|vtx long=1` that `run` puts in front. Prints PASS, FAIL and SKIP lines
# for `run` to count.

launch=
case $kind in
vtx) diff_limit=900 hostile_limit=20 tries=10 ;;
*) diff_limit=200 hostile_limit=15 tries=100 ;;
esac
kvmserver=/t/kvmserver guest=/t/guest py=/t/guest/py
pass() { echo "PASS $kind $1"; }
fail() { echo "FAIL $kind $1: $2"; }
skip() { echo "SKIP $kind $1: $2"; }

# check NAME COMMAND...: passes if the command does
check() {
	name=$1
	shift
	if timeout 300 "$@" > /tmp/check.log 2>&1; then
		pass "$name"
	else
		fail "$name" "status $?: $(tail -n 3 /tmp/check.log | tr '\n' ' ')"
	fi
}

# The machine is what we think it is.
the_machine() {
	case $kind in
	amdv) flag=svm ;;
	vtx) flag=vmx ;;
	esac
	check "cpu-has-$flag" grep -q -w "$flag" /proc/cpuinfo
	check "dev-kvm" test -c /dev/kvm
	$guest/chttp_static 8079 &
	check "native-server" roundtrip -w 10 8079
	check "native-requests" roundtrip -n 20 8079
	check "native-echo" roundtrip -p 200000 8079
	kill $!
}

unit_tests() {
	# They need no virtual machine, and in there a minute each.
	if [ $kind = vtx ]; then
		skip unit "done on AMD-V, Bochs is too slow for them"
		return
	fi
	found=
	for t in /t/unit/test_*; do
		[ -x "$t" ] || continue
		found=1
		# A program ends with 77 when it cannot be run here.
		(cd /tmp && GUESTDIR=$guest timeout 300 "$t") > /tmp/unit.log 2>&1
		status=$?
		case $status in
		0) pass "unit/${t##*/}" ;;
		77) skip "unit/${t##*/}" "$(tail -n 1 /tmp/unit.log)" ;;
		*) fail "unit/${t##*/}" "status $status: $(grep -m 2 -E \
		    'FAILED|ERROR|assert' /tmp/unit.log | tr '\n' ' ')" ;;
		esac
	done
	[ -n "$found" ] || skip unit "no unit tests in the image"
}

guest_programs() {
	if [ ! -x $guest/guestrun ]; then
		skip guest "no guestrun in the image"
		return
	fi
	LIMIT=120 $guest/run $guest | sed -E "/ passed, .* failed, /d
	    s@^(PASS|FAIL|SKIP) @\1 $kind guest/@"
}

# Families of system calls, each in one machine where that is possible.  What
# is known is said at once: in Bochs a family can take minutes.
diff_cases() {
	if [ ! -x $guest/guestrun ]; then
		skip diff "no guestrun in the image"
		return
	fi
	want=0 got=0
	for f in /t/diff/fam_*; do
		LIMIT=$diff_limit BACKEND=$kind GUESTRUN=$guest/guestrun \
		    /t/diff/run -a -v -j 1 /t/diff "${f##*/}" > /tmp/diff.log
		sed -E "/ passed, .* failed, /d
		    s@^(PASS|FAIL|SKIP) @\1 $kind diff/@" /tmp/diff.log
		want=$((want + $("$f" list | wc -l)))
		got=$((got + $(grep -c -E '^(PASS|FAIL|SKIP) ' /tmp/diff.log)))
	done
	check "diff/all-of-$want" test $got -eq $want
}

# Attacks on the machine, one request each: ../hostile
attacks() {
	if [ ! -x /t/hostile/drive ]; then
		skip hostile "no tests/hostile in the image"
		return
	fi
	names=
	# Bochs is slow: all of them only in a long run
	[ $kind != vtx ] || [ -n "$long" ] || names="ints trap-flag wild-stack
	    addresses write-kernel recursion not-http"
	# Said at once: all of them are an hour and more in Bochs.
	# shellcheck disable=SC2086
	{
		HOSTILE_TIME=$hostile_limit timeout 9000 /t/hostile/drive \
		    /t/hostile/hostile $names 2>&1
		echo "status $?"
	} | while read -r line; do
		case $line in
		PASS*|FAIL*|SKIP*)
			echo "${line%% *} $kind hostile/${line#* }" ;;
		"status 0") pass hostile/status ;;
		status*) fail hostile/status "$line" ;;
		*" passed, "*) ;;
		*) echo "$line" ;;
		esac
	done
	canaries=20
	[ $kind != vtx ] || canaries=2
	check hostile/canary-$canaries /t/hostile/canary_drive -n $canaries \
	    /t/hostile/canary
}

# ... and on files and addresses: ../hostile/escape.py
escapes() {
	if [ ! -e /t/hostile/escape.py ]; then
		skip escape "no Python in the image"
		return
	fi
	KVMSERVER=$kvmserver GUESTDIR=$guest GUEST_PYTHON=/usr/bin/python3 \
	    TKVM_TEST_SCALE=1 ESCAPE_TRIES=$tries timeout 1800 python3 -B \
	    /t/hostile/escape.py > /tmp/escape.log 2>&1
	status=$?
	sed -n -E "s@^(PASS|FAIL|SKIP) @\1 $kind escape/@p" /tmp/escape.log
	[ $status -eq 0 ] || sed "s/^/# /" /tmp/escape.log | tail -n 20
	check escape/status test $status -eq 0
}

# serve LABEL "kvmserver's options" PROGRAM ARGS...: starts it on port 8080
serve() {
	label=$1
	options=$2
	shift 2
	# shellcheck disable=SC2086
	# A reset and its verification can take seconds on a busy host.
	$launch $kvmserver --allow-all --listen 127.0.0.1:8080 --max-boot-time 200 \
	    --max-request-time 60 --queue-time 60 --stats=/tmp/stats \
	    $options run "$@" > /tmp/server.log 2>&1 &
	server=$!
	if roundtrip -w 200 8080 > /dev/null; then
		pass "$label/start"
		return 0
	fi
	fail "$label/start" "$(tail -n 2 /tmp/server.log | tr '\n' ' ')"
	kill -9 $server 2> /dev/null
	wait $server 2> /dev/null
	return 1
}

unserve() {
	if kill -0 $server 2> /dev/null; then
		kill $server
		i=0
		while kill -0 $server 2> /dev/null && [ $i -lt 600 ]; do
			usleep 100000
			i=$((i + 1))
		done
	fi
	if wait $server; then
		pass "$label/stop"
	else
		fail "$label/stop" "status $?"
	fi
	kill -9 $server 2> /dev/null
	# What it had to say about requests that failed, if any did
	sed "s/^/$kind $label: /" /tmp/server.log | tail -n 20
}

# run_mode WANTED: is there a thread for each fork?
run_mode() {
	check "$label/is-$1" test $1 = "$(cat /proc/$server/task/*/comm |
	    grep -q tkvm-runner && echo runner || echo worker)"
}

# A server whose every request finds it as it was frozen.
ephemeral() {
	label=$1
	n=$2
	mode=$3
	shift 3
	serve "$label" "-e -w 3 --verify-reset $1" "$2" $3 8080 || return
	run_mode $mode
	check "$label/requests" roundtrip -n "$n" 8080
	check "$label/keep-alive" roundtrip -k -n "$n" 8080
	check "$label/count" roundtrip -n "$n" -c 4 8080
	check "$label/size" roundtrip -s 100000 8080
	check "$label/echo" roundtrip -n 2 -p 200000 8080
	unserve
}

# A request to a small server is answered in the blob: the one exit is its wait
# for the next connection.  Where the host is busy the watchdog makes others;
# it is not so three times.
exits() {
	for try in 1 2 3; do
		serve exits-$try "-e -w 3 -t 1" $guest/chttp_static 8080 ||
		    return
		check exits-$try/requests roundtrip -n 30 8080
		check exits-$try/keep-alive roundtrip -k -n 30 8080
		unserve
		n=$(sed -n 's/.*"kvm_exits_per_request": *\([0-9.]*\).*/\1/p' \
		    /tmp/stats)
		! awk -v n="$n" 'BEGIN { exit !(n > 0 && n <= 1.5) }' || break
	done
	check "exits/$n-per-request" awk -v n="$n" \
	    'BEGIN { exit !(n > 0 && n <= 1.5) }'
}

resident() {
	serve "$1" "-t 1 $2" $guest/chttp_static 8080 || return
	run_mode worker
	check "$1/requests" roundtrip -n 20 8080
	check "$1/count" roundtrip -n 1 -c 21 8080
	unserve
}

# Swap in compressed memory, and a group whose memory can be pushed out to it.
make_swap() {
	for m in zsmalloc lzo-rle zram; do
		insmod /modules/$m.ko
	done
	echo 512M > /sys/block/zram0/disksize &&
	    mkswap /dev/zram0 && swapon /dev/zram0 &&
	    echo +memory > /sys/fs/cgroup/cgroup.subtree_control &&
	    mkdir $group && [ -w $group/memory.reclaim ]
} > /tmp/swap.log 2>&1

# Resets put everything back also where pages of image and fork are swapped out.
swapped() {
	group=/sys/fs/cgroup/small
	if ! make_swap; then
		skip swap "$(tail -n 1 /tmp/swap.log)"
		return
	fi
	printf '#!/bin/sh\necho $$ > %s/cgroup.procs\nexec "$@"\n' $group \
	    > /tmp/launch
	chmod +x /tmp/launch
	launch=/tmp/launch
	serve swap "-e -w 3 -t 1 --verify-reset" "$@" 8080
	started=$?
	launch=
	[ $started -eq 0 ] || return
	out=0
	for i in 1 2 3 4 5; do
		check "swap/requests-$i" roundtrip -n 5 -c 4 8080
		echo 1G > $group/memory.reclaim
		[ "$(cat $group/memory.swap.current)" -eq 0 ] || out=1
	done 2> /dev/null
	check "swap/echo" roundtrip -p 200000 8080
	check "swap/was-in-use" test $out = 1
	unserve
	# What was swapped out is no other request's, either.
	/tmp/launch /t/hostile/canary_drive -n 20 /t/hostile/canary \
	    > /tmp/canary.log 2>&1 &
	canary=$!
	out=0
	while kill -0 $canary; do
		echo 1G > $group/memory.reclaim
		[ "$(cat $group/memory.swap.current)" -eq 0 ] || out=1
		usleep 200000
	done 2> /dev/null
	wait $canary
	check "swap/canary" test $? -eq 0
	check "swap/canary-was-in-use" test $out = 1
}

pythons() {
	if [ ! -x /usr/bin/python3 ]; then
		skip python "not in the image"
		return
	fi
	for p in http_server http_threading asyncio_server wsgi_server; do
		ephemeral "python-$p" 10 runner "-t 1" /usr/bin/python3 \
		    $py/$p.py
	done
}

kvmserver_tests() {
	if [ ! -x $kvmserver ]; then
		skip kvmserver "not in the image"
		return
	fi
	case $kind in
	vtx)
		ephemeral static 5 runner "-t 1" $guest/chttp_static ""
		exits
		;;
	amdv)
		resident resident "--run-mode worker"
		ephemeral static 50 worker "-t 2 --run-mode worker" \
		    $guest/chttp_static ""
		ephemeral static-runner 50 runner "-t 2 --run-mode runner" \
		    $guest/chttp_static ""
		# 6.1 waits when a vCPU changes threads: the probe notices.
		ephemeral dynamic 20 runner "-t 1" $guest/chttp_dyn ""
		exits
		if [ -x $guest/go_http ]; then
			ephemeral go 10 runner "-t 1" $guest/go_http ""
		else
			skip go "no Go compiler where the image was made"
		fi
		pythons
		swapped $guest/chttp_static
		;;
	esac
}

the_machine
unit_tests
guest_programs
diff_cases
attacks
escapes
kvmserver_tests
