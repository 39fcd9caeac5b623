//! Words for how a guest call ended.

use crate::engine::Ending;
use crate::fault::{Fault, Kind};
use crate::host::{Halt, Refusal};
use crate::limits::Limits;
use crate::loaded::Loaded;
use crate::trap::IN_MEMORY;
use crate::watchdog::Stop;

/// The fault for an ending of a guest of `loaded`; `stack` is its stack pointer, where it has one that can be read.
pub fn explain(ending: Ending, stop: Option<Stop>, stack: Option<i32>, loaded: &Loaded, limits: &Limits) -> Fault {
    match ending {
        Ending::Halted(Halt::Exit(code)) => {
            let message = format!("the guest called proc_exit({code}): return from the entry function instead");
            Fault { code: Some(code), ..Fault::new(Kind::Exit, message) }
        }
        Ending::Halted(Halt::Abort(text)) => Fault::new(Kind::Abort, format!("the guest aborted: {text}")),
        Ending::Halted(Halt::Failed(kind, text)) if text.is_empty() => Fault::new(kind, "the guest gave no reason"),
        Ending::Halted(Halt::Failed(kind, text)) => Fault::new(kind, text),
        Ending::Halted(Halt::Stopped) => stopped(stop.unwrap_or(Stop::Canceled), Some(limits)),
        Ending::Fault(fault) => fault,
        Ending::OutOfFuel { function } => {
            let mut fault = stop.map_or_else(|| dry(limits), |stop| stopped(stop, Some(limits)));
            fault.function = function.map(|index| loaded.shape.function_name(index));
            fault
        }
        Ending::Trap { mut kind, mut message, function, offset } => {
            // A linker puts the stack at the start of the memory (`--stack-first`, Rust's default): beyond its end there
            // is nothing, so a stack pointer below zero is what made the access fail.
            if kind == Kind::MemoryOutOfBounds && stack.is_some_and(|pointer| pointer < 0) {
                (kind, message) = (IN_MEMORY.0, IN_MEMORY.1.into());
            }
            let function = function.map(|index| loaded.shape.function_name(index));
            let offset = offset.map(|offset| offset + loaded.shift);
            let place = match (&function, offset) {
                (Some(name), Some(offset)) => format!(" in {name} (at byte {offset} of the module)"),
                (Some(name), None) => format!(" in {name}"),
                _ => String::new(),
            };
            Fault { function, offset, ..Fault::new(kind, format!("the guest trapped: {message}{place}")) }
        }
    }
}

/// `fault` of a run that was refused memory before: where it gave up for that, the limit is what ended it.
///
/// What allocators do without memory is to trap or to abort; what else follows may have another cause.
pub fn after_refusal(mut fault: Fault, refusal: Refusal, limits: &Limits) -> Fault {
    if !matches!(fault.kind, Kind::Unreachable | Kind::Abort | Kind::MemoryOutOfBounds | Kind::Exit | Kind::Trap) {
        return fault;
    }
    let refused = format!(
        "memory.grow was refused at {} ({} more were wanted, the limit is {})",
        size(refusal.size),
        size(refusal.growth),
        size(limits.memory)
    );
    if fault.kind == Kind::Unreachable {
        fault.kind = Kind::MemoryLimit;
        fault.message = format!("{refused}: raise the limit or use less; then {}", fault.message);
    } else {
        fault.message = format!("{}; before that {refused}", fault.message);
    }
    fault
}

/// Bytes in the largest unit that divides them: memory comes in pages of 64 KiB.
fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

fn dry(limits: &Limits) -> Fault {
    let fuel = limits.fuel.unwrap_or(u64::MAX);
    Fault::new(Kind::FuelLimit, format!("the guest used up its fuel of {fuel} operators: raise the limit or do less"))
}

/// The fault for a run that the watchdog ended.
pub fn stopped(stop: Stop, limits: Option<&Limits>) -> Fault {
    match stop {
        Stop::Canceled => Fault::new(Kind::Canceled, "the run was canceled"),
        Stop::Deadline => {
            let allowed = limits.and_then(|limits| limits.time).unwrap_or_default().as_millis();
            let message = format!("the guest did not end within {allowed} ms: raise the limit or do less");
            Fault::new(Kind::TimeLimit, message)
        }
    }
}

/// The fault for a run that was canceled before it began.
pub fn canceled() -> Fault {
    stopped(Stop::Canceled, None)
}
