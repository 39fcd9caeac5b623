//! Wasmer's traps in waspi's words.

use wasmer_compiler::get_trace_and_trapcode;
use wasmer_types::TrapCode;
use wasmer_vm::Trap;

use crate::engine::Ending;
use crate::fault::{Fault, Kind};
use crate::host::Halt;
use crate::trap;

/// How the call ended; `dry` says whether the tank was below its floor then.
pub fn ending(trap: Trap, dry: bool) -> Ending {
    if let Some(halt) = trap.downcast_ref::<Halt>() {
        return Ending::Halted(halt.clone());
    }
    let (frames, code) = get_trace_and_trapcode(&trap);
    let place = frames.first();
    let function = place.map(wasmer_types::FrameInfo::func_index);
    if dry && code == Some(TrapCode::UnreachableCodeReached) {
        return Ending::OutOfFuel { function };
    }
    let offset = place.map(|frame| frame.module_offset() as u64);
    match code {
        Some(code) => known(code).map_or_else(|| unknown(code), |found| trap::ending(found, function, offset)),
        None => Ending::Fault(Fault::out_of_memory("the engine's own")),
    }
}

/// A code for a feature that is off.
fn unknown(code: TrapCode) -> Ending {
    Ending::Fault(Fault::new(Kind::Internal, format!("the engine failed: {code}; please report this with the module")))
}

fn known(code: TrapCode) -> Option<trap::Trap> {
    match code {
        TrapCode::StackOverflow => Some(trap::STACK_OVERFLOW),
        TrapCode::HeapAccessOutOfBounds => Some(trap::MEMORY),
        TrapCode::TableAccessOutOfBounds => Some(trap::TABLE),
        TrapCode::IndirectCallToNull => Some(trap::NULL_ELEMENT),
        TrapCode::BadSignature => Some(trap::OTHER_TYPE),
        TrapCode::IntegerOverflow => Some(trap::OVERFLOW),
        TrapCode::BadConversionToInteger => Some(trap::CONVERSION),
        TrapCode::IntegerDivisionByZero => Some(trap::DIVISION),
        TrapCode::UnreachableCodeReached => Some(trap::UNREACHABLE),
        _ => None,
    }
}
