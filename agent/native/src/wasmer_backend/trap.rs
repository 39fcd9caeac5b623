//! Wasmer's traps in waspi's words.

use wasmer_compiler::get_trace_and_trapcode;
use wasmer_types::TrapCode;
use wasmer_vm::Trap;

use crate::engine::Ending;
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
    trap::ending(code.map_or(trap::OUT_OF_MEMORY, known), function, offset)
}

fn known(code: TrapCode) -> trap::Trap {
    match code {
        TrapCode::StackOverflow => trap::STACK_OVERFLOW,
        TrapCode::HeapAccessOutOfBounds => trap::MEMORY,
        TrapCode::TableAccessOutOfBounds => trap::TABLE,
        TrapCode::IndirectCallToNull => trap::NULL_ELEMENT,
        TrapCode::BadSignature => trap::OTHER_TYPE,
        TrapCode::IntegerOverflow => trap::OVERFLOW,
        TrapCode::BadConversionToInteger => trap::CONVERSION,
        TrapCode::IntegerDivisionByZero => trap::DIVISION,
        TrapCode::UnreachableCodeReached => trap::UNREACHABLE,
        _ => trap::UNKNOWN,
    }
}
