# SPDX-License-Identifier: BSD-2-Clause
#
# The list of system calls, docs/syscalls.md, from src/linux/table.c:
#
#	awk -f docs/syscalls.awk docs/syscalls.notes src/linux/sys_proc.h \
#	    src/linux/table.c > docs/syscalls.md
#
# syscalls.notes says what is missing or why a call is refused; without a line
# there a call that has a handler is supported in full.  `make syscalls-doc`
# runs this, a test of `make check` that it was run.

FILENAME ~ /notes$/ {
	if (/^#/ || /^$/)
		next
	status[$1] = $2
	text = $0
	sub(/^[^ ]+ [^ ]+ */, "", text)
	note[$1] = text
	next
}

# X(name, -ERROR): one answer for everybody
FILENAME ~ /sys_proc\.h$/ {
	if (match($0, /X\([a-z0-9_]+, -E[A-Z]+\)/)) {
		text = substr($0, RSTART + 2, RLENGTH - 3)
		split(text, part, /, -/)
		fixed["sys_" part[1]] = part[2]
	}
	next
}

/^\t\[[0-9]+\] = \{/ { row = ""; on = 1 }
on { row = row " " $0 }
on && /\},$/ {
	on = 0
	n = row
	sub(/^[ \t]*\[/, "", n)
	sub(/\].*/, "", n)
	split(row, part, "\"")
	name = part[2]
	fn = part[3]
	sub(/^, /, "", fn)
	sub(/,.*/, "", fn)
	known[name] = 1
	if (name in status) {
		s = status[name]
		t = note[name]
	} else if (fn in fixed) {
		s = "refused"
		t = fixed[fn]
	} else if (fn == "NULL" && row !~ /\},[ \t]*GK/) {
		s = "refused"
		t = "ENOSYS, named once in the log"
	} else {
		s = "full"
		t = ""
	}
	count[s]++
	line[++lines] = sprintf("| %d | %s | %s | %s |", n, name, s, t)
}

END {
	for (name in status)
		if (!(name in known)) {
			print "syscalls.notes: no call " name > "/dev/stderr"
			bad = 1
		}
	if (bad)
		exit 1
	print "# System calls"
	print ""
	print "Every system call of x86-64 Linux, and what a guest gets. Made" \
	    " from the table in"
	print "`src/linux/table.c` by `make syscalls-doc`: do not edit."
	print ""
	printf "%d are supported in full, %d partly, %d are refused.\n",
	    count["full"], count["partly"], count["refused"]
	print ""
	print "- **full**: as the manual page has it, as far as one process" \
	    " without privileges can see"
	print "- **partly**: what is missing is said"
	print "- **refused**: always fails; with which error, or why"
	print ""
	print "A guest is one process with any number of threads on one CPU; it" \
	    " has no privileges"
	print "(calls that need one answer EPERM), and of the host it sees what" \
	    " its options allow."
	print ""
	print "| No. | Call | Status | Notes |"
	print "|---|---|---|---|"
	for (i = 1; i <= lines; i++)
		print line[i]
}
