//! What waspi asks of a WebAssembly engine; `backend` says which one is in.
//!
//! Everything outside `wasmer_backend` and `wasmi_backend` is written against these two traits.

use std::sync::atomic::AtomicI64;
use std::time::Instant;

use crate::fault::Fault;
use crate::host::{Host, Offer, View};
use crate::limits::Limits;
use crate::machine::Machine;
use crate::shape::Shape;

/// A compiled module, free of guest state.
pub trait Program: Sized + Send + Sync {
    type Guest: Guest;

    /// Name and version, for people.
    fn engine() -> String;
    /// What makes the code, with its version: code of another maker has another form.
    fn maker() -> String;
    /// The machine that this process runs on.
    fn host() -> Machine;
    /// Triples of the machines that code can be made for, whatever the host.
    fn targets() -> Vec<&'static str>;
    /// The least of the machines that `triple` names, to make code for.
    fn target(triple: &str) -> Result<Machine, Fault>;
    /// Compile a stripped module that was surveyed; `imports` has an offer for every function it imports. Nothing is
    /// instantiated of what is compiled for another machine than the host.
    fn compile(wasm: &[u8], imports: Vec<&'static Offer>, machine: &Machine, deadline: Instant) -> Result<Self, Fault>;
    /// Native code as `compile`d by the same maker for this machine or a lesser one, and its hash checked.
    fn load(code: &[u8], imports: Vec<&'static Offer>) -> Result<Self, Fault>;
    fn serialize(&self) -> Result<Vec<u8>, Fault>;
    /// A fresh instance, whose start function did not run yet.
    fn instantiate(&self, limits: &Limits, host: Host) -> Result<Self::Guest, Fault>;
}

/// How a guest call ended when it did not return.
#[derive(Debug)]
pub enum Ending {
    /// The guest trapped: kind and message, index of the function and offset in the stripped module where known.
    Trap { kind: crate::fault::Kind, message: String, function: Option<u32>, offset: Option<u64> },
    /// The tank was below its floor: all fuel used, or the watchdog raised the floor.
    OutOfFuel { function: Option<u32> },
    /// A host function ended it.
    Halted(crate::host::Halt),
    /// Not the guest's doing.
    Fault(Fault),
}

/// An instance.
pub trait Guest: Send {
    /// A function of this instance, ready to be called.
    type Callee: Copy;

    /// Finish the instantiation: data, elements and the start function.
    fn start(&mut self) -> Result<(), Ending>;
    /// An exported function.
    fn callee(&mut self, name: &str) -> Option<Self::Callee>;
    /// Enter the guest for all the calls of `work`.
    ///
    /// A call that does not return may leave `work` where it stands: what `work` owns then is never dropped. So until
    /// its last call it owns numbers and references only.
    fn enter<T, E: From<Ending>>(&mut self, work: impl FnOnce(&mut Entered<'_, Self>) -> Result<T, E>) -> Result<T, E>
    where
        Self: Sized;
    /// Call with 32-bit arguments; the result's raw bits.
    ///
    /// # Safety
    /// Only while the guest is entered.
    unsafe fn call(&mut self, callee: Self::Callee, args: [u32; 2]) -> Result<u64, Ending>;
    /// The linear memory as it is now.
    fn memory(&self) -> View;
    /// What the fuel must not fall below: raised by the watchdog to stop this instance; valid as long as that lives.
    fn floor(&self) -> *const AtomicI64;
    /// Fill the tank, and lower the floor to zero.
    fn set_fuel(&mut self, fuel: i64);
    /// Negative when the guest has used more than it had.
    fn fuel_left(&self) -> i64;
    /// Take fuel that is there; the floor stays where it is.
    fn burn(&mut self, fuel: i64);
    /// The module's own globals as raw bits, in order; those that cannot change may be left out.
    fn globals(&self) -> Vec<u128>;
    /// Put back what [`Guest::globals`] gave of an instance of the same module.
    fn set_globals(&mut self, values: &[u128]);
    /// Have the memory grow to `size` bytes, if it is smaller; `false` when that is not allowed.
    fn grow(&mut self, size: usize) -> bool;
    fn host(&mut self) -> &mut Host;
    /// Value of the first global, an `i32`: what LLVM's linker calls `__stack_pointer`. `None` where it cannot be read.
    fn first_global(&self) -> Option<i32>;
}

/// A guest that was entered, so that its functions can be called.
pub struct Entered<'a, G: Guest>(&'a mut G);

impl<'a, G: Guest> Entered<'a, G> {
    /// # Safety
    /// Only for [`Guest::enter`], and not longer than it lasts.
    pub unsafe fn new(guest: &'a mut G) -> Self {
        Self(guest)
    }

    /// Call with as many of the 32-bit arguments as the function has parameters; the result's raw bits.
    pub fn call(&mut self, callee: G::Callee, args: [u32; 2]) -> Result<u64, Ending> {
        // SAFETY: the guest was entered.
        unsafe { self.0.call(callee, args) }
    }

    /// The linear memory as it is now.
    pub fn memory(&self) -> View {
        self.0.memory()
    }
}

/// The offers for a module's imports, in order; a fault names what is not offered.
pub fn link(shape: &Shape) -> Result<Vec<&'static Offer>, Fault> {
    shape.imports.iter().map(crate::link::offer).collect()
}
