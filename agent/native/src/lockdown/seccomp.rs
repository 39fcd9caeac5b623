//! Installs the filters, and makes sure that they act.

use seccompiler::apply_filter_all_threads;

use super::filter::{programs, sealed};
use super::posture::{ON, Outcome, failed};
use super::role::Role;
use super::syscalls::Arch;

/// Installs the role's filters in all threads (`SECCOMP_FILTER_FLAG_TSYNC`): Python or a library may have started one
/// before, and a thread without the filter shares the memory of those that have it.
pub fn install(role: Role) -> Outcome {
    let arch = available()?;
    for program in programs(arch, role, std::process::id())? {
        apply_filter_all_threads(&program).map_err(|error| reason(&error))?;
    }
    if denies() { Ok(ON.into()) } else { Err("the kernel took the filter but does not apply it".into()) }
}

/// Takes the right to start threads from all threads of a worker that has a filter already.
pub fn seal() -> Outcome {
    let program = sealed(Arch::CURRENT.ok_or("no filter for this machine")?)?;
    let length = u16::try_from(program.len()).map_err(|error| error.to_string())?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // Not by `apply_filter_all_threads`, which asks for no-new-privs once more: prctl is denied by now.
    // SAFETY: the kernel reads `program` (seccomp(2)), which outlives the call.
    let answer = unsafe {
        let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_TSYNC);
        libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program)
    };
    match answer {
        0 => Ok(ON.into()),
        -1 => Err(failed("seccomp")),
        thread => Err(format!("thread {thread} has a filter of its own already")),
    }
}

/// Whether the kernel has filters with the answers that are needed.
pub fn probe() -> Outcome {
    available().map(|_| ON.into())
}

fn available() -> Result<Arch, String> {
    let arch = Arch::CURRENT.ok_or_else(|| format!("no filter for {}", std::env::consts::ARCH))?;
    for action in [libc::SECCOMP_RET_ERRNO, libc::SECCOMP_RET_KILL_PROCESS] {
        // SAFETY: the kernel reads four bytes of `action` (seccomp(2), SECCOMP_GET_ACTION_AVAIL, Linux 4.14).
        let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
        if answer == -1 {
            return Err(match std::io::Error::last_os_error().raw_os_error() {
                Some(libc::ENOSYS) => "no seccomp here (kernel without CONFIG_SECCOMP, or an emulator)".into(),
                Some(libc::EINVAL) => "the kernel has seccomp without filters (CONFIG_SECCOMP_FILTER)".into(),
                Some(libc::EPERM) => {
                    "an outer sandbox denies seccomp(2): allow it in the unit's SystemCallFilter".into()
                }
                Some(libc::EOPNOTSUPP) => "the kernel's seccomp is older than Linux 4.14".into(),
                _ => std::io::Error::last_os_error().to_string(),
            });
        }
    }
    Ok(arch)
}

/// Asks for something harmless that no list allows.
fn denies() -> bool {
    // SAFETY: getpgid reads no memory.
    unsafe { libc::getpgid(0) == -1 && *libc::__errno_location() == libc::EPERM }
}

fn reason(error: &seccompiler::Error) -> String {
    match error {
        seccompiler::Error::ThreadSync(thread) => format!("thread {thread} has a filter of its own already"),
        other => other.to_string(),
    }
}
