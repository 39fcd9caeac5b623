//! The `errno`s of WASI preview1 that this host answers with.

use crate::host::Halt;

pub const SUCCESS: u64 = 0;
pub const BADF: u64 = 8;
pub const FAULT: u64 = 21;
pub const INVAL: u64 = 28;
pub const IO: u64 = 29;
pub const NOTSUP: u64 = 58;
pub const SPIPE: u64 = 70;

/// Turn a failed memory access into the errno for it.
pub fn or_fault(done: Option<()>) -> Result<u64, Halt> {
    Ok(done.map_or(FAULT, |()| SUCCESS))
}
