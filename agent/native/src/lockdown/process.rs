//! Attributes of the process that `prctl` sets.

use std::fs;

use super::posture::{ON, Outcome, outcome};

/// How many threads run beside the caller; 0 when `/proc` does not tell.
pub fn sibling_threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, |threads| threads.count().saturating_sub(1))
}

/// A worker never outlives its agent, even one that was killed.
///
/// The kernel means the *thread* that started the worker: start workers from a thread that stays. Comes after the
/// capabilities, since a change of credentials may clear it (prctl(2), `PR_SET_PDEATHSIG`).
pub fn die_with_parent() -> Outcome {
    // SAFETY: integers only.
    outcome("PR_SET_PDEATHSIG", unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

/// No core file by any path, and no process of the same user may ptrace the worker or read its memory.
pub fn forbid_dumps() -> Outcome {
    // SAFETY: integers only.
    outcome("PR_SET_DUMPABLE", unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })
}

/// Condition of Landlock and seccomp for everybody but root.
pub fn no_new_privs() -> Outcome {
    // SAFETY: integers only.
    outcome("PR_SET_NO_NEW_PRIVS", unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

/// Whether the kernel knows the attribute that `option` reads.
pub fn probe(option: libc::c_int) -> Outcome {
    let mut value: libc::c_int = 0;
    // PR_GET_PDEATHSIG stores its answer, the others return it and want zeros.
    let argument = if option == libc::PR_GET_PDEATHSIG { &raw mut value as usize } else { 0 };
    // SAFETY: `value` outlives the call.
    match unsafe { libc::prctl(option, argument, 0usize, 0usize, 0usize) } {
        -1 => outcome("prctl", -1),
        _ => Ok(ON.into()),
    }
}
