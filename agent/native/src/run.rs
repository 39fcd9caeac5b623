//! One run: `_initialize`, alloc, copy, call, read, dealloc. Every number that comes from the guest is checked here.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::abi::{Abi, DEALLOC, INITIALIZE, Verdict};
use crate::canceller::Canceller;
use crate::ending;
use crate::engine::{Compiled, Ending, Guest, Program};
use crate::fault::{Fault, Kind};
use crate::host::Host;
use crate::limits::Limits;
use crate::loaded::Loaded;
use crate::log::Log;
use crate::watchdog::{self, Slot, Stop};

type Instance = <Compiled as Program>::Guest;
type Callee = <Instance as Guest>::Callee;

/// Bytes that the caller lends for the length of a run.
#[derive(Clone, Copy)]
pub struct Input {
    pub address: *const u8,
    pub length: usize,
}

// SAFETY: the lender holds the object while the run goes on without the GIL.
unsafe impl Send for Input {}
// SAFETY: as above; it is two numbers.
unsafe impl Sync for Input {}

/// What a run used, whether it succeeded or not.
#[derive(Default)]
pub struct Usage {
    pub log: Vec<u8>,
    pub fuel: u64,
    pub memory_bytes: u64,
    pub run_us: u64,
}

/// What happened in memory.
#[derive(Clone, Copy, Default)]
pub struct Trace {
    pub pointer: u32,
    pub input_size: u64,
    pub buffer_size: u32,
    pub memory_address: u64,
    pub buffer_address: u64,
    pub new_size: u32,
    pub result_pointer: u32,
    pub memory_bytes: u64,
}

/// What a run gives, filled in as it goes on; what has failed has no output and no trace.
///
/// The caller lends it, since returning that much through every layer costs more than a small guest's own work.
#[derive(Default)]
pub struct Report {
    /// The result's bytes; without an allocation where they are few.
    pub output: SmallVec<[u8; 256]>,
    pub trace: Trace,
    pub usage: Usage,
}

/// What the caller decides about a run.
#[derive(Clone)]
pub struct Terms {
    pub abi: Abi,
    pub limits: Limits,
}

/// An instance with its callable exports.
pub struct Session {
    guest: Instance,
    verdict: Verdict,
    alloc: Option<Callee>,
    entry: Option<Callee>,
    dealloc: Option<Callee>,
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
    pub fn open(loaded: &Loaded, terms: &Terms, clock: &Clock<'_>) -> Result<Self, Fault> {
        let program = loaded.program()?;
        let verdict = terms.abi.check(&loaded.shape)?;
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
        let host = Host { log: Log::new(terms.limits.log), slot: clock.slot.clone() };
        let guest = program.instantiate(&terms.limits, host)?;
        Ok(Self { guest, verdict, alloc: None, entry: None, dealloc: None })
    }

    /// Start function and `_initialize`: once, before the first call.
    pub fn initialize(&mut self, terms: &Terms) -> Result<(), Broken> {
        self.guest.start()?;
        if self.verdict.initialize
            && let Some(callee) = self.guest.callee(INITIALIZE)
        {
            self.guest.enter(|guest| guest.call(callee, [0; 2]))?;
        }
        self.alloc = self.guest.callee(&terms.abi.alloc);
        self.entry = self.guest.callee(&terms.abi.entry);
        if self.verdict.dealloc {
            self.dealloc = self.guest.callee(DEALLOC);
        }
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
            Broken::Ending(end) => Box::new(ending::explain(*end, stopped, loaded, &terms.limits)),
        })
    }

    /// Run the entry once.
    pub fn call(&mut self, input: Input, terms: &Terms, report: &mut Report) -> Result<(), Broken> {
        let size = buffer_size(input, terms.abi.headroom)?;
        let alloc = self.alloc.expect("checked by the ABI's verdict");
        let entry = self.entry.expect("checked by the ABI's verdict");
        let (dealloc, packed) = (self.dealloc, self.verdict.packed);
        // What is allocated in here while the guest may still trap belongs to `report`, or it would leak.
        self.guest.enter(|guest| {
            let pointer = guest.call(alloc, [size, 0])? as u32;
            let memory = guest.memory();
            inside(&terms.abi.alloc, "a buffer", pointer, size, memory.size)?;
            // SAFETY: `input` is lent for the run; `inside` has checked the other end; host and guest memory never
            // overlap.
            unsafe { std::ptr::copy_nonoverlapping(input.address, memory.base.add(pointer as usize), input.length) };

            let word = guest.call(entry, [pointer, input.length as u32])?;
            let memory = guest.memory();
            let (start, length) = if packed {
                ((word >> 32) as u32, word as u32)
            } else {
                (pointer, plain_size(&terms.abi, word as u32, size, input.length)?)
            };
            inside(&terms.abi.entry, "a result", start, length, memory.size)?;
            short(length, terms.limits.output)?;
            // SAFETY: `inside` has checked both ends, and the guest does not run.
            let result = unsafe { std::slice::from_raw_parts(memory.base.add(start as usize), length as usize) };
            report.output.extend_from_slice(result);
            report.trace = Trace {
                pointer,
                input_size: input.length as u64,
                buffer_size: size,
                memory_address: memory.base as u64,
                buffer_address: memory.base as u64 + u64::from(pointer),
                new_size: length,
                result_pointer: start,
                memory_bytes: memory.size as u64,
            };
            if let Some(dealloc) = dealloc {
                guest.call(dealloc, [pointer, size])?;
                if start != pointer && length > 0 {
                    guest.call(dealloc, [start, length])?;
                }
            }
            Ok(())
        })
    }
}

/// Why a run did not reach its end; boxed, so that success is handed on in a register.
pub enum Broken {
    Fault(Box<Fault>),
    Ending(Box<Ending>),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

impl From<Ending> for Broken {
    fn from(ending: Ending) -> Self {
        Self::Ending(Box::new(ending))
    }
}

/// The fault for a run that was canceled before it began.
pub fn canceled() -> Fault {
    ending::stopped(Stop::Canceled, None)
}

fn buffer_size(input: Input, headroom: u32) -> Result<u32, Fault> {
    u32::try_from(input.length).ok().and_then(|length| length.checked_add(headroom)).ok_or_else(|| {
        let message = format!(
            "the input has {} bytes, with the headroom of {headroom} more than a 32-bit guest can address: send less",
            input.length
        );
        Fault::new(Kind::InputTooLarge, message)
    })
}

fn inside(export: &str, what: &str, address: u32, length: u32, memory: usize) -> Result<(), Fault> {
    if u64::from(address) + u64::from(length) <= memory as u64 {
        return Ok(());
    }
    Err(Fault::new(
        Kind::Pointer,
        format!(
            "{export:?} returned {what} of {length} bytes at {address}{}, beyond the memory of {memory} bytes: correct \
             the guest",
            signed(address)
        ),
    ))
}

fn plain_size(abi: &Abi, found: u32, buffer: u32, input: usize) -> Result<u32, Fault> {
    if found <= buffer {
        return Ok(found);
    }
    if (found as i32) < 0 {
        let message = format!("{:?} returned the negative size {}: correct the guest", abi.entry, found as i32);
        return Err(Fault::new(Kind::Pointer, message));
    }
    Err(Fault::new(
        Kind::Overrun,
        format!(
            "{:?} returned {found} bytes in a buffer of {buffer} (input {input} + headroom {}): raise the headroom in \
             the ABI description to at least {}, or return i64",
            abi.entry,
            abi.headroom,
            u64::from(found).saturating_sub(input as u64)
        ),
    ))
}

fn short(length: u32, limit: Option<u64>) -> Result<(), Fault> {
    match limit {
        Some(limit) if u64::from(length) > limit => Err(Fault::new(
            Kind::OutputLimit,
            format!("the result has {length} bytes, the limit is {limit}: raise it or return less"),
        )),
        _ => Ok(()),
    }
}

/// Addresses beyond 2 GiB are mostly negative numbers by mistake.
fn signed(address: u32) -> String {
    if (address as i32) < 0 { format!(" ({} as i32)", address as i32) } else { String::new() }
}
