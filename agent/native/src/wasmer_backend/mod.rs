//! Wasmer with Cranelift behind the traits of `engine`.
//!
//! It stands on `wasmer-vm` and `wasmer-compiler` directly rather than on `wasmer::Store`: an instance is made of the
//! parts that a run needs, the tank is read where the generated code keeps it, and no per-call bookkeeping is paid.

mod code;
mod guest;
mod imports;
mod memory;
mod metering;
mod program;
mod region;
mod slim;
mod trap;
mod tunables;

pub use program::Program;
