//! The clocks of WASI preview1, and sleeping on them.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::errno::{self, or_fault};
use crate::host::{Halt, Host, View};
use crate::watchdog;

const REALTIME: u64 = 0;
const CPU_CLOCKS: [u64; 2] = [2, 3];
/// Nanoseconds; finer would only help timing attacks.
const RESOLUTION: u64 = 1_000;

/// Nanoseconds of a clock; CPU clocks run like the monotonic one, which is all that a single job can tell.
fn now(clock: u64) -> Option<u64> {
    match clock {
        REALTIME => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            Some(since.as_nanos() as u64)
        }
        1..=3 => Some(monotonic()),
        _ => None,
    }
}

/// Since the first use in this process: guests need not know when the board was started.
fn monotonic() -> u64 {
    static START: OnceLock<u64> = OnceLock::new();
    let now = watchdog::now();
    // Another thread may have read the clock later and stored it first.
    now.saturating_sub(*START.get_or_init(|| now))
}

pub fn clock_res_get(_: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    if now(args[0]).is_none() {
        return Ok(errno::INVAL);
    }
    or_fault(memory.write(args[1], &RESOLUTION.to_le_bytes()))
}

pub fn clock_time_get(host: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    host.asked = true;
    let Some(time) = now(args[0]) else {
        return Ok(errno::INVAL);
    };
    or_fault(memory.write(args[2], &time.to_le_bytes()))
}

/// Sleeping works, waiting for descriptors does not: there is none that could become ready.
///
/// A `subscription` has 48 bytes: userdata u64, tag u8 at 8, clock id u32 at 16, timeout u64 at 24, flags u16 at 40.
/// An `event` has 32 bytes: userdata u64, errno u16 at 8, type u8 at 10.
pub fn poll_oneoff(host: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    host.asked = true;
    const SUBSCRIPTIONS: u64 = 64;
    const ABSOLUTE: u32 = 1;
    let (input, output, count, stored) = (args[0], args[1], args[2], args[3]);
    if count == 0 || count > SUBSCRIPTIONS {
        return Ok(errno::INVAL);
    }
    let mut soonest = u64::MAX;
    for index in 0..count {
        let at = input + index * 48;
        let (Some(tag), Some(clock), Some(timeout), Some(flags)) =
            (memory.u32(at + 8), memory.u32(at + 16), memory.u64(at + 24), memory.u32(at + 40))
        else {
            return Ok(errno::FAULT);
        };
        if tag & 0xff != 0 {
            return Ok(errno::NOTSUP);
        }
        let clock = u64::from(clock);
        let Some(time) = now(clock).filter(|_| !CPU_CLOCKS.contains(&clock)) else {
            return Ok(errno::INVAL);
        };
        let wait = if flags & ABSOLUTE != 0 { timeout.saturating_sub(time) } else { timeout };
        soonest = soonest.min(wait);
    }
    if !host.slot.sleep(Duration::from_nanos(soonest)) {
        return Err(Halt::Stopped);
    }
    let mut events = 0_u32;
    for index in 0..count {
        let at = input + index * 48;
        let (Some(userdata), Some(timeout), Some(flags), Some(clock)) =
            (memory.u64(at), memory.u64(at + 24), memory.u32(at + 40), memory.u32(at + 16))
        else {
            return Ok(errno::FAULT);
        };
        let due = if flags & ABSOLUTE != 0 {
            now(clock.into()).is_some_and(|time| time >= timeout)
        } else {
            timeout <= soonest
        };
        if due {
            let mut event = [0_u8; 32];
            event[..8].copy_from_slice(&userdata.to_le_bytes());
            if memory.write(output + u64::from(events) * 32, &event).is_none() {
                return Ok(errno::FAULT);
            }
            events += 1;
        }
    }
    or_fault(memory.write(stored, &events.to_le_bytes()))
}
