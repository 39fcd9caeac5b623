//! An instance on wasmi's machine.
//!
//! wasmi has fuel of its own, which nobody can take away from outside. So the guest gets it in slices: between two of
//! them the tank is compared with its floor, which the watchdog may have raised.

use std::sync::atomic::{AtomicI64, Ordering};

use wasmi::{
    Engine, Error, Extern, Func, Global, Instance, Linker, Memory, Module, ResumableCall, Store, StoreLimitsBuilder,
    Val,
};

use super::imports::{self, Env};
use super::lift::{FIRST_GLOBAL, START, mutable_global};
use super::trap;
use crate::engine::{self, Ending, Entered};
use crate::host::{Host, Offer, View};
use crate::limits::Limits;

/// Units of fuel between two looks at the tank: a few milliseconds of a slow board.
const SLICE: i64 = 200_000;
/// Elements to which a table may grow.
const TABLE_ELEMENTS: usize = 65_536;
const PAGE: u64 = 65_536;

pub struct Guest {
    store: Store<Env>,
    module: Module,
    imports: Vec<&'static Offer>,
    instance: Option<Instance>,
    tank: i64,
    /// Boxed, since the watchdog knows its address.
    floor: Box<AtomicI64>,
}

#[derive(Clone, Copy)]
pub struct Callee {
    func: Func,
    params: usize,
    results: usize,
}

impl Guest {
    pub fn new(engine: &Engine, module: &Module, imports: &[&'static Offer], limits: &Limits, host: Host) -> Self {
        let cap = usize::try_from(limits.memory / PAGE * PAGE).unwrap_or(usize::MAX);
        let caps = StoreLimitsBuilder::new().memory_size(cap).table_elements(TABLE_ELEMENTS).build();
        let mut store = Store::new(engine, Env { host, limits: caps, memory: None });
        store.limiter(|env| env);
        Self {
            store,
            module: module.clone(),
            imports: imports.to_vec(),
            instance: None,
            tank: 0,
            floor: Box::default(),
        }
    }

    /// Move up to a slice from the tank to wasmi; `false` when there is less than `needed`, or the floor was raised.
    fn fill(&mut self, needed: i64) -> bool {
        if self.tank < self.floor.load(Ordering::SeqCst) {
            return false;
        }
        if self.tank < needed {
            self.tank = -1; // below zero says that the guest wanted more than it had
            return false;
        }
        let slice = SLICE.max(needed).min(self.tank);
        self.tank -= slice;
        self.store.set_fuel(slice as u64).is_ok()
    }

    /// Put back what wasmi has left.
    fn drain(&mut self) {
        let rest = self.store.get_fuel().unwrap_or(0);
        self.tank += rest as i64;
        let _ = self.store.set_fuel(0);
    }

    fn instantiate(&mut self) -> Result<(), Error> {
        let mut linker = Linker::new(self.store.engine());
        linker.allow_shadowing(true);
        for offer in self.imports.clone() {
            let function = imports::import(&mut self.store, offer);
            linker.define(offer.module, offer.name, function)?;
        }
        // The start function was lifted: no guest code runs here.
        let instance = linker.instantiate_and_start(&mut self.store, &self.module)?;
        let memory = instance.exports(&self.store).find_map(|export| export.into_memory());
        self.store.data_mut().memory = memory;
        self.instance = Some(instance);
        Ok(())
    }

    fn run(&mut self, callee: Callee, args: [u32; 2]) -> Result<u64, Ending> {
        let inputs = args.map(|arg| Val::I32(arg as i32));
        let inputs = &inputs[..callee.params];
        let mut outputs = [Val::I32(0)];
        let outputs = &mut outputs[..callee.results];
        if !self.fill(1) {
            return Err(Ending::OutOfFuel { function: None });
        }
        let mut call = callee.func.call_resumable(&mut self.store, inputs, outputs);
        loop {
            match call.map_err(|error| trap::ending(&error))? {
                ResumableCall::Finished => return Ok(outputs.first().map_or(0, imports::word)),
                ResumableCall::HostTrap(halted) => return Err(trap::ending(halted.host_error())),
                ResumableCall::OutOfFuel(paused) => {
                    self.drain();
                    if !self.fill(i64::try_from(paused.required_fuel()).unwrap_or(i64::MAX)) {
                        return Err(Ending::OutOfFuel { function: None });
                    }
                    call = paused.resume(&mut self.store, outputs);
                }
            }
        }
    }

    /// Those that were lifted, in order.
    fn mutable_globals(&self) -> impl Iterator<Item = Global> {
        (0..).map_while(|number| self.instance?.get_global(&self.store, &mutable_global(number)))
    }

    fn memory_handle(&self) -> Option<Memory> {
        self.store.data().memory
    }
}

impl engine::Guest for Guest {
    type Callee = Callee;

    fn start(&mut self) -> Result<(), Ending> {
        // Segments are copied here, which wasmi charges for.
        if !self.fill(1) {
            return Err(Ending::OutOfFuel { function: None });
        }
        let done = self.instantiate();
        self.drain();
        done.map_err(|error| trap::ending(&error))?;
        match self.callee(START) {
            Some(start) => self.enter(|guest| guest.call(start, [0; 2])).map(drop),
            None => Ok(()),
        }
    }

    fn callee(&mut self, name: &str) -> Option<Callee> {
        let Some(Extern::Func(func)) = self.instance?.get_export(&self.store, name) else {
            return None;
        };
        let ty = func.ty(&self.store);
        let (params, results) = (ty.params().len(), ty.results().len());
        (params <= 2 && results <= 1).then_some(Callee { func, params, results })
    }

    fn enter<T, E: From<Ending>>(&mut self, work: impl FnOnce(&mut Entered<'_, Self>) -> Result<T, E>) -> Result<T, E> {
        // SAFETY: here, and as long as `work` lasts.
        work(&mut unsafe { Entered::new(self) })
    }

    unsafe fn call(&mut self, callee: Callee, args: [u32; 2]) -> Result<u64, Ending> {
        let done = self.run(callee, args);
        self.drain();
        done
    }

    fn memory(&self) -> View {
        imports::view(&self.store, self.memory_handle())
    }

    fn floor(&self) -> *const AtomicI64 {
        &raw const *self.floor
    }

    fn set_fuel(&mut self, fuel: i64) {
        self.tank = fuel;
        self.floor.store(0, Ordering::SeqCst);
    }

    fn fuel_left(&self) -> i64 {
        self.tank
    }

    fn burn(&mut self, fuel: i64) {
        self.tank -= fuel;
    }

    fn globals(&self) -> Vec<u128> {
        self.mutable_globals().map(|global| imports::word(&global.get(&self.store)).into()).collect()
    }

    fn set_globals(&mut self, values: &[u128]) {
        for (global, bits) in self.mutable_globals().collect::<Vec<_>>().into_iter().zip(values) {
            let value = imports::with_bits(&global.get(&self.store), *bits as u64);
            global.set(&mut self.store, value).expect("a value of its own type for a global that can change");
        }
    }

    fn grow(&mut self, size: usize) -> bool {
        let Some(memory) = self.memory_handle() else {
            return size == 0;
        };
        let missing = (size as u64).saturating_sub(self.memory().size as u64) / PAGE;
        missing == 0 || memory.grow(&mut self.store, missing).is_ok()
    }

    fn host(&mut self) -> &mut Host {
        &mut self.store.data_mut().host
    }

    fn first_global(&self) -> Option<i32> {
        self.instance?.get_global(&self.store, FIRST_GLOBAL)?.get(&self.store).i32()
    }
}
