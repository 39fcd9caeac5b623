//! Resource limits: soft and hard alike, so that nothing in the process can raise them again.
//!
//! - `AS`, `CPU`: from the caller, 0 leaves them alone. The kernel kills at the CPU limit: no signal that a guest's
//!   host could catch.
//! - `FSIZE` 0: a descriptor of a file that slipped through cannot be written. SIGXFSZ is ignored, so that the writer
//!   gets EFBIG instead of a death that looks like a crash.
//! - `CORE` 0, `MEMLOCK` 0, `MSGQUEUE` 0: not needed.
//! - `NOFILE`: kept descriptors stay valid above it, new ones (modules that the agent passes) fit below it.
//! - `NPROC` counts all threads of the *user*, not of the process, and does not bind root: a tight value would stop the
//!   watchdog thread because somebody else's shell is busy. fork and exec are seccomp's business; here it is a ceiling
//!   that no board reaches by honest work but a thread bomb does. `TasksMax=` of the unit is the tight one.

use libc::{__rlimit_resource_t as Resource, rlimit64};

use super::posture::{ON, Outcome, failed};

/// Descriptors a worker may have at once: its socket, the standard three, modules in flight.
const NOFILE: u64 = 32;
/// Ceiling for the threads of the user.
const NPROC: u64 = 4096;

/// Sets all; the reason names every limit that did not hold.
pub fn apply(address_space_bytes: u64, cpu_seconds: u64) -> Outcome {
    // SAFETY: SIG_IGN is a valid disposition.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let mut limits = vec![
        ("FSIZE", libc::RLIMIT_FSIZE, 0),
        ("CORE", libc::RLIMIT_CORE, 0),
        ("MEMLOCK", libc::RLIMIT_MEMLOCK, 0),
        ("MSGQUEUE", libc::RLIMIT_MSGQUEUE, 0),
        ("NOFILE", libc::RLIMIT_NOFILE, NOFILE),
        ("NPROC", libc::RLIMIT_NPROC, NPROC),
    ];
    if address_space_bytes > 0 {
        limits.push(("AS", libc::RLIMIT_AS, address_space_bytes));
    }
    if cpu_seconds > 0 {
        limits.push(("CPU", libc::RLIMIT_CPU, cpu_seconds));
    }
    let refused: Vec<String> =
        limits.iter().filter_map(|(name, resource, value)| lower(name, *resource, *value).err()).collect();
    if refused.is_empty() { Ok(ON.into()) } else { Err(refused.join("; ")) }
}

/// Whether limits can be read at all.
pub fn probe() -> Outcome {
    read("FSIZE", libc::RLIMIT_FSIZE).map(|_| ON.into())
}

/// Lowers soft and hard limit to `value`, or keeps a lower one, and reads it back: an emulator accepts some without
/// applying them.
fn lower(name: &str, resource: Resource, value: u64) -> Result<(), String> {
    let value = value.min(read(name, resource)?.rlim_max);
    let wanted = rlimit64 { rlim_cur: value, rlim_max: value };
    // SAFETY: `wanted` outlives the call.
    if unsafe { libc::setrlimit64(resource, &raw const wanted) } == -1 {
        return Err(failed(name));
    }
    match read(name, resource)? {
        now if now.rlim_cur == value && now.rlim_max == value => Ok(()),
        now => Err(format!("{name}: asked for {value}, the kernel keeps {}", now.rlim_cur)),
    }
}

fn read(name: &str, resource: Resource) -> Result<rlimit64, String> {
    let mut limit = rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call.
    match unsafe { libc::getrlimit64(resource, &raw mut limit) } {
        -1 => Err(failed(name)),
        _ => Ok(limit),
    }
}
