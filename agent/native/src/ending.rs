//! Words for how a guest call ended.

use crate::engine::Ending;
use crate::fault::{Fault, Kind};
use crate::host::Halt;
use crate::limits::Limits;
use crate::loaded::Loaded;
use crate::watchdog::Stop;

/// The fault for an ending of a guest of `loaded`.
pub fn explain(ending: Ending, stop: Option<Stop>, loaded: &Loaded, limits: &Limits) -> Fault {
    match ending {
        Ending::Halted(Halt::Exit(code)) => {
            let message = format!("the guest called proc_exit({code}): return from the entry function instead");
            Fault { code: Some(code), ..Fault::new(Kind::Exit, message) }
        }
        Ending::Halted(Halt::Abort(text)) => Fault::new(Kind::Abort, format!("the guest aborted: {text}")),
        Ending::Halted(Halt::Stopped) => stopped(stop.unwrap_or(Stop::Canceled), Some(limits)),
        Ending::Fault(fault) => fault,
        Ending::OutOfFuel { function } => {
            let mut fault = stop.map_or_else(|| dry(limits), |stop| stopped(stop, Some(limits)));
            fault.function = function.map(|index| loaded.shape.function_name(index));
            fault
        }
        Ending::Trap { kind, message, function, offset } => {
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
