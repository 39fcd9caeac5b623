//! Environment: emptied, also where the kernel put it.
//!
//! `clearenv` only forgets the strings. They stay on the initial stack, where native code that broke out of a guest
//! finds the agent's secrets, so that block is overwritten as well. Python's `os.environ` is a copy of its own: the
//! caller starts the worker with an empty environment or clears it.

use std::{fs, ptr, slice};

use super::posture::{Outcome, outcome};

/// Empties it. Other threads must not call `getenv` meanwhile; the worker is locked down before it starts any.
pub fn empty() -> Outcome {
    let block = initial_block();
    // SAFETY: see above.
    let cleared = unsafe { libc::clearenv() };
    if let Some((start, end)) = block {
        // SAFETY: the kernel says that the initial strings lie there: stack memory, writable, and after clearenv()
        // nothing points to it but copies of pointers that then read empty strings.
        unsafe { ptr::write_bytes(start as *mut u8, 0, end - start) };
    }
    outcome("clearenv", if cleared == 0 { 0 } else { -1 })
}

/// `env_start` and `env_end`: fields 50 and 51 of `/proc/self/stat` (proc(5)); nothing under emulators that leave
/// them out.
fn initial_block() -> Option<(usize, usize)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // Field 2 is the command's name in parentheses and may hold blanks: count from behind it.
    let after_name = &stat[stat.rfind(')')? + 1..];
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let start = fields.get(47)?.parse().ok()?;
    let end = fields.get(48)?.parse().ok()?;
    (start != 0 && start < end && holds_strings(start, end)).then_some((start, end))
}

/// The block must end with a NUL and hold the first string that `environ` points to: a cross-check before writing.
fn holds_strings(start: usize, end: usize) -> bool {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    // SAFETY: reads the process's own environ, whose entries are NUL-terminated or null.
    unsafe {
        let inside = !environ.is_null() && (start..end).contains(&(*environ as usize));
        inside && slice::from_raw_parts(start as *const u8, end - start).ends_with(&[0])
    }
}
