//! Wasmer's traps in waspi's words.

use wasmer_compiler::get_trace_and_trapcode;
use wasmer_types::TrapCode;
use wasmer_vm::Trap;

use crate::engine::Ending;
use crate::fault::Kind;
use crate::host::Halt;

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
    let (kind, message) = code.map_or((Kind::Trap, "the engine ran out of memory"), kind);
    let offset = place.map(|frame| frame.module_offset() as u64);
    Ending::Trap { kind, message: message.into(), function, offset }
}

fn kind(code: TrapCode) -> (Kind, &'static str) {
    match code {
        TrapCode::StackOverflow => (Kind::StackOverflow, "its call stack is used up"),
        TrapCode::HeapAccessOutOfBounds => (Kind::MemoryOutOfBounds, "access beyond its memory"),
        TrapCode::TableAccessOutOfBounds => (Kind::TableOutOfBounds, "access beyond a table"),
        TrapCode::IndirectCallToNull => (Kind::IndirectCall, "indirect call of a null element"),
        TrapCode::BadSignature => (Kind::IndirectCall, "indirect call of a function of another type"),
        TrapCode::IntegerOverflow => (Kind::IntegerOverflow, "integer overflow in a division"),
        TrapCode::BadConversionToInteger => (Kind::IntegerOverflow, "a float does not fit the integer type"),
        TrapCode::IntegerDivisionByZero => (Kind::DivisionByZero, "integer division by zero"),
        TrapCode::UnreachableCodeReached => (Kind::Unreachable, "unreachable was executed (a panic or an abort)"),
        _ => (Kind::Trap, "a trap that no module with the features of waspi can have"),
    }
}
