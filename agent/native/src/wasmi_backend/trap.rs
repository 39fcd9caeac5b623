//! wasmi's errors in waspi's words. It does not tell where in the guest they happened.

use wasmi::errors::{ErrorKind, InstantiationError};
use wasmi::{Error, TrapCode};

use crate::engine::Ending;
use crate::fault::Kind;
use crate::host::Halt;
use crate::trap;

pub fn ending(error: &Error) -> Ending {
    if let Some(halt) = error.downcast_ref::<Halt>() {
        return Ending::Halted(halt.clone());
    }
    match error.as_trap_code() {
        Some(TrapCode::OutOfFuel) => Ending::OutOfFuel { function: None },
        Some(code) => trap::ending(known(code), None, None),
        None => Ending::Trap { kind: Kind::Internal, message: error.to_string(), function: None, offset: None },
    }
}

/// Segments that do not fit are traps of the guest; the rest cannot happen to a module that was surveyed and linked.
pub fn instantiation(error: &Error) -> Ending {
    match error.kind() {
        ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) => {
            trap::ending(trap::TABLE, None, None)
        }
        _ => ending(error),
    }
}

fn known(code: TrapCode) -> trap::Trap {
    match code {
        TrapCode::StackOverflow => trap::STACK_OVERFLOW,
        TrapCode::MemoryOutOfBounds => trap::MEMORY,
        TrapCode::TableOutOfBounds => trap::TABLE,
        TrapCode::IndirectCallToNull => trap::NULL_ELEMENT,
        TrapCode::BadSignature => trap::OTHER_TYPE,
        TrapCode::IntegerOverflow => trap::OVERFLOW,
        TrapCode::BadConversionToInteger => trap::CONVERSION,
        TrapCode::IntegerDivisionByZero => trap::DIVISION,
        TrapCode::UnreachableCodeReached => trap::UNREACHABLE,
        TrapCode::OutOfSystemMemory => trap::OUT_OF_MEMORY,
        _ => trap::UNKNOWN,
    }
}
