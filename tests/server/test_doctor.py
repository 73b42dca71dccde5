# SPDX-License-Identifier: BSD-2-Clause
"""kvmserver doctor, of this host and of made-up ones."""

import os
import subprocess
import tempfile

from harness import KVMSERVER, check, test

GOOD = {
    "sys/devices/system/cpu/vulnerabilities/meltdown": "Not affected",
    "sys/devices/system/cpu/vulnerabilities/spectre_v2": "Mitigation: all",
    "sys/devices/system/cpu/smt/active": "0",
    "sys/kernel/mm/ksm/run": "0",
    "proc/swaps": "Filename Type Size Used Priority",
    "proc/sys/vm/overcommit_memory": "0",
    "proc/sys/vm/max_map_count": "65530",
}


def doctor(files=None, *words, **env):
    with tempfile.TemporaryDirectory() as d:
        for name, text in (files or {}).items():
            os.makedirs(os.path.join(d, os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(d, name), "w") as f:
                f.write(text + "\n")
        if files is not None:
            env["TKVM_DOCTOR_ROOT"] = d
        p = subprocess.run([KVMSERVER, "doctor", *words],
                           env=dict(os.environ, **env), timeout=60,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


@test
def doctor_of_this_host():
    status, out, err = doctor()
    check(err == "", err)
    check(status in (0, 1), status)
    check((status == 1) == ("\nBAD " in out), status, out)
    for what in "KVM", "CPU", "SMT", "KSM", "swap", "memory", "limits", \
            "jail", "user":
        check("  %s: " % what in out, what, out)


@test
def doctor_finds_nothing():
    status, out, _ = doctor(GOOD)
    check(status == 0 and "BAD" not in out, status, out)
    check("ok    CPU: spectre_v2: Mitigation: all" in out, out)
    check("meltdown" not in out, out)


@test
def doctor_finds():
    vulnerable = "sys/devices/system/cpu/vulnerabilities/meltdown"
    for name, text, line in (
            (vulnerable, "Vulnerable: no PTI", "BAD   CPU: meltdown"),
            (vulnerable, "Mitigation: x; SMT vulnerable",
             "note  CPU: meltdown"),
            ("sys/devices/system/cpu/smt/active", "1", "note  SMT: on"),
            ("sys/kernel/mm/ksm/run", "1", "BAD   KSM: on"),
            ("proc/swaps", "Filename\n/dev/sda2 partition 1 0 -2",
             "note  swap: on"),
            ("proc/sys/vm/overcommit_memory", "2", "note  memory: vm.over"),
            ("proc/sys/vm/max_map_count", "1000", "note  memory: vm.max"),
            ("sys/fs/cgroup/memory.max", "1000000", "note  memory: this")):
        status, out, _ = doctor(dict(GOOD, **{name: text}))
        check(line in out, line, out)
        check(status == ("BAD" in line), status, out)


@test
def doctor_without_kvm():
    status, out, _ = doctor(GOOD, TKVM_DEV="/nonexistent/kvm")
    check(status == 1 and "BAD   KVM: /nonexistent/kvm is not there" in out,
          status, out)


@test
def doctor_takes_nothing():
    status, out, err = doctor(None, "more")
    check(status == 2 and out == "" and "doctor" in err, status, err)
