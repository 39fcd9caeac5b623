//! wasmi, an interpreter, behind the traits of `engine`: for 32-bit ARM, which Cranelift has no back end for.
//!
//! Its artifact is the stripped module itself: translating it to wasmi's code takes no longer than checking it.

mod guest;
mod imports;
mod lift;
mod program;
mod trap;

pub use program::Program;
