//! The traps of WebAssembly (core specification, "Execution") in waspi's words. Each backend maps its engine's codes here.

use crate::engine::Ending;
use crate::fault::Kind;

/// Class of the exception and what its message says.
pub type Trap = (Kind, &'static str);

pub const STACK_OVERFLOW: Trap = (Kind::StackOverflow, "its call stack is used up");
/// Of the stack that compilers keep in linear memory.
pub const IN_MEMORY: Trap = (
    Kind::StackOverflow,
    "its stack in linear memory is used up; recurse less, or link with a larger one (-z stack-size=BYTES)",
);
pub const MEMORY: Trap = (Kind::MemoryOutOfBounds, "access beyond its memory");
pub const TABLE: Trap = (Kind::TableOutOfBounds, "access beyond a table");
pub const NULL_ELEMENT: Trap = (Kind::IndirectCall, "indirect call of a null element");
pub const OTHER_TYPE: Trap = (Kind::IndirectCall, "indirect call of a function of another type");
pub const OVERFLOW: Trap = (Kind::IntegerOverflow, "integer overflow in a division");
pub const CONVERSION: Trap = (Kind::IntegerOverflow, "a float does not fit the integer type");
pub const DIVISION: Trap = (Kind::DivisionByZero, "integer division by zero");
pub const UNREACHABLE: Trap = (Kind::Unreachable, "unreachable was executed (a panic or an abort)");
/// The ending for a trap in `function` at `offset`, where the engine knows them.
pub fn ending((kind, message): Trap, function: Option<u32>, offset: Option<u64>) -> Ending {
    Ending::Trap { kind, message: message.into(), function, offset }
}
