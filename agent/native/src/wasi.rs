//! A small `wasi_snapshot_preview1` that denies by default.
//!
//! stdout and stderr go to the job's log, stdin is empty, clocks and random work, there are no arguments, no
//! environment, no files and no sockets. Source: WebAssembly/WASI, legacy/preview1/docs.md.

use crate::errno::{self, or_fault};
use crate::host::{Halt, Host, Offer, View};
use crate::wasi_clock::{clock_res_get, clock_time_get, poll_oneoff};

pub const MODULE: &str = "wasi_snapshot_preview1";

const CHARACTER_DEVICE: u8 = 2;
/// Vectors that one `fd_write` may hold (Linux's own `IOV_MAX`).
const IOV_MAX: u64 = 1_024;

/// A row of the table: name, parameters, function.
macro_rules! offer {
    ($name:literal, $params:literal, $act:expr) => {
        Offer { module: MODULE, name: $name, params: $params, result: "i", act: $act }
    };
}

/// Every function of preview1 with its own type, so that any module links; most of them only say no.
pub static OFFERS: [Offer; 46] = [
    offer!("args_get", "ii", |_, _, _| Ok(errno::SUCCESS)),
    offer!("args_sizes_get", "ii", no_strings),
    offer!("environ_get", "ii", environ_get),
    offer!("environ_sizes_get", "ii", environ_sizes_get),
    offer!("clock_res_get", "ii", clock_res_get),
    offer!("clock_time_get", "iIi", clock_time_get),
    offer!("fd_advise", "iIIi", no_file),
    offer!("fd_allocate", "iII", no_file),
    offer!("fd_close", "i", stream_ok),
    offer!("fd_datasync", "i", no_file),
    offer!("fd_fdstat_get", "ii", fd_fdstat_get),
    offer!("fd_fdstat_set_flags", "ii", stream_ok),
    offer!("fd_fdstat_set_rights", "iII", no_file),
    offer!("fd_filestat_get", "ii", fd_filestat_get),
    offer!("fd_filestat_set_size", "iI", no_file),
    offer!("fd_filestat_set_times", "iIIi", no_file),
    offer!("fd_pread", "iiiIi", no_seek),
    offer!("fd_prestat_get", "ii", |_, _, _| Ok(errno::BADF)),
    offer!("fd_prestat_dir_name", "iii", |_, _, _| Ok(errno::BADF)),
    offer!("fd_pwrite", "iiiIi", no_seek),
    offer!("fd_read", "iiii", fd_read),
    offer!("fd_readdir", "iiiIi", no_file),
    offer!("fd_renumber", "ii", no_file),
    offer!("fd_seek", "iIii", no_seek),
    offer!("fd_sync", "i", no_file),
    offer!("fd_tell", "ii", no_seek),
    offer!("fd_write", "iiii", fd_write),
    offer!("path_create_directory", "iii", no_path),
    offer!("path_filestat_get", "iiiii", no_path),
    offer!("path_filestat_set_times", "iiiiIIi", no_path),
    offer!("path_link", "iiiiiii", no_path),
    offer!("path_open", "iiiiiIIii", no_path),
    offer!("path_readlink", "iiiiii", no_path),
    offer!("path_remove_directory", "iii", no_path),
    offer!("path_rename", "iiiiii", no_path),
    offer!("path_symlink", "iiiii", no_path),
    offer!("path_unlink_file", "iii", no_path),
    offer!("poll_oneoff", "iiii", poll_oneoff),
    Offer { module: MODULE, name: "proc_exit", params: "i", result: "", act: proc_exit },
    offer!("proc_raise", "i", |_, _, _| Ok(errno::NOTSUP)),
    offer!("random_get", "ii", random_get),
    offer!("sched_yield", "", |_, _, _| Ok(errno::SUCCESS)),
    offer!("sock_accept", "iii", no_file),
    offer!("sock_recv", "iiiiii", no_file),
    offer!("sock_send", "iiiii", no_file),
    offer!("sock_shutdown", "ii", no_file),
];

fn no_strings(_: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    or_fault(memory.write(args[0], &[0; 4]).and_then(|()| memory.write(args[1], &[0; 4])))
}

fn environ_sizes_get(host: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    host.asked = true;
    let count = host.environment.strings().count() as u32;
    let size = host.environment.block().len() as u32;
    or_fault(memory.write(args[0], &count.to_le_bytes()).and_then(|()| memory.write(args[1], &size.to_le_bytes())))
}

/// The strings at the second argument, their addresses at the first.
fn environ_get(host: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    host.asked = true;
    let mut at = args[1] as u32;
    let written = host.environment.strings().enumerate().try_for_each(|(index, string)| {
        memory.write(args[0] + index as u64 * 4, &at.to_le_bytes())?;
        at = at.wrapping_add(string.len() as u32);
        Some(())
    });
    or_fault(written.and_then(|()| memory.write(args[1], host.environment.block())))
}

fn is_stream(fd: u64) -> bool {
    fd <= 2
}

/// Files do not exist; on the three streams the operation makes no sense.
fn no_file(_: &mut Host, _: View, args: &[u64]) -> Result<u64, Halt> {
    Ok(if is_stream(args[0]) { errno::NOTSUP } else { errno::BADF })
}

/// There is no preopened directory that a path could be relative to.
fn no_path(_: &mut Host, _: View, _: &[u64]) -> Result<u64, Halt> {
    Ok(errno::BADF)
}

fn no_seek(_: &mut Host, _: View, args: &[u64]) -> Result<u64, Halt> {
    Ok(if is_stream(args[0]) { errno::SPIPE } else { errno::BADF })
}

fn stream_ok(_: &mut Host, _: View, args: &[u64]) -> Result<u64, Halt> {
    Ok(if is_stream(args[0]) { errno::SUCCESS } else { errno::BADF })
}

/// `fdstat`: filetype u8, flags u16 at 2, rights u64 at 8, inheriting rights u64 at 16.
fn fd_fdstat_get(_: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    const READ: u64 = 1 << 1;
    const WRITE: u64 = 1 << 6;
    if !is_stream(args[0]) {
        return Ok(errno::BADF);
    }
    let mut stat = [0_u8; 24];
    stat[0] = CHARACTER_DEVICE;
    stat[8..16].copy_from_slice(&if args[0] == 0 { READ } else { WRITE }.to_le_bytes());
    or_fault(memory.write(args[1], &stat))
}

/// `filestat`: 64 bytes, filetype u8 at 16.
fn fd_filestat_get(_: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    if !is_stream(args[0]) {
        return Ok(errno::BADF);
    }
    let mut stat = [0_u8; 64];
    stat[16] = CHARACTER_DEVICE;
    or_fault(memory.write(args[1], &stat))
}

/// stdin is at its end.
fn fd_read(_: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    if args[0] != 0 {
        return Ok(errno::BADF);
    }
    or_fault(memory.write(args[3], &[0; 4]))
}

fn fd_write(host: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    if args[0] != 1 && args[0] != 2 {
        return Ok(errno::BADF);
    }
    if args[2] > IOV_MAX {
        return Ok(errno::INVAL);
    }
    let written = (0..args[2]).try_fold(0_u32, |total, index| {
        let vector = args[1] + index * 8;
        let (address, length) = (memory.u32(vector)?, memory.u32(vector + 4)?);
        host.log.write(memory.bytes(address.into(), length.into())?);
        Some(total.saturating_add(length))
    });
    or_fault(written.and_then(|total| memory.write(args[3], &total.to_le_bytes())))
}

fn proc_exit(_: &mut Host, _: View, args: &[u64]) -> Result<u64, Halt> {
    Err(Halt::Exit(args[0] as u32))
}

fn random_get(host: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    host.asked = true;
    let (address, length) = (args[0], args[1]);
    if memory.bytes(address, length).is_none() {
        return Ok(errno::FAULT);
    }
    let mut chunk = [0_u8; 4_096];
    for start in (0..length).step_by(chunk.len()) {
        if host.slot.stopped() {
            return Err(Halt::Stopped);
        }
        let part = &mut chunk[..(length - start).min(4_096) as usize];
        if random(part).is_err() {
            return Ok(errno::IO);
        }
        memory.write(address + start, part);
    }
    Ok(errno::SUCCESS)
}

/// Fill `bytes` from the kernel (getrandom(2)), or say why it gives none.
pub fn random(bytes: &mut [u8]) -> std::io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        // SAFETY: the pointer and the length describe the rest of `bytes`.
        let got = unsafe { libc::getrandom(bytes[done..].as_mut_ptr().cast(), bytes.len() - done, 0) };
        if let Ok(got) = usize::try_from(got) {
            done += got;
            continue;
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}
