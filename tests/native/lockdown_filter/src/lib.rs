//! Tests of `agent/native/src/lockdown`: the rules, their numbers and the programs made of them.
#![cfg(test)]

mod interpreter;

#[allow(dead_code, reason = "what the agent uses of them is not all under test here")]
#[path = "../../../../agent/native/src/lockdown"]
mod lockdown {
    pub mod filter;
    pub mod role;
    pub mod rules;
    pub mod syscalls;
}

use interpreter::{Answer, Call, judge};
use lockdown::filter::{programs, sealed};
use lockdown::role::Role;
use lockdown::rules::{ABSENT, FATAL, allowed};
use lockdown::syscalls::{Arch, number};

const PID: u32 = 4711;
const DENIED: Answer = Answer::Errno(libc::EPERM as u32);
const NONE: [u64; 6] = [0; 6];

fn answer(arch: Arch, role: Role, nr: i64, args: [u64; 6]) -> Answer {
    let call = Call { nr: nr as u32, arch: arch.audit(), args };
    judge(&programs(arch, role, PID).expect("programs"), &call)
}

fn ask(arch: Arch, role: Role, name: &str, args: [u64; 6]) -> Option<Answer> {
    number(arch, name).expect(name).map(|nr| answer(arch, role, nr, args))
}

/// Every architecture and role in turn.
fn everywhere() -> impl Iterator<Item = (Arch, Role)> {
    Arch::ALL.into_iter().flat_map(|arch| Role::ALL.into_iter().map(move |role| (arch, role)))
}

#[test]
fn every_name_has_a_number_somewhere() {
    for role in Role::ALL {
        for (name, _) in allowed(role, PID).expect("rules") {
            assert!(Arch::ALL.iter().any(|arch| number(*arch, name).expect(name).is_some()), "{name}");
        }
    }
    for name in FATAL.iter().chain(ABSENT) {
        assert!(Arch::ALL.iter().all(|arch| number(*arch, name).is_ok()), "{name}");
    }
    assert!(number(Arch::Arm, "no_such_call").is_err());
}

#[test]
fn what_every_worker_lives_on_is_allowed() {
    for (arch, role) in everywhere() {
        for name in
            ["read", "write", "recvmsg", "ppoll", "close", "munmap", "futex", "exit_group", "rt_sigreturn"]
        {
            assert_eq!(ask(arch, role, name, NONE), Some(Answer::Allow), "{name} on {arch:?}");
        }
    }
    for name in ["futex_time64", "clock_gettime64", "ppoll_time64", "fstat64", "_llseek", "sigreturn", "cacheflush"] {
        assert_eq!(ask(Arch::Arm, Role::Worker, name, NONE), Some(Answer::Allow), "{name}");
    }
}

#[test]
fn everything_outside_the_lists_is_denied() {
    for (arch, role) in everywhere() {
        let mut listed: Vec<i64> =
            allowed(role, PID).expect("rules").iter().filter_map(|(name, _)| number(arch, name).expect(name)).collect();
        listed.extend(FATAL.iter().filter_map(|name| number(arch, name).expect(name)));
        for nr in (0..1024).chain([0x4000_0000, 0xf0001, 0xf0005, 0xffff_ffff]) {
            if !listed.contains(&nr) {
                assert_eq!(answer(arch, role, nr, NONE), DENIED, "{nr} on {arch:?}");
            }
        }
    }
}

#[test]
fn what_nobody_asks_by_accident_kills_whatever_its_arguments() {
    for (arch, role) in everywhere() {
        for name in FATAL {
            for args in [NONE, [u64::MAX; 6]] {
                assert!(matches!(ask(arch, role, name, args), None | Some(Answer::Kill)), "{name} on {arch:?}");
            }
        }
        assert_eq!(ask(arch, role, "clone3", NONE), Some(Answer::Errno(libc::ENOSYS as u32)));
    }
}

#[test]
fn a_foreign_architecture_kills() {
    for (arch, role) in everywhere() {
        for other in [0x4000_0003 /* i386 */, 0, Arch::X86_64.audit(), Arch::Aarch64.audit(), Arch::Arm.audit()] {
            if other != arch.audit() {
                let call =
                    Call { nr: number(arch, "read").expect("read").expect("read") as u32, arch: other, args: NONE };
                assert_eq!(judge(&programs(arch, role, PID).expect("programs"), &call), Answer::Kill);
            }
        }
    }
}

/// `(call, arguments, allowed)`.
const ARGUMENTS: &[(&str, [u64; 6], bool)] = &[
    ("clone", [0x3d_0f00, 0, 0, 0, 0, 0], true),
    ("clone", [0x7d_0f00, 0, 0, 0, 0, 0], true),
    ("clone", [0x11, 0, 0, 0, 0, 0], false),
    ("clone", [0x3d_0f00 | 0x1000_0000, 0, 0, 0, 0, 0], false),
    ("mprotect", [0, 4096, 0, 0, 0, 0], true),
    ("mprotect", [0, 4096, 3, 0, 0, 0], true),
    ("mprotect", [0, 4096, 5, 0, 0, 0], true),
    ("mprotect", [0, 4096, 6, 0, 0, 0], false),
    ("mprotect", [0, 4096, 7, 0, 0, 0], false),
    ("mmap", [0, 4096, 3, 0x22, u64::MAX, 0], true),
    ("mmap", [0, 4096, 5, 0x22, u64::MAX, 0], false),
    ("mmap2", [0, 4096, 3, 0x22, 0xffff_ffff, 0], true),
    ("mmap2", [0, 4096, 7, 0x22, 0xffff_ffff, 0], false),
    ("prctl", [15, 0, 0, 0, 0, 0], true),
    ("prctl", [22, 2, 0, 0, 0, 0], false),
    ("prlimit64", [0, 3, 0, 1, 0, 0], true),
    ("prlimit64", [0, 3, 1, 0, 0, 0], false),
    ("prlimit64", [1, 3, 0, 1, 0, 0], false),
    ("sendto", [3, 0, 0, 0, 0, 0], true),
    ("sendto", [3, 0, 0, 0, 0x1000, 16], false),
    ("sendto", [3, 0, 1, 1, 0, 0], false), // MSG_OOB
    ("ioctl", [3, 0x5421, 0, 0, 0, 0], true),
    ("ioctl", [0, 0x5412, 0, 0, 0, 0], false),
    ("fcntl", [3, 3, 0, 0, 0, 0], true),
    ("fcntl", [3, 8, 0, 0, 0, 0], false),
    ("fcntl64", [3, 1030, 0, 0, 0, 0], true),
    ("fcntl64", [3, 8, 0, 0, 0, 0], false),
];

#[test]
fn arguments_are_checked() {
    for (arch, role) in everywhere() {
        for (name, args, fine) in ARGUMENTS {
            if let Some(found) = ask(arch, role, name, *args) {
                assert_eq!(found, if *fine { Answer::Allow } else { DENIED }, "{name} {args:x?} on {arch:?}");
            }
        }
    }
}

#[test]
fn the_upper_half_of_a_pointer_counts() {
    for role in Role::ALL {
        let args = [3, 0, 0, 0, 0x1_0000_0000, 16];
        assert_eq!(ask(Arch::X86_64, role, "sendto", args), Some(DENIED));
    }
}

#[test]
fn only_a_worker_signals_and_only_itself() {
    for arch in Arch::ALL {
        let own = [u64::from(PID), 4712, 10, 0, 0, 0];
        assert_eq!(ask(arch, Role::Worker, "tgkill", own), Some(Answer::Allow));
        assert_eq!(ask(arch, Role::Worker, "tgkill", [1, 1, 9, 0, 0, 0]), Some(DENIED));
        assert_eq!(ask(arch, Role::Compiler, "tgkill", own), Some(DENIED));
    }
}

#[test]
fn a_sealed_worker_starts_no_thread_and_does_all_else() {
    for arch in Arch::ALL {
        let program = [sealed(arch).expect("program")];
        for (name, args) in [("clone", [0x3d_0f00, 0, 0, 0, 0, 0]), ("seccomp", [1, 1, 0, 0, 0, 0])] {
            let nr = number(arch, name).expect(name).expect(name) as u32;
            assert_eq!(ask(arch, Role::Worker, name, args), Some(Answer::Allow), "{name} before it is sealed");
            assert_eq!(judge(&program, &Call { nr, arch: arch.audit(), args }), DENIED, "{name} on {arch:?}");
        }
        let nr = number(arch, "read").expect("read").expect("read") as u32;
        assert_eq!(judge(&program, &Call { nr, arch: arch.audit(), args: NONE }), Answer::Allow);
        assert_eq!(ask(arch, Role::Compiler, "seccomp", [1, 1, 0, 0, 0, 0]), Some(DENIED));
    }
}

#[test]
fn programs_stay_far_below_the_kernels_bound() {
    for (arch, role) in everywhere() {
        // BPF_MAXINSNS is 4096 for one program; 32768 for all of a process with 4 more each.
        assert!(programs(arch, role, PID).expect("programs").iter().all(|program| program.len() < 1024));
    }
}
