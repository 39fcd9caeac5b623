//! wasmi's errors in waspi's words. It does not tell where in the guest they happened.

use wasmi::errors::{ErrorKind, InstantiationError, MemoryError, TableError};
use wasmi::{Error, TrapCode};

use crate::engine::Ending;
use crate::fault::{Fault, Kind};
use crate::host::Halt;
use crate::trap;

pub fn ending(error: &Error) -> Ending {
    if let Some(halt) = error.downcast_ref::<Halt>() {
        return Ending::Halted(halt.clone());
    }
    if let Some(code) = error.as_trap_code() {
        return match code {
            TrapCode::OutOfFuel => Ending::OutOfFuel { function: None },
            code => known(code).map_or_else(|| unknown(error), |found| trap::ending(found, None, None)),
        };
    }
    match error.kind() {
        // Traps that wasmi has no code for.
        ErrorKind::Table(TableError::CopyOutOfBounds)
        | ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) => {
            trap::ending(trap::TABLE, None, None)
        }
        ErrorKind::Memory(MemoryError::OutOfSystemMemory)
        | ErrorKind::Table(TableError::OutOfSystemMemory)
        | ErrorKind::Instantiation(
            InstantiationError::FailedToInstantiateMemory(_) | InstantiationError::FailedToInstantiateTable(_),
        ) => Ending::Fault(Fault::out_of_memory(&error.to_string())),
        _ => unknown(error),
    }
}

/// What cannot happen to a module that was surveyed and linked.
fn unknown(error: &Error) -> Ending {
    Ending::Fault(Fault::new(Kind::Internal, format!("the engine failed: {error}; please report this with the module")))
}

fn known(code: TrapCode) -> Option<trap::Trap> {
    match code {
        TrapCode::StackOverflow => Some(trap::STACK_OVERFLOW),
        TrapCode::MemoryOutOfBounds => Some(trap::MEMORY),
        TrapCode::TableOutOfBounds => Some(trap::TABLE),
        TrapCode::IndirectCallToNull => Some(trap::NULL_ELEMENT),
        TrapCode::BadSignature => Some(trap::OTHER_TYPE),
        TrapCode::IntegerOverflow => Some(trap::OVERFLOW),
        TrapCode::BadConversionToInteger => Some(trap::CONVERSION),
        TrapCode::IntegerDivisionByZero => Some(trap::DIVISION),
        TrapCode::UnreachableCodeReached => Some(trap::UNREACHABLE),
        TrapCode::OutOfFuel | TrapCode::GrowthOperationLimited => None,
    }
}
