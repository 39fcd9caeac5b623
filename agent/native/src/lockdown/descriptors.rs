//! Open files: none but those that the caller names.
//!
//! First of all parts, because the fallback needs `/proc` and because what is closed cannot leak through a later part
//! that fails.

use std::fs;
use std::os::fd::RawFd;

use super::posture::{ON, Outcome};

/// Descriptors that the C library and Python take for granted.
const STANDARD: [RawFd; 3] = [0, 1, 2];

/// Refuses numbers that are no open descriptor: the caller meant another one, and closing the right one is no accident
/// to find out about later.
pub fn check(keep: &[RawFd]) -> Result<(), String> {
    match keep.iter().find(|fd| !is_open(**fd)) {
        Some(fd) => {
            Err(format!("descriptor {fd} in keep_fds is not open: pass only descriptors that the worker holds"))
        }
        None => Ok(()),
    }
}

/// Closes everything outside `keep`. A standard descriptor that is not kept becomes `/dev/null` (and is closed where
/// that cannot be opened): a module that arrives later must not become "stderr" of a library that writes there.
pub fn close_others(keep: &[RawFd]) -> Outcome {
    let mut keep: Vec<RawFd> = keep.to_vec();
    for fd in STANDARD {
        if !keep.contains(&fd) && point_to_null(fd) {
            keep.push(fd);
        }
    }
    keep.sort_unstable();
    keep.dedup();
    let mut first = 0;
    for fd in keep {
        if first < fd {
            close_range(first as u32, fd as u32 - 1)?;
        }
        first = fd + 1;
    }
    close_range(first as u32, u32::MAX)?;
    Ok(ON.into())
}

/// There is always a way: `close_range`, or `/proc/self/fd`.
pub fn probe() -> Outcome {
    // An empty range above every descriptor closes nothing.
    if syscall_close_range(u32::MAX, u32::MAX) || fs::read_dir("/proc/self/fd").is_ok() {
        Ok(ON.into())
    } else {
        Err("the kernel has no close_range (Linux 5.9) and /proc is not mounted".into())
    }
}

fn close_range(first: u32, last: u32) -> Result<(), String> {
    if syscall_close_range(first, last) {
        return Ok(());
    }
    // Kernels before 5.9, and emulators that lack the call.
    let open = fs::read_dir("/proc/self/fd").map_err(|error| format!("close_range and /proc/self/fd: {error}"))?;
    let numbers: Vec<RawFd> = open
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| (first..=last).contains(&(*fd as u32)))
        .collect();
    for fd in numbers {
        // SAFETY: closing a number; the directory's own descriptor is closed already and gives a harmless EBADF.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

fn syscall_close_range(first: u32, last: u32) -> bool {
    // SAFETY: three integers, no pointers. glibc below 2.34 has no wrapper.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) == 0 }
}

fn point_to_null(fd: RawFd) -> bool {
    // SAFETY: a constant path; the new descriptor is closed unless it is `fd` itself.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if null == -1 {
            return false;
        }
        if null == fd {
            return true;
        }
        let done = libc::dup2(null, fd) == fd;
        libc::close(null);
        done
    }
}

fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD takes no pointer.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}
