# SPDX-License-Identifier: BSD-2-Clause
# For build-root, run-amdv, run-vtx and run: read by `.`, not executed.

# The newest cloud kernel that has both modules; KVER says otherwise.
kernel_version() {
	for v in $(ls /lib/modules 2>/dev/null | grep cloud-amd64 | sort -rV)
	do
		if [ -r "/boot/vmlinuz-$v" ] &&
		    ls "/lib/modules/$v/kernel/arch/x86/kvm/"kvm-intel.ko* \
		    > /dev/null 2>&1; then
			echo "$v"
			return 0
		fi
	done
	return 1
}

need() {
	for c; do
		command -v "$c" > /dev/null || {
			echo "$c is missing" >&2
			return 1
		}
	done
}

# Between the marks, without the console's carriage returns. A kernel that
# panics never reaches the marks: show what it said.
filter() {
	tr -d '\r' | sed -n '/^@@BEGIN/,/^@@END/p;/Kernel panic/p;/^NO-KVM/p'
}

# pack DIR: a reproducible initramfs of it on standard output
pack() {
	(cd "$1" && find . -exec touch -h -d @1700000000 {} + &&
	    find . -print0 | LC_ALL=C sort -z |
	    cpio --null -o -H newc --reproducible --quiet -R 0:0)
}
