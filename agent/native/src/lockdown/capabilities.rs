//! Capabilities: none, for an agent that somebody runs as root.
//!
//! Without them root's worker cannot raise its limits, signal other users' processes or override file modes, should
//! seccomp be missing. After the rlimits (lowering needs none), before no-new-privs.

use super::posture::{ON, Outcome, failed};

/// `_LINUX_CAPABILITY_VERSION_3` (linux/capability.h).
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Empties the effective, permitted and inheritable sets; the kernel empties the ambient one with them.
pub fn drop_all(siblings: usize) -> Outcome {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let none = [Sets::default(); 2];
    // SAFETY: both structures have the layout of version 3 (one header, two words per set).
    if unsafe { libc::syscall(libc::SYS_capset, &raw mut header, none.as_ptr()) } == -1 {
        return Err(failed("capset"));
    }
    match siblings {
        0 => Ok(ON.into()),
        count => Err(format!("{count} other threads run already and keep theirs: lock down before starting threads")),
    }
}

/// Whether the kernel speaks version 3.
pub fn probe() -> Outcome {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: as above, the kernel fills both words.
    match unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) } {
        -1 => Err(failed("capget")),
        _ => Ok(ON.into()),
    }
}
