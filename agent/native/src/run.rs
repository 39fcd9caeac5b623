//! One run, from the instance to what it used; `dialogue` is its middle.

use std::sync::Arc;

use crate::abi::{DEALLOC, INITIALIZE, LOAD, Verdict};
use crate::backend::Compiled;
use crate::canceller::Canceller;
use crate::dialogue::{self, Dialogue, Functions, Input};
use crate::ending;
use crate::engine::{Ending, Guest, Program};
use crate::fault::{Fault, Kind};
use crate::host::Host;
use crate::image::{self, Before};
use crate::limits::Limits;
use crate::loaded::Loaded;
use crate::log::Log;
use crate::report::{Broken, Report, Terms, Usage};
use crate::watchdog::{self, Slot};

type Instance = <Compiled as Program>::Guest;
type Callee = <Instance as Guest>::Callee;

/// An instance with its callable exports.
pub struct Session {
    guest: Instance,
    verdict: Verdict,
    /// Known once the start function has run.
    functions: Option<Functions<Callee>>,
}

// SAFETY: a callee is an address inside the guest, which is `Send` and owned here.
unsafe impl Send for Session {}

/// When a run began, and the slot that it is watched in.
pub struct Clock<'a> {
    begin: u64,
    slot: &'a Arc<Slot>,
}

impl Clock<'_> {
    /// Do `work` by a clock that starts now, in the slot of this thread.
    pub fn with<T>(work: impl FnOnce(&Clock<'_>) -> T) -> T {
        let begin = watchdog::now();
        Slot::with_current(|slot| work(&Clock { begin, slot }))
    }

    fn deadline(&self, limits: &Limits) -> Option<u64> {
        limits.time.map(|time| self.begin.saturating_add(time.as_nanos() as u64))
    }

    fn run_us(&self) -> u64 {
        (watchdog::now() - self.begin) / 1_000
    }
}

impl Session {
    /// A fresh instance that has not run yet.
    pub fn open(loaded: &Loaded, terms: &Terms, clock: &Clock<'_>, script: bool) -> Result<Self, Fault> {
        let program = loaded.program()?;
        let verdict = terms.abi.check(&loaded.shape)?;
        if script {
            terms.abi.check_load(&loaded.shape)?;
        }
        let needed = loaded.shape.memory.map_or(0, |pages| pages.minimum * 65_536);
        if needed > terms.limits.memory {
            return Err(Fault::new(
                Kind::MemoryLimit,
                format!(
                    "the module needs {needed} bytes of memory at its start, the limit is {}: raise the limit or build \
                     the module with less",
                    terms.limits.memory
                ),
            ));
        }
        let host = Host::new(Log::new(terms.limits.log), clock.slot.clone(), terms.environment.clone());
        let guest = program.instantiate(&terms.limits, host)?;
        Ok(Self { guest, verdict, functions: None })
    }

    /// Start function, `_initialize` and, where there is a script, `load`: once, before the first call.
    ///
    /// What they do is kept in `kept`, where that is possible, and not done again.
    pub fn initialize(
        &mut self,
        loaded: &Loaded,
        terms: &Terms,
        script: Option<&[u8]>,
        kept: &image::Slot,
    ) -> Result<(), Broken> {
        self.guest.start()?;
        let before = match kept.get() {
            Some(Some(image)) if image.restore(&mut self.guest, terms.limits.memory) => {
                return self.look_up(terms, None);
            }
            None if loaded.shape.imageable && (self.verdict.initialize || script.is_some()) => {
                Some(Before::of(&mut self.guest))
            }
            _ => None,
        };
        if self.verdict.initialize
            && let Some(callee) = self.guest.callee(INITIALIZE)
        {
            self.guest.enter(|guest| guest.call(callee, [0; 2]))?;
        }
        self.look_up(terms, script)?;
        if let Some(before) = before {
            // Another thread may have been faster, with the same image.
            let _ = kept.set(before.image(&mut self.guest));
        }
        Ok(())
    }

    /// Find the functions; load the script.
    fn look_up(&mut self, terms: &Terms, script: Option<&[u8]>) -> Result<(), Broken> {
        let dealloc = if self.verdict.dealloc { self.guest.callee(DEALLOC) } else { None };
        let mut callee = |name| self.guest.callee(name).expect("checked by the ABI's verdict");
        let functions = Functions { alloc: callee(&terms.abi.alloc), entry: callee(&terms.abi.entry), dealloc };
        if let Some(script) = script {
            let load = self.guest.callee(LOAD).expect("checked when the session was opened");
            self.guest.enter(|guest| dialogue::load(guest, &terms.abi, functions.alloc, load, script))?;
        }
        self.functions = Some(functions);
        Ok(())
    }

    /// Watch `work`, and translate what comes of it.
    pub fn watched(
        &mut self,
        loaded: &Loaded,
        terms: &Terms,
        clock: &Clock<'_>,
        canceller: Option<&Canceller>,
        report: &mut Report,
        work: impl FnOnce(&mut Self, &mut Report) -> Result<(), Broken>,
    ) -> Result<(), Box<Fault>> {
        let tank = terms.limits.tank();
        self.guest.set_fuel(tank);
        let host = self.guest.host();
        if !Arc::ptr_eq(&host.slot, clock.slot) {
            host.slot = clock.slot.clone();
        }
        host.refused = None;
        // SAFETY: the guest outlives this function, which disarms the slot whatever `work` does.
        let armed = unsafe { clock.slot.arm(self.guest.floor(), clock.deadline(&terms.limits)) };
        let attached = armed.and_then(|()| canceller.map_or(Ok(()), |canceller| canceller.attach(clock.slot)));
        let worked = match attached {
            Ok(()) => {
                let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(self, report)));
                worked.unwrap_or_else(|payload| Err(Fault::panic(payload.as_ref()).into()))
            }
            Err(fault) => Err(fault.into()),
        };
        if let Some(canceller) = canceller {
            canceller.detach(clock.slot);
        }
        let stopped = clock.slot.disarm();
        let left = self.guest.fuel_left();
        let dry = stopped.is_none() && left < 0;
        report.usage = Usage {
            log: self.guest.host().log.take(),
            fuel: (tank - left.max(0)) as u64,
            memory_bytes: self.guest.memory().size as u64,
            run_us: clock.run_us(),
        };
        // The last stretch of code may have used more than was left.
        let worked = if dry && worked.is_ok() { Err(Ending::OutOfFuel { function: None }.into()) } else { worked };
        worked.map_err(|broken| match broken {
            Broken::Fault(fault) => fault,
            Broken::Ending(end) => {
                let stack = self.guest.first_global().filter(|_| loaded.shape.has_stack_pointer);
                let fault = ending::explain(*end, stopped, stack, loaded, &terms.limits);
                Box::new(match self.guest.host().refused {
                    Some(refusal) => ending::after_refusal(fault, refusal, &terms.limits),
                    None => fault,
                })
            }
        })
    }

    /// Run the entry once.
    pub fn call(&mut self, input: Input, terms: &Terms, report: &mut Report) -> Result<(), Broken> {
        let functions = self.functions.as_ref().expect("initialized before");
        let mut dialogue = Dialogue::new(functions, self.verdict.packed, input, terms, report)?;
        self.guest.enter(|guest| dialogue.hold(guest))
    }
}
