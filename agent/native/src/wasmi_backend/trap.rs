//! wasmi's errors in waspi's words. It does not tell where in the guest they happened.

use wasmi::{Error, TrapCode};

use crate::engine::Ending;
use crate::fault::Kind;
use crate::host::Halt;

pub fn ending(error: &Error) -> Ending {
    if let Some(halt) = error.downcast_ref::<Halt>() {
        return Ending::Halted(halt.clone());
    }
    let (kind, message) = match error.as_trap_code() {
        Some(TrapCode::OutOfFuel) => return Ending::OutOfFuel { function: None },
        Some(code) => kind(code),
        None => return trap(Kind::Internal, error.to_string()),
    };
    trap(kind, message.into())
}

pub fn trap(kind: Kind, message: String) -> Ending {
    Ending::Trap { kind, message, function: None, offset: None }
}

fn kind(code: TrapCode) -> (Kind, &'static str) {
    match code {
        TrapCode::StackOverflow => (Kind::StackOverflow, "its call stack is used up"),
        TrapCode::MemoryOutOfBounds => (Kind::MemoryOutOfBounds, "access beyond its memory"),
        TrapCode::TableOutOfBounds => (Kind::TableOutOfBounds, "access beyond a table"),
        TrapCode::IndirectCallToNull => (Kind::IndirectCall, "indirect call of a null element"),
        TrapCode::BadSignature => (Kind::IndirectCall, "indirect call of a function of another type"),
        TrapCode::IntegerOverflow => (Kind::IntegerOverflow, "integer overflow in a division"),
        TrapCode::BadConversionToInteger => (Kind::IntegerOverflow, "a float does not fit the integer type"),
        TrapCode::IntegerDivisionByZero => (Kind::DivisionByZero, "integer division by zero"),
        TrapCode::UnreachableCodeReached => (Kind::Unreachable, "unreachable was executed (a panic or an abort)"),
        _ => (Kind::Trap, "the system ran out of memory"),
    }
}
