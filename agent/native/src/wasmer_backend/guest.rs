//! An instance on Wasmer's machine.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use wasmer_compiler::{InstantiationError, LinkError};
use wasmer_types::{LocalMemoryIndex, Pages, RawValue};
use wasmer_vm::{
    StoreObjects, Trap, VMConfig, VMExtern, VMFunctionBody, VMFunctionContext, VMGlobalDefinition, VMInstance,
    VMTrampoline, catch_traps, init_traps,
};

use super::code::Code;
use super::imports::Env;
use super::memory::PAGE;
use super::trap;
use super::tunables::Tunables;
use crate::engine::{self, Ending, Entered};
use crate::fault::{Fault, Kind};
use crate::host::{Host, View};
use crate::limits::Limits;

/// The guest's stack. What rustc and clang give a guest of their own lies in its memory and does not count here.
const CONFIG: VMConfig = VMConfig { wasm_stack_size: Some(1 << 20) };

pub struct Guest {
    // Dropped in this order: the instance, the objects that it points to, what host functions use, the code.
    instance: VMInstance,
    objects: Box<StoreObjects>,
    env: Box<Env>,
    tank: NonNull<VMGlobalDefinition>,
    floor: NonNull<VMGlobalDefinition>,
    /// The module's own, all of them; the first one is where a linker puts the stack pointer.
    globals: Vec<NonNull<VMGlobalDefinition>>,
    code: Arc<Code>,
}

// SAFETY: everything that the pointers lead to is owned by this struct and used by one thread at a time.
unsafe impl Send for Guest {}

/// Addresses of a function and of the code that calls it.
#[derive(Clone, Copy)]
pub struct Callee {
    vmctx: VMFunctionContext,
    body: *const VMFunctionBody,
    trampoline: VMTrampoline,
}

impl Guest {
    pub fn new(code: Arc<Code>, limits: &Limits, host: Host) -> Result<Self, Fault> {
        init_traps();
        let cap = (limits.memory / PAGE as u64).min(65_536) as u32;
        let mut objects = Box::<StoreObjects>::default();
        let mut env = Box::new(Env { host, memory: None });
        let tunables = Tunables::for_instance(Pages(cap), &raw mut env.host.refused);
        let address = std::ptr::from_mut(&mut *env);
        let imports: Vec<_> = code.imports.iter().map(|linked| linked.import(&mut objects, address)).collect();
        let artifact = code.module.sys_artifact().expect("compiled or loaded by this backend");
        // SAFETY: the objects stay where they are as long as the instance lives; the imports come from them.
        let instance = unsafe { artifact.instantiate(&tunables, &imports, &mut objects) }.map_err(refused)?;
        let noted = tunables.noted();
        env.memory = noted.memory;
        let mut globals = noted.globals;
        let (Some(floor), Some(tank)) = (globals.pop(), globals.pop()) else {
            return Err(Fault::new(Kind::Internal, "the module was compiled without metering"));
        };
        Ok(Self { instance, objects, env, tank, floor, globals, code })
    }

    fn ending(&self, trap: Trap) -> Ending {
        // SAFETY: as in `set_fuel`.
        let floor = unsafe { (*engine::Guest::floor(self)).load(Ordering::SeqCst) };
        trap::ending(trap, engine::Guest::fuel_left(self) < floor)
    }
}

/// A [`VMTrampoline`] with the type that its code has.
type Trampoline = unsafe extern "C" fn(VMFunctionContext, *const VMFunctionBody, *mut RawValue);

/// Work whose types and lifetimes are hidden from [`catch_traps`], which asks for `'static`.
struct Task<W, T> {
    work: Option<W>,
    done: Option<T>,
}

impl<W: FnOnce() -> T, T> Task<W, T> {
    /// An address, and what performs the task there.
    fn erased(&mut self) -> (*mut (), unsafe fn(*mut ())) {
        (std::ptr::from_mut(self).cast(), Self::perform)
    }

    /// # Safety
    /// `task` points to a `Self` that nobody else uses.
    unsafe fn perform(task: *mut ()) {
        // SAFETY: the caller's contract.
        let task = unsafe { &mut *task.cast::<Self>() };
        task.done = task.work.take().map(|work| work());
    }
}

fn refused(error: InstantiationError) -> Fault {
    match error {
        InstantiationError::Link(LinkError::Resource(what)) => Fault::out_of_memory(&what),
        other => Fault::new(Kind::Internal, format!("the instance could not be made: {other}")),
    }
}

impl engine::Guest for Guest {
    type Callee = Callee;

    fn start(&mut self) -> Result<(), Ending> {
        let artifact = self.code.module.sys_artifact().expect("compiled or loaded by this backend");
        // SAFETY: called once, directly after `instantiate`.
        let done = unsafe { artifact.finish_instantiation(&CONFIG, None, &mut self.instance) };
        done.map_err(|error| match error {
            InstantiationError::Start(trap) => self.ending(trap),
            other => Ending::Fault(refused(other)),
        })
    }

    fn callee(&mut self, name: &str) -> Option<Callee> {
        let VMExtern::Function(handle) = self.instance.lookup(name)? else {
            return None;
        };
        // SAFETY: a record of this instance, complete since it was linked.
        let function = unsafe { *handle.get(&self.objects).anyfunc.as_ptr().as_ref() };
        Some(Callee { vmctx: function.vmctx, body: function.func_ptr, trampoline: function.call_trampoline })
    }

    fn enter<T, E: From<Ending>>(&mut self, work: impl FnOnce(&mut Entered<'_, Self>) -> Result<T, E>) -> Result<T, E> {
        // SAFETY: `task` performs once, while `self` is lent.
        let mut task = Task { work: Some(|| work(&mut unsafe { Entered::new(self) })), done: None };
        let (address, act) = task.erased();
        // SAFETY: the task outlives the call; `enter`'s contract leaves nothing to drop when a trap cuts `work` off.
        let done = unsafe { catch_traps(None, &CONFIG, move || act(address)) };
        let worked = task.done.take();
        match (done, worked) {
            (Ok(()), Some(worked)) => worked,
            (Ok(()), None) => unreachable!("the task returned without having been done"),
            (Err(trap), _) => Err(self.ending(trap).into()),
        }
    }

    unsafe fn call(&mut self, callee: Callee, args: [u32; 2]) -> Result<u64, Ending> {
        let mut values = args.map(|arg| RawValue::from(arg as i32));
        // SAFETY: `enter` catches what does not return. The callee belongs to this instance, and its type was checked: at
        // most two parameters, one result.
        unsafe {
            let trampoline: Trampoline = std::mem::transmute(callee.trampoline);
            trampoline(callee.vmctx, callee.body, values.as_mut_ptr());
            Ok(values[0].u64)
        }
    }

    fn memory(&self) -> View {
        self.env.view()
    }

    fn floor(&self) -> *const AtomicI64 {
        self.floor.as_ptr().cast_const().cast()
    }

    fn set_fuel(&mut self, fuel: i64) {
        // SAFETY: globals of this instance, aligned to 16 bytes; only the watchdog knows the floor besides, and it has
        // not been told yet.
        unsafe {
            self.tank.cast::<i64>().write(fuel);
            self.floor.cast::<i64>().write(0);
        }
    }

    fn fuel_left(&self) -> i64 {
        // SAFETY: a global of this instance, which does not run now.
        unsafe { self.tank.cast::<i64>().read() }
    }

    fn burn(&mut self, fuel: i64) {
        // SAFETY: as in `fuel_left`.
        unsafe { self.tank.cast::<i64>().write(self.fuel_left() - fuel) };
    }

    fn globals(&self) -> Vec<u128> {
        // SAFETY: globals of this instance, which does not run now; each has 16 bytes, aligned.
        self.globals.iter().map(|global| unsafe { global.cast::<u128>().read() }).collect()
    }

    fn set_globals(&mut self, values: &[u128]) {
        for (global, value) in self.globals.iter().zip(values) {
            // SAFETY: as in `globals`.
            unsafe { global.cast::<u128>().write(*value) };
        }
    }

    fn grow(&mut self, size: usize) -> bool {
        let missing = size.saturating_sub(self.env.view().size) / PAGE;
        missing == 0 || self.instance.memory_grow(LocalMemoryIndex::from_u32(0), Pages(missing as u32)).is_ok()
    }

    fn host(&mut self) -> &mut Host {
        &mut self.env.host
    }

    fn first_global(&self) -> Option<i32> {
        // SAFETY: a global of this instance, which does not run now.
        self.globals.first().map(|global| unsafe { global.cast::<i32>().read() })
    }
}
