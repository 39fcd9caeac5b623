//! What a locked-down process may ask the kernel for: an allow-list, everything else gets `EPERM`.
//!
//! Why an error and not death for the rest: Python, glibc and the standard library try things that they can do without
//! (a source line for a traceback, the number of CPUs from `/sys`), and a release of one of them that tries one more
//! must not kill workers in the field. Death is for [`FATAL`]: nobody asks for those by accident, so that whoever does
//! is native code that broke out, gets no second try, and stands in the kernel's log as SIGSYS.

use seccompiler::{
    BackendError, SeccompCmpArgLen as Width, SeccompCmpOp as Test, SeccompCondition as Condition, SeccompRule as Rule,
};

use super::role::Role;

/// A system call's name and when it is allowed: always without rules, else if one of them matches.
pub type Entry = (&'static str, Vec<Rule>);

/// The process dies: ways out of the sandbox and wide parts of the kernel that neither Python, glibc, Rust nor the
/// engine calls after the lock-down, not even on a path that handles errors.
#[rustfmt::skip]
pub const FATAL: &[&str] = &[
    "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "bpf",
    "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key",
    "request_key", "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig",
    "fsmount", "fspick", "mount_setattr", "setns", "unshare", "open_by_handle_at", "init_module", "finit_module",
    "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "iopl", "ioperm", "modify_ldt",
];

/// `ENOSYS`: clone3 has its flags in memory, where a filter cannot look; glibc then falls back to clone.
pub const ABSENT: &[&str] = &["clone3"];

/// `EPERM` once a worker has the threads that it needs: no further one, and no further filter.
///
/// What captured it could otherwise start hundreds. A limit of processes does not do that: it counts all of a user's
/// and does not bind root.
pub const SEALED: &[&str] = &["clone", "seccomp"];

/// Allowed whatever the arguments: they act on the process itself or on descriptors that it was given.
#[rustfmt::skip]
const PLAIN: &[&str] = &[
    // Descriptors that it holds.
    "read", "write", "readv", "writev", "pread64", "recvmsg", "recvfrom", "shutdown", "poll", "ppoll", "ppoll_time64",
    "close", "lseek", "_llseek", "fstat", "fstat64",
    // Memory; mincore tells the engine which pages a guest has touched.
    "munmap", "madvise", "mremap", "mincore", "brk", "membarrier", "cacheflush",
    // Threads.
    "futex", "futex_time64", "set_robust_list", "rseq", "exit", "exit_group", "sched_yield", "sched_getaffinity",
    "getpid", "gettid",
    // Signals: traps arrive as SIGSEGV, SIGBUS, SIGILL, SIGFPE on an alternate stack.
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "sigaltstack", "restart_syscall",
    // Time and chance, for hosts whose vDSO does not answer.
    "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "clock_nanosleep",
    "clock_nanosleep_time64", "nanosleep", "gettimeofday", "getrandom",
];

/// `CLONE_VM|FS|FILES|SIGHAND|THREAD|SYSVSEM|SETTLS|PARENT_SETTID|CHILD_CLEARTID`: what glibc's `pthread_create` asks
/// for, to the bit: no process, no namespace, no tracing.
const THREAD: u64 = 0x003d_0f00;
/// The same with `CLONE_DETACHED`, which the kernel ignores: musl's.
const THREAD_MUSL: u64 = 0x007d_0f00;
/// `FIONBIO`, `FIOCLEX`, `FIONCLEX`: how Python makes a descriptor blocking or inheritable.
const IOCTLS: [u64; 3] = [0x5421, 0x5451, 0x5450];
/// `F_GETFD`, `F_SETFD`, `F_GETFL`, `F_SETFL`, `F_DUPFD_CLOEXEC`.
const FCNTLS: [u64; 5] = [1, 2, 3, 4, 1030];
const PROT_WRITE: u64 = 2;
const PROT_EXEC: u64 = 4;
const PR_SET_NAME: u64 = 15;
/// `SECCOMP_SET_MODE_FILTER`.
const SET_MODE_FILTER: u64 = 1;
/// `SECCOMP_FILTER_FLAG_TSYNC`.
const TSYNC: u64 = 1;

/// The allow-list. `pid` is the process's own, in its own namespace.
///
/// Both roles load native code: the engine publishes what it compiled before it can serialize it. What tells them apart
/// is that a compiler runs no guest and therefore gets no signal to send.
pub fn allowed(role: Role, pid: u32) -> Result<Vec<Entry>, BackendError> {
    let mut list: Vec<Entry> = PLAIN.iter().map(|name| (*name, Vec::new())).collect();
    for name in ABSENT {
        // Allowed by this filter, so that the answer of the ENOSYS filter is the stricter one.
        list.push((name, Vec::new()));
    }
    // Never executable when mapped: no library, no file; code is written first and then made executable.
    for name in ["mmap", "mmap2"] {
        list.push((name, vec![Rule::new(vec![masked(2, PROT_EXEC, 0)?])?]));
    }
    // Writable or executable, never both at once. (PR_SET_MDWE would forbid the change from one to the other as well,
    // which is how an ahead-of-time artifact becomes code.)
    list.push((
        "mprotect",
        vec![Rule::new(vec![masked(2, PROT_EXEC, 0)?])?, Rule::new(vec![masked(2, PROT_WRITE, 0)?])?],
    ));
    list.push(("clone", one_of(0, &[THREAD, THREAD_MUSL])?));
    list.push(("ioctl", one_of(1, &IOCTLS)?));
    for name in ["fcntl", "fcntl64"] {
        list.push((name, one_of(1, &FCNTLS)?));
    }
    // No `newfstatat`, `fstatat64` or `statx`, although glibc says `fstat` that way: a filter cannot see whether the path
    // is empty, and another one would tell which files there are.
    // Only to the peer, without flags: no address, and no byte out of band (MSG_OOB), which would make the agent's reads
    // stop where it lies. No `sendmsg`, which has its flags and descriptors in memory.
    list.push(("sendto", vec![Rule::new(vec![equal(3, Width::Dword, 0)?, equal(4, Width::Qword, 0)?])?]));
    // Reads its own limits (stack size of threads), sets none.
    list.push(("prlimit64", vec![Rule::new(vec![equal(0, Width::Dword, 0)?, equal(2, Width::Qword, 0)?])?]));
    list.push(("prctl", one_of(0, &[PR_SET_NAME])?));
    if role == Role::Worker {
        // One thread may interrupt another, and raise() works; a compiler needs neither.
        list.push(("tgkill", one_of(0, &[u64::from(pid)])?));
        // One more filter, for all threads: see `SEALED`.
        let filter = vec![equal(0, Width::Dword, SET_MODE_FILTER)?, equal(1, Width::Qword, TSYNC)?];
        list.push(("seccomp", vec![Rule::new(filter)?]));
    }
    Ok(list)
}

fn one_of(argument: u8, values: &[u64]) -> Result<Vec<Rule>, BackendError> {
    values.iter().map(|value| Rule::new(vec![equal(argument, Width::Dword, *value)?])).collect()
}

fn equal(argument: u8, width: Width, value: u64) -> Result<Condition, BackendError> {
    Condition::new(argument, width, Test::Eq, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<Condition, BackendError> {
    Condition::new(argument, Width::Dword, Test::MaskedEq(mask), value)
}
